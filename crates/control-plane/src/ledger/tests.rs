//! What is in the ledger, whoever wrote it, and what is written of it when.

use std::time::Duration;

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use model::{Key, Labels, Resource};
use store::testing::{Database, Instance};
use tokens::Algorithm;

use super::*;
use crate::cluster::Cluster;

const START: &str = "2026-11-01T00:00:00Z";

fn start() -> Timestamp {
    START.parse().unwrap()
}

struct Desk {
    ledger: Ledger,
    store: Instance,
    _tasks: tokio_util::sync::DropGuard,
}

async fn desk(database: &Database) -> Desk {
    let store = database.instance();
    let shared: Arc<dyn ResourceStore> = Arc::new(store.clone());
    let tasks = Tasks::new();
    let clock = Clock::starting_at(start());
    let ledger = Ledger::start(&shared, &clock, &tasks).await.unwrap();
    tasks.spawn("pruning", OnError::StopProgram, ledger.clone().prune(Cluster::alone("cp"), clock, tasks.clone()));
    Desk { ledger, store, _tasks: tasks.stop_on_drop() }
}

fn key(serial: u64) -> KeyId {
    KeyId { family: Family::ControlPlane, serial }
}

fn entry(id: &str, serial: u64, zone: &str) -> Entry {
    Entry {
        id: id.to_owned(),
        key: key(serial),
        algorithm: Algorithm::Hs256,
        zone: Some(zone.to_owned()),
        name: None,
        scope: None,
        issued_at: start(),
        iat: None,
        expires_at: None,
        by: "john".to_owned(),
        how: How::Command,
        first_seen: None,
    }
}

fn ids(known: &[Known]) -> Vec<&str> {
    known.iter().map(|known| known.entry.id.as_str()).collect()
}

