//! When what made each ring was heard: how long it takes until it is enforced is counted from there.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::time::Instant;

/// So many rings are remembered: more than are made while a sweep goes on.
const RINGS: usize = 64;

/// The last rings, oldest first. Cheap to clone; all clones are one.
#[derive(Clone, Debug, Default)]
pub(super) struct Heard(Arc<Mutex<VecDeque<(u64, Instant)>>>);

impl Heard {
    /// Notes when what makes the ring of this generation was heard. Before the ring is there.
    pub(super) fn note(&self, generation: u64, at: Instant) {
        let mut rings = self.lock();
        if rings.len() >= RINGS {
            rings.pop_front();
        }
        rings.push_back((generation, at));
    }

    /// When the first ring that is newer than this one was heard of.
    pub(super) fn after(&self, generation: u64) -> Option<Instant> {
        self.lock().iter().find(|(newer, _)| *newer > generation).map(|(_, at)| *at)
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<(u64, Instant)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_sweep_that_skipped_rings_counts_from_the_first_of_them() {
        let (heard, start) = (Heard::default(), Instant::now());
        assert_eq!(heard.after(0), None);
        let at = |second| start + Duration::from_secs(second);
        for generation in 2..100 {
            heard.note(generation, at(generation));
        }
        assert_eq!(heard.after(97), Some(at(98)));
        assert_eq!(heard.after(99), None);
        assert_eq!(heard.after(1), Some(at(36)), "as far as is remembered");
    }
}
