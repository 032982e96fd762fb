//! Several instances on one database: who is seen, who leads, and what somebody writes who led before.

use std::{collections::BTreeSet, net::SocketAddr, sync::Arc, thread, time::Duration};

use futures::future::join_all;
use store::{
    Batch, Epoch, Instances, Precondition, Renewed, ResourceStore as _, Said, StoreError, Version, Write,
    postgres::{PostgresStore, Settings, Times},
};
use testkit::{
    network::Relay,
    postgres::{Database, database},
    seed,
};
use tokio::time::timeout;

use super::{LIMIT, Opened as _, open, put, saying, settings, zones};

/// A store, and the instance whose it is.
struct Instance {
    store: PostgresStore,
    instances: Arc<dyn Instances>,
    said: Said,
}

impl Instance {
    /// One that was heard.
    async fn start(database: &Database, name: &str) -> Self {
        let instance = Self::of(database.open(), name, LIMIT);
        assert_eq!(instance.renew().await, Renewed::Heard);
        instance
    }

    fn of(store: PostgresStore, name: &str, answer: Duration) -> Self {
        let instances = store.instances(answer);
        Self { store, instances, said: Said { name: name.to_owned(), inter_cp: None, keys: Version(0) } }
    }

    async fn renew(&self) -> Renewed {
        self.instances.renew(&self.said).await.unwrap()
    }

    async fn lead(&self, gone: &[&str]) -> Option<Epoch> {
        self.instances.lead(&names(gone)).await.unwrap()
    }

    /// Asks for the lead until it has it.
    async fn leads_at_last(&self, gone: &[&str]) -> Epoch {
        let asking = async {
            loop {
                if let Some(epoch) = self.lead(gone).await {
                    return epoch;
                }
            }
        };
        timeout(LIMIT, asking).await.expect("the lead in time")
    }

    async fn write(&self, name: &str, epoch: Epoch) -> Result<(), StoreError> {
        let write = Write::Put { resource: saying(name, ""), expect: Precondition::Absent };
        self.store.apply(Batch::of(vec![write]).fenced(epoch)).await.map(drop)
    }

    async fn sees(&self) -> Vec<Said> {
        self.instances.look().await.unwrap().present.into_iter().map(|present| present.said).collect()
    }
}

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[tokio::test]
async fn each_sees_what_the_others_said_last_until_they_leave() {
    let Some(database) = database() else { return };
    let (here, mut there) = (Instance::start(&database, "here").await, Instance::start(&database, "there").await);
    let before = here.instances.look().await.unwrap();
    there.said = Said { inter_cp: Some("10.0.0.2:5683".to_owned()), keys: Version(7), ..there.said };
    there.renew().await;
    let after = here.instances.look().await.unwrap();
    assert_eq!(here.sees().await, [here.said.clone(), there.said.clone()]);
    let beats = |name: usize| [&before, &after].map(|seen| seen.present[name].beat);
    assert!(beats(0)[0] == beats(0)[1] && beats(1)[0] < beats(1)[1], "only one was heard again");
    there.instances.leave().await.unwrap();
    assert_eq!(here.sees().await, std::slice::from_ref(&here.said));
}

#[tokio::test]
async fn two_processes_are_not_called_the_same() {
    let Some(database) = database() else { return };
    let (first, second) = (Instance::start(&database, "same").await, Instance::of(database.open(), "same", LIMIT));
    assert_eq!(second.renew().await, Renewed::NameTaken);
    assert_eq!(first.renew().await, Renewed::Heard);
    first.instances.leave().await.unwrap();
    assert_eq!(second.renew().await, Renewed::Heard);
}

#[tokio::test]
async fn who_was_heard_since_is_not_forgotten() {
    let Some(database) = database() else { return };
    let (here, there) = (Instance::start(&database, "here").await, Instance::start(&database, "there").await);
    let seen = here.instances.look().await.unwrap().present;
    there.renew().await;
    here.instances.forget(&seen[1..]).await.unwrap();
    assert_eq!(here.sees().await.len(), 2);
    let seen = here.instances.look().await.unwrap().present;
    here.instances.forget(&seen[1..]).await.unwrap();
    assert_eq!(here.sees().await, std::slice::from_ref(&here.said));
}

#[tokio::test]
async fn of_all_who_want_to_lead_one_does() {
    let Some(database) = database() else { return };
    let all = join_all(["a", "b", "c"].map(|name| Instance::start(&database, name))).await;
    let mut epochs = Vec::new();
    for round in 1..=4 {
        let leads = join_all(all.iter().map(|instance| instance.lead(&[]))).await;
        let leader = leads.iter().position(Option::is_some).expect("a leader");
        assert_eq!(leads.iter().flatten().count(), 1, "{leads:?}");
        let seen = join_all(all.iter().map(|instance| instance.instances.look())).await;
        let named: Vec<_> = seen.into_iter().map(|seen| seen.unwrap().leader).collect();
        assert_eq!(named, vec![Some(all[leader].said.name.clone()); all.len()], "everybody knows who leads");
        assert_eq!(all[leader].lead(&[]).await, leads[leader], "it leads on in its epoch");
        assert_eq!(all[leader].instances.look().await.unwrap().leads, leads[leader]);
        all[leader].write(&format!("z{round}"), leads[leader].unwrap()).await.unwrap();
        epochs.extend(leads[leader]);
        all[leader].instances.leave().await.unwrap();
        assert_eq!(all[leader].instances.look().await.unwrap().leads, None);
        all[leader].renew().await;
    }
    assert_eq!(epochs, [1, 2, 3, 4].map(Epoch), "each leader has a higher one");
}

