//! One connection of the zone: six RPCs over one HTTP/2 connection. The first one that ends, ends all.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use hyper::client::conn::http2::SendRequest;
use model::{Kind, ZoneName};
use store::ResourceStore;
use sync::{Audience, Features, Receiver, Sender};
use tokio::{
    sync::{mpsc, oneshot},
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
use tracing::{debug, info, warn};
use wire::{
    envoy::service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse},
    kuma::mesh::v1alpha1::{ZoneHealthCheckRequest, ZoneHealthCheckResponse},
};

use super::{
    admin,
    dial::{DialError, Dialer},
    link::LinkState,
    token::Token,
};
use crate::{
    clock::Clock,
    kds::{
        apply::{Applier, Origin},
        codec::Frames,
        convert::{self, clip},
        node,
        outbound::FRAMES,
        snapshots::Snapshots,
    },
    zones::insight::Peer,
};

/// How often the zone pings when global names no interval (contract: kds 8.2).
const PING: Duration = Duration::from_secs(300);
/// A global that does not answer a ping by then is gone.
const PING_DEADLINE: Duration = Duration::from_secs(15);

/// Everything one connection needs.
pub(super) struct Session {
    pub(super) zone: ZoneName,
    pub(super) dialer: Dialer,
    pub(super) token: Option<Token>,
    pub(super) us: Peer,
    pub(super) max_message_size: usize,
    pub(super) store: Arc<dyn ResourceStore>,
    pub(super) clock: Clock,
    pub(super) snapshots: Snapshots,
}

/// Why a connection ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// There was no token to connect with.
    NoToken(String),
    /// There was no connection.
    Dial(DialError),
    /// There was a connection, and nothing came.
    Silent,
    /// An RPC ended.
    Rpc {
        /// Which.
        method: &'static str,
        /// With what.
        status: Status,
        /// How long the connection stood.
        lasted: Duration,
    },
    /// The connection was lost.
    Lost {
        /// What happened.
        cause: String,
        /// How long it stood.
        lasted: Duration,
    },
}

impl Ended {
    pub(super) fn lasted(&self) -> Duration {
        match self {
            Self::NoToken(_) | Self::Dial(_) | Self::Silent => Duration::ZERO,
            Self::Rpc { lasted, .. } | Self::Lost { lasted, .. } => *lasted,
        }
    }

    /// What an operator can do about it.
    pub(super) fn advice(&self) -> &'static str {
        match self {
            Self::NoToken(_) => {
                "write a token of this zone into the file: kumactl generate control-plane-token --zone=<zone>"
            }
            Self::Dial(DialError::Tls { .. }) => {
                "check KUMA_MULTIZONE_ZONE_KDS_ROOT_CA_FILE and the host name in KUMA_MULTIZONE_ZONE_GLOBAL_ADDRESS"
            }
            Self::Dial(_) | Self::Lost { .. } | Self::Silent => {
                "check that the global control plane is up and its port can be reached from here"
            }
            Self::Rpc { status, .. } => match status.code() {
                Code::Unauthenticated | Code::PermissionDenied => {
                    "generate a new token for this zone (kumactl generate control-plane-token --zone=<zone>; zone-token --zone=<zone> --scope=cp if the global takes zone tokens only) and write it into the file that KUMA_MULTIZONE_ZONE_KDS_AUTH_TOKEN_PATH names, it is read without a restart; a token in KUMA_MULTIZONE_ZONE_KDS_AUTH_TOKEN_INLINE needs one"
                }
                Code::Unknown | Code::Internal | Code::Unimplemented => {
                    "check that the global control plane is up, and that KUMA_MULTIZONE_ZONE_GLOBAL_ADDRESS names its KDS port (5685)"
                }
                _ => "",
            },
        }
    }

    pub(super) fn state(&self) -> LinkState {
        LinkState::Down { reason: clip(&self.to_string()), advice: self.advice() }
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoToken(reason) => f.write_str(reason),
            Self::Dial(error) => error.fmt(f),
            Self::Silent => f.write_str("the connection stands, but the global control plane sends nothing"),
            Self::Rpc { method, status, .. } => match status.code() {
                Code::Unauthenticated | Code::PermissionDenied => {
                    write!(f, "the global control plane refused this zone: {}", status.message())
                }
                code => write!(f, "{method} ended with {code:?}: {}", status.message()),
            },
            Self::Lost { cause, .. } => write!(f, "the connection was lost: {cause}"),
        }
    }
}

