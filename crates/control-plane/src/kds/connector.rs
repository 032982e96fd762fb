//! The connector: takes the KDS connection of a zone that cannot authenticate itself, and dials global with all that a zone
//! of ours has.
//!
//! ```text
//! zone ──h2, loopback──► listener ──► Connector::call ──► relay ──h2, TLS, `authorization`──► global
//!                                          └── Side: one far connection of one near one: token, ping, renewal
//! ```
//!
//! A call goes on unchanged but for the header with the token. What is no call of gRPC does not, and who says to be another
//! zone, or sends a token of its own, is refused here. While global is away, calls end at once, so that the zone backs off;
//! `/ready` says why. A token is renewed, and a newer one in the file is taken, on the connection that stands where global
//! can do that; where it cannot, a connection with the newer one is made and accepted first, and only then the streams of the
//! old one end: with an error, since a zone does not come back after OK (contract: kds 13.12).

mod first_bytes;
pub(crate) mod listener;
mod side;
mod token;

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use http::{HeaderMap, HeaderValue, header};
use model::{ZoneName, text};
use tokio::{sync::watch, time::Instant};
use tonic::{Code, Status};
use tracing::{info, warn};

use self::side::Side;
use crate::{
    clock::Clock,
    kds::{
        dial::Dialer,
        grpc,
        link::{Link, LinkState},
        relay::{Answer, Arriving, Orders, Slot},
        rpc::Rpc,
        zone::{Backoff, Ended, HeldToken, Token, TokenSource},
    },
    limits::Place,
    observe::{grpc_metrics::GrpcMetrics, line_budget::LineBudget, readiness::Readiness},
    tasks::Tasks,
    zones::caller::Renews,
};

/// After a failure global is left alone for so long at most: the zone has a back-off of its own, and both must not add up.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Our own two calls beside those of KDS: the connector makes them, in the name of the zone.
const OWN_SERVICE: &str = "/arctos.kds.v1.TokenService/";

/// What a connector needs.
pub(crate) struct Options {
    pub zone: ZoneName,
    /// How to reach global.
    pub dialer: Dialer,
    pub token: TokenSource,
    /// Whether global is asked for the next token.
    pub renew_token: bool,
    /// The version that its own calls name.
    pub version: String,
    pub base_backoff: Duration,
    pub calls: GrpcMetrics,
}

/// Passes the calls of one zone on.
pub(crate) struct Connector {
    zone: ZoneName,
    dialer: Dialer,
    held_token: Arc<HeldToken>,
    version: String,
    clock: Clock,
    link: Link,
    calls: GrpcMetrics,
    tasks: Tasks,
    gate: Mutex<Gate>,
    base_backoff: Duration,
    /// The token that was read last.
    read: watch::Sender<Option<Token>>,
    readiness: Readiness,
    /// For the lines about who is not served here.
    refusals: LineBudget,
    /// For the lines about why there is no connection to global.
    reasons: LineBudget,
}

/// Keeps a zone that comes again and again from a global that is away.
struct Gate {
    backoff: Backoff,
    shut: Option<(Instant, Status)>,
    /// Whether what keeps it from global is the token.
    fault: Option<Fault>,
}

/// What is wrong with the token.
enum Fault {
    /// There is none to connect with.
    NoToken,
    /// Global does not take it.
    Refused,
}

/// One connection of the zone. Cheap to clone.
#[derive(Clone)]
struct Near {
    slot: Slot<Side>,
    /// Its place, where places are counted.
    place: Option<Place>,
    /// Whether a call of it was good.
    called: Arc<AtomicBool>,
}

impl Connector {
    /// Returns a connector. It says on `link` how the connection to global stands, and what is wrong with its token itself.
    pub(crate) fn new(options: Options, clock: Clock, link: Link, readiness: Readiness, tasks: Tasks) -> Arc<Self> {
        let Options { zone, dialer, token, renew_token, version, base_backoff, calls } = options;
        let backoff = backoff(base_backoff);
        Arc::new(Self {
            zone,
            dialer,
            held_token: Arc::new(HeldToken::new(token, renew_token)),
            version,
            clock,
            link,
            calls,
            tasks,
            gate: Mutex::new(Gate { backoff, shut: None, fault: None }),
            base_backoff,
            read: watch::Sender::new(None),
            readiness,
            refusals: LineBudget::new(),
            reasons: LineBudget::new(),
        })
    }

    /// Says who answers one call of the zone.
    async fn call(self: Arc<Self>, near: Near, arriving: Arriving) -> Answer {
        let (mut head, _body) = arriving.request.into_parts();
        if let Err(no_call) = grpc::check(&head.method, &head.uri, &head.headers) {
            self.log_refusal(head.uri.path(), &no_call.to_string());
            return Answer::here(no_call.into_http()).await;
        }
        if let Err(refusal) = self.check(&head.headers, head.uri.path()) {
            self.log_refusal(head.uri.path(), refusal.message());
            self.readiness.trouble("zone", Some(refusal.message().to_owned()));
            return Answer::status(refusal);
        }
        self.readiness.trouble("zone", None);
        near.called.store(true, Ordering::Relaxed);
        if let Some(place) = &near.place {
            place.prove();
        }
        let opened = near.slot.get(async || self.open(&near, &arriving.orders).await).await;
        let side = match opened {
            Ok(side) => side,
            Err(status) => return Answer::status(status),
        };
        let rpc = Rpc::of(head.uri.path());
        // What a pong carries is over soon; streams are what a newer token has to be shown for. Counted first: who learns what
        // global can sees this stream, or this stream says what that is.
        let counted = rpc.is_none_or(|rpc| !rpc.is_unary()).then(|| side.line.streams.opening().stands());
        if !self.add_token(&mut head.headers, &side) {
            return Answer::status(Status::unavailable("the token of the connector cannot stand in a header"));
        }
        let call = rpc.map(|rpc| self.calls.start(rpc.labels()));
        Answer::pass(&side.far, head, None, move |status: Status| {
            drop(counted);
            if let Some(call) = call {
                call.ended(status.code());
            }
            self.heard(rpc, status);
        })
    }

