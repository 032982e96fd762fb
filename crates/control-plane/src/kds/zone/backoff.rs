//! How long the zone waits before it tries to connect again. Pure but for the jitter.

use std::time::Duration;

use rand::Rng as _;

/// No pause is shorter, whatever is configured: a refused zone must not ask in a hot loop.
const SHORTEST: Duration = Duration::from_millis(100);

/// The pause before the next attempt: doubles from base to longest, starts anew after a run longer than the longest pause.
///
/// That a connection was accepted does not count: a global that accepts and then fails each time would be sent
/// everything again without end.
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

    /// The pause after a connection that lasted this long.
    pub(crate) fn pause(&mut self, lasted: Duration) -> Duration {
        if lasted > self.longest {
            self.failures = 0;
        }
        let pause = self.base.saturating_mul(1 << self.failures.min(16)).min(self.longest);
        self.failures = self.failures.saturating_add(1);
        // Half of it is jitter, so that the zones of a restarted global do not come back in one instant.
        pause.mul_f64(rand::rng().random_range(0.5..1.0)).max(SHORTEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: Duration = Duration::from_secs(5);
    const LONGEST: Duration = Duration::from_secs(60);

    #[test]
    fn the_pause_grows_while_connections_fail_soon_and_starts_anew_after_a_long_one() {
        let mut backoff = Backoff::new(BASE, LONGEST);
        // Some of these connections were accepted, and failed then.
        for (lasted, full) in [(0, 5), (3, 10), (60, 20), (0, 40), (3, 60), (3, 60), (61, 5), (0, 10)] {
            let (pause, full) = (backoff.pause(Duration::from_secs(lasted)), Duration::from_secs(full));
            assert!(pause >= full / 2 && pause <= full, "{pause:?} after {lasted} s");
        }
    }

    #[test]
    fn no_setting_makes_a_hot_loop() {
        for (base, longest) in [(Duration::ZERO, LONGEST), (Duration::ZERO, Duration::ZERO), (BASE, Duration::ZERO)] {
            let mut backoff = Backoff::new(base, longest);
            assert!((0..40).all(|_| backoff.pause(Duration::ZERO) >= SHORTEST));
        }
    }
}
