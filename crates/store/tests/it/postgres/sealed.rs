//! What lies in the tables of a sealed database, and who can open it.

use std::{sync::Arc, thread};

use ::model::{Key, Kind};
use store::{
    Precondition, Query, ResourceStore,
    postgres::{OpenError, PostgresStore},
    sealing::{Sealer, Sealing, SealingKey},
};
use testkit::postgres::{Database, database};
use tokio::runtime::Builder;

use super::settings;
use crate::shapes::{saying, zone};

const SECRET: &str = "never to be seen in a table";

fn sealing(key: &str) -> Arc<Sealing> {
    Arc::new(Sealing::by(sealer(key), |key| key.kind == Kind::GLOBAL_SECRET))
}

fn sealer(key: &str) -> Arc<dyn Sealer> {
    Arc::new(key.parse::<SealingKey>().unwrap())
}

fn new_key() -> String {
    SealingKey::generate().unwrap().text().reveal().to_owned()
}

fn wait<T: Send>(what: impl Future<Output = T> + Send) -> T {
    let run = || Builder::new_current_thread().enable_all().build().unwrap().block_on(what);
    thread::scope(|scope| scope.spawn(run).join().unwrap())
}

fn open(database: &Database, sealing: Arc<Sealing>) -> Result<PostgresStore, OpenError> {
    wait(PostgresStore::open_sealed(settings(database.place()), sealing))
}

fn secret(name: &str) -> Key {
    Key::global(Kind::GLOBAL_SECRET, name)
}

async fn contents(store: &PostgresStore) -> Vec<String> {
    let found = store.list(&Query::all(Kind::GLOBAL_SECRET)).await.unwrap();
    found.items.iter().map(|stored| String::from_utf8(stored.resource.spec.to_vec()).unwrap()).collect()
}

/// How many rows hold the secret, of what is there and of what changed.
fn plain_rows(database: &Database) -> String {
    let count =
        |table: &str| format!("SELECT count(*) AS n FROM {table} WHERE position('{SECRET}'::bytea in spec) > 0");
    database.ask(&format!("SELECT sum(n) FROM ({} UNION ALL {}) t", count("resources"), count("changes")))
}

#[tokio::test]
async fn no_table_of_a_sealed_database_holds_a_secret_and_others_read_it() {
    let Some(database) = database() else { return };
    let key = new_key();
    let (one, other) = (open(&database, sealing(&key)).unwrap(), open(&database, sealing(&key)).unwrap());
    one.put(saying(&secret("a"), SECRET), Precondition::Absent).await.unwrap();
    one.put(saying(&zone("z"), "{}"), Precondition::Absent).await.unwrap();
    other.settled().await.unwrap();
    assert_eq!(contents(&other).await, [SECRET], "over the log of changes");
    assert_eq!(plain_rows(&database), "0");
    drop((one, other));
    assert_eq!(contents(&open(&database, sealing(&key)).unwrap()).await, [SECRET], "from the table");
}

#[tokio::test]
async fn a_database_of_before_is_sealed_when_it_is_opened() {
    let Some(database) = database() else { return };
    let store = wait(PostgresStore::open(settings(database.place()))).unwrap();
    store.put(saying(&secret("a"), SECRET), Precondition::Absent).await.unwrap();
    assert_eq!(plain_rows(&database), "2");
    drop(store);
    let key = new_key();
    let store = open(&database, sealing(&key)).unwrap();
    assert_eq!(plain_rows(&database), "0");
    store.put(saying(&secret("b"), SECRET), Precondition::Absent).await.unwrap();
    drop(store);
    assert_eq!(contents(&open(&database, sealing(&key)).unwrap()).await, [SECRET, SECRET]);
}

#[tokio::test]
async fn a_database_is_opened_with_its_own_key_and_its_key_is_changed_while_others_work() {
    let Some(database) = database() else { return };
    let (old, new) = (new_key(), new_key());
    let store = open(&database, sealing(&old)).unwrap();
    store.put(saying(&secret("a"), SECRET), Precondition::Absent).await.unwrap();
    let refused = open(&database, sealing(&new)).unwrap_err();
    assert!(matches!(refused, OpenError::Sealed { .. }), "{refused}");
    assert!(matches!(wait(PostgresStore::open(settings(database.place()))), Err(OpenError::Sealed { .. })));
    wait(store::postgres::reseal(settings(database.place()), sealing(&old), sealer(&new))).unwrap();
    store.put(saying(&secret("b"), SECRET), Precondition::Absent).await.unwrap();
    assert!(matches!(open(&database, sealing(&old)), Err(OpenError::Sealed { .. })));
    assert_eq!(contents(&open(&database, sealing(&new)).unwrap()).await, [SECRET, SECRET]);
}