impl Session {
    /// Runs until the connection ends. `accept` is told when global accepted the zone.
    pub(super) async fn run(self, accept: oneshot::Sender<()>) -> Ended {
        let connected = match self.dialer.dial().await {
            Ok(connected) => connected,
            Err(error) => return Ended::Dial(error),
        };
        let start = Instant::now();
        let channel = Channel(connected.requests);
        let accepted = Accepted(Mutex::new(Some(accept)));
        let rpc = |method: &'static str| move |status: Status| Ended::Rpc { method, status, lasted: start.elapsed() };
        tokio::select! {
            lost = connected.driver => Ended::Lost {
                cause: lost.err().map_or_else(|| "closed by the other side".to_owned(), |error| chain(&error)),
                lasted: start.elapsed(),
            },
            status = self.ping(channel.clone()) => rpc("HealthCheck")(status),
            status = self.consume(channel.clone(), &accepted) => rpc("GlobalToZoneSync")(status),
            status = self.provide(channel.clone()) => rpc("ZoneToGlobalSync")(status),
            status = admin::serve(&self, channel.clone()) => rpc("GlobalKDSService")(status),
        }
    }

    /// The headers of every RPC (contract: kds 3.1). The token goes nowhere but into this one header.
    pub(super) fn request<T>(&self, message: T) -> Result<Request<T>, Status> {
        let mut request = Request::new(message);
        let metadata: &mut MetadataMap = request.metadata_mut();
        let value = |text: &str| MetadataValue::try_from(text).map_err(|_odd| Status::internal("a header is no text"));
        metadata.insert("client-id", value(self.zone.as_str())?);
        for feature in ["zone-ping-health", "hash-suffix"] {
            metadata.append("features", value(feature)?);
        }
        for (key, text) in [("kds-version", "v3"), ("zone-version", "v3")] {
            metadata.insert(key, value(text)?);
        }
        metadata.insert("version", value(&self.us.version.version)?);
        if let Some(token) = &self.token {
            let mut token = value(token.reveal())?;
            token.set_sensitive(true);
            metadata.insert("authorization", token);
        }
        Ok(request)
    }

    /// Pings at once and then at the interval that global names. Never ends while global answers.
    async fn ping(&self, channel: Channel) -> Status {
        let mut grpc = Grpc::with_origin(channel, self.dialer.origin());
        let mut interval = PING;
        loop {
            let request = match self.request(ZoneHealthCheckRequest {}) {
                Ok(request) => request,
                Err(status) => return status,
            };
            if let Err(status) = ready(&mut grpc).await {
                return status;
            }
            let codec = tonic_prost::ProstCodec::<ZoneHealthCheckRequest, ZoneHealthCheckResponse>::default();
            let path = PathAndQuery::from_static("/kuma.mesh.v1alpha1.GlobalKDSService/HealthCheck");
            let answered = tokio::time::timeout(PING_DEADLINE, grpc.unary(request, path, codec)).await;
            match answered.unwrap_or_else(|_elapsed| Err(Status::deadline_exceeded("no answer to the ping"))) {
                Ok(response) => {
                    interval = convert::ping_interval(&response.into_inner()).unwrap_or(interval);
                }
                // An old global: do without pings.
                Err(status) if status.code() == Code::Unimplemented => return std::future::pending().await,
                Err(status) => return status,
            }
            tokio::time::sleep(interval).await;
        }
    }

    /// GlobalToZoneSync: this zone asks, and applies what comes.
    async fn consume(&self, channel: Channel, accepted: &Accepted) -> Status {
        let kinds = Kind::all().filter(|kind| kind.flow.global_to_zone()).collect();
        let mut receiver = Receiver::new(kinds);
        let (frames, outbound) = mpsc::channel::<Bytes>(FRAMES);
        for request in receiver.first_requests() {
            let frame = convert::request_frame(request, node::first(self.zone.as_str(), &self.us));
            if frames.try_send(frame).is_err() {
                return Status::internal("more types than the queue holds");
            }
        }
        let path = "/kuma.mesh.v1alpha1.KDSSyncService/GlobalToZoneSync";
        let mut inbound = match self.open::<DeltaDiscoveryResponse>(channel, path, outbound).await {
            Ok(inbound) => inbound,
            Err(status) => return status,
        };
        let applier = Applier::new(Arc::clone(&self.store), self.clock.clone(), Origin::Global);
        loop {
            let message = match next(&mut inbound).await {
                Ok(message) => message,
                Err(status) => return status,
            };
            accepted.tell();
            let incoming = match convert::incoming(message) {
                Ok(incoming) => incoming,
                Err(malformed) => return convert::malformed_status(&malformed),
            };
            let (kind, nonce) = (incoming.kind.clone(), incoming.nonce.clone());
            let plan = match receiver.on_response(incoming) {
                Ok(plan) => plan,
                Err(broken) => return Status::invalid_argument(broken.to_string()),
            };
            let outcome = match applier.apply(plan).await {
                Ok(outcome) => outcome,
                Err(error) => return Status::unavailable(format!("cannot store {kind}: {error}")),
            };
            if !outcome.rejected.is_empty() {
                warn!(target: "kds.zone", kind, reason = %clip(&outcome.rejected.join("\n")), "received resource is invalid, sending NACK");
            }
            let answer = receiver.applied(&kind, &nonce, outcome);
            if frames.send(convert::request_frame(answer, node::later(self.zone.as_str()))).await.is_err() {
                return Status::unavailable("the stream was closed");
            }
        }
    }

