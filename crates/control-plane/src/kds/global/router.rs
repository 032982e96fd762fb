//! The RPCs of the port: authenticate, admit, hand to the handler.
//!
//! A handler gets a [`StreamGuard`], which only an admitted [`ZoneCaller`] can have: there is no way to one that does not
//! lead through the authentication.

mod farewell;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use futures::FutureExt as _;
use hyper::body::Incoming;
use model::{ProxyView, ZoneName, text};
use sync::Features;
use tokens::{IssuedAs, KeyRing, SignedZone};
use tonic::{Code, Status, body::Body};
use tracing::{Instrument as _, info, info_span, warn};
use wire::kuma::mesh::v1alpha1::{ClustersResponse, StatsResponse, XdsConfigResponse};

use self::farewell::Farewell;
use crate::{
    kds::{
        frames::{
            inbound::{Encoding, Inbound},
            outbound::Frames,
        },
        global::{
            admin,
            auth::{self, Purpose, Refusal},
            context::Context,
            down,
            health::{self, Advice},
            renewals::{self, Renewals},
            throttle::{Logged, Throttle},
            token_service, up,
            upstream::{self, Upstream},
        },
        grpc::{self, NoCall},
        messages::convert,
        relay::{Answer, Arriving, Slot},
        rpc::Rpc,
    },
    keys::Keys,
    observe::{
        grpc_metrics::{Call, GrpcMetrics},
        line_budget::{Line, LineBudgets},
    },
    tasks::OnError,
    verdicts::Verdicts,
    zones::{
        caller::{Origin, Renews, ZoneCaller},
        registry::{Arrival, ConnectionId, StreamGuard},
    },
};

#[derive(Clone, Debug)]
pub(crate) struct Connection {
    pub(crate) id: ConnectionId,
    pub(crate) peer: SocketAddr,
    /// A refusal on it was logged: a zone opens six RPCs, and one line says it all.
    pub(crate) refused: Arc<AtomicBool>,
    /// Behind a gateway: the connection that goes with it.
    pub(crate) far: Slot,
}

/// Who serves the zones that were let in.
pub(crate) enum Behind {
    /// This control plane, with what its streams to zones share.
    Here(Arc<down::Shared>),
    /// A global control plane of its own.
    Upstream(Arc<Upstream>),
}

/// A call that was let in.
struct Admitted {
    rpc: Rpc,
    guard: StreamGuard,
    zone_can: Features,
    origin: Origin,
    /// That verified it.
    ring: Arc<KeyRing>,
}

/// Finds out who calls, and who answers.
pub(crate) struct Router {
    context: Arc<Context>,
    behind: Behind,
    renewals: Arc<Renewals>,
    keys: Keys,
    /// Of tokens that were shown before.
    verdicts: Verdicts<SignedZone>,
    calls: GrpcMetrics,
    throttle: Throttle,
    farewell: Arc<Farewell>,
    /// For the lines about sessions that begin, by zone: apart from those of its streams, which hide none of them.
    sessions: LineBudgets,
}

impl Router {
    /// Returns a router over these parts.
    pub(crate) fn new(
        context: Arc<Context>,
        behind: Behind,
        renewals: Renewals,
        keys: Keys,
        calls: GrpcMetrics,
    ) -> Self {
        let renewals = Arc::new(renewals);
        let (verdicts, throttle, sessions) = (Verdicts::default(), Throttle::new(), LineBudgets::new());
        let farewell = Arc::default();
        Self { context, behind, renewals, keys, verdicts, calls, throttle, farewell, sessions }
    }

    /// What its streams work with.
    pub(super) fn context(&self) -> &Context {
        &self.context
    }

    /// Whether calls are passed on to a global control plane of its own.
    pub(crate) fn passes_on(&self) -> bool {
        matches!(self.behind, Behind::Upstream(_))
    }

