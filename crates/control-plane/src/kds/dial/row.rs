//! In which order the addresses of global are tried: who failed stands at the end of the row.
//!
//! Of several URLs that are equally good one is taken by chance, so that the zones of a global that is gone are spread over the
//! others. The addresses of one name stay in the order of the resolver, which knows what can be reached from here.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Mutex, MutexGuard, PoisonError},
};

use rand::Rng as _;

/// So many failures are remembered: a name may have other addresses each day.
const MOST: usize = 64;

/// One way to one of the globals: which URL, and which address of its name; none where a proxy resolves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Way {
    pub(super) target: usize,
    pub(super) address: Option<SocketAddr>,
}

/// What is known of the ways.
#[derive(Debug, Default)]
pub(super) struct Row(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// When each failed, counted in failures.
    failed: BTreeMap<Way, u64>,
    failures: u64,
    /// The one that led there.
    reached: Option<Way>,
}

impl Row {
    /// Brings ways into the order in which they are tried: those that never failed, the last good one first; then those
    /// that failed longest ago.
    pub(super) fn in_order(&self, mut ways: Vec<Way>) -> Vec<Way> {
        let known = self.lock();
        let targets = ways.iter().map(|way| way.target + 1).max().unwrap_or_default();
        let chances: Vec<u32> = (0..targets).map(|_| rand::rng().random()).collect();
        ways.sort_by_key(|way| {
            let failed = known.failed.get(way).copied().unwrap_or_default();
            (failed, known.reached != Some(*way), chances.get(way.target).copied())
        });
        ways
    }

    /// Notes that a way is tried: it has failed until it is known to be good, whatever happens to whoever tries.
    pub(super) fn tries(&self, way: Way) {
        let mut known = self.lock();
        known.failures += 1;
        let failures = known.failures;
        known.failed.insert(way, failures);
        if known.failed.len() > MOST {
            let oldest = known.failed.iter().min_by_key(|(_, failed)| **failed).map(|(way, _)| *way);
            oldest.map(|oldest| known.failed.remove(&oldest));
        }
    }

    /// Notes that a way leads there.
    pub(super) fn reached(&self, way: Way) {
        let mut known = self.lock();
        known.failed.remove(&way);
        known.reached = Some(way);
    }

    /// Notes that who was reached last is gone.
    pub(super) fn set_aside(&self) {
        let reached = self.lock().reached.take();
        reached.into_iter().for_each(|way| self.tries(way));
    }

    /// Which URL led there, if one did.
    pub(super) fn target(&self) -> Option<usize> {
        self.lock().reached.map(|way| way.target)
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn way(target: usize, last: u8) -> Way {
        Way { target, address: Some(SocketAddr::from(([10, 0, 0, last], 5685))) }
    }

    #[test]
    fn who_failed_stands_at_the_end_and_comes_again() {
        let row = Row::default();
        let [a, b, c] = [way(0, 1), way(0, 2), way(0, 3)];
        let order = || row.in_order(vec![a, b, c]);
        assert_eq!(order(), [a, b, c], "as the resolver says");
        row.tries(a);
        assert_eq!(order(), [b, c, a]);
        row.tries(b);
        row.reached(b);
        assert_eq!(order(), [b, c, a], "the good one is kept");
        row.set_aside();
        assert_eq!(order(), [c, a, b]);
        row.tries(c);
        assert_eq!(order(), [a, b, c], "the one that failed longest ago");
        row.reached(c);
        assert_eq!((order(), row.target()), (vec![c, a, b], Some(0)));
    }

    #[test]
    fn one_of_several_urls_is_taken_by_chance_and_the_addresses_of_each_stay_in_order() {
        let row = Row::default();
        let ways = vec![way(0, 1), way(0, 2), way(1, 3), way(2, 4)];
        let mut first = BTreeSet::new();
        for _ in 0..200 {
            let order = row.in_order(ways.clone());
            let place = |way: &Way| order.iter().position(|one| one == way);
            assert!(place(&ways[0]) < place(&ways[1]), "{order:?}");
            first.insert(order[0].target);
        }
        assert_eq!(first, BTreeSet::from([0, 1, 2]));
    }

    #[test]
    fn the_memory_of_failures_is_bounded() {
        let row = Row::default();
        for last in 0..=u8::MAX {
            row.tries(way(0, last));
        }
        let known = row.lock();
        assert_eq!(known.failed.len(), MOST);
        assert!(known.failed.contains_key(&way(0, u8::MAX)) && !known.failed.contains_key(&way(0, 0)));
    }
}
