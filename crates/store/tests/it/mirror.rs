//! What a mirror shows and tells while its store falls behind, loses its watches and comes back.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use ::model::{Key, Kind};
use futures::FutureExt as _;
use proptest::{collection, prelude::*, sample, test_runner::TestCaseError};
use store::{
    Applied, Batch, Change, Event, Freshness, Kinds, Mirror, Page, Precondition, Query, ResourceStore, StoreError,
    Stored, Version, Watch, WatchEnded,
    conformance::Picture,
    testing::{Database, Instance},
};
use tokio::sync::{mpsc, watch};

use crate::shapes::{saying, zone};

/// What somebody knows who hears nothing but changes. Panics on a change that does not fit what was told before.
#[derive(Default)]
pub(crate) struct Follower {
    known: BTreeMap<Key, Stored>,
}

impl Follower {
    /// Takes over what the mirror tells by now; returns whether it told something.
    pub(crate) fn follow(&mut self, mirror: &mut Mirror) -> bool {
        let Some(changes) = mirror.changes().now_or_never() else { return false };
        for change in changes.unwrap() {
            let before = self.known.remove(change.key());
            match change {
                Change::Set { was, now } => {
                    assert_eq!(was, before);
                    assert_ne!(was.as_ref(), Some(&now), "nothing changed");
                    self.known.insert(now.resource.key.clone(), now);
                }
                Change::Gone { was } => assert_eq!(Some(was), before),
            }
        }
        true
    }

    /// Checks that the changes make the picture.
    pub(crate) fn check(&self, mirror: &Mirror) -> Result<(), TestCaseError> {
        let shown: Vec<&Stored> = mirror.picture().stored().collect();
        prop_assert_eq!(shown, self.known.values().collect::<Vec<_>>());
        Ok(())
    }
}

/// What a mirror of zones tells now, shortened: `+name`, `=name`, `-name`; nothing at all is `None`.
fn told(mirror: &mut Mirror) -> Option<Vec<String>> {
    let short = |change: &Change| {
        let sign = match change {
            Change::Set { was: None, .. } => '+',
            Change::Set { was: Some(_), .. } => '=',
            Change::Gone { .. } => '-',
        };
        format!("{sign}{}", change.key().name)
    };
    let changes = mirror.changes().now_or_never()?.unwrap();
    Some(changes.iter().map(short).collect())
}

fn some(names: &[&str]) -> Option<Vec<String>> {
    Some(names.iter().map(|name| (*name).to_owned()).collect())
}

async fn put(store: &Instance, name: &str) {
    store.put(saying(&zone(name), "{}"), Precondition::Any).await.unwrap();
}

async fn delete(store: &Instance, name: &str) {
    store.delete(&zone(name), Precondition::Present).await.unwrap();
}

fn zones() -> Kinds {
    Kinds::Only(vec![Kind::ZONE])
}

#[tokio::test]
async fn the_first_picture_is_told_even_if_it_is_empty() {
    let mut mirror = Mirror::of(&Database::new().instance(), zones());
    assert!(!mirror.picture().is_whole());
    assert_eq!(told(&mut mirror), some(&[]));
    assert!(mirror.picture().is_whole());
    assert_eq!(mirror.freshness(), Freshness::Fresh);
}

#[tokio::test(start_paused = true)]
async fn a_mirror_of_a_store_that_is_behind_keeps_what_it_knows_and_says_since_when() {
    let database = Database::new();
    let (here, there) = (database.instance(), database.instance());
    put(&there, "kept").await;
    put(&there, "gone").await;
    let mut mirror = Mirror::of(&here, zones());
    assert_eq!(told(&mut mirror), some(&["+gone", "+kept"]));
    let since = tokio::time::Instant::now();
    here.fall_behind();
    assert_eq!(told(&mut mirror), some(&[]), "that it is behind is told at once");
    tokio::time::advance(Duration::from_secs(60)).await;
    here.fall_behind();
    delete(&there, "gone").await;
    put(&there, "new").await;
    assert_eq!(told(&mut mirror), None);
    assert_eq!(mirror.freshness(), Freshness::Behind { since });
    assert_eq!(mirror.picture().stored().count(), 2, "nothing is gone because nobody can be asked");
    assert_eq!(here.list(&Query::all(Kind::ZONE)).await.unwrap().total, 2);
    here.catch_up();
    assert_eq!(told(&mut mirror), some(&["-gone", "+new"]), "with the news that it is fresh");
    assert_eq!(mirror.freshness(), Freshness::Fresh);
    assert_eq!(told(&mut mirror), None);
}

