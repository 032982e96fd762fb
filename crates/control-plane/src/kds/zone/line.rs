//! The calls of one connection to global that need nothing of a store: their headers, the ping, and where its token is
//! renewed. A zone has one beneath its streams, a connector beneath those that it relays.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use hyper::client::conn::http2::SendRequest;
use model::{ZoneName, causes};
use sync::Features;
use tokio::{
    sync::{Notify, mpsc, watch},
    time::Instant,
};
use tonic::{
    Code, Request, Response, Status,
    body::Body,
    client::Grpc,
    codegen::http::uri::PathAndQuery,
    metadata::{MetadataMap, MetadataValue},
};
use wire::kuma::mesh::v1alpha1::{ZoneHealthCheckRequest, ZoneHealthCheckResponse};

use super::{held_token::HeldToken, stream_count::Streams, token::Token};
use crate::{
    about,
    clock::Clock,
    kds::{
        messages::convert,
        relay::Calls,
        rpc::{RENEW_HEADER, Rpc, TIME_HEADER},
    },
    zones::caller::Renews,
};

/// How often the zone pings when global names no interval (contract: kds 8.2).
const PING: Duration = Duration::from_secs(300);
/// A global that does not answer a ping by then is gone.
const PING_DEADLINE: Duration = Duration::from_secs(15);

/// A ping may be answered before a token is looked at on the streams: it counts when none of them was refused by then.
const SETTLED: Duration = Duration::from_secs(5);

/// After so long there may be room for a call again.
pub(crate) const NO_ROOM: Duration = Duration::from_secs(2);

/// What the calls of one connection have in common.
pub(crate) struct Line {
    pub(crate) zone: ZoneName,
    pub(crate) bearer: Bearer,
    pub(crate) held_token: Arc<HeldToken>,
    /// What this end says of its version.
    pub(crate) version: String,
    pub(crate) clock: Clock,
    /// Told, maybe more than once, that global accepted the zone: it said something on one of the two sync streams, or
    /// answered a ping and refused no stream. A real global can have nothing to say on GlobalToZoneSync (contract: kds
    /// 13.8), and its first response can take long.
    pub(crate) accepted: Arc<Notify>,
    /// Asks for another connection, which stands on this token from its beginning and takes over.
    pub(crate) reopen: mpsc::Sender<Token>,
    pub(crate) streams: Streams,
    /// What global can beside what every global can; known when it has answered the first ping.
    pub(crate) learned: watch::Sender<Option<Features>>,
    /// Whether global said with its last answer that the token should be renewed.
    pub(crate) told_to_renew: watch::Sender<bool>,
}

/// The token that a connection stands on.
pub(crate) struct Bearer(Mutex<Option<Token>>);

impl Bearer {
    pub(crate) fn new(token: Option<Token>) -> Self {
        Self(Mutex::new(token))
    }

    pub(crate) fn current(&self) -> Option<Token> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set(&self, token: Token) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(token);
    }
}

impl Line {
    /// A call with the token in use.
    pub(crate) fn request<T>(&self, message: T) -> Result<Request<T>, Status> {
        self.request_with(self.bearer.current().as_ref(), message)
    }

    /// The headers of every RPC (contract: kds 3.1). The token goes nowhere but into this one header.
    pub(crate) fn request_with<T>(&self, token: Option<&Token>, message: T) -> Result<Request<T>, Status> {
        let mut request = Request::new(message);
        let metadata: &mut MetadataMap = request.metadata_mut();
        let value = |text: &str| MetadataValue::try_from(text).map_err(|_odd| Status::internal("a header is no text"));
        metadata.insert("client-id", value(self.zone.as_str())?);
        for feature in (Features::PING_HEALTH | Features::HASH_SUFFIX | Features::OURS).names() {
            metadata.append("features", value(feature)?);
        }
        for (key, text) in [("kds-version", "v3"), ("zone-version", "v3")] {
            metadata.insert(key, value(text)?);
        }
        metadata.insert("version", value(&self.version)?);
        metadata.insert("user-agent", value(&about::kds_user_agent())?);
        if let Some(token) = token {
            let mut token = value(token.reveal())?;
            token.set_sensitive(true);
            metadata.insert("authorization", token);
            if self.hears_of_renewal() {
                metadata.insert(Renews::HEADER, MetadataValue::from_static(self.held_token.renews().as_str()));
            }
        }
        Ok(request)
    }

    /// Whether this end says of its renewal. A real global hears nothing that it does not know.
    pub(crate) fn hears_of_renewal(&self) -> bool {
        self.learned.borrow().is_some_and(|global| global.contains(Features::TOKEN_RENEWAL))
    }

    /// What global can beside what every global can.
    pub(crate) async fn global_can(&self) -> Features {
        let mut learned = self.learned.subscribe();
        let known = learned.wait_for(Option::is_some).await;
        known.ok().and_then(|known| *known).unwrap_or_default()
    }

