//! The RPCs of the KDS port: authenticate, admit, hand to the handler.
//!
//! A handler gets a [`StreamGuard`], which only an admitted [`ZoneCaller`](crate::zones::caller::ZoneCaller) can have:
//! there is no way to one that does not lead through the authentication.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures::FutureExt as _;
use hyper::body::Incoming;
use model::{Key, Kind, Labels, Resource, ZoneName};
use prost::Message as _;
use store::{Precondition, ResourceStore, StoreError, WatchEnded};
use sync::{DeltaResponse, Features, Step};
use tokens::IssuedAs;
use tokio::sync::OnceCell;
use tonic::{
    Code, Request, Response, Status,
    body::Body,
    codec::CompressionEncoding,
    metadata::MetadataValue,
    server::{Grpc, UnaryService},
};
use tracing::info;
use wire::kuma::{
    mesh::v1alpha1::{
        ClustersResponse, StatsResponse, XdsConfigResponse, ZoneHealthCheckRequest, ZoneHealthCheckResponse,
    },
    system::v1alpha1::Zone,
};

use crate::{
    clock::Clock,
    config::GlobalAuth,
    kds::{
        frames::{
            inbound::{Encoding, Inbound},
            outbound::Frames,
        },
        global::{
            admin::{Asker, Operation},
            auth::{self, Purpose, Refusal},
            down,
            throttle::{Logged, Throttle},
            up,
        },
        messages::convert,
        quota::Quotas,
        snapshots::{Provider, Snapshots},
    },
    keys::Keys,
    observe::{
        grpc_metrics::{Call, GrpcMetrics, Method},
        kds_metrics::KdsMetrics,
    },
    tasks::{OnError, Tasks},
    zones::{
        caller::ZoneCaller,
        insight::{Insights, Peer, StreamName},
        registry::{Arrival, ConnectionId, Registry, StreamGuard},
    },
};

/// A unary call whose request has not come by then is ended. A zone whose first requests fill its connection, on a machine
/// that is short of CPU, may take a while; the places that it holds meanwhile are its own.
const UNARY_DEADLINE: Duration = Duration::from_secs(120);

/// One accepted connection.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    pub(crate) id: ConnectionId,
    pub(crate) peer: SocketAddr,
    /// A refusal on it was logged: a zone opens six RPCs, and one line says it all.
    pub(crate) refused: Arc<AtomicBool>,
}

/// Everything the handlers of the port need.
pub struct Port {
    pub(crate) store: Arc<dyn ResourceStore>,
    pub(crate) clock: Clock,
    pub(crate) keys: Keys,
    pub(crate) registry: Registry,
    pub(crate) insights: Insights,
    pub(crate) metrics: KdsMetrics,
    grpc_metrics: GrpcMetrics,
    pub(crate) asker: Asker,
    /// What this end says of itself.
    pub(crate) us: Peer,
    pub(crate) max_message_size: usize,
    pub(crate) quotas: Quotas,
    pub(crate) auth: GlobalAuth,
    pub(crate) msg_send_timeout: Duration,
    pub(crate) health_interval: Duration,
    pub(crate) skip_prefixes: Vec<String>,
    pub(crate) tasks: Tasks,
    hashed: Snapshots,
    plain: OnceCell<Snapshots>,
    frames: Mutex<BTreeMap<Readers, LastFrames>>,
    throttle: Throttle,
}

