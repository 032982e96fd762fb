//! Several control planes keep the insight of a zone in one store: what each says stays true, whoever writes, starts or dies.

use model::{Key, ProxyView};
use store::{
    Instances as _, Precondition,
    testing::{Database, Instance, Member},
};
use tokio::time::Instant;

use super::*;
use crate::{
    cluster::Times,
    zones::{
        caller::{Origin, Renews, ZoneCaller},
        examples::{database_with_west, west},
    },
};

mod two_instances;

/// The insights of one control plane.
struct Global {
    insights: Insights,
    store: Instance,
    member: Member,
    cluster: Cluster,
    tasks: Tasks,
}

impl Global {
    async fn start(database: &Database, name: &str) -> Self {
        Self::start_at(database, name, &Clock::system()).await
    }

    async fn start_at(database: &Database, name: &str, clock: &Clock) -> Self {
        let (store, member, tasks) = (database.instance(), database.member(), Tasks::new());
        let joining = Cluster::join(Arc::new(member.clone()), || name.to_owned(), Times::default(), &tasks);
        let cluster = joining.await;
        let options = Options {
            flush_interval: Duration::from_secs(10),
            subscription_limit: 10,
            compact_finished: false,
            cluster: cluster.clone(),
        };
        let shared: Arc<dyn ResourceStore> = Arc::new(store.clone());
        let insights = Insights::start(&shared, clock, options, &tasks).await.unwrap();
        Self { insights, store, member, cluster, tasks }
    }

