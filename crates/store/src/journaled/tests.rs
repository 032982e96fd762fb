//! A store over a journal that others write to: what a database of several control planes needs of [`Journal`], on the
//! smallest one there is.

use std::sync::{Mutex, MutexGuard, PoisonError};

use futures::{FutureExt as _, StreamExt as _};
use jiff::Timestamp;
use model::{Kind, Labels, Resource};

use super::*;
use crate::{
    Event, Precondition, Version, Write,
    conformance::Subject,
    journal::{Effort, Missed, WriteError, Writing},
};

/// A log of committed changes that any number of journals share.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Commits>>);

#[derive(Default)]
struct Commits {
    /// The changes of each commit, and the version of its last batch.
    commits: Vec<(Version, Vec<Event>)>,
    /// Nobody reaches it.
    away: bool,
    /// The answer to the next commit gets lost; whether the commit does, too.
    loses_once: Option<Lost>,
    /// Nobody reaches it from then on.
    goes_away_then: bool,
    /// The answer to the last commit got lost, and it is there.
    is_there: bool,
    /// What somebody else commits just before the next transaction starts.
    meanwhile: Option<(Version, Vec<Event>)>,
}

/// What gets lost on the way.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lost {
    Commit,
    Answer,
}

impl Log {
    fn lock(&self) -> MutexGuard<'_, Commits> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn store(&self) -> Journaled {
        let log = self.clone();
        let mut index = Index::default();
        if let Missed::Changes(changes, version) = self.lock().missed(Version(0)) {
            index.follow(&changes, version);
        }
        Journaled::start(LogJournal(log), index, Options::default()).unwrap()
    }
}

impl Commits {
    fn missed(&self, known: Version) -> Missed {
        let missed: Vec<_> = self.commits.iter().filter(|(version, _)| *version > known).collect();
        let Some((version, _)) = missed.last() else { return Missed::Nothing };
        let changes = missed.iter().flat_map(|(_, changes)| changes.clone()).collect();
        Missed::Changes(changes, *version)
    }

    fn reach(&self) -> Result<(), StoreError> {
        if self.away { Err(StoreError::Unavailable { detail: "the log is away".to_owned() }) } else { Ok(()) }
    }
}

struct LogJournal(Log);

/// Holds the lock of the log: nobody else writes.
struct LogWriting<'a> {
    log: MutexGuard<'a, Commits>,
    changes: Vec<Event>,
}

impl Journal for LogJournal {
    type Writing<'a> = LogWriting<'a>;

    const IS_ELSEWHERE: bool = true;

    fn begin(&mut self, known: Version) -> Result<(LogWriting<'_>, Missed), StoreError> {
        let mut log = self.0.lock();
        log.reach()?;
        let meanwhile = log.meanwhile.take();
        log.commits.extend(meanwhile);
        let missed = log.missed(known);
        Ok((LogWriting { log, changes: Vec::new() }, missed))
    }

    fn catch_up(&mut self, known: Version, _in_doubt: bool) -> Result<Missed, StoreError> {
        let log = self.0.lock();
        log.reach()?;
        Ok(log.missed(known))
    }

    fn refusal(&mut self) -> Option<String> {
        None
    }

    fn make_room(&mut self, _effort: Effort) -> bool {
        false
    }

    fn committed(&mut self, _index: &Index) {}

    fn rest(&mut self) {}

    fn is_there_after_all(&mut self) -> bool {
        self.0.lock().is_there
    }
}

impl Writing for LogWriting<'_> {
    fn write(&mut self, changes: &[Event]) -> Result<(), WriteError> {
        self.changes.extend_from_slice(changes);
        Ok(())
    }

    fn commit(mut self, version: Version) -> Result<(), StoreError> {
        let changes = std::mem::take(&mut self.changes);
        let lost = self.log.loses_once.take();
        if lost != Some(Lost::Commit) {
            self.log.commits.push((version, changes));
        }
        self.log.is_there = lost == Some(Lost::Answer);
        self.log.away |= std::mem::take(&mut self.log.goes_away_then);
        match lost {
            Some(_) => Err(StoreError::Unavailable { detail: "the connection was lost".to_owned() }),
            None => Ok(()),
        }
    }
}

mod alone {
    use super::*;

    conformance_tests!(Subject::open(Log::default().store()));
}

mod another_one_after_each_step {
    use super::*;

    fn subject() -> Subject {
        let log = Log::default();
        Subject::reopened(move || log.store())
    }

    conformance_tests!(subject());
}

fn zone(name: &str) -> Key {
    Key::global(Kind::ZONE, name)
}

fn resource(name: &str) -> Resource {
    Resource {
        key: zone(name),
        labels: Labels::new(),
        spec: "{}".into(),
        status: None,
        owner: None,
        created: Timestamp::UNIX_EPOCH,
        modified: Timestamp::UNIX_EPOCH,
    }
}