#[tokio::test]
async fn who_dies_lets_go_of_the_lead_at_once() {
    let Some(database) = database() else { return };
    let (first, second) = (Instance::start(&database, "first").await, Instance::start(&database, "second").await);
    let epoch = first.lead(&[]).await.unwrap();
    assert_eq!(second.lead(&[]).await, None, "it is heard, so nobody takes the lead from it");
    drop(first);
    assert!(second.leads_at_last(&[]).await > epoch);
}

#[tokio::test]
async fn who_is_stopped_loses_the_lead_and_what_it_writes_afterwards_is_refused() {
    let Some(database) = database() else { return };
    let (stopped, other) = (Instance::start(&database, "stopped").await, Instance::start(&database, "other").await);
    let old = stopped.lead(&[]).await.unwrap();
    stopped.write("before", old).await.unwrap();
    // Its connections stay open, and nobody reads from them.
    let new = other.leads_at_last(&["stopped"]).await;
    assert!(new > old);
    assert_eq!(stopped.write("late", old).await, Err(StoreError::Deposed { epoch: old }));
    other.write("after", new).await.unwrap();
    // What has nothing to do with leading is its own matter.
    put(&stopped.store, "usual").await.unwrap();
    other.store.settled().await.unwrap();
    assert_eq!(zones(&other.store).await, ["after=", "before=", "usual="]);
    assert!(stopped.instances.look().await.is_err(), "its session is gone");
    stopped.renew().await;
    assert_eq!((stopped.lead(&[]).await, other.lead(&[]).await), (None, Some(new)));
}

#[tokio::test]
async fn a_write_under_way_and_a_new_leader_wait_for_each_other() {
    let Some(database) = database() else { return };
    let (old, new) = (Instance::start(&database, "old").await, Instance::start(&database, "new").await);
    for round in 0..20 {
        let epoch = old.leads_at_last(&[]).await;
        let name = format!("z{round:02}");
        let (wrote, ()) = futures::join!(old.write(&name, epoch), async {
            new.leads_at_last(&["old"]).await;
        });
        let refused = Err(StoreError::Deposed { epoch });
        assert!(wrote.is_ok() || wrote == refused, "{wrote:?}");
        assert_eq!(old.write("never", epoch).await, refused, "after the new one leads nothing comes through");
        new.instances.leave().await.unwrap();
        let again = async { while old.instances.renew(&old.said).await.is_err() {} };
        timeout(LIMIT, again).await.expect("a new session in time");
        new.renew().await;
    }
}

#[tokio::test]
async fn a_leader_that_is_cut_off_hears_it_and_takes_part_again() {
    let Some(database) = database() else { return };
    let place = database.place();
    let address: SocketAddr = format!("{}:{}", place.host, place.port).parse().expect("an address with numbers");
    let relay = thread::scope(|scope| scope.spawn(|| Relay::to(address, seed::seed(23))).join().unwrap());
    let through = Settings {
        host: "127.0.0.1".to_owned(),
        port: relay.address().port(),
        times: Times::default(),
        ..settings(place)
    };
    let cut_off = Instance::of(open(through).unwrap(), "cut-off", Duration::from_secs(2));
    cut_off.renew().await;
    let other = Instance::start(&database, "other").await;
    let old = cut_off.lead(&[]).await.unwrap();
    relay.partition();
    let asked = timeout(LIMIT, cut_off.instances.look()).await.expect("an answer in time");
    assert!(matches!(asked, Err(StoreError::Unavailable { .. })), "{asked:?}");
    // Its session is still there on the server, which was told nothing.
    let new = other.leads_at_last(&["cut-off"]).await;
    relay.heal();
    let again = async { while cut_off.instances.renew(&cut_off.said).await.is_err() {} };
    timeout(LIMIT, again).await.expect("a connection in time");
    assert_eq!(cut_off.instances.look().await.unwrap().leads, None);
    let written = async {
        loop {
            match cut_off.write("late", old).await {
                Err(StoreError::Unavailable { .. } | StoreError::Unknown { .. }) => {}
                answer => return answer,
            }
        }
    };
    assert_eq!(timeout(LIMIT, written).await.expect("an answer in time"), Err(StoreError::Deposed { epoch: old }));
    assert_eq!((other.lead(&[]).await, cut_off.sees().await.len()), (Some(new), 2));
}

#[tokio::test]
async fn nobody_leads_in_a_database_that_became_anothers() {
    let Some(database) = database() else { return };
    let instance = Instance::start(&database, "a").await;
    database.execute("UPDATE store_identity SET cluster_id = 'another'");
    assert_eq!(instance.lead(&[]).await, Some(Epoch(1)), "what is connected is connected");
    database.ask(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
         WHERE datname = current_database() AND pid <> pg_backend_pid()",
    );
    let refused = async {
        loop {
            let Err(refused) = instance.instances.renew(&instance.said).await else { panic!("nobody is heard there") };
            if refused.to_string().contains("cluster `another`") {
                return;
            }
        }
    };
    timeout(LIMIT, refused).await.expect("a refusal in time");
}