/// Who shares frames: by population, kind and what zones can read. The two lines of snapshots count their generations
/// apart.
type Readers = (bool, &'static str, Option<Features>);

/// The frames of the last two steps of a kind: zones that connect, and zones that follow.
type LastFrames = [Option<(Step, Bytes)>; 2];

/// What a [`Port`] is made of.
pub struct Parts {
    /// The store.
    pub store: Arc<dyn ResourceStore>,
    /// The clock.
    pub clock: Clock,
    /// The current key ring.
    pub keys: Keys,
    /// Who is connected.
    pub registry: Registry,
    /// What is known of zones.
    pub insights: Insights,
    /// Counters.
    pub metrics: KdsMetrics,
    /// Counters of RPCs.
    pub grpc_metrics: GrpcMetrics,
    /// What this end says of itself.
    pub us: Peer,
    /// The largest message, in bytes.
    pub max_message_size: usize,
    /// How much of one zone is kept.
    pub quotas: Quotas,
    /// How zones authenticate.
    pub auth: GlobalAuth,
    /// How long a zone may take to answer a response before that is told.
    pub msg_send_timeout: Duration,
    /// How often zones shall ping; zero leaves it to them.
    pub health_interval: Duration,
    /// Labels with these prefixes are not sent.
    pub skip_prefixes: Vec<String>,
    /// Where tasks run.
    pub tasks: Tasks,
}

impl Port {
    /// Builds the first snapshots and returns the port.
    pub async fn start(parts: Parts) -> Result<Arc<Self>, WatchEnded> {
        let provider = Provider::Global { hashed: true, skip_prefixes: parts.skip_prefixes.clone() };
        let hashed = Snapshots::start(provider, &parts.store, &parts.metrics, &parts.tasks).await?;
        Ok(Arc::new(Self {
            store: parts.store,
            clock: parts.clock,
            keys: parts.keys,
            registry: parts.registry,
            insights: parts.insights,
            metrics: parts.metrics,
            grpc_metrics: parts.grpc_metrics,
            asker: Asker::default(),
            us: parts.us,
            max_message_size: parts.max_message_size,
            quotas: parts.quotas,
            auth: parts.auth,
            msg_send_timeout: parts.msg_send_timeout,
            health_interval: parts.health_interval,
            skip_prefixes: parts.skip_prefixes,
            tasks: parts.tasks,
            hashed,
            plain: OnceCell::new(),
            frames: Mutex::new(BTreeMap::new()),
            throttle: Throttle::new(),
        }))
    }

    /// Answers one call.
    pub(crate) async fn call(
        self: Arc<Self>,
        connection: Connection,
        request: http::Request<Incoming>,
    ) -> http::Response<Body> {
        let rpc = Rpc::of(request.uri().path());
        let now = self.clock.now();
        let purpose = if rpc == Some(Rpc::HealthCheck) { Purpose::Ping } else { Purpose::Enter };
        let ring = match auth::ring_for(purpose, &self.auth, &self.keys) {
            Ok(ring) => ring,
            // No fault of the peer: it is neither slowed down nor told of at its zone.
            Err(refusal) => {
                self.metrics.refused(refusal.reason);
                return refusal.status.into_http();
            }
        };
        let authenticated = match auth::authenticate(request.headers(), &self.auth, &ring, now) {
            Ok(authenticated) => authenticated,
            Err(refusal) => return self.refuse(&connection, request.headers(), refusal).await,
        };
        let Some(rpc) = rpc else {
            return Status::unimplemented("this port speaks KDS only").into_http();
        };
        let features = HeaderFeatures::of(request.headers());
        let arrival = Arrival {
            caller: authenticated.caller,
            ring_generation: authenticated.ring_generation,
            connection: connection.id,
            method: rpc.method(),
            unary: rpc == Rpc::HealthCheck,
            pings: features.ping_health,
        };
        let guard = match self.registry.admit(arrival, now) {
            Ok(guard) => guard,
            Err(reason) => return convert::close_status(&reason).into_http(),
        };
        self.metrics.authenticated();
        if guard.opens_session() {
            log_session(guard.caller());
        }
        let token_provided = request.headers().get_all(http::header::AUTHORIZATION).iter().count() == 1;
        self.dispatch(rpc, guard, token_provided, features, request).await
    }

    async fn dispatch(
        self: Arc<Self>,
        rpc: Rpc,
        guard: StreamGuard,
        token_provided: bool,
        features: HeaderFeatures,
        request: http::Request<Incoming>,
    ) -> http::Response<Body> {
        let call = self.grpc_metrics.start(rpc.labels());
        match rpc {
            Rpc::GlobalToZoneSync => self.stream(guard, call, request, move |port, guard, inbound, frames| {
                down::serve(port, guard, inbound, frames, token_provided)
            }),
            Rpc::ZoneToGlobalSync => self.stream(guard, call, request, move |port, guard, inbound, frames| {
                up::serve(port, guard, inbound, frames, features)
            }),
            Rpc::Admin(Operation::ConfigDump) => {
                self.stream(guard, call, request, crate::kds::global::admin::serve::<XdsConfigResponse>)
            }
            Rpc::Admin(Operation::Stats) => {
                self.stream(guard, call, request, crate::kds::global::admin::serve::<StatsResponse>)
            }
            Rpc::Admin(Operation::Clusters) => {
                self.stream(guard, call, request, crate::kds::global::admin::serve::<ClustersResponse>)
            }
            Rpc::HealthCheck => {
                let mut guard = guard;
                let mut grpc =
                    Grpc::new(tonic_prost::ProstCodec::<ZoneHealthCheckResponse, ZoneHealthCheckRequest>::default())
                        .accept_compressed(CompressionEncoding::Gzip);
                let health = HealthCheck { port: Arc::clone(&self), zone: guard.caller().zone().clone() };
                // Biased: a call that lost its right to live is not answered as a good one.
                let answer = tokio::select! {
                    biased;
                    reason = guard.closed() => convert::close_status(&reason).into_http(),
                    answer = tokio::time::timeout(UNARY_DEADLINE, grpc.unary(health, request)) => answer.unwrap_or_else(|_late| {
                        let late = format!("the request did not come within {} s", UNARY_DEADLINE.as_secs());
                        Status::deadline_exceeded(late).into_http()
                    }),
                };
                let code = Status::from_header_map(answer.headers()).map_or(Code::Ok, |status| status.code());
                let counters = call.counters();
                counters.received.inc();
                counters.sent.inc();
                call.ended(code);
                answer
            }
        }
    }

    /// Runs one bidirectional stream in a task of its own.
    fn stream<T, F>(
        self: Arc<Self>,
        guard: StreamGuard,
        call: Call,
        request: http::Request<Incoming>,
        serve: impl FnOnce(Arc<Self>, StreamGuard, Inbound<T>, Frames) -> F,
    ) -> http::Response<Body>
    where
        T: prost::Message + Default,
        F: Future<Output = Code> + Send + 'static,
    {
        let encoding = match Encoding::of(request.headers()) {
            Ok(encoding) => encoding,
            Err(refusal) => {
                call.ended(refusal.code());
                return refusal.into_http();
            }
        };
        let counters = call.counters();
        let inbound = Inbound::new(request.into_body(), encoding, self.max_message_size, counters.received);
        let (frames, outbound) = Frames::new(counters.sent);
        let tasks = self.tasks.clone();
        let serving = serve(self, guard, inbound, frames);
        // No async block: it would hold the future twice, as what it was given and as what it waits for.
        let served = serving.map(move |ended| {
            call.ended(ended);
            Ok(())
        });
        tasks.spawn("kds-stream", OnError::Log, served);
        outbound.into_response()
    }

    async fn refuse(
        &self,
        connection: &Connection,
        headers: &http::HeaderMap,
        refusal: Refusal,
    ) -> http::Response<Body> {
        self.metrics.refused(refusal.reason);
        // Only what is a zone name is shown: a token in the wrong header must not end in the log.
        let claimed = headers.get("client-id").and_then(|value| value.to_str().ok());
        let claimed = claimed.and_then(|claimed| ZoneName::parse(claimed).ok());
        if let Some(zone) = &claimed {
            self.insights.refused(zone, refusal.reason, refusal.status.message()).await;
        }
        let logged = self.throttle.failed(connection.peer.ip()).await;
        let first_here = !connection.refused.swap(true, Ordering::Relaxed);
        if let (Logged::Yes { suppressed }, true) = (logged, first_here) {
            info!(
                target: "kds.auth",
                zone = claimed.map_or_else(String::new, |zone| zone.to_string()),
                reason = refusal.reason,
                peer = %connection.peer,
                detail = %convert::clip(refusal.status.message()),
                suppressed,
                "Zone CP refused"
            );
        }
        refusal.status.into_http()
    }

    /// Makes the Zone of an authenticated caller if there is none yet.
    pub(crate) async fn ensure_zone(&self, zone: &ZoneName) -> Result<(), Status> {
        let key = Key::global(Kind::ZONE, zone.as_str());
        let unavailable = |error: StoreError| Status::unavailable(format!("cannot look up the zone: {error}"));
        if self.store.get(&key).await.map_err(unavailable)?.is_some() {
            return Ok(());
        }
        let now = self.clock.now();
        let resource = Resource {
            key,
            labels: Labels::new(),
            spec: Zone { enabled: Some(true) }.encode_to_vec().into(),
            status: None,
            owner: None,
            created: now,
            modified: now,
        };
        match self.store.put(resource, Precondition::Absent).await {
            Ok(_) => {
                self.quotas.forget(zone.as_str());
                info!(target: "kds.global", zone = %zone, "zone successfully created");
                Ok(())
            }
            Err(StoreError::AlreadyExists { .. }) => Ok(()),
            Err(error) => Err(unavailable(error)),
        }
    }

    /// The snapshots for zones with these features.
    pub(crate) async fn snapshots(&self, features: Features) -> Result<Snapshots, Status> {
        if features.contains(Features::HASH_SUFFIX) {
            return Ok(self.hashed.clone());
        }
        let provider = Provider::Global { hashed: false, skip_prefixes: self.skip_prefixes.clone() };
        let made =
            self.plain.get_or_try_init(|| Snapshots::start(provider, &self.store, &self.metrics, &self.tasks)).await;
        made.cloned().map_err(|ended| Status::unavailable(ended.to_string()))
    }

    /// The bytes of a response; one encoding serves all zones with the same names that make the same step.
    pub(crate) fn frame(&self, response: &DeltaResponse, hashed: bool) -> Bytes {
        let (Some(step), Some(kind)) = (response.step, Kind::by_name(&response.kind)) else {
            return convert::response_frame(response, "global");
        };
        let mut frames = self.frames.lock().unwrap_or_else(PoisonError::into_inner);
        let known = frames.entry((hashed, kind.name, step.readers)).or_default();
        if let Some((_, frame)) = known.iter().flatten().find(|(made, _)| *made == step) {
            return frame.clone();
        }
        let frame = convert::response_frame(response, "global");
        let [newest, older] = known;
        *older = newest.replace((step, frame.clone()));
        frame
    }
}

/// The RPCs of the port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rpc {
    GlobalToZoneSync,
    ZoneToGlobalSync,
    Admin(Operation),
    HealthCheck,
}

