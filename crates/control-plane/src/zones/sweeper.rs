//! Enforces keys on live streams: sweeps the registry when the ring changes and when a token expires.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use anyhow::anyhow;
use jiff::Timestamp;
use model::ZoneName;
use store::{Change, Mirror};
use tokio::sync::watch;
use tracing::info;

use crate::{
    clock::Clock,
    keys::Keys,
    observe::kds_metrics::KdsMetrics,
    tasks::Tasks,
    zones::{
        insight::Insights,
        registry::{CloseReason, Closed, Registry},
    },
};

/// How often the clock is looked at while a token is about to expire: it may have been set, or the machine slept.
const LOOK: Duration = Duration::from_secs(10);
/// How often the gauges follow the registry.
const GAUGES: Duration = Duration::from_secs(1);

/// Sweeps until the program stops.
pub async fn run(
    registry: Registry,
    keys: Keys,
    clock: Clock,
    metrics: KdsMetrics,
    tasks: Tasks,
) -> anyhow::Result<()> {
    let mut ring = keys.subscribe();
    let mut earliest = registry.earliest_expiry();
    loop {
        // Reading marks as seen before the sweep: a change after these lines wakes the loop again.
        let current = Arc::clone(&ring.borrow_and_update());
        let expiry = *earliest.borrow_and_update();
        report(&registry.sweep(&current, clock.now()), &metrics);
        tokio::select! {
            () = tasks.stopping() => return Ok(()),
            // The ring's owner ends first when the program stops.
            changed = ring.changed() => if changed.is_err() { return Ok(()) },
            () = until(expiry, &mut earliest, &registry, &clock) => {}
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

/// Ends the streams of zones that are deleted, and forgets what was known of them. While the store is behind no zone is
/// taken for a deleted one; what was deleted meanwhile ends when it is fresh again.
pub async fn deleted_zones(
    registry: Registry,
    insights: Insights,
    metrics: KdsMetrics,
    mut zones: Mirror,
    tasks: Tasks,
) -> anyhow::Result<()> {
    loop {
        let changes = tokio::select! {
            () = tasks.stopping() => return Ok(()),
            // After the end the deletion of a zone would close nothing.
            changes = zones.changes() => changes.map_err(|_ended| anyhow!("the store's watch of zones ended"))?,
        };
        let gone = changes.iter().filter(|change| matches!(change, Change::Gone { .. }));
        for zone in gone.filter_map(|change| ZoneName::parse(&change.key().name).ok()) {
            report(&registry.close_zone(&zone, &CloseReason::ZoneDeleted), &metrics);
            insights.forget(&zone);
            metrics.forget(zone.as_str());
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

/// One line for the streams of a zone that end together.
pub(super) fn report(closed: &[Closed], metrics: &KdsMetrics) {
    let mut together: BTreeMap<(&ZoneName, &'static str), Vec<&Closed>> = BTreeMap::new();
    for stream in closed {
        let reason = word(&stream.reason);
        metrics.closed(reason);
        together.entry((&stream.zone, reason)).or_default().push(stream);
    }
    for ((zone, reason), streams) in together {
        let detail = streams.first().map(|stream| stream.reason.to_string()).unwrap_or_default();
        let methods: Vec<&str> = streams.iter().map(|stream| stream.method).collect();
        info!(%zone, reason, detail, streams = methods.join(" "), "closed live streams");
    }
}

fn word(reason: &CloseReason) -> &'static str {
    match reason {
        CloseReason::Refused(rejection) => rejection.reason(),
        CloseReason::KeyRetired => "key-retired",
        CloseReason::Replaced { .. } => "replaced",
        CloseReason::Draining => "draining",
        CloseReason::ZoneDeleted => "zone-deleted",
        CloseReason::TooManyStreams => "too-many-streams",
        CloseReason::TooManyConnections => "too-many-connections",
        CloseReason::Silent => "health-check",
    }
}

#[cfg(test)]
mod tests;
