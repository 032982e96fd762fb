//! Says on `/ready` how fresh the store is.
//!
//! A control plane whose store is behind serves what it knows, and says since when. When it is behind for so long that
//! nobody new is let in ([`LONGEST_BEHIND`]), it is not ready: others may do better.

use jiff::{SignedDuration, Timestamp};
use store::Freshness;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use crate::{clock::Clock, keys::LONGEST_BEHIND, observe::readiness::Readiness, tasks::Tasks};

const PART: &str = "store";

/// Tells until the program stops or the store is gone.
pub(super) async fn tell(
    mut freshness: watch::Receiver<Freshness>,
    readiness: Readiness,
    clock: Clock,
    tasks: Tasks,
) -> anyhow::Result<()> {
    loop {
        let behind_since = freshness.borrow_and_update().behind_since();
        let reason = behind_since.map(|since| reason(since, &clock));
        readiness.trouble(PART, reason.clone());
        let too_long = async {
            match behind_since {
                Some(since) => sleep_until(since + LONGEST_BEHIND).await,
                None => std::future::pending().await,
            }
        };
        readiness.ready(PART);
        tokio::select! {
            () = tasks.stopping() => return Ok(()),
            changed = freshness.changed() => if changed.is_err() { return Ok(()) } else { continue },
            () = too_long => {}
        }
        readiness.not_ready(PART, format!("{}; nobody new is let in with a token", reason.unwrap_or_default()));
        tokio::select! {
            () = tasks.stopping() => return Ok(()),
            changed = freshness.changed() => if changed.is_err() { return Ok(()) },
        }
    }
}

fn reason(since: Instant, clock: &Clock) -> String {
    let age = SignedDuration::try_from(since.elapsed()).unwrap_or(SignedDuration::MAX);
    let since = clock.now().saturating_sub(age).unwrap_or(Timestamp::UNIX_EPOCH);
    // To the second, as in the log.
    let since = Timestamp::from_second(since.as_second()).unwrap_or(since);
    format!("behind since {since}: what others changed since then may be missing here")
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
        tasks.spawn("t", OnError::StopProgram, tell(store.freshness(), readiness.clone(), clock, tasks.clone()));
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
}
