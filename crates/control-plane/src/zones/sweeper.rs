//! Enforces keys on live streams: sweeps the registry when the ring changes, when a token expires, and when a zone is deleted
//! or leaves shadow.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use anyhow::anyhow;
use jiff::Timestamp;
use model::ZoneName;
use store::{Change, Mirror, WatchEnded};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};
use tracing::{info, warn};

use crate::{
    clock::Clock,
    config::Recheck,
    keys::Keys,
    observe::kds_metrics::KdsMetrics,
    tasks::Tasks,
    zones::{
        insight::Insights,
        registry::{CloseReason, Closed, Registry, Swept},
        shadow,
    },
};

/// How often the clock is looked at while a token is about to expire: it may have been set, or the machine slept.
const LOOK: Duration = Duration::from_secs(10);
/// How long after a sweep handlers and connections hear of it, and the log: a thousand zones may have been closed, and what is done then is in
/// the way of the streams that have to end.
const AFTERWARDS: Duration = Duration::from_millis(100);
/// How often the gauges follow the registry.
const GAUGES: Duration = Duration::from_secs(1);

/// What enforcement works with.
#[derive(Clone)]
pub struct Enforcer {
    /// Who is connected.
    pub registry: Registry,
    /// What is known of zones.
    pub insights: Insights,
    /// Counters.
    pub metrics: KdsMetrics,
    /// The clock.
    pub clock: Clock,
    /// Whether those are judged that are connected.
    pub recheck: Recheck,
}

impl Enforcer {
    /// Sweeps until the program stops.
    pub async fn run(self, keys: Keys, tasks: Tasks) -> anyhow::Result<()> {
        let Self { registry, clock, recheck, .. } = &self;
        let mut ring = keys.subscribe();
        let mut earliest = registry.earliest_expiry();
        let mut swept = 0;
        let (mut untold, mut tell_at) = (Vec::new(), Instant::now());
        loop {
            // Reading marks as seen before the sweep: a change after these lines wakes the loop again.
            let current = Arc::clone(&ring.borrow_and_update());
            let expiry = *earliest.borrow_and_update();
            let heard = keys.heard_after(swept).unwrap_or_else(Instant::now);
            match recheck {
                Recheck::OnConnect => registry.adopt(&current),
                Recheck::Live if current.generation() > swept => {
                    if untold.is_empty() {
                        tell_at = Instant::now() + AFTERWARDS;
                    }
                    untold.push(registry.sweep(&current, clock.now(), heard));
                }
                Recheck::Live => self.told(&registry.expire(clock.now(), Instant::now())),
            }
            swept = current.generation();
            let expired = async {
                match recheck {
                    Recheck::Live => until(expiry, &mut earliest, registry, clock).await,
                    Recheck::OnConnect => std::future::pending().await,
                }
            };
            tokio::select! {
                () = tasks.stopping() => break,
                // The ring's owner ends first when the program stops.
                changed = ring.changed() => if changed.is_err() { break },
                () = expired => {}
                () = sleep_until(tell_at), if !untold.is_empty() => self.told_all(&mut untold),
            }
        }
        self.told_all(&mut untold);
        Ok(())
    }

    fn told_all(&self, untold: &mut Vec<Swept>) {
        for swept in untold.drain(..) {
            self.told(&swept);
        }
    }

    /// Takes over what is stored of zones, so that those in shadow are known before the first one comes.
    pub async fn learn(&self, zones: &mut Mirror) -> Result<(), WatchEnded> {
        self.zones_changed(&zones.changes().await?, Instant::now());
        Ok(())
    }

    /// Ends the streams of zones that are deleted, forgets what was known of them, and follows who is in shadow. While the
    /// store is behind no zone is taken for a deleted one; what was deleted meanwhile ends when it is fresh again.
    pub async fn follow(self, mut zones: Mirror, tasks: Tasks) -> anyhow::Result<()> {
        loop {
            let changes = tokio::select! {
                () = tasks.stopping() => return Ok(()),
                // After the end the deletion of a zone would close nothing.
                changes = zones.changes() => changes.map_err(|_ended| anyhow!("the store's watch of zones ended"))?,
            };
            self.zones_changed(&changes, Instant::now());
        }
    }

