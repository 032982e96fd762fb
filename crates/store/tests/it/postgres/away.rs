//! A database that is away, silent or killed: what is answered meanwhile, and that all heals by itself.

use std::{cell::Cell, net::SocketAddr, thread, time::Duration};

use store::{
    Freshness, ResourceStore as _, StoreError,
    postgres::{PostgresStore, Settings, Times},
};
use testkit::{
    network::{Direction, Relay},
    postgres::{Database, Server, database},
    seed,
};
use tokio::time::{Instant, timeout};

use super::{LIMIT, Opened as _, next, open, put, settings, until, watch, zones};

/// What an operator gets, but that nobody waits long to hear that the store is behind.
const TIMES: Times = Times {
    answer: Duration::from_secs(5),
    heartbeat: Duration::from_millis(100),
    behind_after: Duration::from_millis(600),
    keep_changes: Duration::from_secs(600),
};

/// A database behind a network.
struct Behind {
    relay: Relay,
    database: Database,
    store: PostgresStore,
}

impl Behind {
    fn new() -> Option<Self> {
        let database = database()?;
        let relay = relay(&database);
        let store = open(through(&relay, &database)).unwrap();
        Some(Self { relay, database, store })
    }

    /// Waits until the server runs something in the database that waits for [`Behind::go_on`].
    async fn sleeps(&self) {
        self.runs("wait_event = 'PgSleep'").await;
    }

    /// Lets go on what waits on the server.
    fn go_on(&self) {
        self.database.execute("DELETE FROM held");
    }

    /// Waits until the server runs something in the database of which this is true.
    async fn runs(&self, condition: &str) {
        let count = format!("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND {condition}");
        let seen = async {
            while self.database.ask(&count) == "0" {
                tokio::task::yield_now().await;
            }
        };
        in_time(seen).await;
    }

    /// Makes each commit wait on the server for [`Behind::go_on`].
    fn slow_commits(&self) {
        self.database.execute(&format!(
            "CREATE TABLE held AS SELECT 1 AS one;
             CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {WAIT} RETURN NULL; END $$;
             CREATE TRIGGER slow AFTER INSERT ON commits EXECUTE FUNCTION slow()"
        ));
    }
}

/// Waits as long as the table has its row: whoever changes something meanwhile does so in time, however slow it is.
const WAIT: &str = "WHILE EXISTS (SELECT FROM held) LOOP PERFORM pg_sleep(0.01); END LOOP;";

fn relay(database: &Database) -> Relay {
    let place = database.place();
    let address = format!("{}:{}", place.host, place.port);
    let address: SocketAddr = address.parse().expect("an address with numbers");
    // It has a runtime of its own, and waits for it to start.
    thread::scope(|scope| scope.spawn(|| Relay::to(address, seed::seed(17))).join().unwrap())
}

fn through(relay: &Relay, database: &Database) -> Settings {
    let usual = settings(database.place());
    Settings {
        host: "127.0.0.1".to_owned(),
        port: relay.address().port(),
        connect_timeout: Duration::from_secs(5),
        times: TIMES,
        ..usual
    }
}

/// Waits for what does not take for ever.
async fn in_time<T>(asked: impl Future<Output = T>) -> T {
    timeout(LIMIT, asked).await.expect("an end in time")
}

/// Waits for a state of freshness that is right.
async fn freshness(store: &PostgresStore, is_right: impl FnMut(&Freshness) -> bool) -> Freshness {
    let mut freshness = store.freshness();
    *in_time(freshness.wait_for(is_right)).await.unwrap()
}

#[tokio::test]
async fn a_silent_database_is_told_and_heals_by_itself() {
    let Some(behind) = Behind::new() else { return };
    let other = behind.database.open();
    put(&behind.store, "before").await.unwrap();
    let mut told = watch(&behind.store);
    until(&mut told, "done").await;
    behind.relay.partition();
    let noticed = async {
        let freshness = freshness(&behind.store, |freshness| *freshness != Freshness::Fresh).await;
        (freshness.behind_since().unwrap(), Instant::now())
    };
    let (refused, (since, noticed)) = futures::join!(in_time(put(&behind.store, "meanwhile")), noticed);
    assert!(since + TIMES.behind_after <= noticed, "it counts from what was heard last, not from when that is noticed");
    assert!(matches!(refused, Err(StoreError::Unavailable { .. })), "{refused:?}");
    put(&other, "elsewhere").await.unwrap();
    assert_eq!(zones(&behind.store).await, ["before="], "reads work on");
    behind.relay.heal();
    freshness(&behind.store, |freshness| *freshness == Freshness::Fresh).await;
    assert_eq!(zones(&behind.store).await, ["before=", "elsewhere="], "and it is fresh only with all that it missed");
    assert_eq!(next(&mut told).await, "+elsewhere");
    put(&behind.store, "after").await.unwrap();
    assert_eq!(next(&mut told).await, "+after");
}

#[tokio::test]
async fn many_writes_to_a_silent_database_are_all_answered_in_time() {
    let Some(behind) = Behind::new() else { return };
    behind.relay.partition();
    let names: Vec<String> = (0..600).map(|number| format!("z{number}")).collect();
    let answers = in_time(futures::future::join_all(names.iter().map(|name| put(&behind.store, name)))).await;
    assert!(answers.iter().all(|answer| matches!(answer, Err(StoreError::Unavailable { .. }))));
}