    /// Answers one call.
    pub(crate) async fn call(&self, connection: Connection, request: http::Request<Incoming>) -> http::Response<Body> {
        match (self.admit(&connection, request.method(), request.uri(), request.headers()).await, &self.behind) {
            (Err(refusal), _) => refusal,
            (Ok(admitted), Behind::Here(down)) => self.dispatch(admitted, Arc::clone(down), request).await,
            // Nobody serves a gateway's connections with this.
            (Ok(_), Behind::Upstream(_)) => Status::internal("the call was to be passed on").into_http(),
        }
    }

    /// Says who answers one call, where calls are passed on.
    pub(super) async fn pass(&self, connection: Connection, arriving: Arriving) -> Answer {
        let request = &arriving.request;
        match (self.admit(&connection, request.method(), request.uri(), request.headers()).await, &self.behind) {
            (Err(refusal), _) => Answer::here(refusal).await,
            (Ok(admitted), Behind::Upstream(upstream)) => self.pass_on(upstream, admitted, &connection, arriving).await,
            // Nobody serves a global's connections with this.
            (Ok(_), Behind::Here(_)) => Answer::status(Status::internal("the call was to be answered here")),
        }
    }

    /// Lets a call in that may come in; the error is what it hears otherwise.
    async fn admit(
        &self,
        connection: &Connection,
        method: &http::Method,
        uri: &http::Uri,
        headers: &http::HeaderMap,
    ) -> Result<Admitted, http::Response<Body>> {
        // Who calls counts for calls only.
        grpc::check(method, uri, headers).map_err(NoCall::into_http)?;
        let rpc = Rpc::of(uri.path());
        let now = self.context.clock.now();
        let purpose = if rpc == Some(Rpc::HealthCheck) { Purpose::Ping } else { Purpose::Enter };
        let auth = &self.context.settings.auth;
        let (ring, behind) = match auth::ring_for(purpose, auth, &self.keys) {
            Ok(ring) => (ring, None),
            Err(refusal) if self.is_in_shadow(headers) => (self.keys.ring(), Some(refusal)),
            // No fault of the peer: it is neither slowed down nor told of at its zone.
            Err(refusal) => {
                self.context.metrics.refused(refusal.reason);
                return Err(refusal.status.into_http());
            }
        };
        let authenticated = match auth::authenticate(headers, auth, &ring, &self.verdicts, now) {
            Ok(authenticated) => authenticated,
            Err(Refusal { in_shadow: Some(authenticated), .. }) if self.is_in_shadow(headers) => authenticated,
            Err(refusal) => return Err(self.refuse(connection, headers, refusal).await),
        };
        let Some(rpc) = rpc else {
            return Err(Status::unimplemented("this port speaks KDS only").into_http());
        };
        let zone_can = features(headers);
        let arrival = Arrival {
            caller: authenticated.caller,
            ring_generation: authenticated.ring_generation,
            connection: connection.id,
            method: rpc.method(),
            unary: rpc.is_unary(),
            pings: zone_can.contains(Features::PING_HEALTH),
        };
        let guard = match self.context.registry.admit(arrival, now) {
            Ok(guard) => guard,
            Err(reason) => {
                self.context.metrics.refused(reason.word());
                return Err(convert::close_status(&reason).into_http());
            }
        };
        self.count(&guard, behind.as_ref());
        if let ZoneCaller::Verified(verified) = guard.caller() {
            self.context.ledger.seen(&verified.key().family, verified.id());
        }
        if guard.opens_session()
            && let Some(line) = self.sessions.take(guard.caller().zone().as_str())
        {
            log_session(&guard, line);
        }
        let origin = Origin { address: connection.peer, renews: self.renews(guard.caller(), headers) };
        Ok(Admitted { rpc, guard, zone_can, origin, ring })
    }

    /// Whether authentication of the zone that the headers name is in shadow.
    fn is_in_shadow(&self, headers: &http::HeaderMap) -> bool {
        auth::client_id(headers).is_ok_and(|zone| self.context.registry.is_in_shadow(&zone))
    }