async fn put(store: &Journaled, name: &str) -> Result<Version, StoreError> {
    store.put(resource(name), Precondition::Absent).await
}

/// What a watch has ready, shortened.
fn told(watch: &mut Watch) -> Vec<String> {
    let mut told = Vec::new();
    while let Some(event) = watch.next().now_or_never() {
        told.push(match event.unwrap() {
            Event::Init => "init".to_owned(),
            Event::InitDone => "done".to_owned(),
            Event::InitApply(stored) => format!("={}", stored.resource.key.name),
            Event::Apply(stored) => format!("+{}", stored.resource.key.name),
            Event::Delete { key, .. } => format!("-{}", key.name),
        });
    }
    told
}

#[tokio::test]
async fn versions_and_conditions_hold_between_stores_on_one_journal() {
    let log = Log::default();
    let (here, there) = (log.store(), log.store());
    let mut versions = Vec::new();
    for (store, name) in [(&here, "a"), (&there, "b"), (&there, "c"), (&here, "d")] {
        versions.push(put(store, name).await.unwrap().0);
    }
    assert_eq!(versions, [1, 2, 3, 4], "each follows the last one of both");
    let refused = put(&here, "b").await;
    assert_eq!(refused, Err(StoreError::AlreadyExists { key: zone("b") }));
    let stored = here.get(&zone("c")).await.unwrap().unwrap();
    assert_eq!(stored.version, Version(3));
}

#[tokio::test]
async fn what_is_committed_just_before_a_transaction_counts_in_it() {
    let log = Log::default();
    let store = log.store();
    let mut watch = store.watch(Kinds::All);
    told(&mut watch);
    let meanwhile = |name: &str, version: Version| {
        let stored = Stored { resource: Arc::new(resource(name)), version };
        log.lock().meanwhile = Some((version, vec![Event::Apply(stored)]));
    };
    meanwhile("a", Version(1));
    assert_eq!(put(&store, "a").await, Err(StoreError::AlreadyExists { key: zone("a") }));
    meanwhile("b", Version(2));
    assert_eq!(put(&store, "c").await, Ok(Version(3)));
    assert_eq!(told(&mut watch), ["+a", "+b", "+c"]);
}

#[tokio::test]
async fn what_others_wrote_is_told_event_by_event_when_the_store_is_settled() {
    let log = Log::default();
    let (here, there) = (log.store(), log.store());
    let mut watch = here.watch(Kinds::All);
    assert_eq!(told(&mut watch), ["init", "done"]);
    put(&there, "a").await.unwrap();
    put(&there, "b").await.unwrap();
    there.apply(Batch::of(vec![Write::Delete { key: zone("a"), expect: Precondition::Present }])).await.unwrap();
    assert_eq!(told(&mut watch), [""; 0]);
    here.settled().await.unwrap();
    assert_eq!(told(&mut watch), ["+a", "+b", "-a"]);
    here.settled().await.unwrap();
    assert_eq!(told(&mut watch), [""; 0], "once");
    put(&there, "c").await.unwrap();
    put(&here, "d").await.unwrap();
    assert_eq!(told(&mut watch), ["+c", "+d"], "or with a write, in the order of the journal");
}

#[tokio::test]
async fn a_write_whose_answer_got_lost_is_answered_as_what_it_is() {
    let log = Log::default();
    let store = log.store();
    let mut watch = store.watch(Kinds::All);
    told(&mut watch);
    log.lock().loses_once = Some(Lost::Answer);
    assert_eq!(put(&store, "a").await, Ok(Version(1)));
    assert_eq!(told(&mut watch), ["+a"]);
    log.lock().loses_once = Some(Lost::Commit);
    assert!(matches!(put(&store, "b").await, Err(StoreError::Unavailable { .. })));
    assert_eq!(told(&mut watch), [""; 0]);
    assert_eq!(put(&store, "b").await, Ok(Version(2)), "nothing is in the way of the next try");
}

#[tokio::test]
async fn a_write_that_nobody_can_find_out_about_is_not_said_to_have_failed() {
    let log = Log::default();
    let store = log.store();
    let mut watch = store.watch(Kinds::All);
    told(&mut watch);
    {
        let mut log = log.lock();
        log.loses_once = Some(Lost::Answer);
        log.goes_away_then = true;
    }
    let both = futures::join!(put(&store, "ghost"), put(&store, "other"));
    assert!(matches!(both, (Err(StoreError::Unknown { .. }), Err(StoreError::Unknown { .. }))), "{both:?}");
    assert!(matches!(put(&store, "z").await, Err(StoreError::Unavailable { .. })), "this one was never begun");
    assert!(store.settled().await.is_err(), "nobody can say that all is settled");
    assert!(store.get(&zone("ghost")).await.unwrap().is_none(), "reads work on");
    log.lock().away = false;
    assert_eq!(put(&store, "z").await.unwrap(), Version(3));
    assert_eq!(told(&mut watch), ["+ghost", "+other", "+z"], "it was there after all, and once");
}
