//! What one resource means for the others: one that cannot be sent (contract: kds 13.8), and one that goes out under a
//! name that another one has.

use futures::{FutureExt as _, StreamExt as _};
use jiff::Timestamp;
use model::{Labels, labels};
use prost::Message as _;
use store::{
    Event, Precondition, Stored, Version,
    memory::MemoryStore,
    testing::{self, Database},
};
use wire::kuma::system::v1alpha1::Secret;

use super::*;

fn resource(key: Key, data: Option<&str>) -> Resource {
    let spec = data.map(|data| Secret { data: Some(data.as_bytes().to_vec()) }.encode_to_vec()).unwrap_or_default();
    Resource {
        key,
        labels: Labels::new(),
        spec: spec.into(),
        status: None,
        owner: None,
        created: Timestamp::UNIX_EPOCH,
        modified: Timestamp::UNIX_EPOCH,
    }
}

#[tokio::test(start_paused = true)]
async fn one_broken_zone_token_key_blocks_nobody() {
    let memory = MemoryStore::new();
    let store: Arc<dyn ResourceStore> = Arc::new(memory);
    for (name, data) in [("zone-token-signing-key-1", "no key at all"), ("mine", "x")] {
        let secret = resource(Key::global(Kind::GLOBAL_SECRET, name), Some(data));
        store.put(secret, Precondition::Absent).await.unwrap();
    }
    store.put(resource(Key::global(Kind::MESH, "default"), None), Precondition::Absent).await.unwrap();
    let metrics = KdsMetrics::register(&mut prometheus_client::registry::Registry::default());
    let provider = Provider::Global { hashed: true, skip_prefixes: Vec::new() };
    let snapshots = Snapshots::start(provider, &store, &metrics, &Tasks::new()).await.unwrap();
    let mut world = snapshots.subscribe();
    let names = |world: &World, kind: &str| {
        let of_kind = world.snapshots().find(|snapshot| snapshot.kind() == kind).unwrap();
        of_kind.entries().keys().map(ToString::to_string).collect::<Vec<_>>()
    };
    let first = Arc::clone(&world.borrow_and_update());
    assert_eq!(
        (names(&first, "GlobalSecret"), names(&first, "Mesh")),
        (vec!["mine.".to_owned()], vec!["default.".to_owned()])
    );
    // Nor later, when something else changes.
    store.put(resource(Key::global(Kind::MESH, "later"), None), Precondition::Absent).await.unwrap();
    world.changed().await.unwrap();
    let second = Arc::clone(&world.borrow_and_update());
    assert_eq!(names(&second, "Mesh"), ["default.", "later."]);
}

#[tokio::test(start_paused = true)]
async fn keys_that_real_zones_cannot_read_go_to_zones_of_ours() {
    let memory = MemoryStore::new();
    let store: Arc<dyn ResourceStore> = Arc::new(memory);
    let rsa = tokens::generate_signing_key();
    let other = tokens::generate_key(tokens::Algorithm::EdDsa);
    let other = other.pem().unwrap();
    let dataplanes =
        |serial: u8| Key::in_mesh(Kind::SECRET, "default", format!("dataplane-token-signing-key-default-{serial}"));
    for (key, data) in [
        (Key::global(Kind::GLOBAL_SECRET, "zone-token-signing-key-1"), rsa.reveal()),
        (Key::global(Kind::GLOBAL_SECRET, "zone-token-signing-key-2"), other),
        (dataplanes(1), rsa.reveal()),
        (dataplanes(2), other),
    ] {
        store.put(resource(key, Some(data)), Precondition::Absent).await.unwrap();
    }
    let metrics = KdsMetrics::register(&mut prometheus_client::registry::Registry::default());
    let provider = Provider::Global { hashed: false, skip_prefixes: Vec::new() };
    let snapshots = Snapshots::start(provider, &store, &metrics, &Tasks::new()).await.unwrap();
    let mut world = snapshots.subscribe();
    let world = Arc::clone(&world.borrow_and_update());
    let needed: Vec<(String, Features)> = world
        .snapshots()
        .flat_map(|snapshot| snapshot.entries())
        .map(|(name, entry)| (name.name.clone(), entry.needs))
        .filter(|(name, _)| name.contains("signing"))
        .collect();
    let expected = [
        ("zone-token-signing-public-key-1", Features::NONE),
        ("zone-token-signing-public-key-2", Features::KEY_ALGORITHMS),
        ("dataplane-token-signing-key-default-1", Features::NONE),
        ("dataplane-token-signing-key-default-2", Features::KEY_ALGORITHMS),
    ];
    assert_eq!(needed, expected.map(|(name, needs)| (name.to_owned(), needs)));
}

