//! Ends the streams of zones whose health checks stop coming: behind a proxy a dead zone's connection may stand for ever
//! (contract: kds 8.2). Off unless both settings of `multizone.global.kds.zoneHealthCheck` are set.

use std::time::Duration;

use jiff::SignedDuration;
use prometheus_client::metrics::histogram::Histogram;
use store::Freshness;
use tokio::{sync::watch, time::Instant};

use crate::{
    clock::Clock,
    cluster::Members,
    observe::kds_metrics::KdsMetrics,
    tasks::Tasks,
    zones::{insight::Insights, registry::Registry, sweeper::report},
};

/// How often to look, and what is too long.
#[derive(Debug)]
pub struct HealthChecks {
    /// How often zones are looked at, and how often they shall ping.
    pub interval: Duration,
    /// A zone that has not pinged for so long is gone.
    pub timeout: Duration,
    /// What is known of pings that came to others.
    pub elsewhere: Elsewhere,
}

/// What is known of pings that came to other instances: a balancer may spread the calls of one zone.
#[derive(Debug)]
pub struct Elsewhere {
    /// Who else may have heard a zone.
    pub members: watch::Receiver<Members>,
    /// Whether what they wrote is heard.
    pub freshness: watch::Receiver<Freshness>,
    /// How often they write down who pinged.
    pub flush_interval: Duration,
}

/// What an instance writes is stored and heard by the others so soon.
const ON_THE_WAY: Duration = Duration::from_secs(2);

impl Elsewhere {
    /// How much later than one that came here a ping may be heard of.
    fn delay(&self) -> Duration {
        match self.members.borrow().len() {
            0 | 1 => Duration::ZERO,
            _ => self.flush_interval.saturating_add(ON_THE_WAY),
        }
    }
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
    let elsewhere = &checks.elsewhere;
    let mut judges_from = Instant::now();
    loop {
        tokio::select! {
            () = tasks.stopping() => return Ok(()),
            () = tokio::time::sleep(checks.interval) => {}
        }
        let (start, delay) = (Instant::now(), elsewhere.delay());
        if elsewhere.freshness.borrow().behind_since().is_some() {
            // What others heard meanwhile is told when they could write it.
            judges_from = start + delay;
        }
        if start < judges_from {
            continue;
        }
        let timeout = SignedDuration::try_from(checks.timeout.saturating_add(delay))?;
        report(&registry.close_silent(clock.now(), timeout, |zone| insights.last_ping(zone)), &metrics);
        took.observe(start.elapsed().as_secs_f64());
    }
}

#[cfg(test)]
mod tests;
