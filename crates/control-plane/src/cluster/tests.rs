//! Several instances on a database that is played, on a clock that stands still but for the tests.

use prometheus_client::encoding::text::encode_registry;
use store::testing::{Database, Member as Played};
use tokio::time::{advance, timeout};

use super::*;

const LIMIT: Duration = Duration::from_secs(30);
const SECOND: Duration = Duration::from_secs(1);

/// An instance, its way to the database, and its tasks.
struct Joined {
    cluster: Cluster,
    way: Played,
    tasks: Tasks,
}

impl Joined {
    async fn on(database: &Database, name: &'static str) -> Self {
        let (way, tasks) = (database.member(), Tasks::new());
        let cluster = Cluster::join(Arc::new(way.clone()), || name.to_owned(), Times::default(), &tasks).await;
        Self { cluster, way, tasks }
    }

    /// Waits until exactly these are there for it, and returns how long that took.
    async fn sees(&self, names: &[&str]) -> Duration {
        let (started, mut members) = (Instant::now(), self.cluster.members());
        let so = |members: &Members| members.keys().eq(names);
        let seen = timeout(LIMIT, members.wait_for(|members| so(members))).await;
        assert!(seen.is_ok(), "{:?}", self.cluster.members().borrow());
        started.elapsed()
    }

    /// Waits until it leads, or does not, and returns how long that took.
    async fn leads(&self, so: bool) -> Duration {
        let (started, mut leading) = (Instant::now(), self.cluster.leading());
        timeout(LIMIT, leading.wait_for(|leading| leading.is_some() == so)).await.unwrap().unwrap();
        started.elapsed()
    }

    /// Waits until it knows that this one leads.
    async fn names(&self, leader: &str) {
        let (mut leading, so) = (self.cluster.leader(), |known: &Option<String>| known.as_deref() == Some(leader));
        let named = timeout(LIMIT, leading.wait_for(so)).await;
        assert!(named.is_ok(), "{:?}", *self.cluster.leader().borrow());
    }

    /// What a killed process does.
    async fn kill(&self) {
        self.way.kill();
        self.tasks.stop();
        assert!(self.tasks.finished(LIMIT).await);
    }
}

#[test]
fn who_is_alone_leads_and_is_there() {
    let cluster = Cluster::alone("cp-1");
    cluster.announce("10.0.0.1:5683");
    let members = cluster.members().borrow().clone();
    let shown: Vec<_> = members.values().map(|one| (one.instance.as_str(), one.inter_cp.as_deref())).collect();
    assert_eq!(shown, [("cp-1", Some("10.0.0.1:5683"))]);
    assert_eq!((cluster.me(), cluster.leads()), ("cp-1", Some(Epoch::ALONE)));
    assert_eq!(cluster.leader().borrow().as_deref(), Some("cp-1"));
    assert_eq!(metric(&cluster), "leader 1");
}

fn metric(cluster: &Cluster) -> String {
    let (mut registry, mut text) = (Registry::default(), String::new());
    cluster.register(&mut registry);
    encode_registry(&mut text, &registry).unwrap();
    text.lines().last().unwrap().to_owned()
}

#[tokio::test(start_paused = true)]
async fn each_is_there_for_all_and_one_leads() {
    let database = Database::new();
    let (first, second) = (Joined::on(&database, "first").await, Joined::on(&database, "second").await);
    first.sees(&["first", "second"]).await;
    second.sees(&["first", "second"]).await;
    assert_eq!([&first, &second].map(|one| metric(&one.cluster)), ["leader 1", "leader 0"]);
    first.names("first").await;
    second.names("first").await;
    second.cluster.announce("10.0.0.2:5683");
    let (_keys, version) = watch::channel(Version(7));
    second.tasks.spawn("keys", OnError::Log, second.cluster.clone().tell_keys(version, second.tasks.clone()));
    let mut members = first.cluster.members();
    let reached = |members: &Members| members["second"].inter_cp.as_deref() == Some("10.0.0.2:5683");
    timeout(SECOND * 2, members.wait_for(reached)).await.unwrap().unwrap();
    assert_eq!(first.cluster.keys_of_others(), BTreeMap::from([("second".to_owned(), Version(7))]));
    // Nothing happens to those that are heard.
    let epoch = first.cluster.leads();
    advance(LIMIT * 20).await;
    first.cluster.look_again().await;
    assert!(!first.cluster.leading().has_changed().unwrap() && first.cluster.leads() == epoch);
    first.sees(&["first", "second"]).await;
}

#[tokio::test(start_paused = true)]
async fn who_ends_in_order_is_gone_at_once() {
    let database = Database::new();
    let (first, second) = (Joined::on(&database, "first").await, Joined::on(&database, "second").await);
    first.tasks.stop();
    assert!(first.tasks.finished(LIMIT).await);
    assert_eq!(first.cluster.leads(), None);
    let took = second.sees(&["second"]).await.max(second.leads(true).await);
    assert!(took <= SECOND, "{took:?}");
    assert!(second.cluster.leads() > Some(Epoch(1)));
}

