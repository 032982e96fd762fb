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
    /// When the peer showed last that it works through what waits.
    heard: Option<Instant>,
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
        Self { limit, waiting: BTreeMap::new(), heard: None }
    }

    /// How long an answer may take.
    pub(crate) fn limit(&self) -> Duration {
        self.limit
    }

    /// A response of this kind was sent. One that waits already goes on waiting: what releases a further response need not
    /// be an answer, and what was reported is to be cleared by the answer.
    pub(crate) fn sent(&mut self, kind: &str, now: Instant) {
        self.waiting.entry(kind.to_owned()).or_insert(Waiting { since: now, reported: false });
    }

    /// The peer answered something: it works through its responses one after the other, so none is late before the limit
    /// has passed again. For who wants to know whether the peer lives, not how long each answer takes.
    pub(crate) fn heard(&mut self, now: Instant) {
        self.heard = Some(now);
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
            Some(since) => tokio::time::sleep_until(counted(since, self.heard) + self.limit).await,
            None => std::future::pending().await,
        }
    }

    /// The kinds whose answer is late now; each response is reported once.
    pub(crate) fn report(&mut self, now: Instant) -> Vec<String> {
        let (limit, heard) = (self.limit, self.heard);
        let late = self.waiting.iter_mut().filter(|(_, waiting)| {
            let since = counted(waiting.since, heard);
            !waiting.reported && now.checked_duration_since(since).is_some_and(|waits| waits >= limit)
        });
        late.map(|(kind, waiting)| {
            waiting.reported = true;
            kind.clone()
        })
        .collect()
    }
}

/// From when the limit counts for a response that was sent at `since`.
fn counted(since: Instant, heard: Option<Instant>) -> Instant {
    heard.map_or(since, |heard| heard.max(since))
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

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_answers_one_after_the_other_is_not_late() {
        let mut unanswered = Unanswered::new(LIMIT);
        let start = Instant::now();
        let kinds = ["A", "B", "C", "D"];
        kinds.iter().for_each(|kind| unanswered.sent(kind, start));
        for kind in &kinds[..3] {
            assert!(tokio::time::timeout(LIMIT * 2 / 3, unanswered.overdue()).await.is_err(), "{kind} is on its way");
            assert!(unanswered.report(Instant::now()).is_empty());
            let answered = unanswered.answered(kind, Instant::now()).unwrap();
            assert_eq!(answered.took, start.elapsed(), "what it took is told all the same");
            unanswered.heard(Instant::now());
        }
        let last = Instant::now();
        unanswered.overdue().await;
        assert_eq!(last.elapsed(), LIMIT);
        assert_eq!(unanswered.report(Instant::now()), ["D"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_response_that_waits_already_goes_on_waiting() {
        let mut unanswered = Unanswered::new(LIMIT);
        let start = Instant::now();
        unanswered.sent("Mesh", start);
        unanswered.sent("Mesh", start + LIMIT / 2);
        unanswered.overdue().await;
        assert_eq!(start.elapsed(), LIMIT);
        assert_eq!(unanswered.report(Instant::now()), ["Mesh"]);
        unanswered.sent("Mesh", Instant::now());
        assert!(unanswered.report(start + 5 * LIMIT).is_empty(), "it was reported");
        let answered = unanswered.answered("Mesh", start + 2 * LIMIT).unwrap();
        assert_eq!(answered, Answered { took: 2 * LIMIT, reported: true });
    }
}
