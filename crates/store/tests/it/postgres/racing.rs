//! What others do in the moment in which a store opens a database: between two of its steps, where the test stops it.

use std::{
    sync::{Arc, mpsc},
    thread,
};

use ::model::Kind;
use store::{
    Precondition, ResourceStore,
    postgres::{Identity, OpenError, PostgresStore, Settings},
    sealing::{Renew, Sealer, Sealing},
};
use testkit::{
    postgres::{Database, database},
    program::eventually,
};
use tokio::{runtime::Builder, sync::oneshot};

use super::{
    Opened as _, global,
    sealed::{SECRET, contents, hex, new_key, open, reseal, rows_under, sealer, sealing, secret},
    settings,
};
use crate::{hooked::Hooked, shapes::saying};

fn sealed_by(sealer: Arc<dyn Sealer>) -> Arc<Sealing> {
    Arc::new(Sealing::by(sealer, |key| key.kind == Kind::GLOBAL_SECRET))
}

/// A transaction of the test that holds something until it is told to end.
struct Held {
    end: oneshot::Sender<()>,
    driven: thread::JoinHandle<()>,
}

impl Held {
    /// Begins with `first` and, when it is to end, runs `last` before the commit.
    #[expect(clippy::disallowed_methods, reason = "the task ends with the client, and its thread waits for it")]
    fn by(database: &Database, first: &str, last: &str) -> Self {
        let place = database.place();
        let mut config = tokio_postgres::Config::new();
        config.host(&place.host).port(place.port).user(&place.user).password(&place.password).dbname(&place.database);
        let (first, last) = (format!("BEGIN; {first}"), format!("{last}; COMMIT"));
        let ((end, ends), (holds, held)) = (oneshot::channel(), mpsc::channel());
        let driven = thread::spawn(move || {
            Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
                let (client, connection) = config.connect(tokio_postgres::NoTls).await.unwrap();
                let driver = tokio::spawn(connection);
                client.batch_execute(&first).await.unwrap();
                holds.send(()).unwrap();
                ends.await.unwrap();
                client.batch_execute(&last).await.unwrap();
                drop(client);
                driver.await.unwrap().unwrap();
            });
        });
        held.recv().unwrap();
        Self { end, driven }
    }

    fn end(self) {
        self.end.send(()).unwrap();
        self.driven.join().unwrap();
    }
}

/// Waits until so many wait for a lock, with something like this in what they asked.
fn wait_for(database: &Database, count: usize, asked: &str) {
    let waiting = format!(
        "SELECT count(*) FROM pg_stat_activity
         WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%{asked}%'"
    );
    eventually("others wait", || database.ask(&waiting), |found| *found == count.to_string());
}

#[test]
fn of_many_who_find_an_empty_database_one_makes_it_and_the_others_are_its_cluster() {
    let Some(database) = database() else { return };
    let setting_up = Held::by(&database, "SELECT pg_advisory_xact_lock(7743215398474182657)", "SELECT");
    let opened: Vec<_> = thread::scope(|scope| {
        let database = &database;
        let open = |number: usize| {
            let identity = Identity { new_cluster: format!("of-{number}"), ..global() };
            super::open(Settings { identity, ..settings(database.place()) }).unwrap()
        };
        let openings: Vec<_> = (0..3).map(|number| scope.spawn(move || open(number))).collect();
        wait_for(database, 3, "pg_advisory_xact_lock");
        setting_up.end();
        openings.into_iter().map(|opening| opening.join().unwrap()).collect()
    });
    assert!(opened.iter().all(|store| store.identity() == opened[0].identity()));
    assert_eq!(database.ask("SELECT count(*) FROM store_identity"), "1");
    assert_eq!(database.ask("SELECT cluster_id FROM store_identity"), opened[0].identity().cluster);
}

#[tokio::test]
async fn of_two_who_find_no_data_key_one_makes_it() {
    let Some(database) = database() else { return };
    let key = new_key();
    let (hooked, stopped) = Hooked::before(sealer(&key));
    let (one, other) = both(
        || open(&database, sealed_by(hooked)),
        || {
            stopped.is_there();
            thread::scope(|scope| {
                let other = scope.spawn(|| open(&database, sealing(&key)));
                wait_for(&database, 1, "LOCK TABLE data_keys");
                stopped.goes_on();
                other.join().unwrap()
            })
        },
    );
    let (one, other) = (one.unwrap(), other.unwrap());
    assert_eq!(database.ask("SELECT count(*) FROM data_keys"), "1");
    one.put(saying(&secret("a"), SECRET), Precondition::Absent).await.unwrap();
    other.settled().await.unwrap();
    assert_eq!(contents(&other).await, [SECRET]);
}

#[tokio::test]
async fn what_is_sealed_anew_while_a_store_opens_it_can_open() {
    let Some(database) = database() else { return };
    let key = new_key();
    let before = open(&database, sealing(&key)).unwrap();
    before.put(saying(&secret("a"), SECRET), Precondition::Absent).await.unwrap();
    drop(before);
    let (hooked, stopped) = Hooked::before(sealer(&key));
    let (opened, ()) = both(
        || open(&database, sealed_by(hooked)),
        || {
            // It has read which data keys there are, and no resource.
            stopped.is_there();
            reseal(&database, &key, &key, Renew::DataKeys).unwrap();
            stopped.goes_on();
        },
    );
    assert_eq!(database.ask("SELECT string_agg(id::text, ' ') FROM data_keys"), "2");
    assert_eq!(contents(&opened.unwrap()).await, [SECRET]);
}

#[tokio::test]
async fn what_lay_there_in_plain_is_sealed_with_the_data_key_of_that_moment() {
    let Some(database) = database() else { return };
    let plain = database.open();
    plain.put(saying(&secret("a"), SECRET), Precondition::Absent).await.unwrap();
    drop(plain);
    let key = new_key();
    // The second data key of somebody who has the same key.
    let another = sealing(&key);
    another.take_in(&[another.new_data_key().unwrap()]).unwrap();
    let made = another.new_data_key().unwrap();
    let insert = format!("INSERT INTO data_keys VALUES (2, '{}', '\\x{}')", made.sealed_by, hex(&made.sealed));
    let writes = Held::by(&database, "SELECT FROM store_revision FOR UPDATE", &insert);
    let (opened, ()) = both(
        || open(&database, sealing(&key)),
        || {
            wait_for(&database, 1, "store_revision FOR UPDATE");
            assert_eq!(database.ask("SELECT string_agg(id::text, ' ') FROM data_keys"), "1", "it made one");
            writes.end();
        },
    );
    assert_eq!(rows_under(&database, 2), "1");
    assert_eq!(contents(&opened.unwrap()).await, [SECRET]);
}

/// Opens in a thread of its own, and does something meanwhile.
fn both<T>(
    open: impl FnOnce() -> Result<PostgresStore, OpenError> + Send,
    meanwhile: impl FnOnce() -> T,
) -> (Result<PostgresStore, OpenError>, T) {
    thread::scope(|scope| {
        let opening = scope.spawn(open);
        let done = meanwhile();
        (opening.join().unwrap(), done)
    })
}
