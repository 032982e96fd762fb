//! What a control plane inside the test is to a test: something that begins with settings, writes lines, and stops.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    sync::Arc,
};

use super::log::Log;

/// Begins a control plane in threads of this process. Settings are what a program has in its environment.
pub type Begin = fn(&BTreeMap<String, String>, Lines) -> Box<dyn Inside>;

/// A control plane inside the test. It ends when it is dropped, without a word to its peers.
pub trait Inside: Send + Sync {
    /// Drains and stops, as a program does when it is told to; returns whether it ended in time and without a failure.
    fn stop(&mut self) -> bool;
}

/// Where a control plane inside the test writes its log: whole lines at a time.
pub struct Lines(Arc<Log>);

impl Lines {
    pub(super) fn of(log: &Arc<Log>) -> Self {
        Self(Arc::clone(log))
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for line in String::from_utf8_lossy(bytes).lines() {
            self.0.push(line.to_owned());
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
