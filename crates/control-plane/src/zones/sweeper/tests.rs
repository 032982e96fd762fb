//! What the deletion of a zone means, and a store that is behind, or gone.

use futures::FutureExt as _;
use model::{Key, Kind, Labels, Resource};
use store::{Kinds, Precondition, ResourceStore, testing::Database};
use tokens::KeyRing;
use tokio::task::yield_now;

use super::*;
use crate::{
    cluster::Cluster,
    tasks::OnError,
    zones::{
        caller::ZoneCaller,
        insight,
        registry::{Arrival, ConnectionId, StreamGuard},
    },
};

/// What the deletion of a zone closes.
struct Port {
    registry: Registry,
    insights: Insights,
    enforcer: Enforcer,
    metrics: prometheus_client::registry::Registry,
    tasks: Tasks,
}

impl Port {
    async fn new(store: &Arc<dyn ResourceStore>) -> Self {
        let (tasks, clock) = (Tasks::new(), Clock::system());
        let options = insight::Options {
            flush_interval: Duration::from_secs(1),
            subscription_limit: 10,
            compact_finished: false,
            cluster: Cluster::alone("i"),
        };
        let insights = Insights::start(store, &clock, options, &tasks).await.unwrap();
        let registry = Registry::new(Arc::new(KeyRing::empty()), Duration::ZERO);
        let mut metrics = prometheus_client::registry::Registry::default();
        let enforcer = Enforcer {
            registry: registry.clone(),
            insights: insights.clone(),
            metrics: KdsMetrics::register(&mut metrics),
            clock,
            recheck: Recheck::Live,
        };
        Self { registry, insights, enforcer, metrics, tasks }
    }

    fn watching(&self, zones: Mirror) -> impl Future<Output = anyhow::Result<()>> + Send + 'static {
        self.enforcer.clone().follow(zones, self.tasks.clone())
    }

    fn stream(&self, zone: &str) -> StreamGuard {
        let arrival = Arrival {
            caller: ZoneCaller::Unverified(ZoneName::parse(zone).unwrap()),
            ring_generation: 0,
            connection: ConnectionId(1),
            method: "GlobalToZoneSync",
            unary: false,
            pings: false,
        };
        self.registry.admit(arrival, Timestamp::UNIX_EPOCH).unwrap()
    }
}

fn zones(store: &dyn ResourceStore) -> Mirror {
    Mirror::of(store, Kinds::Only(vec![Kind::ZONE]))
}

fn zone(name: &str) -> Resource {
    Resource {
        key: Key::global(Kind::ZONE, name),
        labels: Labels::new(),
        spec: bytes::Bytes::new(),
        status: None,
        owner: None,
        created: Timestamp::UNIX_EPOCH,
        modified: Timestamp::UNIX_EPOCH,
    }
}

/// Lets the other tasks do all that they can do now.
async fn settle() {
    for _ in 0..10 {
        yield_now().await;
    }
}

#[tokio::test]
async fn the_end_of_the_watch_of_zones_is_an_error() {
    let instance = Database::new().instance();
    let store: Arc<dyn ResourceStore> = Arc::new(instance.clone());
    let port = Port::new(&store).await;
    let watching = port.watching(zones(&*store));
    instance.end_watches();
    assert!(watching.await.is_err_and(|error| error.to_string() == "the store's watch of zones ended"));
}

#[tokio::test]
async fn a_zone_that_is_deleted_while_the_store_is_behind_stays_until_that_is_known_and_then_goes() {
    let database = Database::new();
    let (here, there) = (database.instance(), database.instance());
    for name in ["east", "west"] {
        there.put(zone(name), Precondition::Absent).await.unwrap();
    }
    let store: Arc<dyn ResourceStore> = Arc::new(here.clone());
    let port = Port::new(&store).await;
    let (mut east, mut west) = (port.stream("east"), port.stream("west"));
    port.tasks.spawn("deleted-zones", OnError::StopProgram, port.watching(zones(&*store)));
    settle().await;
    here.fall_behind();
    there.delete(&Key::global(Kind::ZONE, "west"), Precondition::Present).await.unwrap();
    settle().await;
    assert!(west.closed().now_or_never().is_none() && east.closed().now_or_never().is_none());
    here.catch_up();
    assert_eq!(west.closed().await, CloseReason::ZoneDeleted);
    settle().await;
    assert!(east.closed().now_or_never().is_none(), "a picture that begins anew is no deletion");
}

fn labelled(name: &str, value: &str) -> Resource {
    Resource { labels: Labels::from([(model::labels::AUTH.to_owned(), value.to_owned())]), ..zone(name) }
}

#[tokio::test(start_paused = true)]
async fn a_label_puts_a_zone_into_shadow_and_its_end_closes_who_proved_nothing() {
    let store: Arc<dyn ResourceStore> = Arc::new(Database::new().instance());
    for (name, value) in [("west", "shadow"), ("east", "Shadow")] {
        store.put(labelled(name, value), Precondition::Absent).await.unwrap();
    }
    let port = Port::new(&store).await;
    let mut zones = zones(&*store);
    port.enforcer.learn(&mut zones).await.unwrap();
    let name = |name: &str| ZoneName::parse(name).unwrap();
    assert!(port.registry.is_in_shadow(&name("west")), "before anybody comes");
    assert!(!port.registry.is_in_shadow(&name("east")), "another word is none");
    let arrival = Arrival {
        caller: ZoneCaller::Shadowed { zone: name("west"), why: tokens::Rejection::Missing },
        ring_generation: 0,
        connection: ConnectionId(1),
        method: "GlobalToZoneSync",
        unary: false,
        pings: false,
    };
    let mut guest = port.registry.admit(arrival, Timestamp::UNIX_EPOCH).unwrap();
    port.tasks.spawn("zones", OnError::StopProgram, port.watching(zones));
    settle().await;
    assert!(guest.closed().now_or_never().is_none());
    let stored = store.get(&Key::global(Kind::ZONE, "west")).await.unwrap().unwrap();
    store.put(zone("west"), Precondition::Version(stored.version)).await.unwrap();
    assert_eq!(guest.closed().await, CloseReason::Refused(tokens::Rejection::Missing));
    assert!(guest.enforcement().since().is_some());
}

