//! Random batches: every backend does what the model does, and every watcher ends with the truth, also when it lags.

use std::{num::NonZeroUsize, sync::Arc};

use ::model::{Key, Kind, Resource};
use proptest::{collection, option, prelude::*, sample, test_runner::TestCaseError};
use store::{
    Batch, Kinds, Mirror, Options, Precondition, Query, ResourceStore, StoreError, Version, Watch, Write,
    conformance::Picture, memory::MemoryStore, sqlite::SqliteStore,
};
use tempfile::TempDir;

use crate::{mirror::Follower, model::Model, postgres, shapes};

/// So short that watchers lag.
const OPTIONS: Options = Options { watch_queue: NonZeroUsize::new(6).unwrap(), missing: store::Missing::Create };

/// What happens to a store.
#[derive(Clone, Debug)]
enum Step {
    /// Batches that are asked for at the same time.
    Apply(Vec<Vec<Draft>>),
    /// The watcher reads up to so many events.
    Read(usize),
    /// The store is closed and opened; a store in memory is not.
    Reopen,
}

/// A write whose version condition is chosen when it happens.
#[derive(Clone, Debug)]
struct Draft {
    key: Key,
    /// A put with this spec and owner, or a delete.
    put: Option<(u8, Option<Key>)>,
    expect: Expect,
}

#[derive(Clone, Copy, Debug)]
enum Expect {
    Plain(Precondition),
    /// The present version plus so much.
    Version(u64),
}

fn keys() -> impl Strategy<Value = Key> {
    let mesh = sample::select(vec!["a", "b"]).prop_map(|name| Key::global(Kind::MESH, name));
    let zone = sample::select(vec!["a", "b", "c"]).prop_map(shapes::zone);
    let member = (
        sample::select(vec!["MeshTimeout", "Secret"]),
        sample::select(vec!["a", "b", "c"]),
        sample::select(vec!["x", "y"]),
    )
        .prop_map(|(kind, mesh, name)| Key::in_mesh(Kind::by_name(kind).unwrap(), mesh, name));
    prop_oneof![mesh, zone, member]
}

fn drafts() -> impl Strategy<Value = Draft> {
    let expect = prop_oneof![
        6 => Just(Expect::Plain(Precondition::Any)),
        1 => Just(Expect::Plain(Precondition::Absent)),
        1 => Just(Expect::Plain(Precondition::Present)),
        2 => sample::select(vec![0, 0, 1]).prop_map(Expect::Version),
    ];
    let put = prop_oneof![3 => (any::<u8>(), option::weighted(0.4, keys())).prop_map(Some), 1 => Just(None)];
    (keys(), put, expect).prop_map(|(key, put, expect)| Draft { key, put, expect })
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let batches = collection::vec(collection::vec(drafts(), 0..5), 1..4);
    let step = prop_oneof![6 => batches.prop_map(Step::Apply), 3 => (0..12_usize).prop_map(Step::Read), 1 => Just(Step::Reopen)];
    collection::vec(step, 1..30)
}

fn finish(draft: &Draft, model: &Model) -> Write {
    let key = &draft.key;
    let expect = match draft.expect {
        Expect::Plain(expect) => expect,
        Expect::Version(ahead) => {
            Precondition::Version(Version(model.rows.get(key).map_or(1, |(_, version)| version.0) + ahead))
        }
    };
    match &draft.put {
        Some((spec, owner)) => {
            Write::Put { resource: Resource { owner: owner.clone(), ..shapes::saying(key, [*spec]) }, expect }
        }
        None => Write::Delete { key: key.clone(), expect },
    }
}

/// A watcher and what it knows, and a mirror of the same.
struct Reader {
    kinds: Kinds,
    watch: Watch,
    picture: Picture,
    mirror: Mirror,
    follower: Follower,
}

impl Reader {
    fn all(store: &dyn ResourceStore) -> Vec<Self> {
        let kinds = [Kinds::All, Kinds::Only(vec![Kind::SECRET, Kind::MESH])];
        let reader = |kinds: Kinds| Self {
            watch: store.watch(kinds.clone()),
            mirror: Mirror::of(store, kinds.clone()),
            kinds,
            picture: Picture::default(),
            follower: Follower::default(),
        };
        kinds.map(reader).into()
    }

