//! The console log (contract: rest-and-cli 5.4): one line an event, tab-separated.
//!
//! ```text
//! 2021-02-24T14:30:38.596+0100<tab>INFO<tab>kds.auth<tab>message<tab>{"key": "value", "n": 1}
//! ```

mod fields;
mod file;
mod levels;

use std::{
    borrow::Cow,
    io::Write as _,
    path::PathBuf,
    sync::{Mutex, PoisonError},
};

use jiff::tz::TimeZone;
use tracing::{Event, Level, Metadata, Subscriber, subscriber::Interest};
use tracing_subscriber::{Layer, layer::Context, layer::SubscriberExt as _};

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
        let layer = Console { log: log.clone(), clock: Clock::system(), sink };
        tracing::subscriber::set_global_default(tracing_subscriber::registry().with(layer))?;
        Ok(log)
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

enum Sink {
    Stderr,
    File(Mutex<file::Rotated>),
}

struct Console {
    log: Log,
    clock: Clock,
    sink: Sink,
}

impl<S: Subscriber> Layer<S> for Console {
    /// What is shown is decided for each event: levels change while the program runs, and the first answer for a place in
    /// the code must not be kept. Lines of other crates are never shown.
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if logger(metadata.target()).is_some() { Interest::sometimes() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>, _context: Context<'_, S>) -> bool {
        self.log.levels.shows(metadata.target(), *metadata.level())
    }

    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let metadata = event.metadata();
        let Some(logger) = logger(metadata.target()) else { return };
        let mut fields = fields::Fields::default();
        event.record(&mut fields);
        let level = level_name(*metadata.level());
        self.log.lines.count(&logger, level);
        let line = line(&self.clock, level, &logger, &fields);
        // A reader that went away must not end the program.
        match &self.sink {
            Sink::Stderr => {
                let _broken_pipe = std::io::stderr().lock().write_all(line.as_bytes());
            }
            Sink::File(file) => file.lock().unwrap_or_else(PoisonError::into_inner).write(&line),
        }
    }
}

/// The dotted name of a logger; nothing for other crates, which do not tell what this program does.
fn logger(target: &str) -> Option<Cow<'_, str>> {
    match target.strip_prefix(concat!(env!("CARGO_CRATE_NAME"), "::")) {
        Some(module) => Some(Cow::Owned(module.replace("::", "."))),
        None if target.contains("::") || FOREIGN.contains(&target) => None,
        None => Some(Cow::Borrowed(target)),
    }
}

/// Crates that log under their bare name.
const FOREIGN: &[&str] = &["h2", "hyper", "hyper_util", "rustls", "tower", "tonic", "notify", "mio"];

fn level_name(level: Level) -> &'static str {
    match level {
        Level::ERROR => "ERROR",
        Level::WARN => "WARN",
        Level::INFO => "INFO",
        _ => "DEBUG",
    }
}

fn line(clock: &Clock, level: &str, target: &str, fields: &fields::Fields) -> String {
    let now = clock.now().to_zoned_datetime(TimeZone::system());
    let zone = if now.offset().is_zero() { "Z".to_owned() } else { now.strftime("%z").to_string() };
    let time = now.strftime("%Y-%m-%dT%H:%M:%S%.3f");
    let mut line = format!("{time}{zone}\t{level}\t{target}\t{}", fields.message());
    if let Some(object) = fields.object() {
        line.push('\t');
        line.push_str(&object);
    }
    line.push('\n');
    line
}

/// Writes one line about a start that failed before there was a log.
pub fn failed_start(reason: &str) {
    let mut fields = fields::Fields::default();
    fields.set_message(reason);
    let _broken_pipe =
        std::io::stderr().lock().write_all(line(&Clock::system(), "ERROR", "kuma-cp.run", &fields).as_bytes());
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    #[test]
    fn a_level_works_both_ways_after_a_line_was_shown_or_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let log = Log { levels: Levels::new(Verbosity::Info), lines: LogLines::default() };
        let sink = Sink::File(Mutex::new(file::Rotated::open(path.clone(), 1, 1).unwrap()));
        let layer = Console { log: log.clone(), clock: Clock::system(), sink };
        let say = |word: &str| tracing::info!(target: "test-levels", "{word}");
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            log.levels.set("test-levels", "off").unwrap();
            say("hidden");
            log.levels.clear_all();
            say("shown");
            log.levels.set("test-levels", "off").unwrap();
            say("hidden");
        });
        let text = std::fs::read_to_string(path).unwrap();
        assert_eq!((text.matches("shown").count(), text.matches("hidden").count()), (1, 0), "{text}");
    }

    #[tokio::test]
    async fn a_line_is_what_operators_know() {
        let clock = Clock::starting_at(Timestamp::from_second(1_614_173_438).unwrap());
        let mut fields = fields::Fields::default();
        fields.set_message("Remote CP successfully authenticated using Control Plane Token");
        fields.set("tokenSerialNumber", "1");
        fields.set("zone", "\"cluster-2\"");
        let line = line(&clock, "INFO", "kds.auth", &fields);
        let parts: Vec<_> = line.trim_end().split('\t').collect();
        assert_eq!(
            parts[1..],
            [
                "INFO",
                "kds.auth",
                "Remote CP successfully authenticated using Control Plane Token",
                r#"{"tokenSerialNumber": 1, "zone": "cluster-2"}"#
            ]
        );
        assert!(parts[0].starts_with("2021-02-24T"), "{}", parts[0]);
        assert_eq!(parts[0].split_once('.').map(|(_, rest)| rest.len() >= 4), Some(true), "milliseconds: {}", parts[0]);
    }
}
