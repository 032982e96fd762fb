//! The lines of one control plane, and waiting for them.

use std::{
    sync::{Condvar, Mutex},
    time::{Duration, Instant},
};

#[derive(Default)]
pub(super) struct Log {
    lines: Mutex<Vec<String>>,
    more: Condvar,
}

impl Log {
    pub(super) fn push(&self, line: String) {
        self.lines.lock().unwrap().push(line);
        self.more.notify_all();
    }

    pub(super) fn count(&self) -> usize {
        self.lines.lock().unwrap().len()
    }

    pub(super) fn text(&self) -> String {
        self.lines.lock().unwrap().join("\n")
    }

    /// The first line after `mark` that holds all of `parts`.
    pub(super) fn find(&self, mark: usize, parts: &[&str]) -> Option<String> {
        first(&self.lines.lock().unwrap(), mark, parts).cloned()
    }

    /// Waits for such a line.
    pub(super) fn wait_for(&self, limit: Duration, mark: usize, parts: &[&str]) -> String {
        let start = Instant::now();
        let mut lines = self.lines.lock().unwrap();
        loop {
            if let Some(line) = first(&lines, mark, parts) {
                return line.clone();
            }
            let left = limit.checked_sub(start.elapsed()).unwrap_or_else(|| {
                panic!("no line with {parts:?} after line {mark} in:\n{}", lines.join("\n"));
            });
            lines = self.more.wait_timeout(lines, left.min(Duration::from_millis(200))).unwrap().0;
        }
    }
}

fn first<'a>(lines: &'a [String], mark: usize, parts: &[&str]) -> Option<&'a String> {
    lines.iter().skip(mark).find(|line| parts.iter().all(|part| line.contains(part)))
}