    /// It says nothing any more.
    fn die(self) {
        self.store.refuse_writes("it is dead");
        self.member.kill();
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

/// Instance and whether it is open, of each subscription.
fn subscriptions(insight: &ZoneInsight) -> Vec<(&str, bool)> {
    let subscriptions = insight.subscriptions.iter();
    subscriptions.map(|one| (one.global_instance_id.as_str(), one.disconnect_time.is_none())).collect()
}

#[tokio::test(start_paused = true)]
async fn what_one_left_open_that_is_gone_is_ended_after_its_lease_and_nothing_of_others() {
    let database = database_with_west().await;
    let first = Global::start(&database, "a-1").await;
    first.insights.subscribe(&west(), true);
    first.stored(record::online).await;
    let second = Global::start(&database, "b-1").await;
    assert!(second.insights.online(&west()), "it is connected, if elsewhere");
    second.insights.subscribe(&west(), true);
    second.stored(|insight| subscriptions(insight) == [("a-1", true), ("b-1", true)]).await;
    let died = Instant::now();
    first.die();
    // Whoever starts in its place has another name, and leaves it to its lease.
    let again = Global::start(&database, "a-2").await;
    again.insights.subscribe(&west(), true);
    again.stored(|insight| subscriptions(insight) == [("a-1", true), ("b-1", true), ("a-2", true)]).await;
    again.stored(|insight| subscriptions(insight) == [("a-1", false), ("b-1", true), ("a-2", true)]).await;
    let took = died.elapsed();
    assert!(Duration::from_secs(10) < took && took < Duration::from_secs(20), "{took:?}");
    second.knows(|insights| insights.online(&west())).await;
}

#[tokio::test(start_paused = true)]
async fn a_zone_of_an_instance_that_is_gone_is_offline_on_the_others() {
    let database = database_with_west().await;
    let (first, second) = (Global::start(&database, "a").await, Global::start(&database, "b").await);
    second.insights.subscribe(&west(), true);
    first.stored(record::online).await;
    second.die();
    first.stored(|insight| !record::online(insight)).await;
    first.knows(|insights| !insights.online(&west())).await;
}

#[tokio::test(start_paused = true)]
async fn where_nobody_else_is_what_was_left_open_is_ended_at_the_start() {
    let database = database_with_west().await;
    let first = Global::start(&database, "a").await;
    first.insights.subscribe(&west(), true);
    first.stored(record::online).await;
    first.die();
    let (store, tasks): (Arc<dyn ResourceStore>, _) = (Arc::new(database.instance()), Tasks::new());
    let options = Options {
        flush_interval: Duration::from_secs(10),
        subscription_limit: 10,
        compact_finished: false,
        cluster: Cluster::alone("b"),
    };
    let insights = Insights::start(&store, &Clock::system(), options, &tasks).await.unwrap();
    assert!(!insights.online(&west()));
}

#[tokio::test(start_paused = true)]
async fn who_has_just_come_is_taken_for_gone_by_nobody() {
    let database = database_with_west().await;
    let first = Global::start(&database, "a").await;
    let mut watch = first.store.watch(Kinds::Only(vec![Kind::ZONE_INSIGHT]));
    for name in ["b", "c", "d"] {
        let other = Global::start(&database, name).await;
        other.insights.subscribe(&west(), true);
        first.knows(|insights| insights.online(&west())).await;
        tokio::time::sleep(Duration::from_secs(5)).await;
        other.tasks.stop();
        first.store.delete(&Key::global(Kind::ZONE_INSIGHT, "west"), Precondition::Present).await.unwrap();
        first.insights.forget(&west());
    }
    while let Some(Some(event)) = futures::FutureExt::now_or_never(futures::StreamExt::next(&mut watch)) {
        if let store::Event::Apply(stored) = event {
            let insight = ZoneInsight::decode(stored.resource.spec.clone()).unwrap();
            assert!(record::online(&insight), "{:?}", subscriptions(&insight));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_led_before_ends_nothing_of_others() {
    let database = database_with_west().await;
    let (first, second) = (Global::start(&database, "a").await, Global::start(&database, "b").await);
    second.insights.subscribe(&west(), true);
    first.knows(|insights| insights.online(&west())).await;
    let epoch = first.cluster.leads().unwrap();
    // It was stopped for long, and goes on in the middle of what only a leader does.
    let leader = database.member();
    leader.renew(&store::Said { name: "c".to_owned(), inter_cp: None, keys: Version(0) }).await.unwrap();
    assert!(leader.lead(&["a".to_owned()].into()).await.unwrap() > Some(epoch));
    let all = first.insights.left_open(&Arc::default());
    first.insights.end(&all, &Arc::default(), epoch);
    assert!(!first.insights.online(&west()));
    // What it has to say itself is written all the same.
    first.insights.subscribe(&west(), true);
    first.stored(|insight| subscriptions(insight) == [("b", true), ("a", true)]).await;
    first.knows(|insights| insights.lock()[&west()].insight.subscriptions.len() == 2).await;
    assert_eq!(subscriptions(&first.insights.lock()[&west()].insight), [("b", true), ("a", true)]);
}

#[tokio::test(start_paused = true)]
async fn a_zone_is_online_on_all_until_the_last_of_its_subscriptions_ends() {
    let database = database_with_west().await;
    let (first, second) = (Global::start(&database, "a").await, Global::start(&database, "b").await);
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
    let database = database_with_west().await;
    let (first, second) = (Global::start(&database, "a").await, Global::start(&database, "b").await);
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

#[tokio::test(start_paused = true)]
async fn who_is_said_to_be_gone_and_is_not_says_so() {
    let database = database_with_west().await;
    let first = Global::start(&database, "a").await;
    first.insights.subscribe(&west(), true);
    first.stored(record::online).await;
    let second = Global::start(&database, "b").await;
    second.knows(|insights| insights.online(&west())).await;
    // Its store is behind, and nobody hears of it.
    first.member.cut();
    first.store.fall_behind();
    first.store.refuse_writes("cut off");
    second.stored(|insight| !record::online(insight)).await;
    assert!(first.insights.online(&west()), "its stream is open");
    first.member.mend();
    first.store.take_writes();
    first.store.catch_up();
    let back = Instant::now();
    second.stored(record::online).await;
    assert!(back.elapsed() < Duration::from_secs(5), "{:?}", back.elapsed());
    second.knows(|insights| insights.online(&west())).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(second.insights.online(&west()), "it stays so");
}

#[tokio::test(start_paused = true)]
async fn an_insight_that_goes_with_its_zone_is_forgotten_and_a_new_zone_starts_a_new_one() {
    let database = database_with_west().await;
    let global = Global::start(&database, "a").await;
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
    let database = database_with_west().await;
    let (first, second) = (Global::start(&database, "a").await, Global::start(&database, "b").await);
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
    let database = database_with_west().await;
    let start = Timestamp::from_second(1_800_000_000).unwrap();
    let clock = Clock::starting_at(start);
    let first = Global::start_at(&database, "a", &clock).await;
    let second = Global::start_at(&database, "b", &clock).await;
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
    let database = database_with_west().await;
    let start = Timestamp::from_second(1_800_000_000).unwrap();
    let global = Global::start_at(&database, "g", &Clock::starting_at(start)).await;
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
    let again = Global::start(&database, "h").await;
    let names = again.insights.uses().pop().unwrap().1.into_iter().filter_map(|one| one.left);
    assert_eq!(names.collect::<Vec<_>>(), ["host-0001"]);
}
