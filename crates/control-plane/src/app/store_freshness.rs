//! Says on `/ready` how fresh the store is.
//!
//! A control plane whose store is behind serves what it knows, and says since when and who is not let in any more. It is not
//! ready when no zone is: others may do better. Where no zones come with tokens, it is not ready when no user is let in.

use std::{fmt, time::Duration};

use jiff::{SignedDuration, Timestamp};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric as _},
    metrics::{MetricType, gauge::ConstGauge},
};
use store::Freshness;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};
use tracing::error;

use crate::{clock::Clock, keys::LONGEST_BEHIND, observe::readiness::Readiness, tasks::Tasks};

const PART: &str = "store";

/// Counts, when somebody asks, for how long the store has been behind.
#[derive(Debug)]
pub(super) struct Stale(watch::Receiver<Freshness>);

impl Stale {
    /// Returns what counts for a store.
    pub(super) fn of(freshness: watch::Receiver<Freshness>) -> Self {
        Self(freshness)
    }
}

impl Collector for Stale {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let since = self.0.borrow().behind_since();
        let help = "Seconds since the store was last up to date with what others wrote";
        let gauge = encoder.encode_descriptor("store_stale_seconds", help, None, MetricType::Gauge)?;
        ConstGauge::new(since.map_or(0.0, |since| since.elapsed().as_secs_f64())).encode(gauge)
    }
}

/// Tells until the program stops or the store is gone. `zones` is for how long zones are let in while the store is behind,
/// if they come here with tokens.
pub(super) async fn tell(
    mut freshness: watch::Receiver<Freshness>,
    zones: Option<Duration>,
    readiness: Readiness,
    clock: Clock,
    tasks: Tasks,
) -> anyhow::Result<()> {
    let mut told = Shut::Nobody;
    loop {
        let behind_since = freshness.borrow_and_update().behind_since();
        let shut = behind_since.map_or(Shut::Nobody, |since| Shut::after(since.elapsed(), zones));
        let reason = behind_since.map(|since| reason(since, &clock, shut));
        readiness.trouble(PART, reason.clone());
        if shut.is_ready() {
            readiness.ready(PART);
        } else {
            readiness.not_ready(PART, reason.unwrap_or_default());
            if told.is_ready() {
                error!("the store is behind for too long: {}", shut.words());
            }
        }
        told = shut;
        let more = async {
            let limits = [Some(LONGEST_BEHIND), zones].into_iter().flatten();
            let next = behind_since
                .and_then(|since| limits.filter(|limit| *limit > since.elapsed()).min().map(|limit| since + limit));
            match next {
                Some(next) => sleep_until(next).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = tasks.stopping() => return Ok(()),
            changed = freshness.changed() => if changed.is_err() { return Ok(()) },
            () = more => {}
        }
    }
}

/// Who is not let in any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shut {
    Nobody,
    Users,
    Zones,
    Everybody,
}

impl Shut {
    fn after(age: Duration, zones: Option<Duration>) -> Self {
        match (age >= LONGEST_BEHIND, zones.map(|limit| age >= limit)) {
            (false, None | Some(false)) => Self::Nobody,
            (true, Some(false)) => Self::Users,
            (false, Some(true)) => Self::Zones,
            (true, None | Some(true)) => Self::Everybody,
        }
    }

    fn is_ready(self) -> bool {
        matches!(self, Self::Nobody | Self::Users)
    }

    fn words(self) -> &'static str {
        match self {
            Self::Nobody => "everybody is let in",
            Self::Users => "no user is let in with a token",
            Self::Zones => "no zone is let in that is not connected",
            Self::Everybody => "nobody new is let in with a token",
        }
    }
}

fn reason(since: Instant, clock: &Clock, shut: Shut) -> String {
    let age = SignedDuration::try_from(since.elapsed()).unwrap_or(SignedDuration::MAX);
    let since = clock.now().saturating_sub(age).unwrap_or(Timestamp::UNIX_EPOCH);
    // To the second, as in the log.
    let since = Timestamp::from_second(since.as_second()).unwrap_or(since);
    let behind = format!("behind since {since}: what others changed since then may be missing here");
    if shut == Shut::Nobody { behind } else { format!("{behind}; {}", shut.words()) }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use store::{ResourceStore as _, testing::Database};

    use super::*;
    use crate::tasks::OnError;

    /// Lets the other tasks do all that they can do now.
    async fn settle() {
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_is_behind_is_told_and_after_a_while_this_is_not_ready() {
        let store = Database::new().instance();
        let (readiness, tasks) = (Readiness::default(), Tasks::new());
        let clock = Clock::starting_at("2026-11-24T12:00:00.5Z".parse().unwrap());
        tasks.spawn("t", OnError::StopProgram, tell(store.freshness(), None, readiness.clone(), clock, tasks.clone()));
        settle().await;
        assert_eq!(readiness.report(), (true, String::new()));
        for _ in 0..2 {
            store.fall_behind();
            settle().await;
            let (ready, report) = readiness.report();
            assert!(ready && report.starts_with("store: behind since 2026-11-24T12:0"), "{report}");
            assert_eq!(report.lines().count(), 1);
            tokio::time::sleep(LONGEST_BEHIND + Duration::from_millis(1)).await;
            let (ready, report) = readiness.report();
            assert!(!ready && report.ends_with("nobody new is let in with a token\n"), "{report}");
            assert_eq!(report.lines().count(), 1);
            store.catch_up();
            settle().await;
            assert_eq!(readiness.report(), (true, String::new()), "it is forgotten");
        }
        tasks.stop();
        assert!(tasks.finished(Duration::from_secs(1)).await);
        assert_eq!(tasks.failure(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_global_is_ready_for_as_long_as_it_lets_zones_in() {
        for (zones, first, last) in
            [(300, "no user is let in with a token\n", true), (10, "no zone is let in that is not connected\n", false)]
        {
            let store = Database::new().instance();
            let (readiness, tasks) = (Readiness::default(), Tasks::new());
            let limit = Some(Duration::from_secs(zones));
            let telling = tell(store.freshness(), limit, readiness.clone(), Clock::system(), tasks.clone());
            tasks.spawn("t", OnError::StopProgram, telling);
            store.fall_behind();
            settle().await;
            tokio::time::sleep(LONGEST_BEHIND.min(Duration::from_secs(zones)) + Duration::from_millis(1)).await;
            let (ready, report) = readiness.report();
            assert!(ready == last && report.ends_with(first), "{report}");
            tokio::time::sleep(Duration::from_secs(300)).await;
            let (ready, report) = readiness.report();
            assert!(!ready && report.ends_with("nobody new is let in with a token\n"), "{report}");
            store.catch_up();
            settle().await;
            assert_eq!(readiness.report(), (true, String::new()));
            tasks.stop();
        }
    }
}
