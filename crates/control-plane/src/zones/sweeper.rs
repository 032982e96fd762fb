//! Enforces keys on live streams: sweeps the registry when the ring changes and when a token expires.

use std::{sync::Arc, time::Duration};

use tracing::info;

use crate::{
    clock::Clock,
    keys::Keys,
    observe::kds_metrics::KdsMetrics,
    tasks::Tasks,
    zones::registry::{CloseReason, Closed, Registry},
};

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
    let mut changes = registry.changes();
    loop {
        let now = clock.now();
        // Reading the ring marks it as seen before the sweep: a change after this line wakes the loop again.
        let current = Arc::clone(&ring.borrow_and_update());
        changes.mark_unchanged();
        for closed in registry.sweep(&current, now) {
            report(&closed, &metrics);
        }
        let expiry = registry.next_expiry();
        let expired = async {
            match expiry {
                // One millisecond later, so that the sweep finds it expired and not about to be.
                Some(at) => {
                    let wait = Duration::try_from(at.duration_since(clock.now())).unwrap_or(Duration::ZERO);
                    tokio::time::sleep(wait + Duration::from_millis(1)).await;
                }
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = tasks.stopping() => return Ok(()),
            changed = ring.changed() => changed?,
            // A new stream may expire earlier than the ones before.
            changed = changes.changed() => changed?,
            () = expired => {}
        }
    }
}

/// Follows the registry with the gauges; a storm of streams costs one look a second.
pub async fn gauges(registry: Registry, metrics: KdsMetrics, tasks: Tasks) -> anyhow::Result<()> {
    let mut changes = registry.changes();
    loop {
        metrics.open(&registry.open());
        tokio::select! {
            () = tasks.stopping() => return Ok(()),
            changed = changes.changed() => changed?,
        }
        // The wait must not hold up a control plane that stops.
        tokio::select! {
            () = tasks.stopping() => return Ok(()),
            () = tokio::time::sleep(GAUGES) => {}
        }
    }
}

fn report(closed: &Closed, metrics: &KdsMetrics) {
    let reason = match &closed.reason {
        CloseReason::Refused(rejection) => rejection.reason(),
        CloseReason::Replaced { .. } => "replaced",
        CloseReason::Draining => "draining",
        CloseReason::ZoneDeleted => "zone-deleted",
    };
    metrics.closed(reason);
    info!(target: "kds.auth", zone = %closed.zone, method = closed.method, reason, detail = %closed.reason, "closed a live stream: its token is no longer valid");
}