    /// Counts a call that was let in, and whom shadow let in.
    fn count(&self, guard: &StreamGuard, behind: Option<&Refusal>) {
        let Context { metrics, insights, .. } = &*self.context;
        let (reason, text) = match (guard.would_be_refused(), behind) {
            (Some(why), _) => (why.reason(), why.to_string()),
            (None, Some(refusal)) => (refusal.reason, refusal.status.message().to_owned()),
            (None, None) => return metrics.authenticated(),
        };
        metrics.would_be_refused(reason);
        insights.would_be_refused(guard.caller().zone(), reason, &text);
    }

    async fn dispatch(
        &self,
        admitted: Admitted,
        down: Arc<down::Shared>,
        request: http::Request<Incoming>,
    ) -> http::Response<Body> {
        let Admitted { rpc, guard, zone_can, origin, ring } = admitted;
        let call = self.calls.start(rpc.labels());
        match rpc {
            Rpc::GlobalToZoneSync => {
                let shared = down;
                let token_provided = request.headers().get_all(http::header::AUTHORIZATION).iter().count() == 1;
                self.stream(rpc, guard, call, request, move |context, guard, inbound, frames| {
                    let opened = down::Opened { token_provided, origin };
                    down::serve(context, shared, guard, inbound, frames, opened)
                })
            }
            Rpc::ZoneToGlobalSync => self.stream(rpc, guard, call, request, move |context, guard, inbound, frames| {
                up::serve(context, guard, inbound, frames, zone_can)
            }),
            Rpc::Admin(ProxyView::ConfigDump) => {
                self.stream(rpc, guard, call, request, admin::serve::<XdsConfigResponse>)
            }
            Rpc::Admin(ProxyView::Stats) => self.stream(rpc, guard, call, request, admin::serve::<StatsResponse>),
            Rpc::Admin(ProxyView::Clusters) => self.stream(rpc, guard, call, request, admin::serve::<ClustersResponse>),
            Rpc::HealthCheck => {
                let advice = Advice::of(guard.caller(), zone_can, &ring);
                let renews = request.headers().contains_key(Renews::HEADER).then_some(origin.renews);
                health::serve(Arc::clone(&self.context), advice, renews, guard, call, request).await
            }
            Rpc::Renew => token_service::renew(Arc::clone(&self.renewals), ring, guard, call, request).await,
            Rpc::Present => token_service::present(Arc::clone(&self.context), guard, call, request).await,
        }
    }

    /// Passes a call on to the global control plane behind a gateway. Tokens are renewed by whoever checks them.
    async fn pass_on(
        &self,
        upstream: &Upstream,
        admitted: Admitted,
        connection: &Connection,
        arriving: Arriving,
    ) -> Answer {
        let Admitted { rpc, guard, zone_can, origin, ring } = admitted;
        let call = self.calls.start(rpc.labels());
        match rpc {
            Rpc::Renew => {
                let renewals = Arc::clone(&self.renewals);
                Answer::here(token_service::renew(renewals, ring, guard, call, arriving.request).await).await
            }
            Rpc::Present => {
                let context = Arc::clone(&self.context);
                Answer::here(token_service::present(context, guard, call, arriving.request).await).await
            }
            Rpc::GlobalToZoneSync | Rpc::ZoneToGlobalSync | Rpc::Admin(_) | Rpc::HealthCheck => {
                let advice = Advice::of(guard.caller(), zone_can, &ring);
                let slot = connection.far.clone();
                let arrived = upstream::Arrived { rpc, guard, origin, advice, slot, call };
                upstream::serve(upstream, Arc::clone(&self.context), arrived, arriving).await
            }
        }
    }

