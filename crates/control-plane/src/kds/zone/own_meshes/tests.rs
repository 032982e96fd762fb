use std::os::unix::fs::PermissionsExt as _;

use model::Labels;
use store::memory::MemoryStore;
use sync::Received;

use super::*;
use crate::{
    bootstrap::{self, Wanted},
    writes,
};

const POLICY: &str = r#"{"to":[{"targetRef":{"kind":"Mesh"},"default":{"idleTimeout":"1h0m0s"}}]}"#;

fn now() -> Timestamp {
    "2026-02-03T04:05:06.7Z".parse().unwrap()
}

/// A zone as it is after its first start without a global.
async fn lone_zone() -> Arc<dyn ResourceStore> {
    let store: Arc<dyn ResourceStore> = Arc::new(MemoryStore::new());
    let side = writes::Side::LoneZone("west".to_owned());
    bootstrap::zone(&store, &side, &Wanted::default(), now()).await.unwrap();
    store
}

fn resource(kind: &str, mesh: &str, name: &str, spec: &[u8]) -> Resource {
    Resource {
        key: Key { kind: Kind::by_name(kind).unwrap(), mesh: mesh.to_owned(), name: name.to_owned() },
        labels: Labels::new(),
        spec: spec.to_vec().into(),
        status: None,
        owner: None,
        created: "2026-02-04T00:00:00Z".parse().unwrap(),
        modified: "2026-02-04T00:00:00Z".parse().unwrap(),
    }
}

async fn put(store: &Arc<dyn ResourceStore>, resource: Resource) {
    store.put(resource, Precondition::Absent).await.unwrap();
}

async fn with_own_mesh() -> Arc<dyn ResourceStore> {
    let store = lone_zone().await;
    put(&store, resource("Mesh", "", "shop", b"")).await;
    put(&store, resource("MeshTimeout", "shop", "slow", POLICY.as_bytes())).await;
    // data: "secret"
    put(&store, resource("Secret", "shop", "password", b"\x0a\x08\x0a\x06secret")).await;
    store
}

/// A first response that names these.
fn first(kind: &str, names: &[&str]) -> Plan {
    let received = |name: &&str| Received {
        name: WireName::parse(name),
        labels: [(labels::ORIGIN.to_owned(), labels::ORIGIN_GLOBAL.to_owned())].into(),
        spec: Vec::new().into(),
        status: None,
    };
    Plan {
        kind: Kind::by_name(kind).unwrap(),
        initial: true,
        resources: names.iter().map(received).collect(),
        removed: Vec::new(),
        invalid: Vec::new(),
        named_before: BTreeSet::new(),
    }
}

async fn refused(own: &OwnMeshes, store: &Arc<dyn ResourceStore>, plan: &Plan) -> Option<String> {
    let admitted = own.admit(&**store, plan, now()).await;
    let refusal = own.take_refusal().map(|refusal| refusal.to_string());
    assert_eq!(admitted.is_err(), refusal.is_some());
    refusal
}

