//! What the deletion of a zone means, and a store that is behind, or gone.

use futures::FutureExt as _;
use model::{Key, Kind, Labels, Resource};
use store::{Kinds, Precondition, ResourceStore, testing::Database};
use tokens::KeyRing;

use super::*;
use crate::{
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
    metrics: KdsMetrics,
    tasks: Tasks,
}

impl Port {
    async fn new(store: &Arc<dyn ResourceStore>) -> Self {
        let (tasks, clock) = (Tasks::new(), Clock::system());
        let options = insight::Options {
            flush_interval: Duration::from_secs(1),
            subscription_limit: 10,
            compact_finished: false,
            instance: "i".to_owned(),
            others: insight::Others::Nobody,
        };
        let insights = Insights::start(store, &clock, options, &tasks).await.unwrap();
        let registry = Registry::new(Arc::new(KeyRing::empty()), Duration::ZERO);
        let metrics = KdsMetrics::register(&mut prometheus_client::registry::Registry::default());
        Self { registry, insights, metrics, tasks }
    }

    fn watching(&self, zones: Mirror) -> impl Future<Output = anyhow::Result<()>> + Send + 'static {
        let Self { registry, insights, metrics, tasks } = self;
        deleted_zones(registry.clone(), insights.clone(), metrics.clone(), zones, tasks.clone())
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
        tokio::task::yield_now().await;
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
