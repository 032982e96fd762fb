//! Whose tokens are taken: with keys as they are stored.

use std::sync::Mutex;

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use model::{Labels, Resource, ZoneName};
use prost::Message as _;
use store::{Event, Picture, Precondition, Stored, Version, Write, testing::Database};
use tokens::{
    Accept, Family, RevocationRule, Revoked, Want,
    rotation::{Command, Evidence, Order, State, Times, step},
};
use tracing::Level;
use tracing_subscriber::{Layer, layer::SubscriberExt as _};
use uuid::Uuid;
use wire::kuma::system::v1alpha1::Secret;

use self::behind::settle;
use super::*;

mod behind;

const SIGNING: &[u8] = b"WJYYLYHNpsTlUPj5aSwUu0TkXSXS5FaFEDmZL9fLZ2E=";
const KEY: &str = "control-plane-signing-key-0001";

fn key(name: &str) -> Key {
    Key::global(Kind::GLOBAL_SECRET, name)
}

fn spec(data: Option<&[u8]>) -> Bytes {
    Bytes::from(Secret { data: data.map(<[u8]>::to_vec) }.encode_to_vec())
}

fn secret(name: &str, spec: Bytes) -> Resource {
    Resource {
        key: key(name),
        labels: Labels::new(),
        spec,
        status: None,
        owner: None,
        created: Timestamp::UNIX_EPOCH,
        modified: Timestamp::UNIX_EPOCH,
    }
}

fn token(ring: &KeyRing) -> String {
    token_of(ring, 0)
}

fn token_of(ring: &KeyRing, id: u128) -> String {
    let (west, valid_for) = (ZoneName::parse("west").unwrap(), Some(Duration::from_secs(3600)));
    let token = tokens::issue_control_plane(ring, &west, valid_for, Timestamp::UNIX_EPOCH, Uuid::from_u128(id));
    token.unwrap().reveal().to_owned()
}

fn verifies_with(ring: &KeyRing, raw: &str) -> bool {
    let want = Want { zone: "west", accept: Accept::CpToken, leeway: Duration::ZERO, legacy_until: None };
    tokens::verify(raw, ring, Timestamp::UNIX_EPOCH, &want).is_ok()
}

/// What is stored, and what was built of it, one write after the other.
#[derive(Default)]
struct World {
    stored: Picture,
    sources: Sources,
    versions: u64,
}

impl World {
    fn with_key() -> Self {
        let mut world = Self::default();
        world.put(secret(KEY, spec(Some(SIGNING))));
        world
    }

    fn put(&mut self, resource: Resource) -> KeyRing {
        self.versions += 1;
        let version = Version(self.versions);
        self.stored.take(Event::Apply(Stored { resource: Arc::new(resource), version }));
        self.sources.ring(self.versions, &self.stored)
    }

    fn delete(&mut self, key: Key) -> KeyRing {
        self.versions += 1;
        self.stored.take(Event::Delete { key, version: Version(self.versions) });
        self.sources.ring(self.versions, &self.stored)
    }

    /// What a control plane makes of it that starts now.
    fn started(&self) -> KeyRing {
        Sources::default().ring(1, &self.stored)
    }

    fn unreadable_text(&self) -> String {
        self.sources.unreadable().iter().map(ToString::to_string).collect()
    }

    fn unreadable(&self) -> Vec<(Sort, Instead)> {
        self.sources.unreadable().iter().map(|one| (one.sort, one.instead)).collect()
    }
}

const LIST: &str = "control-plane-token-revocations";

fn unreadable_lists() -> [Bytes; 5] {
    let data = |data: &[u8]| spec(Some(data));
    [spec(None), Bytes::from_static(b"\xff\xff"), Bytes::new(), data(b"\xff"), data(b"I\0D\0")]
}

#[test]
fn a_list_that_nobody_could_ever_read_lets_nobody_in() {
    for unreadable in unreadable_lists() {
        let mut world = World::with_key();
        let token = token(&world.started());
        assert!(verifies_with(&world.put(secret(LIST, spec(Some(b"another-id")))), &token));
        world.delete(key(LIST));
        assert!(!verifies_with(&world.put(secret(LIST, unreadable)), &token), "it is not empty");
        assert_eq!(world.unreadable(), [(Sort::List, Instead::Nothing)]);
        assert!(!verifies_with(&world.started(), &token));
        assert!(verifies_with(&world.delete(key(LIST)), &token), "who deletes it takes it back");
        assert_eq!(world.unreadable(), []);
    }
}