#[tokio::test]
async fn a_fresh_zone_joins() {
    let folder = tempfile::tempdir().unwrap();
    let own = OwnMeshes::new(folder.path(), "west", false, true);
    let store = lone_zone().await;
    for kind in Kind::all().filter(|kind| kind.flow.global_to_zone()) {
        assert_eq!(refused(&own, &store, &first(kind.name, &[])).await, None, "{kind}");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_zone_with_a_mesh_of_its_own_refuses_and_names_what_would_go() {
    let folder = tempfile::tempdir().unwrap();
    let own = OwnMeshes::new(folder.path(), "west", false, true);
    let store = with_own_mesh().await;
    let reason = refused(&own, &store, &first("Mesh", &["default"])).await.unwrap();
    for named in ["shop", "slow", "password"] {
        assert!(reason.contains(named), "{reason}");
    }
    assert_eq!(refused(&own, &store, &first("Mesh", &["default", "shop"])).await, None, "global has it too");
    let mut later = first("Mesh", &["default"]);
    later.initial = false;
    assert_eq!(refused(&own, &store, &later).await, None);
    later.removed = vec![WireName::parse("shop.")];
    assert!(refused(&own, &store, &later).await.is_some_and(|reason| reason.contains("shop")), "it says so itself");
}

#[tokio::test]
async fn what_was_put_into_the_default_mesh_counts() {
    let folder = tempfile::tempdir().unwrap();
    let own = OwnMeshes::new(folder.path(), "west", false, true);
    let store = lone_zone().await;
    put(&store, resource("MeshTimeout", "default", "slow", POLICY.as_bytes())).await;
    let reason = refused(&own, &store, &first("Mesh", &["other"])).await.unwrap();
    assert!(reason.contains("slow") && !reason.contains("signing-key"), "{reason}");
    assert_eq!(refused(&own, &store, &first("Mesh", &["default"])).await, None, "it stays");
}

#[tokio::test]
async fn a_zone_that_has_joined_is_not_asked_again_until_it_leaves() {
    let folder = tempfile::tempdir().unwrap();
    let store = with_own_mesh().await;
    let own = OwnMeshes::new(folder.path(), "west", false, true);
    let meshes = Kind::MESH;
    own.applied(meshes).await;
    assert_eq!(refused(&own, &store, &first("Mesh", &[])).await, None);
    let restarted = OwnMeshes::new(folder.path(), "west", false, true);
    assert_eq!(refused(&restarted, &store, &first("Mesh", &[])).await, None);
    OwnMeshes::left(folder.path(), "west").unwrap();
    let back = OwnMeshes::new(folder.path(), "west", false, true);
    assert!(refused(&back, &store, &first("Mesh", &[])).await.is_some());
    OwnMeshes::left(folder.path(), "west").unwrap();
}

#[tokio::test]
async fn with_the_setting_a_copy_that_can_be_applied_is_written_first() {
    let folder = tempfile::tempdir().unwrap();
    let own = OwnMeshes::new(folder.path(), "west", true, true);
    let store = with_own_mesh().await;
    assert_eq!(refused(&own, &store, &first("Mesh", &["default"])).await, None);
    let path = folder.path().join("deleted-on-joining-west-mesh-20260203T0405067Z.yaml");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let text = fs::read_to_string(path).unwrap();
    let documents: Vec<_> = document::split_yaml(&text).iter().map(|text| document::from_yaml(text).unwrap()).collect();
    let names: Vec<_> = documents.iter().map(|document| document.name.as_str()).collect();
    assert_eq!(names, ["shop", "password", "slow"]);
    for document in &documents[1..] {
        let key = Key { kind: document.kind, mesh: document.mesh.clone(), name: document.name.clone() };
        assert_eq!(document.spec, store.get(&key).await.unwrap().unwrap().resource.spec, "{key}");
    }
}

#[tokio::test]
async fn without_a_copy_nothing_goes() {
    let folder = tempfile::tempdir().unwrap();
    let own = OwnMeshes::new(&folder.path().join("absent"), "west", true, true);
    let reason = refused(&own, &with_own_mesh().await, &first("Mesh", &[])).await.unwrap();
    assert!(reason.starts_with("cannot write the copy of what joining deletes to"), "{reason}");
}

#[tokio::test]
async fn global_names_the_cluster() {
    let folder = tempfile::tempdir().unwrap();
    let own = OwnMeshes::new(folder.path(), "west", false, true);
    let store = lone_zone().await;
    let key = Key::global(Kind::CONFIG, CLUSTER_ID);
    assert_eq!(refused(&own, &store, &first("Config", &["other"])).await, None);
    assert!(store.get(&key).await.unwrap().is_some());
    assert_eq!(refused(&own, &store, &first("Config", &[CLUSTER_ID])).await, None);
    assert!(store.get(&key).await.unwrap().is_none(), "the own one is no conflict");
}

#[tokio::test]
async fn what_has_joined_is_known_to_every_instance_of_the_zone() {
    let store = with_own_mesh().await;
    let shared = || Some(Shared::new(Arc::clone(&store), crate::clock::Clock::starting_at(now())));
    let [here, there] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let leader = OwnMeshes::new(here.path(), "west", false, true).shared(shared());
    leader.applied(Kind::MESH).await;
    let next = OwnMeshes::new(there.path(), "west", false, true).shared(shared());
    assert!(!next.has_joined(Kind::MESH));
    next.take_over().await.unwrap();
    assert!(next.has_joined(Kind::MESH));
    next.admit(&*store, &first("Mesh", &[]), now())
        .await
        .expect("global decides about meshes since the other one joined");
}