impl Rpc {
    fn of(path: &str) -> Option<Self> {
        match path {
            "/kuma.mesh.v1alpha1.KDSSyncService/GlobalToZoneSync" => Some(Self::GlobalToZoneSync),
            "/kuma.mesh.v1alpha1.KDSSyncService/ZoneToGlobalSync" => Some(Self::ZoneToGlobalSync),
            "/kuma.mesh.v1alpha1.GlobalKDSService/StreamXDSConfigs" => Some(Self::Admin(Operation::ConfigDump)),
            "/kuma.mesh.v1alpha1.GlobalKDSService/StreamStats" => Some(Self::Admin(Operation::Stats)),
            "/kuma.mesh.v1alpha1.GlobalKDSService/StreamClusters" => Some(Self::Admin(Operation::Clusters)),
            "/kuma.mesh.v1alpha1.GlobalKDSService/HealthCheck" => Some(Self::HealthCheck),
            _ => None,
        }
    }

    fn labels(self) -> Method {
        let (grpc_type, grpc_service) = match self {
            Self::GlobalToZoneSync | Self::ZoneToGlobalSync => ("bidi_stream", "kuma.mesh.v1alpha1.KDSSyncService"),
            Self::Admin(_) => ("bidi_stream", "kuma.mesh.v1alpha1.GlobalKDSService"),
            Self::HealthCheck => ("unary", "kuma.mesh.v1alpha1.GlobalKDSService"),
        };
        Method { grpc_type, grpc_service, grpc_method: self.method() }
    }

