//! How many log lines others may cause: a flood costs a bounded number of lines, and none is forgotten.
//!
//! Strangers share one budget. A zone and a user proved who they are, which makes them nobody to be trusted with the
//! disk: each has a budget of their own, so that a flood of one hides nothing of another.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// How many lines a budget has within [`WINDOW`].
const LINES: u32 = 50;
/// After this time the budget is whole again.
const WINDOW: Duration = Duration::from_secs(10);
/// So many have a budget of their own at a time; who comes beyond shares one.
const HOLDERS: usize = 1024;
/// The most of a name that tells holders apart, in bytes.
const LONGEST_KEY: usize = 256;

/// A budget of log lines for one sort of event.
#[derive(Debug)]
pub(crate) struct LineBudget(Mutex<Window>);

#[derive(Debug)]
struct Window {
    since: Instant,
    lines: u32,
    left_out: u64,
}

/// A budget of log lines for each of many, who are known by name. Memory is bounded.
#[derive(Debug)]
pub(crate) struct LineBudgets(Mutex<Table>);

#[derive(Debug)]
struct Table {
    own: HashMap<Box<str>, Window>,
    /// Of those who found the table full.
    shared: Window,
}

/// Leave to write one line. It says how many were left out before it, so that the log tells of all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// Lines that were left out since the last one that was written.
    pub(crate) left_out: u64,
}

impl Line {
    /// For lines that say `left_out` only where there is something to say.
    pub(crate) fn told(self) -> Option<u64> {
        (self.left_out > 0).then_some(self.left_out)
    }
}

impl Window {
    fn new(now: Instant) -> Self {
        Self { since: now, lines: 0, left_out: 0 }
    }

    fn is_over(&self, now: Instant) -> bool {
        now.duration_since(self.since) > WINDOW
    }

    fn take(&mut self, now: Instant) -> Option<Line> {
        if self.is_over(now) {
            (self.since, self.lines) = (now, 0);
        }
        if self.lines >= LINES {
            self.left_out = self.left_out.saturating_add(1);
            return None;
        }
        self.lines += 1;
        Some(Line { left_out: std::mem::take(&mut self.left_out) })
    }
}

impl LineBudget {
    /// Returns a whole budget.
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Window::new(Instant::now())))
    }

    /// Takes a line from the budget; none if the line is to be left out.
    pub(crate) fn take(&self) -> Option<Line> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take(Instant::now())
    }
}

impl LineBudgets {
    /// Returns whole budgets.
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Table { own: HashMap::new(), shared: Window::new(Instant::now()) }))
    }

    /// Takes a line from the budget of the zone or user of this name; none if the line is to be left out.
    pub(crate) fn take(&self, name: &str) -> Option<Line> {
        let now = Instant::now();
        let key = name.get(..name.floor_char_boundary(LONGEST_KEY)).unwrap_or_default();
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Table { own, shared } = &mut *table;
        if let Some(window) = own.get_mut(key) {
            return window.take(now);
        }
        if own.len() >= HOLDERS {
            // Who was silent for so long has a whole budget anyway; what was left out of theirs is not forgotten.
            own.retain(|_, window| {
                let over = window.is_over(now);
                if over {
                    shared.left_out = shared.left_out.saturating_add(window.left_out);
                }
                !over
            });
        }
        if own.len() >= HOLDERS {
            return shared.take(now);
        }
        own.entry(key.into()).or_insert_with(|| Window::new(now)).take(now)
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

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_one_hides_nothing_of_another() {
        let budgets = LineBudgets::new();
        let written = (0..1000).filter(|_| budgets.take("joe").is_some()).count();
        assert_eq!(written, 50);
        assert_eq!(budgets.take("ann"), Some(Line { left_out: 0 }));
        tokio::time::advance(WINDOW * 2).await;
        assert_eq!(budgets.take("joe").and_then(Line::told), Some(950));
        assert_eq!(budgets.take("joe").map(Line::told), Some(None));
    }

    #[tokio::test(start_paused = true)]
    async fn many_who_flood_cost_bounded_memory_and_lines() {
        let budgets = LineBudgets::new();
        let long = "x".repeat(10_000);
        let names = (0..2 * HOLDERS).flat_map(|number| std::iter::repeat_n(format!("{number}{long}"), 60));
        let written = names.filter(|name| budgets.take(name).is_some()).count();
        assert_eq!(written, (HOLDERS + 1) * 50, "each their own, and one for the rest");
        let of_table = |budgets: &LineBudgets| {
            let table = budgets.0.lock().unwrap();
            (table.own.len(), table.own.keys().map(|key| key.len()).max())
        };
        assert_eq!(of_table(&budgets), (HOLDERS, Some(LONGEST_KEY)));
        tokio::time::advance(WINDOW * 2).await;
        assert!(budgets.take("new").is_some());
        assert_eq!(of_table(&budgets).0, 1, "who is silent is forgotten");
        let left_out = budgets.0.lock().unwrap().shared.left_out;
        assert_eq!(left_out, (2 * HOLDERS * 60 - written) as u64, "what was left out is not");
    }
}