    /// Runs one bidirectional stream in a task of its own.
    fn stream<T, F>(
        &self,
        rpc: Rpc,
        guard: StreamGuard,
        call: Call,
        request: http::Request<Incoming>,
        serve: impl FnOnce(Arc<Context>, StreamGuard, Inbound<T>, Frames) -> F,
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
        let inbound =
            Inbound::new(request.into_body(), encoding, self.context.settings.max_msg_size, counters.received);
        let (frames, outbound) = Frames::new(counters.sent);
        let ender = frames.ender();
        let farewell = Arc::clone(&self.farewell);
        guard.ends_by(move |reason| ender.end(farewell.of(reason)));
        let (enforcement, metrics) = (guard.enforcement(), self.context.metrics.clone());
        let outbound = outbound.on_end(move || {
            if let Some(since) = enforcement.since() {
                metrics.enforced(since.elapsed());
            }
        });
        let tasks = self.context.tasks.clone();
        // The log gives the lines inside of a zone's span one budget for each zone.
        let span = info_span!("stream", zone = %guard.caller().zone(), rpc = rpc.method());
        let serving = serve(Arc::clone(&self.context), guard, inbound, frames);
        // No async block: it would hold the future twice, as what it was given and as what it waits for.
        let served = serving.map(move |ended| {
            call.ended(ended);
            Ok(())
        });
        tasks.spawn("kds-stream", OnError::Log, served.instrument(span));
        outbound.into_response()
    }

    /// Whether the zone gets its next token by itself: it asks for it, and tokens are renewed here.
    fn renews(&self, caller: &ZoneCaller, headers: &http::HeaderMap) -> Renews {
        let ring = self.keys.ring();
        let made_elsewhere = matches!(caller, ZoneCaller::Verified(proof) if renewals::made_elsewhere(proof, &ring));
        if made_elsewhere || !self.context.settings.auth.renewal.enabled {
            return Renews::No;
        }
        Renews::of(headers.get(Renews::HEADER).and_then(|value| value.to_str().ok()))
    }

    async fn refuse(
        &self,
        connection: &Connection,
        headers: &http::HeaderMap,
        refusal: Refusal,
    ) -> http::Response<Body> {
        self.context.metrics.refused(refusal.reason);
        // Only what is a zone name is shown: a token in the wrong header must not end in the log.
        let claimed = headers.get("client-id").and_then(|value| value.to_str().ok());
        let claimed = claimed.and_then(|claimed| ZoneName::parse(claimed).ok());
        if let Some(zone) = &claimed {
            self.context.insights.refused(zone, refusal.reason, refusal.status.message()).await;
        }
        let logged = self.throttle.failed(connection.peer.ip()).await;
        let first_here = !connection.refused.swap(true, Ordering::Relaxed);
        if let (Logged::Yes { suppressed }, true) = (logged, first_here) {
            info!(
                zone = claimed.map_or_else(String::new, |zone| zone.to_string()),
                reason = refusal.reason,
                peer = %connection.peer,
                detail = %text::of_peer(refusal.status.message()),
                suppressed,
                "Zone CP refused"
            );
        }
        refusal.status.into_http()
    }
}

/// What the zone can do, as its headers say.
fn features(headers: &http::HeaderMap) -> Features {
    Features::from_headers(headers.get_all("features").iter().filter_map(|value| value.to_str().ok()))
}

/// The line that operators know, once a session.
fn log_session(guard: &StreamGuard, line: Line) {
    if let Some(why) = guard.would_be_refused() {
        let (zone, reason, left_out) = (guard.caller().zone(), why.reason(), line.told());
        warn!(zone = %zone, reason, detail = %text::of_peer(&why.to_string()), left_out, "authentication is in shadow: Zone CP would be refused");
    }
    let ZoneCaller::Verified(verified) = guard.caller() else { return };
    let left_out = line.told();
    match verified.issued_as() {
        IssuedAs::ControlPlaneToken { serial } => {
            info!(tokenSerialNumber = serial, zone = %verified.zone(), left_out, "Remote CP successfully authenticated using Control Plane Token");
        }
        IssuedAs::ZoneToken => info!(zone = %verified.zone(), left_out, "Zone CP successfully authenticated"),
    }
}

#[cfg(test)]
mod tests;