    fn check(&mut self, model: &Model) -> Result<(), TestCaseError> {
        self.picture.catch_up(&mut self.watch);
        let known: Vec<_> = self
            .picture
            .known()
            .into_iter()
            .map(|stored| (Resource::clone(&stored.resource), stored.version))
            .collect();
        let expected: Vec<_> =
            model.rows.values().filter(|(row, _)| self.kinds.contains(row.key.kind)).cloned().collect();
        prop_assert_eq!(&known, &expected);
        self.follower.follow(&mut self.mirror);
        self.follower.check(&self.mirror)?;
        let shown: Vec<_> = self.mirror.picture().stored().cloned().collect();
        prop_assert_eq!(shown, self.picture.known());
        Ok(())
    }
}

async fn check_rows(store: &dyn ResourceStore, model: &Model) -> Result<(), TestCaseError> {
    let mut found = Vec::new();
    for name in ["Mesh", "MeshTimeout", "Secret", "Zone"] {
        let page = store.list(&Query::all(Kind::by_name(name).unwrap())).await.unwrap();
        found.extend(page.items.into_iter().map(|stored| (Resource::clone(&stored.resource), stored.version)));
    }
    prop_assert_eq!(found, model.rows.values().cloned().collect::<Vec<_>>());
    Ok(())
}

async fn check(
    steps: Vec<Step>,
    open: impl Fn(Option<Arc<dyn ResourceStore>>) -> Arc<dyn ResourceStore>,
) -> Result<(), TestCaseError> {
    let mut store = open(None);
    let mut model = Model::default();
    let mut readers = Reader::all(&*store);
    for step in steps {
        match step {
            Step::Apply(batches) => {
                let batches: Vec<_> = batches
                    .iter()
                    .map(|drafts| Batch::of(drafts.iter().map(|draft| finish(draft, &model)).collect()))
                    .collect();
                // asked for in this order, so done in this order
                let expected: Vec<Result<_, StoreError>> = batches.iter().map(|batch| model.apply(batch)).collect();
                let results = futures::future::join_all(batches.into_iter().map(|batch| store.apply(batch))).await;
                prop_assert_eq!(results, expected);
                check_rows(&*store, &model).await?;
            }
            Step::Read(count) => {
                for reader in &mut readers {
                    for _ in 0..count {
                        reader.picture.take_ready(&mut reader.watch);
                    }
                    // all or nothing: a mirror takes what is ready
                    if count % 2 == 0 {
                        reader.follower.follow(&mut reader.mirror);
                    }
                }
            }
            Step::Reopen => {
                for reader in &mut readers {
                    reader.check(&model)?;
                }
                store = open(Some(store));
                check_rows(&*store, &model).await?;
                readers = Reader::all(&*store);
            }
        }
    }
    for reader in &mut readers {
        reader.check(&model)?;
    }
    Ok(())
}

fn run(check: impl Future<Output = Result<(), TestCaseError>>) -> Result<(), TestCaseError> {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(check)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn memory_does_what_the_model_does(steps in steps()) {
        run(check(steps, |store| store.unwrap_or_else(|| Arc::new(MemoryStore::with_options(OPTIONS)))))?;
    }
}

proptest! {
    // each case waits for the disk
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn sqlite_does_what_the_model_does(steps in steps()) {
        let folder = TempDir::new().unwrap();
        run(check(steps, |store| {
            drop(store);
            Arc::new(SqliteStore::open_with(&folder.path().join("store.db"), OPTIONS).unwrap())
        }))?;
    }
}

proptest! {
    // each case has a database of its own
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn postgres_does_what_the_model_does(steps in steps()) {
        let Some(database) = testkit::postgres::database() else { return Ok(()) };
        run(check(steps, |store| {
            drop(store);
            let settings = postgres::settings(database.place());
            Arc::new(postgres::open(store::postgres::Settings { options: OPTIONS, ..settings }).unwrap())
        }))?;
    }
}