#[tokio::test]
async fn a_mirror_tells_what_it_heard_before_the_end_of_its_watch_and_then_the_end() {
    let store = Database::new().instance();
    let mut mirror = Mirror::of(&store, zones());
    assert_eq!(told(&mut mirror), some(&[]));
    put(&store, "last").await;
    store.end_watches();
    put(&store, "unheard").await;
    assert_eq!(told(&mut mirror), some(&["+last"]));
    for _ in 0..2 {
        assert_eq!(mirror.changes().await, Err(WatchEnded));
    }
    let mut next = Mirror::of(&store, zones());
    assert_eq!(told(&mut next), some(&["+last", "+unheard"]));
}

/// A store that tells what a test says, and holds nothing.
struct Scripted {
    events: Mutex<Option<mpsc::UnboundedReceiver<Event>>>,
    freshness: watch::Sender<Freshness>,
}

/// Returns a store, and where its one watch comes from.
fn scripted() -> (Scripted, mpsc::UnboundedSender<Event>) {
    let (sender, events) = mpsc::unbounded_channel();
    (Scripted { events: Mutex::new(Some(events)), freshness: watch::Sender::new(Freshness::Fresh) }, sender)
}

#[async_trait::async_trait]
impl ResourceStore for Scripted {
    async fn get(&self, _key: &Key) -> Result<Option<Stored>, StoreError> {
        Ok(None)
    }

    async fn list(&self, _query: &Query) -> Result<Page, StoreError> {
        Ok(Page { items: Vec::new(), total: 0 })
    }

    async fn apply(&self, _batch: Batch) -> Result<Applied, StoreError> {
        Err(StoreError::Unavailable { detail: "nothing is written here".to_owned() })
    }

    fn watch(&self, _kinds: Kinds) -> Watch {
        let mut events = self.events.lock().unwrap().take().unwrap();
        Box::pin(futures::stream::poll_fn(move |context| events.poll_recv(context)))
    }

    fn freshness(&self) -> watch::Receiver<Freshness> {
        self.freshness.subscribe()
    }

