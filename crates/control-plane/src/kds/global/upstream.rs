//! The global control plane behind a gateway: where it is, and the calls of zones on their way to it.
//!
//! A zone that comes here was authenticated and is in the registry, as at a global of our own. What real globals believe of
//! a payload is looked at while it passes (`relay::scan`); the token stays here, unless it is told to go on.

mod calls;

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::{HeaderMap, HeaderValue, header};
use model::ZoneName;
use tokio::time::Instant;
use tonic::Status;
use tracing::{info, warn};

pub(super) use self::calls::{Arrived, serve};
use crate::{
    clock::Clock,
    kds::{
        dial::Dialer,
        link::{Link, LinkState},
        relay::{Far, Orders, Slot},
        rpc::TIME_HEADER,
    },
    observe::line_budget::LineBudget,
    zones::caller::Renews,
};

/// After nobody answered, nobody is asked for so long: a thousand zones may come at once.
const PAUSE: Duration = Duration::from_secs(1);
/// What an operator can do about it.
const ADVICE: &str = "check that the global control plane behind this gateway is up and that multizone.gateway.upstream and upstreamRootCaFile are right";

/// The global control plane behind a gateway.
pub(crate) struct Upstream {
    /// One of them answers.
    dialers: Vec<Dialer>,
    /// The one that answered last.
    preferred: AtomicUsize,
    /// Until when nobody is asked, and what is said meanwhile.
    shut: Mutex<Option<(Instant, Status)>>,
    forward_token: bool,
    link: Link,
    clock: Clock,
    /// For the lines about connections that were lost: as many as zones, when the global control plane goes.
    lost: Arc<LineBudget>,
}

impl Upstream {
    /// Returns one that says on `link` whether it can be reached.
    pub(crate) fn new(dialers: Vec<Dialer>, forward_token: bool, link: Link, clock: Clock) -> Arc<Self> {
        let (preferred, shut) = (AtomicUsize::new(0), Mutex::new(None));
        Arc::new(Self { dialers, preferred, shut, forward_token, link, clock, lost: Arc::new(LineBudget::new()) })
    }

    /// Returns the far connection of a near one.
    async fn far(&self, slot: &Slot, orders: &Orders) -> Result<Arc<Far>, Status> {
        slot.get(async || self.open(orders).await.map(Arc::new)).await
    }

    /// Opens a connection to the first address that answers, beginning with the one that did the last time.
    async fn open(&self, orders: &Orders) -> Result<Far, Status> {
        if let Some((until, status)) = &*self.shut()
            && Instant::now() < *until
        {
            return Err(status.clone());
        }
        let first = self.preferred.load(Ordering::Relaxed);
        let mut reasons = Vec::new();
        for index in (first..self.dialers.len()).chain(0..first) {
            let Some(dialer) = self.dialers.get(index) else { continue };
            match dialer.reach().await {
                Ok(reached) => {
                    self.preferred.store(index, Ordering::Relaxed);
                    self.reached(dialer);
                    let (lines, global) = (Arc::clone(&self.lost), dialer.target());
                    let lost = move |reason: String| {
                        if let Some(line) = lines.take() {
                            let left_out = line.told();
                            info!(%global, reason, left_out, "a connection to the global control plane behind this gateway was lost");
                        }
                    };
                    return Ok(Far::adopt(orders, reached, lost));
                }
                Err(error) => reasons.push(error.to_string()),
            }
        }
        let reason = reasons.join("; ");
        let status = Status::unavailable("the global control plane behind this gateway cannot be reached");
        *self.shut() = Some((Instant::now() + PAUSE, status.clone()));
        warn!(reason, advice = ADVICE, "no connection to the global control plane behind this gateway");
        self.link.set(LinkState::Down { reason, advice: ADVICE });
        Err(status)
    }

    fn reached(&self, dialer: &Dialer) {
        *self.shut() = None;
        if !matches!(*self.link.subscribe().borrow(), LinkState::Connected { .. }) {
            info!(global = %dialer.target(), "the global control plane behind this gateway answers");
            self.link.set(LinkState::Connected { since: self.clock.now() });
        }
    }

    /// The headers of a call as the global control plane hears them: who calls is said once, by whoever checked it.
    fn headers(&self, headers: &HeaderMap, zone: &ZoneName) -> Result<HeaderMap, Status> {
        let mut headers = headers.clone();
        let id = HeaderValue::from_str(zone.as_str());
        headers.insert("client-id", id.map_err(|_no_text| Status::invalid_argument("the zone is no header"))?);
        // The encoding that the look at the messages goes by.
        if let Some(encoding) = headers.get("grpc-encoding").cloned() {
            headers.insert("grpc-encoding", encoding);
        }
        if !self.forward_token {
            headers.remove(header::AUTHORIZATION);
        }
        // These are for whoever renews the token.
        headers.remove(Renews::HEADER);
        headers.remove(TIME_HEADER);
        Ok(headers)
    }

    fn shut(&self) -> MutexGuard<'_, Option<(Instant, Status)>> {
        self.shut.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
