//! What one resource means for the others: one that cannot be sent (contract: kds 13.8), and one that goes out under a
//! name that another one has.

use jiff::Timestamp;
use model::{Labels, labels};
use prost::Message as _;
use store::{Precondition, memory::MemoryStore};
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
    let snapshots = Snapshots::start(provider, &store, &metrics, &Tasks::new()).await;
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

/// The zones whose services are provided, by name on the wire.
fn services(builder: &mut Builder) -> Vec<(String, String)> {
    let world = builder.publish();
    let of_kind = world.snapshots().find(|snapshot| snapshot.kind() == "MeshService").unwrap();
    let zone = |entry: &Arc<Entry>| entry.origin_zone.clone().unwrap_or_default();
    of_kind.entries().iter().map(|(name, entry)| (name.to_string(), zone(entry))).collect()
}

fn builder() -> Builder {
    let metrics = KdsMetrics::register(&mut prometheus_client::registry::Registry::default());
    let mut builder = Builder::new(Provider::Global { hashed: true, skip_prefixes: Vec::new() }, metrics);
    let mesh = resource(Key::global(Kind::MESH, "default"), None);
    builder.set(&mesh.key.clone(), Some(Arc::new(mesh)));
    builder
}

#[test]
fn what_a_zone_reports_of_a_mesh_goes_on_while_the_mesh_exists() {
    let mut builder = builder();
    builder.complete = true;
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
        assert!(builder.shared.is_empty());
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
    let version = |builder: &Builder| {
        let snapshot = &builder.kinds["MeshService"];
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
    builder.complete = false;
    while !builder.complete {
        builder.take(watch.next().await.unwrap());
    }
    assert_eq!(services(&mut builder).len(), 1);
}
