//! When a quiet stream of a real global is asked again. Pure but for the clock.

use std::time::Duration;

use sync::Features;
use tokio::time::Instant;

/// The answer to a question that must be answered: real ones look once a second.
const PROBE_WITHIN: Duration = Duration::from_secs(15);
/// A real global takes a moment to notice that the old connection is gone, and then forgets what the new one watches.
const REPEAT_AFTER: Duration = Duration::from_secs(3);

/// How long a stream has been silent, and whether it lost its predecessor.
pub(super) struct Silence {
    patience: Duration,
    /// A global of ours: its silence means that there is nothing to say.
    trusted: bool,
    until: Instant,
    asked: bool,
    /// When the watches are renewed that the end of an older connection may have cost.
    repeat: Option<Instant>,
}

/// What is to be done about a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Repeat what was asked: the watches may be lost.
    Repeat,
    /// Repeat what was asked, and ask what must be answered.
    Probe,
    /// Nothing: what must be answered was not.
    Dead,
}

impl Silence {
    pub(super) fn new(patience: Duration, global: Features) -> Self {
        let trusted = global.contains(Features::INITIAL_VERSIONS);
        Self { patience, trusted, until: Instant::now() + patience, asked: false, repeat: None }
    }

    /// Something came.
    pub(super) fn broken(&mut self) {
        self.asked = false;
        self.until = Instant::now() + self.patience;
    }

    /// An older connection of this zone is gone.
    pub(super) fn predecessor_gone(&mut self) {
        self.repeat = Some(Instant::now() + REPEAT_AFTER);
    }

    /// Resolves when something is to be done. Cancel safe; says the same again until `done`.
    pub(super) async fn due(&self) -> Due {
        if self.trusted {
            return std::future::pending().await;
        }
        if let Some(repeat) = self.repeat.filter(|repeat| *repeat < self.until) {
            tokio::time::sleep_until(repeat).await;
            return Due::Repeat;
        }
        tokio::time::sleep_until(self.until).await;
        if self.asked { Due::Dead } else { Due::Probe }
    }

    /// It is being done.
    pub(super) fn done(&mut self, due: Due) {
        self.repeat = None;
        if due == Due::Probe {
            self.asked = true;
            self.until = Instant::now() + PROBE_WITHIN;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);

    async fn next(silence: &mut Silence) -> (Due, u64) {
        let start = Instant::now();
        let due = silence.due().await;
        silence.done(due);
        (due, start.elapsed().as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_stream_is_probed_and_then_dead() {
        let mut silence = Silence::new(PATIENCE, Features::NONE);
        assert_eq!(next(&mut silence).await, (Due::Probe, 60));
        silence.broken();
        assert_eq!(next(&mut silence).await, (Due::Probe, 60));
        assert_eq!(next(&mut silence).await, (Due::Dead, 15));
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_of_an_older_connection_makes_it_ask_again_soon() {
        let mut silence = Silence::new(PATIENCE, Features::NONE);
        silence.predecessor_gone();
        silence.broken();
        assert_eq!(next(&mut silence).await, (Due::Repeat, 3));
        // Repeated ACKs need no answer, so the watch for silence goes on as it was.
        assert_eq!(next(&mut silence).await, (Due::Probe, 57));
    }

    #[tokio::test(start_paused = true)]
    async fn a_global_of_ours_is_never_asked_again() {
        let mut silence = Silence::new(PATIENCE, Features::INITIAL_VERSIONS);
        silence.predecessor_gone();
        assert!(tokio::time::timeout(PATIENCE * 100, silence.due()).await.is_err());
    }
}