    fn log_refusal(&self, path: &str, reason: &str) {
        if let Some(line) = self.refusals.take() {
            let (path, left_out) = (text::of_peer(path), line.told());
            warn!(%path, reason, left_out, "a call was refused here");
        }
    }

    /// Whether a call may go on in the name of the zone.
    fn check(&self, headers: &HeaderMap, path: &str) -> Result<(), Status> {
        if headers.contains_key(header::AUTHORIZATION) {
            return Err(Status::invalid_argument(
                "this zone sends a token of its own, and the connector adds one: take the token out of the settings of the \
                 zone, it belongs to the connector",
            ));
        }
        if path.starts_with(OWN_SERVICE) {
            return Err(Status::unimplemented("the connector renews the token of this zone"));
        }
        let mut ids = headers.get_all("client-id").iter().peekable();
        if ids.peek().is_none() {
            return Err(Status::invalid_argument("\"client-id\" is not present in metadata"));
        }
        match ids.find(|id| id.as_bytes() != self.zone.as_str().as_bytes()) {
            None => Ok(()),
            Some(other) => {
                let other = text::of_peer(&String::from_utf8_lossy(other.as_bytes()));
                Err(Status::permission_denied(format!(
                    "this zone says that it is `{other}`, and this connector is for zone `{}`: KUMA_MULTIZONE_ZONE_NAME \
                     has to be the same for both",
                    self.zone
                )))
            }
        }
    }

    /// Adds the token in use, and what becomes of that where global wants to know; whether that can be said in a header.
    fn add_token(&self, headers: &mut HeaderMap, side: &Side) -> bool {
        let Some(token) = side.line.bearer.current() else { return true };
        let Ok(mut value) = HeaderValue::from_str(token.reveal()) else { return false };
        value.set_sensitive(true);
        headers.insert(header::AUTHORIZATION, value);
        if side.line.hears_of_renewal() {
            headers.insert(Renews::HEADER, HeaderValue::from_static(self.held_token.renews().as_str()));
        }
        true
    }

    /// Opens the far connection of a near one, unless that failed just now.
    async fn open(self: &Arc<Self>, near: &Near, orders: &Orders) -> Result<Arc<Side>, Status> {
        if let Some((until, status)) = &self.gate().shut
            && Instant::now() < *until
        {
            return Err(status.clone());
        }
        let opened = match self.token().await {
            Ok(token) => self
                .connect(token, near.slot.downgrade(), orders.clone())
                .await
                .map_err(|error| (Ended::Dial(error), None)),
            Err(no_token) => Err((Ended::NoToken(no_token.reason), Some(no_token.code))),
        };
        let mut gate = self.gate();
        match opened {
            Ok(side) => {
                *gate = Gate { backoff: backoff(self.base_backoff), shut: None, fault: None };
                Ok(Arc::new(side))
            }
            Err((ended, code)) => {
                let status = Status::new(code.unwrap_or(Code::Unavailable), ended.to_string());
                let pause = gate.backoff.pause();
                // What is wrong with a token is found out without asking anybody.
                if code.is_none() {
                    gate.shut = Some((Instant::now() + pause, status.clone()));
                }
                drop(gate);
                self.down(&ended);
                Err(status)
            }
        }
    }

    /// Says that there is no connection, and why: once for each reason.
    fn down(&self, ended: &Ended) {
        let state = ended.state();
        if *self.link.subscribe().borrow() != state
            && let Some(line) = self.reasons.take()
        {
            let (reason, left_out) = (text::of_peer(&ended.to_string()), line.told());
            let advice = Some(ended.advice()).filter(|advice| !advice.is_empty());
            warn!(%reason, advice, left_out, "not connected to the global control plane");
        }
        self.gate().fault = match ended {
            Ended::NoToken(_) => Some(Fault::NoToken),
            ended => ended.is_refusal().then_some(Fault::Refused),
        };
        self.link.set(state);
    }

    fn up(&self) {
        info!(zone = %self.zone, global = %self.dialer.target(), "connected to the global control plane");
        self.link.set(LinkState::Connected { since: self.clock.now() });
    }

    /// The connection was lost. That it was refused before is what counts.
    fn lost(&self, cause: String) {
        self.dialer.set_aside();
        if matches!(*self.link.subscribe().borrow(), LinkState::Connected { .. }) {
            self.down(&Ended::Lost { cause, lasted: Duration::ZERO });
        }
    }

    /// Takes note of how a call ended, if that says something of the token.
    fn heard(&self, rpc: Option<Rpc>, status: Status) {
        let ended = Ended::Rpc { method: rpc.map_or("a call", Rpc::method), status, lasted: Duration::ZERO };
        if ended.is_refusal() {
            self.down(&ended);
        }
    }

    fn gate(&self) -> MutexGuard<'_, Gate> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn backoff(base: Duration) -> Backoff {
    Backoff::new(base.min(LONGEST_PAUSE), LONGEST_PAUSE)
}

#[cfg(test)]
mod tests;
