//! How many log lines strangers may cause: a flood of refusals costs a bounded number of lines, and none is forgotten.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// How many lines a budget has within [`WINDOW`].
const LINES: u32 = 50;
/// After this time the budget is whole again.
const WINDOW: Duration = Duration::from_secs(10);

/// A budget of log lines for one sort of event.
#[derive(Debug)]
pub(crate) struct LineBudget(Mutex<Window>);

#[derive(Debug)]
struct Window {
    since: Instant,
    lines: u32,
    left_out: u64,
}

/// Leave to write one line. It says how many were left out before it, so that the log tells of all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// Lines that were left out since the last one that was written.
    pub(crate) left_out: u64,
}

impl LineBudget {
    /// Returns a whole budget.
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Window { since: Instant::now(), lines: 0, left_out: 0 }))
    }

    /// Takes a line from the budget; none if the line is to be left out.
    pub(crate) fn take(&self) -> Option<Line> {
        let now = Instant::now();
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if now.duration_since(window.since) > WINDOW {
            (window.since, window.lines) = (now, 0);
        }
        if window.lines >= LINES {
            window.left_out = window.left_out.saturating_add(1);
            return None;
        }
        window.lines += 1;
        Some(Line { left_out: std::mem::take(&mut window.left_out) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_flood_costs_a_bounded_number_of_lines_and_is_counted() {
        let budget = LineBudget::new();
        let written = (0..20_000).filter(|_| budget.take().is_some()).count();
        assert_eq!(written, 50);
        tokio::time::advance(WINDOW * 2).await;
        assert_eq!(budget.take(), Some(Line { left_out: 19_950 }));
        assert_eq!(budget.take(), Some(Line { left_out: 0 }));
    }
}