/// Waits until something is so; time passes by itself while it is paused.
async fn until(mut so: impl FnMut() -> bool) {
    let waited = tokio::time::timeout(Duration::from_secs(30), async {
        while !so() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    waited.await.expect("it comes to be so");
}

#[tokio::test(start_paused = true)]
async fn an_entry_is_known_by_id_key_and_zone_when_it_is_written() {
    let Desk { ledger, store, _tasks } = desk(&Database::new()).await;
    for entry in [entry("a", 1, "west"), entry("b", 2, "west"), entry("c", 2, "east")] {
        assert_eq!(ledger.record(entry).await, Ok(Recorded::New));
    }
    assert_eq!(ids(&ledger.of_key(&key(2))), ["b", "c"]);
    assert_eq!(ids(&ledger.of_zone("west")), ["a", "b"]);
    assert_eq!(*ledger.get(&Family::ControlPlane, "a").unwrap().entry, entry("a", 1, "west"));
    assert!(ledger.get(&Family::Zone, "a").is_none(), "of another family");
    assert_eq!(records::all::<Entry>(&store).await.unwrap().len(), 3);
    ledger.strike(&entry("b", 2, "west")).await.unwrap();
    assert_eq!((ids(&ledger.all()), ids(&ledger.of_zone("west"))), (vec!["a", "c"], vec!["a"]));
    assert_eq!(ids(&ledger.of_key(&key(2))), ["c"]);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_the_same_each_time_keeps_its_first_entry() {
    let Desk { ledger, _tasks, .. } = desk(&Database::new()).await;
    ledger.record(entry("sha256:1", 1, "west")).await.unwrap();
    let again = Entry {
        issued_at: start() + SignedDuration::from_hours(1),
        by: "jane".to_owned(),
        ..entry("sha256:1", 1, "west")
    };
    assert_eq!(ledger.record(again).await, Ok(Recorded::Before));
    assert_eq!(*ledger.get(&Family::ControlPlane, "sha256:1").unwrap().entry, entry("sha256:1", 1, "west"));
}

#[tokio::test(start_paused = true)]
async fn what_the_store_refuses_is_not_in_the_ledger() {
    let Desk { ledger, store, _tasks } = desk(&Database::new()).await;
    store.refuse_writes("disk full");
    assert!(matches!(ledger.record(entry("a", 1, "west")).await, Err(NotRecorded::Store(_))));
    assert!(ledger.all().is_empty());
}

#[tokio::test(start_paused = true)]
async fn entries_of_before_and_of_others_are_known() {
    let database = Database::new();
    let other = desk(&database).await;
    other.ledger.record(entry("a", 1, "west")).await.unwrap();
    let Desk { ledger, _tasks, .. } = desk(&database).await;
    assert_eq!(ids(&ledger.all()), ["a"], "from the start");
    other.ledger.record(entry("b", 1, "west")).await.unwrap();
    until(|| ids(&ledger.of_zone("west")) == ["a", "b"]).await;
    other.ledger.strike(&entry("a", 1, "west")).await.unwrap();
    until(|| ids(&ledger.of_key(&key(1))) == ["b"]).await;
}

#[tokio::test(start_paused = true)]
async fn that_a_token_was_seen_is_known_at_once_and_written_once() {
    let database = Database::new();
    let Desk { ledger, store, _tasks } = desk(&database).await;
    ledger.record(entry("a", 1, "west")).await.unwrap();
    let seen = || ledger.get(&Family::ControlPlane, "a").unwrap();
    assert!(!seen().seen);
    ledger.seen(&Family::Zone, "a");
    ledger.seen(&Family::ControlPlane, "unknown");
    assert!(!seen().seen, "another one was");
    store.refuse_writes("disk full");
    ledger.seen(&Family::ControlPlane, "a");
    assert!(seen().seen && seen().entry.first_seen.is_none());
    // It is tried, and not again before it is seen again.
    until(|| ledger.read().see(&Family::ControlPlane, "a")).await;
    ledger.read().not_written(&Family::ControlPlane, "a");
    store.take_writes();
    ledger.seen(&Family::ControlPlane, "a");
    until(|| seen().entry.first_seen.is_some()).await;
    let written = records::get::<Entry>(&store, "control-plane-token.a").await.unwrap().unwrap();
    assert!(written.record.first_seen.is_some());
    assert!(!ledger.read().see(&Family::ControlPlane, "a"), "once");
    // Another control plane, or this one after a restart, knows it.
    assert!(desk(&database).await.ledger.get(&Family::ControlPlane, "a").unwrap().seen);
}

#[tokio::test(start_paused = true)]
async fn an_entry_that_cannot_be_read_is_told_and_is_no_missing_one() {
    let database = Database::new();
    let Desk { ledger, store, _tasks } = desk(&database).await;
    ledger.record(entry("a", 1, "west")).await.unwrap();
    let damage = |name: &str| Resource {
        key: Key::global(Kind::RECORD, name),
        labels: Labels::new(),
        spec: Bytes::from_static(b"{"),
        status: None,
        owner: None,
        created: start(),
        modified: start(),
    };
    for name in ["token.zone-token.x", "tokens-of-another-sort.x"] {
        store.put(damage(name), Precondition::Absent).await.unwrap();
    }
    until(|| !ledger.unreadable().is_empty()).await;
    assert_eq!(ledger.unreadable(), ["token.zone-token.x"]);
    assert_eq!(ids(&ledger.all()), ["a"]);
    assert_eq!(desk(&database).await.ledger.unreadable(), ["token.zone-token.x"]);
    store.delete(&damage("token.zone-token.x").key, Precondition::Present).await.unwrap();
    until(|| ledger.unreadable().is_empty()).await;
}

#[tokio::test(start_paused = true)]
async fn entries_of_tokens_that_ended_go_after_30_days() {
    let Desk { ledger, store, _tasks } = desk(&Database::new()).await;
    let ends = Entry { expires_at: Some(start() + SignedDuration::from_hours(1)), ..entry("ends", 1, "west") };
    ledger.record(ends).await.unwrap();
    ledger.record(entry("stays", 1, "west")).await.unwrap();
    tokio::time::advance(Duration::from_secs(29 * 24 * 3600)).await;
    tokio::time::sleep(Duration::from_secs(2 * 3600)).await;
    assert_eq!(records::all::<Entry>(&store).await.unwrap().len(), 2);
    tokio::time::sleep(Duration::from_secs(24 * 3600)).await;
    until(|| ids(&ledger.all()) == ["stays"]).await;
    assert_eq!(records::all::<Entry>(&store).await.unwrap().len(), 1);
}
