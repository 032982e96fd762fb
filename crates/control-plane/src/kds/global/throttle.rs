//! Slows down callers whose authentication fails, and bounds what their failures cost in log lines and memory.
//!
//! Only failures are slowed down: zones share addresses behind NAT, so a good token never waits for a bad one.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::{sync::Semaphore, time::Instant};

/// How many failures of one address within [`WINDOW`] are answered at once.
const FREE_FAILURES: u32 = 20;
/// How long failures of an address count.
const WINDOW: Duration = Duration::from_secs(10);
/// How long a throttled refusal is held back.
const DELAY: Duration = Duration::from_secs(1);
/// How many refusals may be held back at once; more are answered at once, which costs less than keeping them.
const HELD_AT_ONCE: usize = 256;
/// How many addresses are remembered; when full, the table starts anew.
const ADDRESSES: usize = 4096;
/// How many refusals are logged within [`WINDOW`].
const LOGGED: u32 = 50;

/// Counts failures by address.
pub(crate) struct Throttle {
    failures: Mutex<Failures>,
    held: Semaphore,
}

struct Failures {
    by_address: HashMap<IpAddr, Window>,
    logged: Window,
    suppressed: u64,
}

#[derive(Clone, Copy)]
struct Window {
    since: Instant,
    count: u32,
}

impl Window {
    fn new(now: Instant) -> Self {
        Self { since: now, count: 0 }
    }

    fn count(&mut self, now: Instant) -> u32 {
        if now.duration_since(self.since) > WINDOW {
            *self = Self::new(now);
        }
        self.count = self.count.saturating_add(1);
        self.count
    }
}

/// Whether a refusal gets a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Logged {
    /// Yes; so many before it got none.
    Yes {
        /// Refusals without a line since the last one.
        suppressed: u64,
    },
    /// No: there were too many.
    No,
}

impl Throttle {
    pub(crate) fn new() -> Self {
        let logged = Window::new(Instant::now());
        Self {
            failures: Mutex::new(Failures { by_address: HashMap::new(), logged, suppressed: 0 }),
            held: Semaphore::new(HELD_AT_ONCE),
        }
    }

    /// Notes a failure of an address: whether to log it, and whether to hold the answer back.
    fn note(&self, address: IpAddr) -> (Logged, bool) {
        let now = Instant::now();
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if failures.by_address.len() >= ADDRESSES && !failures.by_address.contains_key(&address) {
            failures.by_address.clear();
        }
        let count = failures.by_address.entry(address).or_insert_with(|| Window::new(now)).count(now);
        let logged = if failures.logged.count(now) <= LOGGED {
            Logged::Yes { suppressed: std::mem::take(&mut failures.suppressed) }
        } else {
            failures.suppressed += 1;
            Logged::No
        };
        (logged, count > FREE_FAILURES)
    }

    /// Notes a failure; returns when it may be answered.
    pub(crate) async fn failed(&self, address: IpAddr) -> Logged {
        let (logged, hold) = self.note(address);
        if hold && let Ok(_held) = self.held.try_acquire() {
            tokio::time::sleep(DELAY).await;
        }
        logged
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn log_lines_and_memory_of_a_flood_are_bounded() {
        let throttle = Throttle::new();
        let mut lines = 0;
        for index in 0..20_000u32 {
            let address = IpAddr::from(index.to_be_bytes());
            if throttle.note(address).0 != Logged::No {
                lines += 1;
            }
        }
        assert_eq!(lines, LOGGED);
        assert!(throttle.failures.lock().unwrap().by_address.len() <= ADDRESSES);
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_line_after_a_flood_tells_how_many_were_left_out() {
        let throttle = Throttle::new();
        let address = IpAddr::from([127, 0, 0, 1]);
        for _ in 0..LOGGED + 7 {
            throttle.note(address);
        }
        tokio::time::advance(WINDOW * 2).await;
        assert_eq!(throttle.note(address).0, Logged::Yes { suppressed: 7 });
    }

    #[tokio::test(start_paused = true)]
    async fn many_failures_of_one_address_are_held_back() {
        let throttle = Throttle::new();
        let address = IpAddr::from([127, 0, 0, 1]);
        let start = Instant::now();
        for _ in 0..FREE_FAILURES {
            throttle.failed(address).await;
        }
        assert_eq!(start.elapsed(), Duration::ZERO);
        throttle.failed(address).await;
        assert_eq!(start.elapsed(), DELAY);
    }
}