    /// ZoneToGlobalSync: global asks, this zone provides what it made itself.
    async fn provide(&self, channel: Channel) -> Status {
        let (frames, outbound) = mpsc::channel::<Bytes>(FRAMES);
        let path = "/kuma.mesh.v1alpha1.KDSSyncService/ZoneToGlobalSync";
        let mut inbound = match self.open::<DeltaDiscoveryRequest>(channel, path, outbound).await {
            Ok(inbound) => inbound,
            Err(status) => return status,
        };
        let mut world = self.snapshots.subscribe();
        // Nothing of what a zone provides depends on who asks: there is one global.
        let audience = Audience { zone: String::new(), features: Features::ALL };
        let mut sender = Sender::new(audience);
        for snapshot in world.borrow_and_update().snapshots() {
            sender.on_snapshot(Arc::clone(snapshot));
        }
        loop {
            tokio::select! {
                message = next(&mut inbound) => {
                    let message = match message {
                        Ok(message) => message,
                        Err(status) => return status,
                    };
                    let request = match convert::request(message, self.zone.as_str()) {
                        Ok((request, _node)) => request,
                        Err(malformed) => return convert::malformed_status(&malformed),
                    };
                    match sender.on_request(request) {
                        Ok(reaction) => debug!(target: "kds.zone", reaction = ?reaction, "request of global"),
                        Err(broken) => return Status::invalid_argument(broken.to_string()),
                    }
                }
                Ok(()) = world.changed() => {
                    let current = Arc::clone(&world.borrow_and_update());
                    for snapshot in current.snapshots() {
                        sender.on_snapshot(Arc::clone(snapshot));
                    }
                }
            }
            while let Some(response) = sender.next_within(self.max_message_size) {
                debug!(target: "kds.zone", kind = response.kind, changed = response.changed.len(), removed = response.removed.len(), "detected changes in the resources. Sending changes to the client.");
                if frames.send(convert::response_frame(&response, self.zone.as_str())).await.is_err() {
                    return Status::unavailable("the stream was closed");
                }
            }
            for too_large in sender.take_too_large() {
                warn!(target: "kds.zone", kind = too_large.kind, bytes = too_large.bytes, limit = self.max_message_size, "a type does not fit into one message and is not sent; the other types are");
            }
        }
    }

    /// Opens one bidirectional stream.
    pub(super) async fn open<T: prost::Message + Default + Send + 'static>(
        &self,
        channel: Channel,
        path: &'static str,
        outbound: mpsc::Receiver<Bytes>,
    ) -> Result<Streaming<T>, Status> {
        let mut grpc = Grpc::with_origin(channel, self.dialer.origin())
            .max_decoding_message_size(self.max_message_size)
            .max_encoding_message_size(usize::MAX)
            .accept_compressed(tonic::codec::CompressionEncoding::Gzip);
        ready(&mut grpc).await?;
        let request = self.request(ReceiverStream::new(outbound))?;
        let opened = grpc.streaming(request, PathAndQuery::from_static(path), Frames::<T>::default()).await?;
        info!(target: "kds.zone", path, "stream opened");
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
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    // The TLS library ends some texts with a link into its manual for programmers.
    match text.split_once(": https://docs.rs/") {
        Some((plain, _link)) => plain.to_owned(),
        None => text,
    }
}

/// Told once, with the first response on GlobalToZoneSync: global accepted this zone and serves it.
struct Accepted(Mutex<Option<oneshot::Sender<()>>>);

impl Accepted {
    fn tell(&self) {
        let teller = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(teller) = teller {
            let _nobody_waits = teller.send(());
        }
    }
}

/// The requesting half of the HTTP/2 connection as tonic wants it.
#[derive(Clone)]
pub(super) struct Channel(SendRequest<Body>);

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
