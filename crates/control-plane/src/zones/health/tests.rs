//! A balancer in front of two control planes may spread the calls of one zone: its streams are at one, its pings come to the
//! other.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use store::{
    ResourceStore,
    testing::{Database, Instance},
};
use tokens::KeyRing;

use super::*;
use crate::{
    cluster::{Cluster, Member},
    tasks::OnError,
    zones::{
        caller::ZoneCaller,
        examples::{database_with_west, west},
        insight::Options,
        registry::{Arrival, CloseReason, StreamGuard},
    },
};

const INTERVAL: Duration = Duration::from_secs(5);
const TIMEOUT: Duration = Duration::from_secs(12);
const FLUSH: Duration = Duration::from_secs(10);

/// One control plane of a database.
struct Global {
    insights: Insights,
    store: Instance,
    registry: Registry,
    clock: Clock,
    tasks: Tasks,
    _members: watch::Sender<Members>,
}

impl Global {
    async fn start(database: &Database, clock: &Clock, name: &str, all: &[&str]) -> Self {
        let (store, tasks) = (database.instance(), Tasks::new());
        let options = Options {
            flush_interval: FLUSH,
            subscription_limit: 10,
            compact_finished: false,
            cluster: Cluster::among(name, &[]),
        };
        let shared: Arc<dyn ResourceStore> = Arc::new(store.clone());
        let insights = Insights::start(&shared, clock, options, &tasks).await.unwrap();
        let member = |name: &&str| ((*name).to_owned(), Member { instance: (*name).to_owned(), inter_cp: None });
        let members = watch::Sender::new(Arc::new(all.iter().map(member).collect::<BTreeMap<_, _>>()));
        let registry = Registry::new(Arc::new(KeyRing::empty()), Duration::ZERO);
        let elsewhere = Elsewhere { members: members.subscribe(), freshness: store.freshness(), flush_interval: FLUSH };
        let checks = HealthChecks { interval: INTERVAL, timeout: TIMEOUT, elsewhere };
        let metrics = KdsMetrics::register(&mut prometheus_client::registry::Registry::default());
        let took = Histogram::new([1.0]);
        let looking = run(registry.clone(), insights.clone(), metrics, clock.clone(), checks, took, tasks.clone());
        tasks.spawn("zone-health", OnError::StopProgram, looking);
        Self { insights, store, registry, clock: clock.clone(), tasks, _members: members }
    }

    /// The zone opens its stream here, and says that it pings.
    fn connect(&self) -> StreamGuard {
        self.insights.subscribe(&west(), true);
        let arrival = Arrival {
            caller: ZoneCaller::Unverified(west()),
            ring_generation: 0,
            connection: self.registry.connect().id(),
            method: "GlobalToZoneSync",
            unary: false,
            pings: true,
        };
        self.registry.admit(arrival, self.clock.now()).unwrap()
    }
}

/// The control planes `a` and `b`, of which both know.
async fn two() -> (Global, Global) {
    let database = database_with_west().await;
    let clock = Clock::starting_at(Timestamp::from_second(1_800_000_000).unwrap());
    let all = ["a", "b"];
    (Global::start(&database, &clock, "a", &all).await, Global::start(&database, &clock, "b", &all).await)
}

/// Lets so many seconds pass, in which the zone pings this one every five.
async fn pinging(global: Option<&Global>, seconds: usize) {
    for second in 0..seconds {
        if second % 5 == 0
            && let Some(global) = global
        {
            global.insights.pinged(&west(), None);
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_zone_whose_pings_come_to_another_control_plane_is_not_silent() {
    let (a, b) = two().await;
    let stream = a.connect();
    pinging(None, 1).await;
    assert!(b.insights.online(&west()), "the other one has heard of it");
    pinging(Some(&b), 600).await;
    assert_eq!(stream.close_reason(), None);
    // It is found out all the same when it says nothing any more.
    pinging(None, 12 + 12 + 10 + 5).await;
    assert_eq!(stream.close_reason(), Some(CloseReason::Silent));
    assert!(!a.tasks.is_stopping());
}

#[tokio::test(start_paused = true)]
async fn nobody_is_called_silent_while_nobody_can_say_what_others_heard() {
    let (a, b) = two().await;
    let stream = a.connect();
    pinging(Some(&b), 30).await;
    a.store.fall_behind();
    pinging(Some(&b), 300).await;
    assert_eq!(stream.close_reason(), None);
    a.store.catch_up();
    pinging(Some(&b), 300).await;
    assert_eq!(stream.close_reason(), None);
}

#[tokio::test(start_paused = true)]
async fn who_is_alone_waits_for_nobody() {
    let clock = Clock::starting_at(Timestamp::from_second(1_800_000_000).unwrap());
    let alone = Global::start(&Database::new(), &clock, "a", &["a"]).await;
    let stream = alone.connect();
    pinging(Some(&alone), 60).await;
    assert_eq!(stream.close_reason(), None);
    pinging(None, 20).await;
    assert_eq!(stream.close_reason(), Some(CloseReason::Silent));
}