#[tokio::test(start_paused = true)]
async fn who_is_killed_lets_go_of_the_lead_at_once_and_is_gone_after_its_lease() {
    let database = Database::new();
    let (first, second) = (Joined::on(&database, "first").await, Joined::on(&database, "second").await);
    second.sees(&["first", "second"]).await;
    first.kill().await;
    let took = second.leads(true).await;
    assert!(took <= SECOND, "{took:?}");
    let took = took + second.sees(&["second"]).await;
    let lease = Times::default().lease;
    assert!(lease - SECOND * 5 <= took && took <= lease + SECOND * 2, "{took:?}");
    // And forgotten, so that nobody has to wait for it again.
    let third = Joined::on(&database, "third").await;
    third.sees(&["second", "third"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_is_cut_off_gives_up_before_another_leads() {
    let database = Database::new();
    let (first, second) = (Joined::on(&database, "first").await, Joined::on(&database, "second").await);
    first.sees(&["first", "second"]).await;
    second.sees(&["first", "second"]).await;
    first.way.cut();
    let cut = Instant::now();
    first.leads(false).await;
    assert_eq!(second.cluster.leads(), None, "never two");
    second.leads(true).await;
    assert!(cut.elapsed() <= Times::default().lease, "{:?}", cut.elapsed());
    let epoch = second.cluster.leads();
    second.sees(&["second"]).await;
    // It has the picture that it had.
    first.sees(&["first", "second"]).await;
    first.way.mend();
    let took = second.sees(&["first", "second"]).await;
    assert!(took <= SECOND * 2, "{took:?}");
    advance(LIMIT).await;
    first.cluster.look_again().await;
    assert_eq!((first.cluster.leads(), second.cluster.leads()), (None, epoch));
    first.names("second").await;
    second.names("second").await;
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_is_away_for_a_moment_leads_on() {
    let database = Database::new();
    let (first, second) = (Joined::on(&database, "first").await, Joined::on(&database, "second").await);
    let (epoch, leading) = (first.cluster.leads(), first.cluster.leading());
    first.way.cut();
    tokio::time::sleep(SECOND * 6).await;
    first.way.mend();
    tokio::time::sleep(LIMIT).await;
    assert!(!leading.has_changed().unwrap() && first.cluster.leads() == epoch && epoch.is_some());
    assert_eq!(second.cluster.leads(), None);
}

#[tokio::test(start_paused = true)]
async fn after_the_database_was_away_nobody_is_taken_for_gone() {
    let database = Database::new();
    let (first, second) = (Joined::on(&database, "first").await, Joined::on(&database, "second").await);
    first.sees(&["first", "second"]).await;
    let members = first.cluster.members();
    for way in [&first.way, &second.way] {
        way.cut();
    }
    first.leads(false).await;
    tokio::time::sleep(LIMIT).await;
    // One is there before the other.
    first.way.mend();
    first.leads(true).await;
    tokio::time::sleep(SECOND * 10).await;
    second.way.mend();
    tokio::time::sleep(LIMIT).await;
    assert!(!members.has_changed().unwrap(), "{:?}", *members.borrow());
}

#[tokio::test(start_paused = true)]
async fn who_is_called_like_another_takes_another_name() {
    let database = Database::new();
    let first = Joined::on(&database, "same").await;
    let names = std::cell::RefCell::new(vec!["other", "same"]);
    let name = || names.borrow_mut().pop().unwrap().to_owned();
    let tasks = Tasks::new();
    let second = Cluster::join(Arc::new(database.member()), name, Times::default(), &tasks).await;
    assert_eq!(second.me(), "other");
    first.sees(&["other", "same"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_look_again_shows_who_came_before_it() {
    let database = Database::new();
    let first = Joined::on(&database, "first").await;
    first.sees(&["first"]).await;
    let _second = Joined::on(&database, "second").await;
    assert_eq!(first.cluster.members().borrow().len(), 1, "it was not looked at since");
    let members = timeout(LIMIT, first.cluster.look_again()).await.unwrap();
    assert!(members.contains_key("second"));
}

#[tokio::test(start_paused = true)]
async fn who_starts_while_the_database_is_away_joins_later() {
    let database = Database::new();
    let (way, tasks) = (database.member(), Tasks::new());
    way.cut();
    let cluster = Cluster::join(Arc::new(way.clone()), || "late".to_owned(), Times::default(), &tasks).await;
    assert_eq!(cluster.leads(), None);
    way.mend();
    timeout(SECOND * 2, cluster.leading().wait_for(Option::is_some)).await.unwrap().unwrap();
}
