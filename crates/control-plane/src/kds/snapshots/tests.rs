//! What one resource that cannot be sent means for the others (contract: kds 13.8).

use jiff::Timestamp;
use model::Labels;
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