    fn zones_changed(&self, changes: &[Change], heard: Instant) {
        for change in changes {
            let Ok(zone) = ZoneName::parse(&change.key().name) else { continue };
            match change {
                Change::Set { now, .. } if shadow::is_asked_for(&now.resource.labels) => self.registry.shadow(&zone),
                Change::Set { .. } => self.told(&self.registry.enforce_again(&zone, self.clock.now(), heard)),
                Change::Gone { .. } => {
                    report(&self.registry.close_zone(&zone, &CloseReason::ZoneDeleted, Some(heard)), &self.metrics);
                    self.told(&self.registry.enforce_again(&zone, self.clock.now(), heard));
                    self.insights.forget(&zone);
                    self.metrics.forget(zone.as_str());
                }
            }
        }
    }

    fn told(&self, swept: &Swept) {
        self.registry.tell(swept);
        report(&swept.closed, &self.metrics);
        for Together { zone, reason, detail, .. } in together(&swept.closed) {
            self.insights.put_out(zone, reason, &detail);
        }
        for stream in &swept.spared {
            let reason = stream.reason.word();
            self.metrics.would_be_refused(reason);
            self.insights.would_be_refused(&stream.zone, reason, &stream.reason.to_string());
        }
        for Together { zone, reason, detail, streams } in together(&swept.spared) {
            warn!(zone = %zone, reason, detail, streams, "authentication is in shadow: these live streams would be closed");
        }
    }
}

/// Resolves when the earliest token has expired; follows the registry meanwhile, without sweeping for every stream.
async fn until(
    mut expiry: Option<Timestamp>,
    earliest: &mut watch::Receiver<Option<Timestamp>>,
    registry: &Registry,
    clock: &Clock,
) {
    loop {
        let due = expiry.and_then(|expiry| expiry.checked_add(registry.leeway()).ok());
        let expired = async {
            let Some(due) = due else { return std::future::pending().await };
            // In small steps: the clock may be set, or the machine may sleep.
            while let Ok(wait) = Duration::try_from(due.duration_since(clock.now())) {
                if wait.is_zero() {
                    break;
                }
                tokio::time::sleep(wait.min(LOOK)).await;
            }
        };
        tokio::select! {
            () = expired => return,
            changed = earliest.changed() => {
                if changed.is_err() {
                    return std::future::pending().await;
                }
                expiry = *earliest.borrow_and_update();
            }
        }
    }
}

/// Follows the registry with the gauges; a storm of streams costs one look a second.
pub async fn gauges(registry: Registry, metrics: KdsMetrics, tasks: Tasks) -> anyhow::Result<()> {
    let mut changes = registry.changes();
    loop {
        let open = registry.open();
        metrics.open(open.iter().map(|open| (open.caller.zone(), open.method)));
        tokio::select! {
            () = tasks.stopping() => return Ok(()),
            changed = changes.changed() => if changed.is_err() { return Ok(()) },
        }
        // The wait must not hold up a control plane that stops.
        tokio::select! {
            () = tasks.stopping() => return Ok(()),
            () = tokio::time::sleep(GAUGES) => {}
        }
    }
}

/// Counts streams that are closed, with one line for those of a zone that end together.
pub(super) fn report(closed: &[Closed], metrics: &KdsMetrics) {
    for stream in closed {
        metrics.closed(stream.reason.word());
    }
    for Together { zone, reason, detail, streams } in together(closed) {
        info!(target: "kds.auth", zone = %zone, reason, detail, streams, "closed live streams");
    }
}

/// Streams of a zone with the same reason.
struct Together<'a> {
    zone: &'a ZoneName,
    reason: &'static str,
    detail: String,
    streams: String,
}

fn together(streams: &[Closed]) -> impl Iterator<Item = Together<'_>> {
    let mut together: BTreeMap<(&ZoneName, &'static str), Vec<&Closed>> = BTreeMap::new();
    for stream in streams {
        together.entry((&stream.zone, stream.reason.word())).or_default().push(stream);
    }
    together.into_iter().map(|((zone, reason), streams)| {
        let detail = streams.first().map(|stream| stream.reason.to_string()).unwrap_or_default();
        let methods: Vec<&str> = streams.iter().map(|stream| stream.method).collect();
        Together { zone, reason, detail, streams: methods.join(" ") }
    })
}

#[cfg(test)]
mod tests;
