//! Several control planes keep the insight of a zone in one store: what each says stays true, whoever writes, starts or dies.

use model::{Key, Labels, ProxyView, Resource};
use store::{
    Precondition,
    testing::{Database, Instance},
};

use super::*;
use crate::zones::caller::{Origin, Renews, ZoneCaller};

/// The insights of one control plane.
struct Global {
    insights: Insights,
    store: Instance,
    tasks: Tasks,
}

impl Global {
    async fn start(database: &Database, name: &str, former: &[&str]) -> Self {
        Self::start_at(database, name, former, &Clock::system()).await
    }

    async fn start_at(database: &Database, name: &str, former: &[&str], clock: &Clock) -> Self {
        let (store, tasks) = (database.instance(), Tasks::new());
        let options = Options {
            flush_interval: Duration::from_secs(10),
            subscription_limit: 10,
            compact_finished: false,
            instance: name.to_owned(),
            others: Others::Alive { former: former.iter().map(|name| (*name).to_owned()).collect() },
        };
        let shared: Arc<dyn ResourceStore> = Arc::new(store.clone());
        let insights = Insights::start(&shared, clock, options, &tasks).await.unwrap();
        Self { insights, store, tasks }
    }

    /// It says nothing any more.
    fn die(self) {
        self.store.refuse_writes("it is dead");
        self.tasks.stop();
    }

    /// Waits until the stored insight of the zone is so.
    async fn stored(&self, is_so: impl Fn(&ZoneInsight) -> bool) -> ZoneInsight {
        let mut watch = self.store.watch(Kinds::Only(vec![Kind::ZONE_INSIGHT]));
        let waiting = async {
            while let Some(event) = futures::StreamExt::next(&mut watch).await {
                if let store::Event::InitApply(stored) | store::Event::Apply(stored) = event {
                    let insight = ZoneInsight::decode(stored.resource.spec.clone()).unwrap();
                    if is_so(&insight) {
                        return insight;
                    }
                }
            }
            panic!("the watch ended")
        };
        tokio::time::timeout(Duration::from_secs(60), waiting).await.expect("it becomes so")
    }