    fn method(self) -> &'static str {
        match self {
            Self::GlobalToZoneSync => "GlobalToZoneSync",
            Self::ZoneToGlobalSync => "ZoneToGlobalSync",
            Self::Admin(operation) => operation.method(),
            Self::HealthCheck => "HealthCheck",
        }
    }
}

impl Operation {
    /// The stream as the insight names it.
    pub(crate) fn stream_name(self) -> StreamName {
        match self {
            Self::ConfigDump => StreamName::ConfigDump,
            Self::Stats => StreamName::Stats,
            Self::Clusters => StreamName::Clusters,
        }
    }
}

/// The zone's ping: always answered, with the interval that global wants.
struct HealthCheck {
    port: Arc<Port>,
    zone: ZoneName,
}

impl UnaryService<ZoneHealthCheckRequest> for HealthCheck {
    type Response = ZoneHealthCheckResponse;
    type Future = std::future::Ready<Result<Response<ZoneHealthCheckResponse>, Status>>;

    fn call(&mut self, _request: Request<ZoneHealthCheckRequest>) -> Self::Future {
        self.port.insights.pinged(&self.zone);
        let interval = prost_types::Duration::try_from(self.port.health_interval).unwrap_or_default();
        let mut response = Response::new(ZoneHealthCheckResponse { interval: Some(interval) });
        // A zone of ours learns here, before it opens its streams, that it may say what it has.
        for feature in Features::OURS.names() {
            response.metadata_mut().append("features", MetadataValue::from_static(feature));
        }
        std::future::ready(Ok(response))
    }
}

