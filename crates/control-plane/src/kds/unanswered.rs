//! Which responses of a stream wait for their answer, and since when. Pure: the time is given.
//!
//! A peer that reads nothing, or answers nothing, looks alive for as long as its connection stands (contract: kds 13.19).

use std::{collections::BTreeMap, time::Duration};

use tokio::time::Instant;

/// The responses of one stream that wait for an answer: at most one a kind.
#[derive(Debug)]
pub(crate) struct Unanswered {
    /// How long an answer may take.
    limit: Duration,
    waiting: BTreeMap<String, Waiting>,
}

#[derive(Debug)]
struct Waiting {
    since: Instant,
    reported: bool,
}

/// A response that has its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answered {
    /// How long it took.
    pub(crate) took: Duration,
    /// It was reported as late before.
    pub(crate) reported: bool,
}

impl Unanswered {
    /// Returns the record of a stream that nothing was sent on.
    pub(crate) fn new(limit: Duration) -> Self {
        Self { limit, waiting: BTreeMap::new() }
    }

    /// How long an answer may take.
    pub(crate) fn limit(&self) -> Duration {
        self.limit
    }

    /// A response of this kind was sent.
    pub(crate) fn sent(&mut self, kind: &str, now: Instant) {
        self.waiting.insert(kind.to_owned(), Waiting { since: now, reported: false });
    }

    /// Some answer for this kind came; returns what it was the answer to.
    pub(crate) fn answered(&mut self, kind: &str, now: Instant) -> Option<Answered> {
        let waiting = self.waiting.remove(kind)?;
        Some(Answered { took: now.duration_since(waiting.since), reported: waiting.reported })
    }

    /// Resolves when an answer is late. Cancel safe.
    pub(crate) async fn overdue(&self) {
        let since = self.waiting.values().filter(|waiting| !waiting.reported).map(|waiting| waiting.since).min();
        match since {
            Some(since) => tokio::time::sleep_until(since + self.limit).await,
            None => std::future::pending().await,
        }
    }

    /// The kinds whose answer is late now; each response is reported once.
    pub(crate) fn report(&mut self, now: Instant) -> Vec<String> {
        let limit = self.limit;
        let late = self.waiting.iter_mut().filter(|(_, waiting)| {
            !waiting.reported && now.checked_duration_since(waiting.since).is_some_and(|waits| waits >= limit)
        });
        late.map(|(kind, waiting)| {
            waiting.reported = true;
            kind.clone()
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn a_late_answer_is_reported_once() {
        let mut unanswered = Unanswered::new(LIMIT);
        let start = Instant::now();
        unanswered.sent("Mesh", start);
        assert!(unanswered.report(start + LIMIT / 2).is_empty());
        unanswered.overdue().await;
        assert_eq!(start.elapsed(), LIMIT);
        assert_eq!(unanswered.report(Instant::now()), ["Mesh"]);
        assert!(unanswered.report(Instant::now()).is_empty());
        let answered = unanswered.answered("Mesh", start + 2 * LIMIT).unwrap();
        assert_eq!(answered, Answered { took: 2 * LIMIT, reported: true });
        assert_eq!(unanswered.answered("Mesh", start), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_on_which_everything_is_answered_is_never_late() {
        let mut unanswered = Unanswered::new(LIMIT);
        let now = Instant::now();
        unanswered.sent("Mesh", now);
        unanswered.answered("Mesh", now);
        assert!(tokio::time::timeout(LIMIT * 100, unanswered.overdue()).await.is_err());
    }
}
