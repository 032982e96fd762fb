//! The only place that asks what time it is.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

/// Tells the time. Cheap to clone; tests hold one that they set.
#[derive(Clone, Debug)]
pub struct Clock(Arc<Source>);

#[derive(Debug)]
enum Source {
    /// The machine's clock.
    System,
    /// A start that moves with tokio's clock, which tests may pause and advance.
    Fixed { start: Timestamp, since: Instant },
}

impl Clock {
    /// Returns the clock of the machine.
    pub fn system() -> Self {
        Self(Arc::new(Source::System))
    }

    /// Returns a clock that shows `start` now and moves with tokio's clock.
    pub fn starting_at(start: Timestamp) -> Self {
        Self(Arc::new(Source::Fixed { start, since: Instant::now() }))
    }

    /// Returns the present time.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that asks")]
    pub fn now(&self) -> Timestamp {
        match &*self.0 {
            Source::System => Timestamp::now(),
            Source::Fixed { start, since } => {
                let passed = SignedDuration::try_from(since.elapsed()).unwrap_or(SignedDuration::MAX);
                start.saturating_add(passed).unwrap_or(*start)
            }
        }
    }
}