    async fn settled(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

fn in_picture(name: &str) -> Event {
    Event::InitApply(Stored { resource: Arc::new(saying(&zone(name), "{}")), version: Version(1) })
}

#[tokio::test]
async fn a_watch_that_ends_before_its_first_picture_leaves_no_empty_one() {
    let (store, events) = scripted();
    for event in [Event::Init, in_picture("there")] {
        events.send(event).unwrap();
    }
    drop(events);
    let mut mirror = Mirror::of(&store, zones());
    assert_eq!(mirror.changes().await, Err(WatchEnded));
    assert!(!mirror.picture().is_whole());
    assert_eq!(mirror.picture().stored().count(), 0);
}

#[tokio::test]
async fn a_picture_that_is_told_by_half_is_not_fresh() {
    let (store, events) = scripted();
    let mut mirror = Mirror::of(&store, zones());
    assert_eq!(told(&mut mirror), None);
    for event in [Event::Init, in_picture("old"), Event::InitDone] {
        events.send(event).unwrap();
    }
    assert_eq!(told(&mut mirror), some(&["+old"]));
    let behind = Freshness::Behind { since: tokio::time::Instant::now() };
    store.freshness.send_replace(behind);
    assert_eq!(told(&mut mirror), some(&[]));
    // The store is there again, and only on its way to tell it.
    store.freshness.send_replace(Freshness::Fresh);
    for event in [Event::Init, in_picture("new")] {
        events.send(event).unwrap();
    }
    assert_eq!(told(&mut mirror), None);
    assert_eq!(mirror.freshness(), behind);
    // It is lost once more, and that is told whatever else is on its way.
    let again = Freshness::Behind { since: tokio::time::Instant::now() };
    store.freshness.send_replace(again);
    assert_eq!(told(&mut mirror), some(&[]));
    assert_eq!(mirror.freshness(), again);
    store.freshness.send_replace(Freshness::Fresh);
    assert_eq!(told(&mut mirror), None);
    events.send(Event::InitDone).unwrap();
    assert_eq!(told(&mut mirror), some(&["-old", "+new"]));
    assert_eq!(mirror.freshness(), Freshness::Fresh);
}

#[tokio::test]
async fn a_store_that_is_gone_is_no_news_until_its_watch_ends() {
    let (store, events) = scripted();
    let mut mirror = Mirror::of(&store, zones());
    drop(store);
    for event in [Event::Init, Event::InitDone] {
        events.send(event).unwrap();
    }
    assert_eq!(told(&mut mirror), some(&[]));
    assert_eq!(told(&mut mirror), None);
    drop(events);
    assert_eq!(mirror.changes().await, Err(WatchEnded));
}

#[tokio::test]
async fn what_cannot_be_written_is_written_nowhere() {
    let database = Database::new();
    let (here, there) = (database.instance(), database.instance());
    here.refuse_writes("no connection");
    let refused = here.put(saying(&zone("z"), "{}"), Precondition::Any).await.unwrap_err();
    assert!(refused.is_retryable(), "{refused}");
    assert_eq!(there.list(&Query::all(Kind::ZONE)).await.unwrap().total, 0);
    here.take_writes();
    put(&here, "z").await;
    assert_eq!(there.list(&Query::all(Kind::ZONE)).await.unwrap().total, 1);
}

/// What happens to two stores on one database.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// One of them writes or deletes a zone.
    Write {
        there: bool,
        name: usize,
        delete: bool,
    },
    /// The mirror reads.
    Read,
    FallBehind,
    CatchUp,
    /// The watches end; the reader starts anew.
    EndWatches,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let write = (any::<bool>(), 0..4_usize, any::<bool>());
    let write = write.prop_map(|(there, name, delete)| Step::Write { there, name, delete });
    let other = sample::select(vec![Step::Read, Step::Read, Step::FallBehind, Step::CatchUp, Step::EndWatches]);
    collection::vec(prop_oneof![write, other], 1..60)
}

async fn check(steps: Vec<Step>) -> Result<(), TestCaseError> {
    let database = Database::new();
    let (here, there) = (database.instance(), database.instance());
    let (mut mirror, mut follower) = (Mirror::of(&here, Kinds::All), Follower::default());
    let mut oracle = (there.watch(Kinds::All), Picture::default());
    // what the store here showed last while it was fresh
    let mut shown = Vec::new();
    let mut fresh = true;
    for step in steps.into_iter().chain([Step::CatchUp, Step::Read]) {
        match step {
            Step::Write { there: true, name, delete: false } => put(&there, &name.to_string()).await,
            Step::Write { there: false, name, delete: false } => put(&here, &name.to_string()).await,
            Step::Write { there: by, name, delete: true } => {
                let by = if by { &there } else { &here };
                by.delete(&zone(&name.to_string()), Precondition::Any).await.unwrap();
            }
            Step::FallBehind => {
                here.fall_behind();
                fresh = false;
            }
            Step::CatchUp => {
                here.catch_up();
                fresh = true;
            }
            Step::EndWatches => {
                follower.follow(&mut mirror);
                here.end_watches();
                (mirror, follower) = (Mirror::of(&here, Kinds::All), Follower::default());
            }
            Step::Read => {
                follower.follow(&mut mirror);
                follower.check(&mirror)?;
                prop_assert_eq!(mirror.freshness() == Freshness::Fresh, fresh);
                let picture: Vec<Stored> = mirror.picture().stored().cloned().collect();
                prop_assert_eq!(&picture, &shown);
            }
        }
        oracle.1.catch_up(&mut oracle.0);
        if fresh {
            shown = oracle.1.known();
        }
        prop_assert_eq!(&here.list(&Query::all(Kind::ZONE)).await.unwrap().items, &shown);
    }
    prop_assert_eq!(&shown, &there.list(&Query::all(Kind::ZONE)).await.unwrap().items);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_mirror_shows_the_truth_when_its_store_is_fresh_and_what_it_was_otherwise(steps in steps()) {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(check(steps))?;
    }
}