#[tokio::test(start_paused = true)]
async fn what_would_be_refused_is_counted_by_zone_and_reason_and_shown_when_the_zone_is_known() {
    let store: Arc<dyn ResourceStore> = Arc::new(Database::new().instance());
    store.put(zone("west"), Precondition::Absent).await.unwrap();
    let port = Port::new(&store).await;
    let west = ZoneName::parse("west").unwrap();
    for text in ["token is expired by 1s", "token is expired by 2s"] {
        port.insights.would_be_refused(&west, "expired", text);
    }
    let all = port.insights.all_would_be_refused();
    assert_eq!(
        all.iter().map(|one| (one.reason, one.times, one.text.as_str())).collect::<Vec<_>>(),
        [("expired", 2, "token is expired by 2s")]
    );
    port.insights.subscribe(&west, true);
    port.insights.show_would_be_refused(&west);
    port.insights.would_be_refused(&west, "expired", "token is expired by 3s");
    port.insights.would_be_refused(&west, "missing", "no token");
    tokio::time::sleep(Duration::from_secs(5)).await;
    let stored = store.get(&Key::global(Kind::ZONE_INSIGHT, "west")).await.unwrap().unwrap();
    let insight = <wire::kuma::system::v1alpha1::ZoneInsight as prost::Message>::decode(stored.resource.spec.clone());
    let insight = insight.unwrap();
    let events: Vec<_> = insight.auth_events.iter().map(|event| (event.reason.as_str(), event.text.as_str())).collect();
    let expected = [("would-be-refused", "expired: token is expired by 3s"), ("would-be-refused", "missing: no token")];
    assert_eq!(events, expected, "the last text of each reason");
    let refusal = insight.last_refusal.unwrap();
    assert!(refusal.reason == "missing" && refusal.detail.starts_with("let in"), "{refusal:?}");
    port.insights.forget(&west);
    assert_eq!(port.insights.all_would_be_refused(), []);
}

#[tokio::test(start_paused = true)]
async fn keys_are_enforced_on_live_streams_or_on_those_who_come() {
    for recheck in [Recheck::Live, Recheck::OnConnect] {
        let store: Arc<dyn ResourceStore> = Arc::new(Database::new().instance());
        let mut port = Port::new(&store).await;
        port.enforcer.recheck = recheck;
        port.enforcer.clock = Clock::starting_at(Timestamp::from_second(1_800_000_000).unwrap());
        let key = b"WJYYLYHNpsTlUPj5aSwUu0TkXSXS5FaFEDmZL9fLZ2E=";
        let secret = tokens::SecretEntry { mesh: "", name: "control-plane-signing-key-0001", data: Some(key) };
        let ring = Arc::new(KeyRing::build(1, &[secret]).0);
        let (rings, published) = watch::channel(Arc::clone(&ring));
        let now = port.enforcer.clock.now();
        let stream = |zone: &str, seconds: u64| {
            let (zone, valid_for) = (ZoneName::parse(zone).unwrap(), Some(Duration::from_secs(seconds)));
            let token = tokens::issue_control_plane(&ring, &zone, valid_for, now, uuid::Uuid::nil()).unwrap();
            let (accept, leeway) = (tokens::Accept::CpToken, Duration::ZERO);
            let want = tokens::Want { zone: zone.as_str(), accept, leeway, legacy_until: None };
            let caller = ZoneCaller::Verified(tokens::verify(token.reveal(), &ring, now, &want).unwrap());
            let (connection, method) = (ConnectionId(1), "GlobalToZoneSync");
            let arrival = Arrival { caller, ring_generation: 1, connection, method, unary: false, pings: false };
            port.registry.admit(arrival, now).unwrap()
        };
        let (mut short, mut long) = (stream("west", 100), stream("east", 100_000));
        port.tasks.spawn(
            "sweeper",
            OnError::StopProgram,
            port.enforcer.clone().run(Keys::of(published), port.tasks.clone()),
        );
        tokio::time::sleep(Duration::from_secs(99)).await;
        assert!(short.closed().now_or_never().is_none());
        tokio::time::sleep(Duration::from_millis(1100)).await;
        assert_eq!(short.closed().now_or_never().is_some(), recheck == Recheck::Live, "its token ended");
        rings.send_replace(Arc::new(KeyRing::build(2, &[]).0));
        settle().await;
        assert_eq!(long.closed().now_or_never().is_some(), recheck == Recheck::Live, "its key is gone");
        assert_eq!(long.enforcement().since().is_some(), recheck == Recheck::Live);
        // The streams ended first; what is told of them comes after.
        let counted = || {
            let mut text = String::new();
            prometheus_client::encoding::text::encode(&mut text, &port.metrics).unwrap();
            text.contains("kds_auth_streams_closed_total{reason=\"unknown-key\"} 1")
        };
        assert!(!counted());
        tokio::time::sleep(AFTERWARDS).await;
        settle().await;
        assert_eq!(counted(), recheck == Recheck::Live);
        port.tasks.stop();
    }
}