/// What the headers of an RPC say that the zone can do. They come as entries of their own or joined by commas (contract:
/// kds 3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct HeaderFeatures {
    /// Its names carry their hash.
    pub(crate) hash_suffix: bool,
    /// It pings, so that its silence means something.
    pub(crate) ping_health: bool,
    /// It is one of ours, and takes the versions of what is here already.
    pub(crate) initial_versions: bool,
    /// It is one of ours, and sends a first response in parts if it does not fit into a message.
    pub(crate) parts: bool,
}

impl HeaderFeatures {
    fn of(headers: &http::HeaderMap) -> Self {
        let values = headers.get_all("features").iter().filter_map(|value| value.to_str().ok());
        let mut features = Self::default();
        for name in values.flat_map(|value| value.split(',')).map(str::trim) {
            match name {
                "hash-suffix" => features.hash_suffix = true,
                "zone-ping-health" => features.ping_health = true,
                "initial-resource-versions" => features.initial_versions = true,
                "responses-in-parts" => features.parts = true,
                _ => {}
            }
        }
        // Names with the zone in front are not the names that the zone knows.
        features.initial_versions &= features.hash_suffix;
        features.parts &= features.hash_suffix;
        features
    }
}

/// The line that operators know, once a session.
fn log_session(caller: &ZoneCaller) {
    let ZoneCaller::Verified(verified) = caller else { return };
    match verified.issued_as() {
        IssuedAs::ControlPlaneToken { serial } => {
            info!(target: "kds.auth", tokenSerialNumber = serial, zone = %verified.zone(), "Remote CP successfully authenticated using Control Plane Token");
        }
        IssuedAs::ZoneToken => info!(target: "kds.auth", zone = %verified.zone(), "Zone CP successfully authenticated"),
    }
}

#[cfg(test)]
mod tests;
