//! How long the zone waits before it tries to connect again. Pure but for the jitter.

use std::time::Duration;

use rand::Rng as _;

/// No pause is shorter, whatever is configured: a refused zone must not ask in a hot loop.
const SHORTEST: Duration = Duration::from_millis(100);

/// The first try after a connection was lost that stood: another global, or the same one again, may take it at once.
const SOON: Duration = Duration::from_secs(1);
/// A connection that was accepted and lasted so long has stood.
const STOOD: Duration = Duration::from_secs(5);

/// The pause before the next attempt: doubles up to the longest. After a connection that stood it starts anew, and below a
/// second.
///
/// That a connection was accepted is not enough: a global that accepts and then fails each time would be sent everything again
/// without end.
pub(crate) struct Backoff {
    base: Duration,
    longest: Duration,
    failures: u32,
}

impl Backoff {
    /// Returns the pauses of a zone that has not failed yet.
    pub(crate) fn new(base: Duration, longest: Duration) -> Self {
        Self { base, longest, failures: 0 }
    }

    /// The pause after a failure.
    pub(crate) fn pause(&mut self) -> Duration {
        let pause = self.base.saturating_mul(1 << self.failures.min(16)).min(self.longest);
        self.failures = self.failures.saturating_add(1);
        // Half of it is jitter, so that the zones of a restarted global do not come back in one instant.
        pause.mul_f64(rand::rng().random_range(0.5..1.0)).max(SHORTEST)
    }

    /// The pause after a connection that was accepted and lasted this long.
    pub(crate) fn pause_after(&mut self, lasted: Duration) -> Duration {
        if lasted < STOOD {
            return self.pause();
        }
        self.base = self.base.min(SOON);
        self.failures = 1;
        // All of it is jitter: all zones of a global that is gone come at once, and none of them should wait for long.
        self.base.min(self.longest).mul_f64(rand::rng().random_range(0.1..1.0)).max(SHORTEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: Duration = Duration::from_secs(5);
    const LONGEST: Duration = Duration::from_secs(60);

    fn check(pause: Duration, full: u64, what: &str) {
        let full = Duration::from_secs(full);
        assert!(pause >= full / 2 && pause <= full, "{pause:?} {what}");
    }

    #[test]
    fn the_pause_grows_while_connections_fail() {
        let mut backoff = Backoff::new(BASE, LONGEST);
        for full in [5, 10, 20, 40, 60, 60] {
            check(backoff.pause(), full, "after a failure");
        }
    }

    #[test]
    fn a_connection_that_stood_is_tried_again_within_a_second_and_the_pause_grows_from_there() {
        let mut backoff = Backoff::new(BASE, LONGEST);
        check(backoff.pause(), 5, "at the start");
        for lasted in [STOOD, LONGEST * 100] {
            let soon = backoff.pause_after(lasted);
            assert!(soon <= SOON && soon >= SHORTEST, "{soon:?}");
            for full in [2, 4, 8, 16] {
                check(backoff.pause(), full, "after it");
            }
            // Accepted, and failed at once.
            check(backoff.pause_after(Duration::from_secs(4)), 32, "after a moment");
        }
    }

    #[test]
    fn no_setting_makes_a_hot_loop() {
        for (base, longest) in [(Duration::ZERO, LONGEST), (Duration::ZERO, Duration::ZERO), (BASE, Duration::ZERO)] {
            let mut backoff = Backoff::new(base, longest);
            assert!((0..40).all(|_| backoff.pause() >= SHORTEST && backoff.pause_after(STOOD) >= SHORTEST));
        }
    }
}