    /// Waits until it knows what is stored.
    async fn knows(&self, is_so: impl Fn(&Insights) -> bool) {
        let knowing = async {
            while !is_so(&self.insights) {
                tokio::time::advance(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), knowing).await.expect("it hears of it");
    }
}

fn west() -> ZoneName {
    ZoneName::parse("west").unwrap()
}

/// A database with the zone.
async fn database() -> Database {
    let database = Database::new();
    let zone = Resource {
        key: Key::global(Kind::ZONE, "west"),
        labels: Labels::new(),
        spec: Bytes::new(),
        status: None,
        owner: None,
        created: Timestamp::UNIX_EPOCH,
        modified: Timestamp::UNIX_EPOCH,
    };
    database.instance().put(zone, Precondition::Absent).await.unwrap();
    database
}

/// Instance and whether it is open, of each subscription.
fn subscriptions(insight: &ZoneInsight) -> Vec<(&str, bool)> {
    let subscriptions = insight.subscriptions.iter();
    subscriptions.map(|one| (one.global_instance_id.as_str(), one.disconnect_time.is_none())).collect()
}

#[tokio::test(start_paused = true)]
async fn who_starts_ends_what_its_own_former_life_left_and_nothing_of_others() {
    let database = database().await;
    let first = Global::start(&database, "a-1", &[]).await;
    first.insights.subscribe(&west(), true);
    first.stored(record::online).await;
    let second = Global::start(&database, "b-1", &[]).await;
    assert!(second.insights.online(&west()), "it is connected, if elsewhere");
    second.insights.subscribe(&west(), true);
    second.stored(|insight| subscriptions(insight) == [("a-1", true), ("b-1", true)]).await;
    first.die();
    let again = Global::start(&database, "a-2", &["a-1"]).await;
    again.stored(|insight| subscriptions(insight) == [("a-1", false), ("b-1", true)]).await;
    second.knows(|insights| insights.online(&west())).await;
}

#[tokio::test(start_paused = true)]
async fn a_zone_is_online_on_all_until_the_last_of_its_subscriptions_ends() {
    let database = database().await;
    let (first, second) = (Global::start(&database, "a", &[]).await, Global::start(&database, "b", &[]).await);
    let here = first.insights.subscribe(&west(), true);
    let there = second.insights.subscribe(&west(), true);
    // Both write what they have not seen of each other.
    first.stored(|insight| insight.subscriptions.len() == 2).await;
    first.insights.unsubscribe(&west(), &here);
    second.stored(|insight| subscriptions(insight).contains(&("a", false))).await;
    first.knows(|insights| insights.online(&west())).await;
    second.insights.unsubscribe(&west(), &there);
    first.knows(|insights| !insights.online(&west())).await;
    second.knows(|insights| !insights.online(&west())).await;
}

#[tokio::test(start_paused = true)]
async fn pings_counters_and_configurations_of_one_survive_what_the_other_writes() {
    let database = database().await;
    let (first, second) = (Global::start(&database, "a", &[]).await, Global::start(&database, "b", &[]).await);
    let here = first.insights.subscribe(&west(), true);
    let said = super::Instance { config: "{\"of\":\"west\"}".to_owned(), ..super::Instance::default() };
    first.insights.described(&west(), &here, &said);
    first.insights.stream_opened(&west(), StreamName::Admin(ProxyView::Clusters));
    first.insights.sent(&west(), &here, "Mesh");
    first.stored(|insight| insight.subscriptions.iter().any(|one| !one.config.is_empty())).await;
    second.knows(|insights| insights.last_config(&west()).as_deref() == Some("{\"of\":\"west\"}")).await;
    second.insights.subscribe(&west(), true);
    second.insights.pinged(&west(), None);
    second.insights.rejected_here(&west(), "Mesh", "no");
    let stored = first.stored(|insight| insight.subscriptions.len() == 2 && !insight.type_troubles.is_empty()).await;
    assert_eq!(stored.subscriptions[0].config, said.config);
    assert_eq!(stored.subscriptions[0].status.as_ref().unwrap().total.as_ref().unwrap().responses_sent, 1);
    assert_eq!(stored.envoy_admin_streams.unwrap().clusters_global_instance_id, "a");
    first.knows(|insights| insights.last_ping(&west()).is_some()).await;
}

/// A zone of this name of its own that is connected.
fn come(global: &Global, instance: &str) -> String {
    let subscription = global.insights.subscribe(&west(), true);
    let said = super::Instance { id: instance.to_owned(), ..super::Instance::default() };
    global.insights.described(&west(), &subscription, &said);
    subscription
}

#[tokio::test(start_paused = true)]
async fn the_older_of_two_instances_of_a_zone_on_two_control_planes_is_told() {
    let (database, clock) = (database().await, Clock::starting_at(Timestamp::from_second(1_800_000_000).unwrap()));
    let first = Global::start_at(&database, "a", &[], &clock).await;
    let second = Global::start_at(&database, "b", &[], &clock).await;
    come(&first, "host-0001");
    second.knows(|insights| insights.online(&west())).await;
    tokio::time::advance(Duration::from_secs(1)).await;
    come(&second, "host-0002");
    assert_eq!(first.insights.next_replaced().await, (west(), "host-0002".to_owned()));
    // The other way round it would never end.
    first.stored(|insight| insight.subscriptions.iter().filter(|one| one.disconnect_time.is_none()).count() == 2).await;
    let told = tokio::time::timeout(Duration::from_secs(60), second.insights.next_replaced()).await;
    assert!(told.is_err(), "the newer one stays");
}

#[tokio::test(start_paused = true)]
async fn a_zone_that_moves_to_another_control_plane_is_one_zone() {
    let (database, clock) = (database().await, Clock::starting_at(Timestamp::from_second(1_800_000_000).unwrap()));
    let first = Global::start_at(&database, "a", &[], &clock).await;
    let second = Global::start_at(&database, "b", &[], &clock).await;
    let old = come(&first, "host-0001");
    second.knows(|insights| insights.online(&west())).await;
    tokio::time::advance(Duration::from_secs(1)).await;
    come(&second, "host-0001");
    first.stored(|insight| insight.subscriptions.iter().all(|one| !one.zone_instance_id.is_empty())).await;
    let told = tokio::time::timeout(Duration::from_secs(60), first.insights.next_replaced()).await;
    assert!(told.is_err(), "it ends what it left by itself");
    first.insights.unsubscribe(&west(), &old);
    first.stored(|insight| subscriptions(insight) == [("a", false), ("b", true)]).await;
    second.knows(|insights| insights.uses()[0].1.iter().all(|one| one.left.is_none())).await;
}

#[tokio::test(start_paused = true)]
async fn who_is_said_to_be_gone_and_is_not_says_so() {
    let database = database().await;
    let first = Global::start(&database, "a", &[]).await;
    first.insights.subscribe(&west(), true);
    first.stored(record::online).await;
    // Somebody takes it for a former life of its own.
    let second = Global::start(&database, "b", &["a"]).await;
    second.stored(|insight| !record::online(insight)).await;
    second.stored(record::online).await;
    second.knows(|insights| insights.online(&west())).await;
}

#[tokio::test(start_paused = true)]
async fn an_insight_that_goes_with_its_zone_is_forgotten_and_a_new_zone_starts_a_new_one() {
    let database = database().await;
    let global = Global::start(&database, "a", &[]).await;
    let subscription = global.insights.subscribe(&west(), true);
    global.stored(record::online).await;
    let zone = global.store.get(&Key::global(Kind::ZONE, "west")).await.unwrap().unwrap();
    global.store.delete(&zone.resource.key, Precondition::Present).await.unwrap();
    global.insights.forget(&west());
    global.insights.unsubscribe(&west(), &subscription);
    global.store.put((*zone.resource).clone(), Precondition::Absent).await.unwrap();
    global.insights.subscribe(&west(), true);
    let stored = global.stored(record::online).await;
    assert_eq!(stored.subscriptions.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn who_has_not_heard_what_another_wrote_does_not_write_over_it() {
    let database = database().await;
    let (first, second) = (Global::start(&database, "a", &[]).await, Global::start(&database, "b", &[]).await);
    second.store.fall_behind();
    let here = first.insights.subscribe(&west(), true);
    first.stored(record::online).await;
    first.insights.unsubscribe(&west(), &here);
    first.stored(|insight| !record::online(insight)).await;
    second.insights.subscribe(&west(), true);
    // Time enough to write.
    for _ in 0..1000 {
        tokio::time::advance(Duration::from_millis(1)).await;
    }
    second.store.catch_up();
    first.stored(|insight| subscriptions(insight) == [("a", false), ("b", true)]).await;
}

/// A zone with a token that is good for so long.
fn caller(valid_for: Duration, now: Timestamp) -> ZoneCaller {
    let key = b"WJYYLYHNpsTlUPj5aSwUu0TkXSXS5FaFEDmZL9fLZ2E=";
    let secret = tokens::SecretEntry { mesh: "", name: "control-plane-signing-key-0001", data: Some(key) };
    let ring = tokens::KeyRing::build(1, &[secret]).0;
    let token = tokens::issue_control_plane(&ring, &west(), Some(valid_for), now, uuid::Uuid::nil()).unwrap();
    let (accept, leeway) = (tokens::Accept::CpToken, Duration::ZERO);
    let want = tokens::Want { zone: "west", accept, leeway, legacy_until: None };
    ZoneCaller::Verified(tokens::verify(token.reveal(), &ring, now, &want).unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_token_that_nobody_renews_is_told_of_at_four_fifths_of_its_life_and_by_one_control_plane() {
    let database = database().await;
    let start = Timestamp::from_second(1_800_000_000).unwrap();
    let clock = Clock::starting_at(start);
    let first = Global::start_at(&database, "a", &[], &clock).await;
    let second = Global::start_at(&database, "b", &[], &clock).await;
    for global in [&first, &second] {
        let looking = crate::zones::ageing::run(global.insights.clone(), global.tasks.clone());
        global.tasks.spawn("ageing-tokens", OnError::StopProgram, looking);
    }
    let origin = Origin { address: ([10, 0, 0, 1], 5).into(), renews: Renews::NotTheFile };
    let day = Duration::from_secs(24 * 3600);
    let subscription = first.insights.subscribe(&west(), true);
    first.insights.stands_on(&west(), &subscription, &caller(day, start), &origin);
    let stored = first.stored(|insight| insight.subscriptions.iter().any(|one| one.auth.is_some())).await;
    let auth = stored.subscriptions[0].auth.clone().unwrap();
    assert_eq!((auth.family.as_str(), auth.key.as_str()), ("control-plane-signing-key", "1"));
    assert_eq!((auth.address.as_str(), auth.renews.as_str()), ("10.0.0.1:5", "no (file)"));
    second.knows(|insights| insights.online(&west())).await;

    tokio::time::sleep(day / 10 * 8 - Duration::from_secs(60)).await;
    assert!(first.stored(|_| true).await.auth_events.is_empty());
    tokio::time::sleep(Duration::from_secs(120)).await;
    let told = first.stored(|insight| !insight.auth_events.is_empty()).await;
    assert_eq!(told.auth_events.iter().map(|event| event.reason.as_str()).collect::<Vec<_>>(), ["token-ends"]);
    // A renewal in place says what it stands on now.
    first.insights.stands_on(&west(), &subscription, &caller(day, clock.now()), &origin);
    let renewed = first.stored(|insight| insight.subscriptions[0].auth.as_ref().unwrap().since != auth.since).await;
    assert_eq!(renewed.subscriptions[0].connect_time, stored.subscriptions[0].connect_time);
    tokio::time::sleep(day / 2).await;
    assert_eq!(first.stored(|_| true).await.auth_events.len(), 1, "it is told of once, and the next token is young");
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_left_is_remembered_beside_the_one_that_came_last() {
    let database = database().await;
    let start = Timestamp::from_second(1_800_000_000).unwrap();
    let global = Global::start_at(&database, "g", &[], &Clock::starting_at(start)).await;
    let origin = Origin { address: ([10, 0, 0, 1], 5).into(), renews: Renews::No };
    let come = |instance: &str| {
        let subscription = global.insights.subscribe(&west(), true);
        let said = super::Instance { id: instance.to_owned(), ..super::Instance::default() };
        global.insights.stands_on(&west(), &subscription, &caller(Duration::from_secs(3600), start), &origin);
        global.insights.described(&west(), &subscription, &said);
        subscription
    };
    // What is open, and the names of those that left.
    let uses = || {
        let uses = global.insights.uses().pop().unwrap().1;
        let left = uses.iter().filter_map(|one| one.left.clone()).collect::<Vec<_>>();
        (uses.iter().filter(|one| one.live).count(), left)
    };
    let other = come("host-0001");
    tokio::time::advance(Duration::from_secs(20)).await;
    let last = come("host-0002");
    assert_eq!(uses(), (1, vec![]), "the streams of the other one are open still");
    tokio::time::advance(Duration::from_secs(20)).await;
    global.insights.unsubscribe(&west(), &other);
    assert_eq!(uses(), (1, vec!["host-0001".to_owned()]));
    tokio::time::advance(Duration::from_secs(20)).await;
    global.insights.unsubscribe(&west(), &last);
    tokio::time::advance(Duration::from_secs(20)).await;
    come("host-0003");
    assert_eq!(uses(), (1, vec!["host-0001".to_owned()]), "the second one was started again");
    // Nothing of that is lost in the store.
    global.stored(|insight| insight.subscriptions.len() == 3).await;
    global.die();
    let again = Global::start(&database, "h", &["g"]).await;
    let names = again.insights.uses().pop().unwrap().1.into_iter().filter_map(|one| one.left);
    assert_eq!(names.collect::<Vec<_>>(), ["host-0001"]);
}
