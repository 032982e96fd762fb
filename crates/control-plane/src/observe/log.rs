//! The console log (contract: rest-and-cli 5.4): one line an event, tab-separated.
//!
//! ```text
//! 2021-02-24T14:30:38.596+0100<tab>INFO<tab>kds.auth<tab>message<tab>{"key": "value", "n": 1}
//! ```

mod console;
mod fields;
mod file;
mod levels;
mod loggers;
mod room;

use std::{io::Write, path::PathBuf, sync::Mutex};

use tracing::Dispatch;
use tracing_subscriber::layer::SubscriberExt as _;

use self::console::Sink;
pub use self::levels::{LevelError, Levels, Verbosity};
use crate::{clock::Clock, observe::metrics::LogLines};

/// Where log lines go.
#[derive(Clone, Debug)]
pub enum Target {
    /// Standard error.
    Stderr,
    /// A file that is rotated.
    File {
        /// Where.
        path: PathBuf,
        /// At how many megabytes a new one begins.
        max_size: u64,
        /// How many old ones are kept.
        max_retained: usize,
    },
}

/// A handle on the log. Cheap to clone.
#[derive(Clone)]
pub struct Log {
    levels: Levels,
    lines: LogLines,
}

impl Log {
    /// Makes the log that the whole program writes to. Called once.
    pub fn start(target: Target, verbosity: Verbosity) -> anyhow::Result<Self> {
        let log = Self { levels: Levels::new(verbosity), lines: LogLines::default() };
        let sink = match target {
            Target::Stderr => Sink::Stderr,
            Target::File { path, max_size, max_retained } => {
                Sink::File(Mutex::new(file::Rotated::open(path, max_size, max_retained)?))
            }
        };
        let layer = console::layer(log.clone(), Clock::system(), sink);
        tracing::subscriber::set_global_default(tracing_subscriber::registry().with(layer))?;
        Ok(log)
    }

    /// Makes the log of one of many control planes in a process, and what writes to it: the default dispatcher of the
    /// threads that run this control plane. Lines of other threads, as the writer of a file store, do not come here.
    pub fn of_threads(sink: impl Write + Send + 'static, verbosity: Verbosity) -> (Self, Dispatch) {
        let log = Self { levels: Levels::new(verbosity), lines: LogLines::default() };
        let layer = console::layer(log.clone(), Clock::system(), Sink::Given(Mutex::new(Box::new(sink))));
        (log, Dispatch::new(tracing_subscriber::registry().with(layer)))
    }

    /// Returns a log that nobody reads, for control planes inside tests.
    pub fn quiet() -> Self {
        Self { levels: Levels::new(Verbosity::Off), lines: LogLines::default() }
    }

    /// The levels, to change them while the program runs.
    pub fn levels(&self) -> &Levels {
        &self.levels
    }

    /// How many lines there were.
    pub fn lines(&self) -> &LogLines {
        &self.lines
    }
}

/// Writes one line about a start that failed before there was a log.
pub fn failed_start(reason: &str) {
    let mut fields = fields::Fields::default();
    fields.set_message(reason);
    let _broken_pipe =
        std::io::stderr().lock().write_all(console::line(&Clock::system(), "ERROR", "kuma-cp.run", &fields).as_bytes());
}
