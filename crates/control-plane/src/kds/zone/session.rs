//! One connection of the zone: what all its RPCs need, how one is opened, and the ping.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use hyper::client::conn::http2::SendRequest;
use model::{ZoneName, causes};
use store::ResourceStore;
use sync::Features;
use tokio::{
    sync::{Notify, mpsc, oneshot},
    time::Instant,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Code, Request, Status, Streaming,
    body::Body,
    client::Grpc,
    codegen::http::uri::PathAndQuery,
    metadata::{MetadataMap, MetadataValue},
};
use tracing::info;
use wire::kuma::mesh::v1alpha1::{ZoneHealthCheckRequest, ZoneHealthCheckResponse};

use super::{dial::Dialer, own_meshes::OwnMeshes, reports::Reports, token::Token};
use crate::{
    about,
    clock::Clock,
    kds::{
        frames::codec::FrameCodec,
        messages::convert,
        rpc::{Rpc, TIME_HEADER},
        snapshots::Snapshots,
    },
    zones::insight::Instance,
};

/// How often the zone pings when global names no interval (contract: kds 8.2).
const PING: Duration = Duration::from_secs(300);
/// A global that does not answer a ping by then is gone.
const PING_DEADLINE: Duration = Duration::from_secs(15);

/// A ping may be answered before a token is looked at on the streams: it counts when none of them was refused by then.
const SETTLED: Duration = Duration::from_secs(5);

/// Everything one connection needs.
pub(super) struct Session {
    pub(super) zone: ZoneName,
    pub(super) dialer: Dialer,
    pub(super) token: Option<Token>,
    pub(super) us: Instance,
    pub(super) max_message_size: usize,
    pub(super) store: Arc<dyn ResourceStore>,
    pub(super) clock: Clock,
    pub(super) snapshots: Snapshots,
    /// How long global may take to answer a response, and how long a stream of a real one may be silent.
    pub(super) msg_send_timeout: Duration,
    /// Whether no other connection of this zone is taking in at the same time: only then is what is here what an own
    /// global has to be told.
    pub(super) alone: bool,
    pub(super) reports: Reports,
    /// Where a proxy has its admin interface if its Dataplane names no port.
    pub(super) default_admin_port: u16,
    /// What the zone had before it joined.
    pub(super) own_meshes: Arc<OwnMeshes>,
    /// Told, maybe more than once, that global accepted the zone: it said something on one of the two sync streams, or
    /// answered a ping and refused no stream. A real global can have nothing to say on GlobalToZoneSync (contract: kds
    /// 13.8), and its first response can take long.
    pub(super) accepted: Arc<Notify>,
    /// Tells that an older connection of this zone, which ran beside this one, is gone.
    pub(super) predecessor_gone: Arc<Notify>,
}

impl Session {
    /// The headers of every RPC (contract: kds 3.1). The token goes nowhere but into this one header.
    pub(super) fn request<T>(&self, message: T) -> Result<Request<T>, Status> {
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
        metadata.insert("version", value(&self.us.version.version)?);
        metadata.insert("user-agent", value(&about::kds_user_agent())?);
        if let Some(token) = &self.token {
            let mut token = value(token.reveal())?;
            token.set_sensitive(true);
            metadata.insert("authorization", token);
        }
        Ok(request)
    }

    /// Pings at once and then at the interval that global names. Never ends while global answers. The first answer tells
    /// what global can do beside what every global can.
    pub(super) async fn ping(&self, channel: Channel, learn: oneshot::Sender<Features>) -> Status {
        let mut learn = Some(learn);
        let mut grpc = Grpc::with_origin(channel, self.dialer.origin());
        let mut interval = PING;
        let mut is_ours = false;
        let settled = Instant::now() + SETTLED;
        loop {
            let mut request = match self.request(ZoneHealthCheckRequest {}) {
                Ok(request) => request,
                Err(status) => return status,
            };
            // A real one hears nothing that it does not know.
            if is_ours && let Ok(time) = MetadataValue::try_from(self.clock.now().to_string()) {
                request.metadata_mut().insert(TIME_HEADER, time);
            }
            if let Err(status) = ready(&mut grpc).await {
                return status;
            }
            let codec = tonic_prost::ProstCodec::<ZoneHealthCheckRequest, ZoneHealthCheckResponse>::default();
            let path = PathAndQuery::from_static(Rpc::HealthCheck.path());
            let answered = tokio::time::timeout(PING_DEADLINE, grpc.unary(request, path, codec)).await;
            match answered.unwrap_or_else(|_elapsed| Err(Status::deadline_exceeded("no answer to the ping"))) {
                Ok(response) => {
                    if let Some(learn) = learn.take() {
                        let values = response.metadata().get_all("features");
                        let names = values.iter().filter_map(|name| name.to_str().ok());
                        let features = Features::from_names(names);
                        is_ours = features.contains(Features::PARTS);
                        let _not_waited_for = learn.send(features);
                    }
                    interval = convert::ping_interval(&response.into_inner()).unwrap_or(interval);
                }
                // An old global: do without pings.
                Err(status) if status.code() == Code::Unimplemented => {
                    drop(learn);
                    return std::future::pending().await;
                }
                Err(status) => return status,
            }
            let next = Instant::now() + interval;
            if next >= settled {
                tokio::time::sleep_until(settled).await;
                self.accepted.notify_one();
            }
            tokio::time::sleep_until(next).await;
        }
    }

    /// Opens one bidirectional stream.
    pub(super) async fn open<T: prost::Message + Default + Send + 'static>(
        &self,
        channel: Channel,
        rpc: Rpc,
        outbound: mpsc::Receiver<Bytes>,
    ) -> Result<Streaming<T>, Status> {
        let mut grpc = Grpc::with_origin(channel, self.dialer.origin())
            .max_decoding_message_size(self.max_message_size)
            .max_encoding_message_size(usize::MAX)
            .accept_compressed(tonic::codec::CompressionEncoding::Gzip);
        ready(&mut grpc).await?;
        let request = self.request(ReceiverStream::new(outbound))?;
        let opened = grpc.streaming(request, PathAndQuery::from_static(rpc.path()), FrameCodec::<T>::default()).await?;
        info!(path = rpc.path(), "stream opened");
        Ok(opened.into_inner())
    }
}

/// The next message; the end of a stream is an error whatever its status: global never ends one for good.
pub(super) async fn next<T>(inbound: &mut Streaming<T>) -> Result<T, Status> {
    match inbound.message().await {
        Ok(Some(message)) => Ok(message),
        Ok(None) => Err(Status::unavailable("the global control plane ended the stream")),
        Err(status) => Err(status),
    }
}

async fn ready(grpc: &mut Grpc<Channel>) -> Result<(), Status> {
    grpc.ready().await.map_err(|error| Status::unavailable(chain(&error)))
}

/// The error and its causes in one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let text = causes::on_one_line(error);
    // The TLS library ends some texts with a link into its manual for programmers.
    match text.split_once(": https://docs.rs/") {
        Some((plain, _link)) => plain.to_owned(),
        None => text,
    }
}

/// The requesting half of the HTTP/2 connection as tonic wants it.
#[derive(Clone)]
pub(super) struct Channel(pub(super) SendRequest<Body>);

impl tower::Service<http::Request<Body>> for Channel {
    type Response = http::Response<Body>;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), hyper::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let response = self.0.send_request(request);
        Box::pin(async move { Ok(response.await?.map(Body::new)) })
    }
}
