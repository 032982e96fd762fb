//! What a store that is written to by others, or cannot write, means for a plan (contract: kds 8.3).

use std::sync::Mutex;

use async_trait::async_trait;
use bytes::Bytes;
use futures::FutureExt as _;
use jiff::Timestamp;
use model::{Labels, Resource};
use store::{Applied, Freshness, Kinds, Page, Watch, memory::MemoryStore};
use tokio::sync::watch;

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

    fn freshness(&self) -> watch::Receiver<Freshness> {
        self.memory.freshness()
    }

    async fn settled(&self) -> Result<(), StoreError> {
        self.memory.settled().await
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
async fn who_does_not_lead_any_more_takes_in_nothing() {
    let (store, applier) = applier(Vec::new());
    // The store of one program has one epoch: this is one of somebody else.
    let deposed = StoreError::Deposed { epoch: Epoch(7) };
    assert_eq!(applier.fenced(Epoch(7)).apply(plan("a.default")).await, Err(deposed));
    assert_eq!(store.get(&Key::in_mesh(timeout(), "default", "a")).await, Ok(None));
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

/// What a global takes of the zone `west`, which may keep so much.
async fn of_west(resources: usize, bytes: usize) -> (Arc<dyn ResourceStore>, Applier) {
    let store: Arc<dyn ResourceStore> = Arc::new(MemoryStore::new());
    let zone = Resource { labels: Labels::new(), ..policy(&Key::global(Kind::ZONE, "west"), "") };
    store.put(zone, Precondition::Absent).await.unwrap();
    let origin = Origin::Zone { name: "west".to_owned(), prefix_names: false };
    let clock = Clock::starting_at(Timestamp::UNIX_EPOCH);
    let applier = Applier::new(Arc::clone(&store), clock, origin, KdsMetrics::register(&mut Default::default()));
    (store, applier.within(Quotas::new(resources, bytes)))
}

fn reported(name: &str, note: &str) -> Received {
    let labels = [("note".to_owned(), note.to_owned())].into();
    Received { name: WireName::parse(name), labels, spec: SPEC.into(), status: None }
}

fn report(resources: Vec<Received>, removed: &[&str]) -> Plan {
    let removed = removed.iter().map(|name| WireName::parse(name)).collect();
    Plan { resources, removed, initial: false, ..plan("") }
}

async fn kept(store: &Arc<dyn ResourceStore>) -> Vec<String> {
    let items = store.list(&Query::all(timeout())).await.unwrap().items;
    items.into_iter().map(|stored| stored.resource.key.name.clone()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_zone_keeps_as_many_resources_as_its_quota_says() {
    let (store, applier) = of_west(2, usize::MAX).await;
    let three = ["a.default", "b.default", "c.default"].map(|name| reported(name, ""));
    let outcome = applier.apply(report(three.into(), &[])).await.unwrap();
    assert!(outcome.rejected[0].contains("quota: 1 resources of type MeshTimeout"), "{outcome:?}");
    assert_eq!(kept(&store).await, ["a", "b"]);
    // What takes away, or changes what is there, passes; and makes room.
    let other = report(vec![reported("a.default", "x"), reported("c.default", "")], &["b.default"]);
    assert_eq!(applier.apply(other).await, Ok(Outcome::default()));
    assert_eq!(kept(&store).await, ["a", "c"]);
    let first = Plan { initial: true, ..report(vec![reported("d.default", ""), reported("e.default", "")], &[]) };
    assert_eq!(applier.apply(first).await, Ok(Outcome::default()), "a first response replaces what is there");
    assert_eq!(kept(&store).await, ["d", "e"]);
}

#[tokio::test(start_paused = true)]
async fn a_zone_keeps_as_many_bytes_as_its_quota_says() {
    let (store, applier) = of_west(usize::MAX, 400).await;
    assert_eq!(applier.apply(report(vec![reported("a.default", "short")], &[])).await, Ok(Outcome::default()));
    let long = Received { spec: format!("{SPEC}{}", " ".repeat(1000)).into(), ..reported("a.default", "short") };
    // Compared by value a spec with blanks is the same one.
    let long = Received { labels: [("note".to_owned(), "x".to_owned())].into(), ..long };
    let outcome = applier.apply(report(vec![long], &[])).await.unwrap();
    assert!(outcome.rejected[0].contains("quota"), "{outcome:?}");
    let note = |stored: Option<Stored>| stored.unwrap().resource.labels["note"].clone();
    let key = Key::in_mesh(timeout(), "default", "a");
    assert_eq!(note(store.get(&key).await.unwrap()), "short", "what was there stays");
    assert_eq!(applier.apply(report(vec![reported("a.default", "s")], &[])).await, Ok(Outcome::default()));
    assert_eq!(note(store.get(&key).await.unwrap()), "s", "less always passes");
}

#[tokio::test(start_paused = true)]
async fn what_was_reported_before_the_start_counts() {
    let (store, applier) = of_west(2, usize::MAX).await;
    let labels: Labels =
        [(labels::ORIGIN, "zone"), (labels::ZONE, "west")].map(|(k, v)| (k.to_owned(), v.to_owned())).into();
    for name in ["x", "y"] {
        let key = Key::in_mesh(Kind::by_name("MeshRetry").unwrap(), "default", name);
        store.put(Resource { labels: labels.clone(), ..policy(&key, "") }, Precondition::Absent).await.unwrap();
    }
    let two = ["a.default", "b.default"].map(|name| reported(name, ""));
    let outcome = applier.apply(report(two.into(), &[])).await.unwrap();
    assert_eq!((outcome.rejected.len(), kept(&store).await.len()), (1, 0), "of another kind, and of an earlier stream");
}

#[tokio::test(start_paused = true)]
async fn a_zone_takes_no_name_of_another_zone() {
    let (store, applier) = of_west(10, usize::MAX).await;
    let named = |zone: &str| {
        let name = sync::hashed_name("default", "payments", Some(zone), None);
        let labels = [(labels::DISPLAY_NAME.to_owned(), "payments".to_owned())].into();
        Received { labels, ..reported(&format!("{name}.default"), "") }
    };
    let outcome = applier.apply(report(vec![named("east"), named("west")], &[])).await.unwrap();
    assert!(outcome.rejected[0].starts_with("name: its hash is not"), "{outcome:?}");
    assert_eq!(kept(&store).await, [sync::hashed_name("default", "payments", Some("west"), None)]);
}

#[tokio::test]
async fn a_zone_takes_no_name_of_a_zone_whose_name_begins_with_its_own() {
    let (store, applier) = of_west(10, usize::MAX).await;
    let of_namespace = |namespace: &str| {
        let name = sync::hashed_name("default", "payments", Some("west"), Some(namespace));
        let label = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let labels = [label(labels::DISPLAY_NAME, "payments"), label(labels::NAMESPACE, namespace)].into();
        Received { labels, ..reported(&format!("{name}.default"), "") }
    };
    let kept_before = applier.apply(report(vec![of_namespace("2")], &[])).await.unwrap();
    assert_eq!(kept_before.rejected, [] as [&str; 0], "there is no zone `west2`");
    let zone = Resource { labels: Labels::new(), ..policy(&Key::global(Kind::ZONE, "west2"), "") };
    store.put(zone, Precondition::Absent).await.unwrap();
    let outcome = applier.apply(report(vec![of_namespace("2"), of_namespace("3")], &[])).await.unwrap();
    assert!(outcome.rejected[0].contains("those of zone `west2`"), "{outcome:?}");
    assert_eq!(outcome.rejected.len(), 1, "{outcome:?}");
}