    /// Makes one call.
    pub(crate) async fn unary<M, A>(
        &self,
        channel: Channel,
        rpc: Rpc,
        request: Request<M>,
        deadline: Duration,
    ) -> Result<Response<A>, Status>
    where
        M: prost::Message + Send + Sync + 'static,
        A: prost::Message + Default + Send + Sync + 'static,
    {
        let mut grpc = channel.grpc();
        ready(&mut grpc).await?;
        let codec = tonic_prost::ProstCodec::<M, A>::default();
        let call = grpc.unary(request, PathAndQuery::from_static(rpc.path()), codec);
        tokio::time::timeout(deadline, call)
            .await
            .unwrap_or_else(|_elapsed| Err(Status::deadline_exceeded(format!("no answer to {}", rpc.method()))))
    }

    /// Pings at once and then at the interval that global names. Never ends while global answers. The first answer tells
    /// what global can do beside what every global can.
    ///
    /// A ping that finds no room, because others hold all the calls that the token may have, is tried again: that says nothing
    /// against the streams that stand. Before the first answer it ends the connection, for its reason is all there is to say.
    pub(crate) async fn ping(&self, channel: Channel) -> Status {
        let mut is_ours = false;
        let settled = Instant::now() + SETTLED;
        let mut renews = self.held_token.subscribe_renews();
        loop {
            renews.borrow_and_update();
            let token = self.bearer.current();
            let mut request = match self.request_with(token.as_ref(), ZoneHealthCheckRequest {}) {
                Ok(request) => request,
                Err(status) => return status,
            };
            // A real one hears nothing that it does not know.
            if is_ours && let Ok(time) = MetadataValue::try_from(self.clock.now().to_string()) {
                request.metadata_mut().insert(TIME_HEADER, time);
            }
            let answer = self.unary(channel.clone(), Rpc::HealthCheck, request, PING_DEADLINE).await;
            let response: Response<ZoneHealthCheckResponse> = match answer {
                Ok(response) => response,
                // An old global: do without pings.
                Err(status) if status.code() == Code::Unimplemented => {
                    self.learned.send_replace(Some(Features::NONE));
                    return std::future::pending().await;
                }
                Err(status) if status.code() == Code::ResourceExhausted && self.learned.borrow().is_some() => {
                    tokio::time::sleep(NO_ROOM).await;
                    continue;
                }
                Err(status) => return status,
            };
            let is_first = self.learned.borrow().is_none();
            if is_first {
                let names = response.metadata().get_all("features");
                let features = Features::from_names(names.iter().filter_map(|name| name.to_str().ok()));
                is_ours = features.contains(Features::PARTS);
                self.learned.send_replace(Some(features));
            }
            // What is said of a token that was replaced meanwhile is no news.
            if token == self.bearer.current() {
                self.told_to_renew.send_replace(response.metadata().contains_key(RENEW_HEADER));
            }
            let interval = convert::ping_interval(&response.into_inner()).unwrap_or(PING);
            let next = Instant::now() + interval;
            let hears = self.hears_of_renewal();
            // Streams that a connector passed on before said nothing of it.
            if is_first && hears && self.streams.open() > 0 {
                continue;
            }
            let wait = async {
                if next >= settled {
                    tokio::time::sleep_until(settled).await;
                    self.accepted.notify_one();
                }
                tokio::time::sleep_until(next).await;
            };
            tokio::select! {
                () = wait => {}
                // Whoever looks at the zones sees it now, not with the next ping.
                Ok(()) = renews.changed(), if hears => {}
            }
        }
    }
}

pub(super) async fn ready(grpc: &mut Grpc<Channel>) -> Result<(), Status> {
    grpc.ready().await.map_err(|error| Status::unavailable(chain(&*error)))
}

/// The error and its causes in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let text = causes::on_one_line(error);
    // The TLS library ends some texts with a link into its manual for programmers.
    match text.split_once(": https://docs.rs/") {
        Some((plain, _link)) => plain.to_owned(),
        None => text,
    }
}

/// The requesting half of the HTTP/2 connection as tonic wants it.
#[derive(Clone)]
pub(crate) enum Channel {
    /// Of a connection of our own, with scheme and authority of every request.
    Library(SendRequest<Body>, http::Uri),
    /// Of one that is there for streams that are passed on, which says itself where it leads.
    Relay(Calls),
}

impl Channel {
    /// A client of calls on it.
    pub(super) fn grpc(self) -> Grpc<Self> {
        match &self {
            Self::Library(_, origin) => {
                let origin = origin.clone();
                Grpc::with_origin(self, origin)
            }
            Self::Relay(_) => Grpc::new(self),
        }
    }
}

/// Why a call did not go out.
type NotSent = Box<dyn std::error::Error + Send + Sync>;

impl tower::Service<http::Request<Body>> for Channel {
    type Response = http::Response<Body>;
    type Error = NotSent;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, NotSent>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), NotSent>> {
        match self {
            Self::Library(requests, _) => requests.poll_ready(context).map_err(Into::into),
            Self::Relay(_) => Poll::Ready(Ok(())),
        }
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        match self {
            Self::Library(requests, _) => {
                let response = requests.send_request(request);
                Box::pin(async move { Ok(response.await?.map(Body::new)) })
            }
            Self::Relay(calls) => {
                let calls = calls.clone();
                Box::pin(async move { Ok(calls.call(request).await?) })
            }
        }
    }
}

#[cfg(test)]
mod tests;