#[test]
fn the_last_good_list_stays_in_force_while_it_cannot_be_read() {
    for unreadable in unreadable_lists() {
        let mut world = World::with_key();
        let [revoked, good] = [1, 2].map(|id| token_of(&world.started(), id));
        world.put(secret(LIST, spec(Some(Uuid::from_u128(1).to_string().as_bytes()))));
        for _ in 0..2 {
            let ring = world.put(secret(LIST, unreadable.clone()));
            assert!(!verifies_with(&ring, &revoked), "it does not fail open");
            assert!(verifies_with(&ring, &good), "and does not cut everybody off");
            assert_eq!(world.unreadable(), [(Sort::List, Instead::LastGood)]);
        }
        assert!(!verifies_with(&world.started(), &good), "who starts does not know the last good one");
        let ring = world.put(secret(LIST, spec(Some(Uuid::from_u128(2).to_string().as_bytes()))));
        assert!(verifies_with(&ring, &revoked) && !verifies_with(&ring, &good), "a readable one counts at once");
        assert_eq!(world.unreadable(), []);
        world.delete(key(LIST));
        let ring = world.put(secret(LIST, unreadable));
        assert!(!verifies_with(&ring, &revoked), "one that was deleted is no last good one");
    }
}

fn revocation(what: Revoked) -> Resource {
    let before = Some(Timestamp::UNIX_EPOCH + SignedDuration::from_secs(1));
    let (family, spared) = (Family::ControlPlane, BTreeSet::new());
    let rule = RevocationRule { family, what, before, spared, keys: None };
    let at = Timestamp::UNIX_EPOCH;
    let revocation =
        Revocation { id: Uuid::nil(), rule, reason: None, by: "john".to_owned(), at, until: None, keys_gone: None };
    match records::write(&revocation, Precondition::Any, at) {
        Ok(Write::Put { resource, .. }) => resource,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_record_revokes_and_stays_in_force_as_it_was_read_last() {
    let mut world = World::with_key();
    let token = token(&world.started());
    let west = revocation(Revoked::Zone("west".to_owned()));
    let east = revocation(Revoked::Zone("east".to_owned()));
    assert!(verifies_with(&world.put(east), &token));
    assert!(!verifies_with(&world.put(west.clone()), &token));
    let damaged = Resource { spec: Bytes::from_static(b"{"), ..west.clone() };
    assert!(!verifies_with(&world.put(damaged.clone()), &token));
    assert_eq!(world.unreadable(), [(Sort::Revocation, Instead::LastGood)]);
    assert!(verifies_with(&world.delete(west.key), &token), "what is taken back is over");
    let ring = world.put(damaged);
    assert!(!verifies_with(&ring, &token), "nobody knows whom it names");
    assert_eq!(world.unreadable(), [(Sort::Revocation, Instead::Nothing)]);
    assert!(world.unreadable_text().contains("no token of its kind is accepted"), "{}", world.unreadable_text());
}

#[test]
fn a_record_that_cannot_be_read_closes_its_family_alone() {
    let zone = "revocation.zone-token.00000000-0000-0000-0000-000000000000";
    for (name, closes) in [(zone, false), ("revocation.control-plane-token.x", true), ("revocation.x", true)] {
        let mut world = World::with_key();
        let token = token(&world.started());
        let key = Key::global(Kind::RECORD, name);
        let ring = world.put(Resource { key, spec: Bytes::from_static(b"{"), ..revocation(Revoked::All) });
        assert_eq!(verifies_with(&ring, &token), !closes, "{name}");
    }
}

#[test]
fn with_a_rotation_that_cannot_be_read_the_last_good_one_says_which_key_signs() {
    let now = Timestamp::UNIX_EPOCH;
    let signs = |ring: &KeyRing| {
        let west = ZoneName::parse("west").unwrap();
        let token = tokens::issue_control_plane(ring, &west, None, now, Uuid::nil());
        token.ok().map(|token| token.key().serial)
    };
    let mut world = World::with_key();
    world.put(secret("control-plane-signing-key-0002", spec(Some(&[SIGNING, SIGNING].concat()))));
    let staged = Rotations { family: Family::ControlPlane, state: staged() };
    let Ok(Write::Put { resource, .. }) = records::write(&staged, Precondition::Any, now) else { panic!("a record") };
    assert_eq!(signs(&world.put(resource.clone())), Some(1), "the other one is staged");
    let damaged = Resource { spec: Bytes::from_static(b"{"), ..resource.clone() };
    assert_eq!(signs(&world.put(damaged.clone())), Some(1));
    assert_eq!(world.unreadable(), [(Sort::Rotation, Instead::LastGood)]);
    assert_eq!(signs(&world.started()), None, "nobody knows which");
    world.delete(resource.key);
    assert_eq!(signs(&world.put(damaged)), None);
    assert_eq!(world.unreadable(), [(Sort::Rotation, Instead::Nothing)]);
    assert!(world.unreadable_text().contains("nothing is signed"), "{}", world.unreadable_text());
}

#[tokio::test(start_paused = true)]
async fn what_a_secret_holds_makes_a_ring_and_its_labels_do_not() {
    let store: Arc<dyn ResourceStore> = Arc::new(store::memory::MemoryStore::new());
    store.put(secret(KEY, spec(Some(SIGNING))), Precondition::Absent).await.unwrap();
    let keys = Keys::start(&store, &Tasks::new()).await.unwrap();
    let labels = Labels::from([("team".to_owned(), "mesh".to_owned())]);
    store.put(Resource { labels, ..secret(KEY, spec(Some(SIGNING))) }, Precondition::Present).await.unwrap();
    settle().await;
    assert_eq!((keys.ring().generation(), keys.heard_after(1)), (1, None));
    tokio::time::advance(Duration::from_secs(1)).await;
    store.put(secret(KEY, spec(Some(&[SIGNING, SIGNING].concat()))), Precondition::Present).await.unwrap();
    settle().await;
    assert_eq!((keys.ring().generation(), keys.heard_after(1)), (2, Some(Instant::now())));
    assert_eq!(keys.heard_after(2), None);
}

#[test]
fn secrets_alone_hold_keys_those_of_meshes_too() {
    let mut world = World::default();
    let key_of_a_mesh = Key::in_mesh(Kind::SECRET, "default", "dataplane-token-signing-key-default-1");
    let of_mesh = Family::Dataplane { mesh: "default".to_owned() };
    let ring = world.put(Resource { key: key_of_a_mesh, ..secret("", spec(Some(SIGNING))) });
    assert_eq!(ring.families(), [of_mesh.clone()].into());
    let record = Key::global(Kind::RECORD, KEY);
    assert_eq!(world.put(Resource { key: record, ..secret("", spec(Some(SIGNING))) }).families(), [of_mesh].into());
}

const NOTHING: [Level; 0] = [];

/// The levels of what the log is told here about keys while this is there.
struct Log {
    levels: Arc<Mutex<Vec<Level>>>,
    _here: tracing::subscriber::DefaultGuard,
}

impl Log {
    fn here() -> Self {
        let levels = Arc::default();
        let layer = Levels(Arc::clone(&levels));
        Self { levels, _here: tracing::subscriber::set_default(tracing_subscriber::registry().with(layer)) }
    }

    /// What it was told since it was asked last.
    fn told(&self) -> Vec<Level> {
        std::mem::take(&mut *self.levels.lock().unwrap())
    }
}

struct Levels(Arc<Mutex<Vec<Level>>>);

impl<S: tracing::Subscriber> Layer<S> for Levels {
    fn on_event(&self, event: &tracing::Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
        if event.metadata().target().starts_with(module_path!().trim_end_matches("::tests")) {
            self.0.lock().unwrap().push(*event.metadata().level());
        }
    }
}

#[test]
fn what_cannot_be_read_is_logged_once_and_once_more_when_it_is_over() {
    let mut world = World::with_key();
    let log = Log::here();
    let good = revocation(Revoked::All);
    let damaged = Resource { spec: Bytes::from_static(b"{"), ..good.clone() };
    let other = Key::global(Kind::RECORD, "revocation.control-plane-token.x");
    world.put(damaged.clone());
    assert_eq!(log.told(), [Level::ERROR]);
    world.sources.ring(9, &world.stored);
    assert_eq!(log.told(), NOTHING, "nothing is new");
    world.put(Resource { key: other.clone(), ..damaged });
    assert_eq!(log.told(), [Level::ERROR], "of the other one");
    world.put(good);
    assert_eq!(log.told(), [Level::INFO]);
    world.delete(other);
    assert_eq!(log.told(), [Level::INFO]);
}

#[test]
fn each_sort_of_what_cannot_be_read_has_its_word() {
    assert_eq!(Sort::ALL.map(Sort::as_str), ["revocation-list", "revocation-record", "rotation-record"]);
}

#[tokio::test]
async fn what_cannot_be_read_is_told_to_those_who_ask() {
    let store: Arc<dyn ResourceStore> = Arc::new(store::memory::MemoryStore::new());
    let keys = Keys::start(&store, &Tasks::new()).await.unwrap();
    let mut unreadable = keys.unreadable().unwrap();
    assert!(unreadable.borrow_and_update().is_empty());
    store.put(secret(LIST, spec(Some(b"\xff"))), Precondition::Absent).await.unwrap();
    unreadable.changed().await.unwrap();
    let names: Vec<String> = unreadable.borrow().iter().map(|one| one.name.clone()).collect();
    assert_eq!(names, [LIST]);
    assert!(Keys::of(keys.subscribe()).unreadable().is_none(), "nothing is known of it");
}

/// A rotation from key 1 to key 2 that has begun.
fn staged() -> State {
    let now = Timestamp::UNIX_EPOCH;
    let evidence = Evidence {
        family: Family::ControlPlane,
        now,
        times: Times {
            recent_zones: SignedDuration::ZERO,
            patience: SignedDuration::ZERO,
            leeway: SignedDuration::ZERO,
        },
        keys: [(1, now)].into(),
        taken: [1].into(),
        instances: Vec::new(),
        zones: Vec::new(),
        tokens: Vec::new(),
        unreadable: Vec::new(),
    };
    let command = Command::Start { automatic: false, algorithm: None };
    let order = Order { command, by: "john".to_owned(), id: None, expect: None, force: false };
    step(&State::default(), &evidence, &order).unwrap().state
}

#[tokio::test]
async fn entries_of_the_ledger_make_no_ring_and_revocations_do() {
    let store: Arc<dyn ResourceStore> = Arc::new(store::memory::MemoryStore::new());
    store.put(secret(KEY, spec(Some(SIGNING))), Precondition::Absent).await.unwrap();
    let keys = Keys::start(&store, &Tasks::new()).await.unwrap();
    let token = token(&keys.ring());
    let mut rings = keys.subscribe();
    let entry = Resource { key: Key::global(Kind::RECORD, "token.zone-token.x"), ..revocation(Revoked::All) };
    store.put(entry, Precondition::Absent).await.unwrap();
    settle().await;
    assert_eq!(keys.ring().generation(), 1, "none for the entry");
    let revocation = revocation(Revoked::All);
    let name = revocation.key.name.clone();
    assert!(keys.no_longer_in_force(&name).await);
    store.put(revocation.clone(), Precondition::Absent).await.unwrap();
    assert!(keys.in_force(&name).await);
    assert!(!verifies_with(&rings.borrow_and_update(), &token));
    assert_eq!(keys.ring().generation(), 2, "one for the revocation");
    store.delete(&revocation.key, Precondition::Present).await.unwrap();
    assert!(keys.no_longer_in_force(&name).await);
    assert!(verifies_with(&keys.ring(), &token));
}

#[tokio::test]
async fn keys_of_the_settings_are_in_every_ring() {
    let key = tokens::generate_key(tokens::Algorithm::EdDsa);
    let mut settings = StaticKeys::default();
    let public = tokens::public_half(key.reveal()).unwrap();
    settings.add(Family::Zone, "offline", public.as_bytes()).unwrap();
    let zone = ZoneName::parse("west").unwrap();
    let claims = tokens::Claims::Zone { zone: &zone, scope: Some(&[tokens::Scope::Cp]) };
    let hour = Duration::from_secs(3600);
    let token = tokens::sign_offline(key.reveal(), "offline", &claims, hour, Timestamp::UNIX_EPOCH, Uuid::nil());
    let token = token.unwrap();

    let store: Arc<dyn ResourceStore> = Arc::new(Database::new().instance());
    let (now, settings) = watch::channel(Arc::new(settings));
    let keys = Keys::start_beside(settings, &store, &Tasks::new()).await.unwrap();
    assert!(verifies_with(&keys.ring(), &token));
    let mut rings = keys.subscribe();
    store.put(secret(KEY, spec(Some(SIGNING))), Precondition::Absent).await.unwrap();
    rings.changed().await.unwrap();
    assert_eq!(keys.ring().generation(), 2);
    assert!(verifies_with(&keys.ring(), &token));

    now.send_replace(Arc::default());
    rings.changed().await.unwrap();
    assert_eq!(keys.ring().generation(), 3);
    assert!(!verifies_with(&keys.ring(), &token), "a key that is no longer in the settings");
    drop(now);
    let gone = Precondition::Any;
    store.put(secret(KEY, spec(Some(&[SIGNING, SIGNING].concat()))), gone).await.unwrap();
    rings.changed().await.unwrap();
    assert_eq!(keys.ring().generation(), 4, "the store is followed on");
}

#[tokio::test]
async fn the_end_of_the_watch_of_secrets_stops_the_program() {
    let store = Database::new().instance();
    let tasks = Tasks::new();
    Keys::start(&(Arc::new(store.clone()) as Arc<dyn ResourceStore>), &tasks).await.unwrap();
    store.end_watches();
    tasks.stopping().await;
    assert!(tasks.finished(Duration::from_secs(5)).await);
    assert_eq!(tasks.failure().as_deref(), Some("keys: the store's watch of secrets ended"));
}
