//! Ends the streams of zones whose health checks stop coming: behind a proxy a dead zone's connection may stand for ever
//! (contract: kds 8.2). Off unless both settings of `multizone.global.kds.zoneHealthCheck` are set.

use std::time::Duration;

use jiff::SignedDuration;
use prometheus_client::metrics::histogram::Histogram;
use tokio::time::Instant;

use crate::{
    clock::Clock,
    observe::kds_metrics::KdsMetrics,
    tasks::Tasks,
    zones::{insight::Insights, registry::Registry, sweeper::report},
};

/// How often to look, and what is too long.
#[derive(Clone, Copy, Debug)]
pub struct HealthChecks {
    /// How often zones are looked at, and how often they shall ping.
    pub interval: Duration,
    /// A zone that has not pinged for so long is gone.
    pub timeout: Duration,
}

/// Looks every interval until the program stops.
pub async fn run(
    registry: Registry,
    insights: Insights,
    metrics: KdsMetrics,
    clock: Clock,
    checks: HealthChecks,
    took: Histogram,
    tasks: Tasks,
) -> anyhow::Result<()> {
    let timeout = SignedDuration::try_from(checks.timeout)?;
    loop {
        tokio::select! {
            () = tasks.stopping() => return Ok(()),
            () = tokio::time::sleep(checks.interval) => {}
        }
        let start = Instant::now();
        report(&registry.close_silent(clock.now(), timeout, |zone| insights.last_ping(zone)), &metrics);
        took.observe(start.elapsed().as_secs_f64());
    }
}