#[tokio::test]
async fn a_commit_whose_answer_is_lost_is_found() {
    let Some(behind) = Behind::new() else { return };
    behind.slow_commits();
    let cut = async {
        behind.sleeps().await;
        behind.relay.lose(Direction::Down);
        behind.go_on();
    };
    let (answer, ()) = futures::join!(put(&behind.store, "z"), cut);
    assert_eq!(answer.unwrap().0, 1);
    assert_eq!(zones(&behind.store).await, ["z="]);
}

#[tokio::test]
async fn a_commit_that_is_cut_off_is_answered_as_what_became_of_it() {
    let Some(behind) = Behind::new() else { return };
    behind.slow_commits();
    let cut = async {
        behind.sleeps().await;
        behind.relay.cut();
        behind.go_on();
    };
    let (answer, ()) = futures::join!(put(&behind.store, "z"), cut);
    // The server may notice before the end.
    let there = behind.database.ask("SELECT count(*) FROM resources");
    assert_eq!(answer.is_ok(), there == "1", "{answer:?}");
    assert_eq!(zones(&behind.store).await.len().to_string(), there);
}

#[tokio::test]
async fn a_commit_that_nobody_can_ask_about_is_not_said_to_have_failed() {
    let Some(behind) = Behind::new() else { return };
    behind.slow_commits();
    let mut told = watch(&behind.store);
    until(&mut told, "done").await;
    let cut = async {
        behind.sleeps().await;
        behind.relay.partition();
        behind.go_on();
    };
    let (answer, ()) = futures::join!(in_time(put(&behind.store, "z")), cut);
    assert!(matches!(answer, Err(StoreError::Unknown { .. })), "{answer:?}");
    behind.relay.heal();
    // The server may have noticed, and undone it.
    behind.database.execute("DROP TRIGGER slow ON commits");
    while put(&behind.store, "last").await.is_err() {}
    let told = until(&mut told, "+last").await;
    let there = behind.database.ask("SELECT count(*) FROM resources WHERE name = 'z'") == "1";
    assert_eq!(told, if there { vec!["+z", "+last"] } else { vec!["+last"] });
}

#[tokio::test]
async fn a_transaction_that_does_nothing_lets_go_of_the_others() {
    let Some(behind) = Behind::new() else { return };
    let idle = "SELECT setting FROM pg_settings WHERE name = 'idle_in_transaction_session_timeout'";
    // What each connection of a store is told.
    behind.database.execute(
        "CREATE TABLE told (name text, setting text);
         CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN INSERT INTO told SELECT name, setting FROM pg_settings; RETURN NULL; END $$;
         CREATE TRIGGER note AFTER INSERT ON commits EXECUTE FUNCTION note()",
    );
    assert_eq!(behind.database.ask(idle), "0", "the server itself would wait for ever");
    put(&behind.store, "z").await.unwrap();
    let told = |name: &str| behind.database.ask(&format!("SELECT setting FROM told WHERE name = '{name}'"));
    assert_eq!(told("idle_in_transaction_session_timeout"), "1000");
    assert_eq!(told("lock_timeout"), "1500");
    assert_eq!(told("synchronous_commit"), "on");
}

#[tokio::test]
async fn who_is_cut_off_with_the_lock_lets_go_of_it() {
    let Some(behind) = Behind::new() else { return };
    let other = open(Settings { times: TIMES, ..settings(behind.database.place()) }).unwrap();
    let place = behind.database.place().clone();
    behind.database.execute("CREATE TABLE held AS SELECT 1 AS one");
    let locks = format!("BEGIN; SELECT FROM store_revision FOR UPDATE; DO $$ BEGIN {WAIT} END $$; COMMIT");
    let locking = thread::spawn(move || place.execute(&locks));
    behind.sleeps().await;
    let is_cut = Cell::new(false);
    let cut = async {
        behind.runs("wait_event_type = 'Lock'").await;
        // It gets the lock, and never hears of it: as an instance that is stopped in the middle of a transaction.
        behind.relay.partition();
        behind.go_on();
        is_cut.set(true);
    };
    // It waits for a lock no longer than it was told to, and may do so before that is seen.
    let lost = async {
        loop {
            let answer = put(&behind.store, "lost").await;
            if is_cut.get() {
                return answer;
            }
        }
    };
    let (lost, ()) = futures::join!(in_time(lost), cut);
    assert!(matches!(lost, Err(StoreError::Unavailable { .. })), "{lost:?}");
    locking.join().unwrap();
    let written = async {
        while let Err(problem) = put(&other, "other").await {
            assert!(problem.is_retryable(), "{problem}");
        }
    };
    in_time(written).await;
    assert_eq!(zones(&other).await, ["other="]);
}

#[tokio::test]
async fn a_server_that_is_killed_and_started_again_has_all_that_was_answered() {
    let Some(mut server) = Server::start() else { return };
    let database = Database::on(&server.place());
    let quick = Settings { times: TIMES, ..settings(database.place()) };
    let (here, there) = (open(quick.clone()).unwrap(), open(quick).unwrap());
    put(&here, "a").await.unwrap();
    server.kill();
    let refused = put(&here, "b").await;
    assert!(matches!(refused, Err(StoreError::Unavailable { .. })), "{refused:?}");
    freshness(&here, |freshness| *freshness != Freshness::Fresh).await;
    assert_eq!(zones(&here).await, ["a="]);
    server.run();
    for store in [&here, &there] {
        freshness(store, |freshness| *freshness == Freshness::Fresh).await;
    }
    put(&there, "c").await.unwrap();
    here.settled().await.unwrap();
    assert_eq!(zones(&here).await, ["a=", "c="]);
    drop(database);
}