/// A service that a zone reported under a key of its choice, made in this second.
fn service(key: &str, zone: &str, display: &str, namespace: Option<&str>, second: i64) -> Resource {
    let named = [(labels::ORIGIN, labels::ORIGIN_ZONE), (labels::ZONE, zone), (labels::DISPLAY_NAME, display)];
    let namespace = namespace.map(|namespace| (labels::NAMESPACE, namespace));
    let kind = Kind::by_name("MeshService").unwrap();
    Resource {
        labels: named.into_iter().chain(namespace).map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
        spec: format!(r#"{{"state":"{zone}"}}"#).into_bytes().into(),
        created: Timestamp::from_second(second).unwrap(),
        ..resource(Key { kind, mesh: "default".to_owned(), name: key.to_owned() }, None)
    }
}

/// A builder, and what it looks at.
struct Provided {
    builder: Builder,
    picture: Picture,
}

impl Provided {
    fn set(&mut self, key: &Key, resource: Option<Arc<Resource>>) {
        let version = Version(1);
        self.take(match resource {
            Some(resource) => Event::Apply(Stored { resource, version }),
            None => Event::Delete { key: key.clone(), version },
        });
    }

    fn take(&mut self, event: Event) {
        let changes = self.picture.take(event);
        self.builder.look_at(&changes, &self.picture);
    }
}

/// The zones whose services are provided, by name on the wire.
fn services(provided: &mut Provided) -> Vec<(String, String)> {
    let world = provided.builder.publish(&provided.picture);
    let of_kind = world.snapshots().find(|snapshot| snapshot.kind() == "MeshService").unwrap();
    let zone = |entry: &Arc<Entry>| entry.origin_zone.clone().unwrap_or_default();
    of_kind.entries().iter().map(|(name, entry)| (name.to_string(), zone(entry))).collect()
}

fn builder() -> Provided {
    let metrics = KdsMetrics::register(&mut prometheus_client::registry::Registry::default());
    let builder = Builder::new(Provider::Global { hashed: true, skip_prefixes: Vec::new() }, metrics);
    let mut builder = Provided { builder, picture: Picture::default() };
    let mesh = resource(Key::global(Kind::MESH, "default"), None);
    builder.set(&mesh.key.clone(), Some(Arc::new(mesh)));
    builder
}

#[test]
fn what_a_zone_reports_of_a_mesh_goes_on_while_the_mesh_exists() {
    let mut builder = builder();
    let mesh = resource(Key::global(Kind::MESH, "ghost"), None);
    let own = service("backend", "west", "backend", None, 1);
    let own = Resource { key: Key { mesh: "ghost".to_owned(), ..own.key.clone() }, ..own };
    builder.set(&own.key, Some(Arc::new(own.clone())));
    assert_eq!(services(&mut builder), [], "nobody made the mesh");
    builder.set(&mesh.key, Some(Arc::new(mesh.clone())));
    assert_eq!(services(&mut builder).len(), 1);
    builder.set(&mesh.key, None);
    assert_eq!(services(&mut builder), []);
}

#[test]
fn a_zone_neither_replaces_nor_removes_the_service_of_another_zone() {
    let name = sync::hashed_name("default", "backend", Some("zone-10"), None);
    assert_eq!(name, sync::hashed_name("default", "backend", Some("zone-1"), Some("0")), "they are one text");
    let own = service(&name, "zone-10", "backend", None, 5);
    let intruder = service("aaa", "zone-1", "backend", Some("0"), 1);
    let expected = [(format!("{name}.default"), "zone-10".to_owned())];
    for intruder_first in [true, false] {
        let mut builder = builder();
        let order = if intruder_first { [&intruder, &own] } else { [&own, &intruder] };
        for one in order {
            builder.set(&one.key, Some(Arc::new(one.clone())));
            services(&mut builder);
        }
        assert_eq!(services(&mut builder), expected, "{intruder_first}");
        builder.set(&intruder.key, Some(Arc::new(Resource { spec: "{}".into(), ..intruder.clone() })));
        assert_eq!(services(&mut builder), expected, "changed");
        builder.set(&intruder.key, None);
        assert_eq!(services(&mut builder), expected, "gone");
        assert!(builder.builder.shared.is_empty());
        builder.set(&own.key, None);
        assert_eq!(services(&mut builder), []);
    }
}

#[test]
fn of_two_resources_with_one_name_the_older_is_provided_and_then_the_other() {
    let mut builder = builder();
    let [young, old] = [("a", 2), ("b", 1)].map(|(key, second)| service(key, "west", "backend", None, second));
    for one in [&young, &old] {
        builder.set(&one.key, Some(Arc::new(one.clone())));
    }
    let provided = services(&mut builder);
    assert_eq!(provided.len(), 1);
    let version = |provided: &Provided| {
        let snapshot = &provided.builder.kinds["MeshService"];
        snapshot.entries().values().map(|entry| entry.version.clone()).next()
    };
    let both = version(&builder);
    builder.set(&old.key, None);
    assert_eq!(services(&mut builder), provided, "the name stays");
    let labels = Labels::from([("team".to_owned(), "a".to_owned())]).into_iter().chain(young.labels.clone()).collect();
    let relabelled = Resource { labels, ..young };
    builder.set(&relabelled.key.clone(), Some(Arc::new(relabelled)));
    assert_eq!(services(&mut builder), provided);
    assert_ne!(version(&builder), both, "and is followed again");
}

#[tokio::test]
async fn a_zone_that_was_deleted_while_nobody_watched_is_not_disabled_any_more() {
    use wire::kuma::system::v1alpha1::Zone;
    let mut builder = builder();
    let disabled = Zone { enabled: Some(false) }.encode_to_vec();
    let zone = Resource { spec: disabled.into(), ..resource(Key::global(Kind::ZONE, "west"), None) };
    let own = service("backend", "west", "backend", None, 1);
    for one in [&zone, &own] {
        builder.set(&one.key, Some(Arc::new(one.clone())));
    }
    assert_eq!(services(&mut builder), []);
    let memory: Arc<dyn ResourceStore> = Arc::new(MemoryStore::new());
    memory.put(own, Precondition::Absent).await.unwrap();
    memory.put(resource(Key::global(Kind::MESH, "default"), None), Precondition::Absent).await.unwrap();
    let mut watch = memory.watch(Kinds::Only(vec![Kind::MESH, Kind::by_name("MeshService").unwrap()]));
    while !builder.picture.is_whole() {
        builder.take(watch.next().await.unwrap());
    }
    assert_eq!(services(&mut builder).len(), 1);
}

/// The names of the meshes that are provided.
fn meshes(world: &World) -> Vec<String> {
    let of_kind = world.snapshots().find(|snapshot| snapshot.kind() == "Mesh").unwrap();
    of_kind.entries().keys().map(ToString::to_string).collect()
}

async fn on(store: &testing::Instance, tasks: &Tasks) -> Result<Snapshots, WatchEnded> {
    let metrics = KdsMetrics::register(&mut prometheus_client::registry::Registry::default());
    let provider = Provider::Global { hashed: true, skip_prefixes: Vec::new() };
    Snapshots::start(provider, &(Arc::new(store.clone()) as Arc<dyn ResourceStore>), &metrics, tasks).await
}

#[tokio::test(start_paused = true)]
async fn zones_keep_what_they_have_while_the_store_is_behind() {
    let database = Database::new();
    let (here, there) = (database.instance(), database.instance());
    let mesh = |name: &str| resource(Key::global(Kind::MESH, name), None);
    for name in ["a", "b"] {
        there.put(mesh(name), Precondition::Absent).await.unwrap();
    }
    let mut world = on(&here, &Tasks::new()).await.unwrap().subscribe();
    assert_eq!(meshes(&world.borrow_and_update()), ["a.", "b."]);
    here.fall_behind();
    there.delete(&Key::global(Kind::MESH, "a"), Precondition::Present).await.unwrap();
    there.put(mesh("c"), Precondition::Absent).await.unwrap();
    assert!(world.changed().now_or_never().is_none());
    here.catch_up();
    world.changed().await.unwrap();
    assert_eq!(meshes(&world.borrow_and_update()), ["b.", "c."], "one step from what it was to what it is");
    // A picture that begins anew and says the same is no news.
    here.fall_behind();
    here.catch_up();
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    assert!(!world.has_changed().unwrap());
}

#[tokio::test]
async fn the_end_of_the_watch_stops_the_program_and_leaves_no_empty_world() {
    let store = Database::new().instance();
    store.put(resource(Key::global(Kind::MESH, "a"), None), Precondition::Absent).await.unwrap();
    let tasks = Tasks::new();
    let world = on(&store, &tasks).await.unwrap().subscribe();
    store.end_watches();
    tasks.stopping().await;
    assert_eq!(meshes(&world.borrow()), ["a."]);
    assert!(tasks.finished(std::time::Duration::from_secs(5)).await);
    assert_eq!(tasks.failure().as_deref(), Some("kds-snapshots: the store's watch ended"));
}
