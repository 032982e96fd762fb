//! What a store that is written to by others, or cannot write, means for a plan (contract: kds 8.3).

use std::sync::Mutex;

use async_trait::async_trait;
use bytes::Bytes;
use futures::FutureExt as _;
use jiff::Timestamp;
use model::{Labels, Resource};
use store::{Applied, Kinds, Page, Watch, memory::MemoryStore};

use super::*;

/// A store that does something before it applies a batch, once for each error that it is to answer with.
struct Busy {
    memory: MemoryStore,
    errors: Mutex<Vec<StoreError>>,
}

#[async_trait]
impl ResourceStore for Busy {
    async fn get(&self, key: &Key) -> Result<Option<Stored>, StoreError> {
        self.memory.get(key).await
    }

    async fn list(&self, query: &Query) -> Result<Page, StoreError> {
        self.memory.list(query).await
    }

    async fn apply(&self, batch: Batch) -> Result<Applied, StoreError> {
        let error = self.errors.lock().unwrap().pop();
        match error {
            Some(StoreError::Conflict { key }) => {
                // Somebody else was faster.
                self.memory.put(policy(&key, "their"), Precondition::Any).await?;
                self.memory.apply(batch).await
            }
            Some(error) => Err(error),
            None => self.memory.apply(batch).await,
        }
    }

    fn watch(&self, kinds: Kinds) -> Watch {
        self.memory.watch(kinds)
    }
}

const SPEC: &str = r#"{"to":[{"targetRef":{"kind":"Mesh"},"default":{"idleTimeout":"1h"}}]}"#;

fn timeout() -> Kind {
    Kind::by_name("MeshTimeout").unwrap()
}

fn policy(key: &Key, note: &str) -> Resource {
    let labels = [(labels::ORIGIN, "global"), ("note", note)].map(|(k, v)| (k.to_owned(), v.to_owned())).into();
    Resource {
        key: key.clone(),
        labels,
        spec: SPEC.into(),
        status: None,
        owner: None,
        created: Timestamp::UNIX_EPOCH,
        modified: Timestamp::UNIX_EPOCH,
    }
}

fn plan(name: &str) -> Plan {
    let labels: Labels =
        [(labels::ORIGIN, "global"), ("note", "ours")].map(|(k, v)| (k.to_owned(), v.to_owned())).into();
    let received = Received { name: WireName::parse(name), labels, spec: SPEC.into(), status: None };
    Plan {
        kind: timeout(),
        initial: false,
        resources: vec![received],
        removed: Vec::new(),
        invalid: Vec::new(),
        named_before: BTreeSet::new(),
    }
}

fn applier(errors: Vec<StoreError>) -> (Arc<Busy>, Applier) {
    let store = Arc::new(Busy { memory: MemoryStore::new(), errors: Mutex::new(errors) });
    let metrics = KdsMetrics::register(&mut prometheus_client::registry::Registry::default());
    let clock = Clock::starting_at(Timestamp::UNIX_EPOCH);
    (Arc::clone(&store), Applier::new(store, clock, Origin::Global, metrics))
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_planned_anew_when_somebody_wrote_meanwhile() {
    let key = Key::in_mesh(timeout(), "default", "a");
    let (store, applier) = applier(vec![StoreError::Conflict { key: key.clone() }]);
    assert_eq!(applier.apply(plan("a.default")).await, Ok(Outcome::default()));
    let stored = store.get(&key).await.unwrap().unwrap();
    assert_eq!(stored.resource.labels["note"], "ours");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_ends_the_stream_and_nothing_was_written() {
    let unavailable = StoreError::Unavailable { detail: "disk full".to_owned() };
    let (store, applier) = applier(vec![unavailable.clone()]);
    assert_eq!(applier.apply(plan("a.default")).await, Err(unavailable));
    assert_eq!(store.get(&Key::in_mesh(timeout(), "default", "a")).await, Ok(None));
    assert_eq!(applier.apply(plan("a.default")).await, Ok(Outcome::default()), "the next stream brings it again");
}

#[tokio::test(start_paused = true)]
async fn names_are_checked_as_the_zone_gave_them() {
    let store: Arc<dyn ResourceStore> = Arc::new(MemoryStore::new());
    let zone = Resource { labels: Labels::new(), ..policy(&Key::global(Kind::ZONE, "old"), "") };
    store.put(zone, Precondition::Absent).await.unwrap();
    let metrics = KdsMetrics::register(&mut prometheus_client::registry::Registry::default());
    let origin = Origin::Zone { name: "old".to_owned(), prefix_names: true };
    let applier = Applier::new(Arc::clone(&store), Clock::starting_at(Timestamp::UNIX_EPOCH), origin, metrics);
    let service = |name: &str| Received {
        name: WireName::parse(name),
        labels: Labels::new(),
        spec: r#"{"ports":[{"port":80}]}"#.into(),
        status: None,
    };
    let kind = Kind::by_name("MeshService").unwrap();
    let first =
        Plan { kind, initial: true, resources: vec![service("good.default"), service("1bad.default")], ..plan("") };
    assert_eq!(applier.apply(first).await.unwrap().rejected.len(), 1);
    assert!(store.get(&Key::in_mesh(kind, "default", "old.good")).await.unwrap().is_some());
    // What is invalid now keeps its earlier version, under its prefixed name.
    let broken = Received { spec: r#"{"ports":[{"port":0}]}"#.into(), ..service("good.default") };
    let again = Plan { kind, initial: true, resources: vec![broken], ..plan("") };
    assert_eq!(applier.apply(again).await.unwrap().rejected.len(), 1);
    assert!(store.get(&Key::in_mesh(kind, "default", "old.good")).await.unwrap().is_some());
}

#[test]
fn a_status_that_is_no_json_is_rejected() {
    let store: Arc<dyn ResourceStore> = Arc::new(MemoryStore::new());
    let clock = Clock::starting_at(Timestamp::UNIX_EPOCH);
    let applier =
        Applier::new(Arc::clone(&store), clock, Origin::Global, KdsMetrics::register(&mut Default::default()));
    let check = |name: &str, status: &'static [u8], rejected: usize| {
        let received = Received {
            name: WireName { mesh: "default".to_owned(), name: name.to_owned() },
            labels: [(labels::ORIGIN.to_owned(), labels::ORIGIN_GLOBAL.to_owned())].into(),
            spec: Bytes::from_static(b"{}"),
            status: Some(Bytes::from_static(status)),
        };
        let plan = Plan {
            kind: Kind::MESH_SERVICE,
            initial: false,
            resources: vec![received],
            removed: Vec::new(),
            invalid: Vec::new(),
            named_before: BTreeSet::new(),
        };
        let outcome = applier.apply(plan).now_or_never().unwrap().unwrap();
        assert_eq!(outcome.rejected.len(), rejected, "{name}: {:?}", outcome.rejected);
        let key = Key::in_mesh(Kind::MESH_SERVICE, "default", name);
        assert_eq!(store.get(&key).now_or_never().unwrap().unwrap().is_some(), rejected == 0, "{name}");
    };
    check("good", b"{\"tls\":{}}", 0);
    check("text", b"{\"tls\":\"\xff\"}", 1);
    check("half-of-a-pair", b"{\"tls\":\"\\ud800\"}", 1);
    check("number", b"{\"tls\":1e999}", 1);
}
