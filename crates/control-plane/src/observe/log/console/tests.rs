//! What lines look like, and which are shown.

use std::sync::atomic::{AtomicUsize, Ordering};

use jiff::Timestamp;
use tracing_subscriber::layer::SubscriberExt as _;

use super::*;
use crate::observe::{
    log::{Levels, Verbosity},
    metrics::LogLines,
};

/// Runs something with a log in a file and returns its text.
fn logged(run: impl FnOnce(&Log)) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let log = Log { levels: Levels::new(Verbosity::Info), lines: LogLines::default() };
    let sink = Sink::File(Mutex::new(file::Rotated::open(path.clone(), 1, 1).unwrap()));
    let layer = layer(log.clone(), Clock::system(), sink);
    tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || run(&log));
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn a_level_works_both_ways_after_a_line_was_shown_or_not() {
    let say = |word: &str| tracing::info!(target: "test-levels", "{word}");
    let text = logged(|log| {
        log.levels.set("test-levels", "off").unwrap();
        say("hidden");
        log.levels.clear_all();
        say("shown");
        log.levels.set("test-levels", "off").unwrap();
        say("hidden");
    });
    assert_eq!((text.matches("shown").count(), text.matches("hidden").count()), (1, 0), "{text}");
}

#[test]
fn a_line_says_whose_zone_it_is_of_once() {
    let text = logged(|_| {
        let _stream = tracing::info_span!("stream", zone = %"east", method = "Up").entered();
        let _task = tracing::info_span!("task", name = "reader").entered();
        tracing::info!(kind = "Mesh", "without");
        tracing::info!(zone = "west", "with");
    });
    let ends: Vec<&str> = text.lines().filter_map(|line| line.rsplit('\t').next()).collect();
    assert_eq!(ends, [r#"{"zone": "east", "kind": "Mesh"}"#, r#"{"zone": "west"}"#]);
}

#[test]
fn what_lines_hide_others_may_see() {
    struct Counts<'a>(&'a AtomicUsize);
    impl<S: Subscriber> Layer<S> for Counts<'static> {
        fn on_event(&self, _event: &Event<'_>, _context: Context<'_, S>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    static SEEN: AtomicUsize = AtomicUsize::new(0);
    let log = Log { levels: Levels::new(Verbosity::Off), lines: LogLines::default() };
    let console = layer(log, Clock::system(), Sink::Stderr);
    let both = tracing_subscriber::registry().with(console).with(Counts(&SEEN));
    tracing::subscriber::with_default(both, || tracing::debug!(target: "test-others", "seen"));
    assert_eq!(SEEN.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_line_is_what_operators_know() {
    let clock = Clock::starting_at(Timestamp::from_second(1_614_173_438).unwrap());
    let mut fields = Fields::default();
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

#[tokio::test(start_paused = true)]
async fn a_zone_that_floods_the_log_hides_nothing_but_its_own_lines() {
    let text = logged(|_| {
        let east = tracing::info_span!("stream", zone = %"east");
        for _ in 0..1000 {
            let _task = east.enter();
            tracing::info_span!("task", name = "reader").in_scope(|| tracing::warn!(kind = "Mesh", "rejected"));
            tracing::info!(target: "kds-delta-client", zone = "east", "changed");
        }
        tracing::info_span!("stream", zone = %"west").in_scope(|| tracing::info!("of another"));
        let _east = east.enter();
        tracing::info!(parent: None, zone = "east", "of nobody's stream");
    });
    assert_eq!(text.lines().count(), 52, "{text}");
    assert!(text.contains("of another") && text.contains("of nobody's stream"), "{text}");
    assert!(!text.contains("left_out"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn the_next_line_of_a_zone_tells_how_many_were_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let log = Log { levels: Levels::new(Verbosity::Info), lines: LogLines::default() };
    let layer = layer(log, Clock::system(), Sink::File(Mutex::new(file::Rotated::open(path.clone(), 1, 1).unwrap())));
    let _here = tracing::subscriber::set_default(tracing_subscriber::registry().with(layer));
    let east = tracing::info_span!("stream", zone = %"east");
    for _ in 0..60 {
        east.in_scope(|| tracing::warn!("rejected"));
    }
    tokio::time::advance(std::time::Duration::from_secs(20)).await;
    east.in_scope(|| tracing::warn!("rejected"));
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.ends_with("\trejected\t{\"zone\": \"east\", \"left_out\": 10}\n"), "{text}");
}
