//! What lies in the tables of a sealed database, and who can open it.

use std::{sync::Arc, thread};

use ::model::{Key, Kind};
use store::{
    Precondition, Query, ResourceStore, StoreError,
    postgres::{OpenError, PostgresStore},
    sealing::{Renew, Sealer, Sealing, SealingKey},
};
use testkit::{
    postgres::{Database, database},
    program::eventually,
};
use tokio::{runtime::Builder, task::JoinHandle};

use super::settings;
use crate::shapes::{saying, zone};

pub(super) const SECRET: &str = "never to be seen in a table";

pub(super) fn sealing(key: &str) -> Arc<Sealing> {
    Arc::new(Sealing::by(sealer(key), |key| key.kind == Kind::GLOBAL_SECRET))
}

pub(super) fn sealer(key: &str) -> Arc<dyn Sealer> {
    Arc::new(key.parse::<SealingKey>().unwrap())
}

pub(super) fn new_key() -> String {
    SealingKey::generate().unwrap().text().reveal().to_owned()
}

fn wait<T: Send>(what: impl Future<Output = T> + Send) -> T {
    let run = || Builder::new_current_thread().enable_all().build().unwrap().block_on(what);
    thread::scope(|scope| scope.spawn(run).join().unwrap())
}

pub(super) fn open(database: &Database, sealing: Arc<Sealing>) -> Result<PostgresStore, OpenError> {
    wait(PostgresStore::open_sealed(settings(database.place()), sealing))
}

pub(super) fn secret(name: &str) -> Key {
    Key::global(Kind::GLOBAL_SECRET, name)
}

pub(super) async fn contents(store: &PostgresStore) -> Vec<String> {
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
    wait(store::postgres::reseal(settings(database.place()), sealing(&old), sealer(&new), Renew::KeyAlone)).unwrap();
    store.put(saying(&secret("b"), SECRET), Precondition::Absent).await.unwrap();
    assert!(matches!(open(&database, sealing(&old)), Err(OpenError::Sealed { .. })));
    assert_eq!(contents(&open(&database, sealing(&new)).unwrap()).await, [SECRET, SECRET]);
}

/// Whether the file of a table holds these bytes, also where no row is any more. Only an administrator of the server may look.
fn is_in_pages(database: &Database, table: &str, hex: &str) -> bool {
    database.execute("CHECKPOINT");
    let pages = format!("pg_read_binary_file(pg_relation_filepath('{table}'))");
    database.ask(&format!("SELECT position('\\x{hex}'::bytea IN {pages}) > 0")) == "t"
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether the tests may read the files of the server.
fn may_read_pages(database: &Database) -> bool {
    database.ask("SELECT rolsuper FROM pg_roles WHERE rolname = current_user") == "t"
}

/// Connects beside the stores.
#[expect(clippy::disallowed_methods, reason = "the task ends with the client, and the test waits for it")]
async fn connect(database: &Database) -> (tokio_postgres::Client, JoinHandle<()>) {
    let place = database.place();
    let mut config = tokio_postgres::Config::new();
    config.host(&place.host).port(place.port).user(&place.user).password(&place.password).dbname(&place.database);
    let (client, connection) = config.connect(tokio_postgres::NoTls).await.unwrap();
    (client, tokio::spawn(async { connection.await.unwrap() }))
}

/// How many wait until nobody sees what was there before.
fn who_wait(database: &Database) -> String {
    database.ask(
        "SELECT count(*) FROM pg_stat_activity
         WHERE datname = current_database() AND query LIKE '%WITH looking AS%' AND pid <> pg_backend_pid()",
    )
}

const NOTE: &str = "SELECT obj_description('store_revision'::regclass) IS NOT NULL";

/// Seals a database of before while another transaction goes on, which began with this in this database.
async fn seals_when_another_is_over(database: &Database, place: &Database, begun: &str) {
    let store = wait(PostgresStore::open(settings(database.place()))).unwrap();
    store.put(saying(&secret("a"), SECRET), Precondition::Absent).await.unwrap();
    drop(store);
    let (other, connection) = connect(place).await;
    other.batch_execute(begun).await.unwrap();
    let key = new_key();
    thread::scope(|scope| {
        let opening = scope.spawn(|| open(database, sealing(&key)).map(drop));
        eventually("the store waits", || who_wait(database), |count| count == "1");
        assert_eq!(database.ask(NOTE), "t", "a crash would leave that");
        wait(other.batch_execute("COMMIT")).unwrap();
        opening.join().unwrap().unwrap();
    });
    assert!(!is_in_pages(database, "resources", &hex(SECRET.as_bytes())));
    assert_eq!(database.ask(NOTE), "f");
    drop(other);
    connection.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_still_sees_what_was_there_before_is_waited_for() {
    let Some(database) = database() else { return };
    if may_read_pages(&database) {
        let reads = "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM pg_class";
        seals_when_another_is_over(&database, &database, reads).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_writes_in_another_database_is_waited_for() {
    let (Some(database), Some(another)) = (database(), database()) else { return };
    if may_read_pages(&database) {
        // What any transaction sees begins with the oldest one that writes, wherever it does.
        seals_when_another_is_over(&database, &another, "BEGIN; SELECT txid_current()").await;
    }
}

#[tokio::test]
async fn what_a_crash_left_is_wiped_by_the_next_start() {
    let Some(database) = database() else { return };
    if !may_read_pages(&database) {
        return;
    }
    let key = new_key();
    drop(open(&database, sealing(&key)).unwrap());
    // As a program leaves it that ended between sealing and wiping.
    database.execute(&format!(
        "BEGIN; INSERT INTO data_keys (id, sealed_by, sealed) VALUES (9, '', '{SECRET}'::bytea); ROLLBACK;
         COMMENT ON TABLE store_revision IS
             'there are traces: pages may hold secrets as they were before they were sealed; VACUUM FULL wipes them'"
    ));
    let plain = hex(SECRET.as_bytes());
    assert!(is_in_pages(&database, "data_keys", &plain));
    drop(open(&database, sealing(&key)).unwrap());
    assert!(!is_in_pages(&database, "data_keys", &plain));
    assert_eq!(database.ask(NOTE), "f");
}

#[tokio::test]
async fn the_pages_of_the_tables_hold_nothing_of_before() {
    let Some(database) = database() else { return };
    if !may_read_pages(&database) {
        return;
    }
    let store = wait(PostgresStore::open(settings(database.place()))).unwrap();
    // Large enough that nothing which comes after it covers all of it.
    store.put(saying(&secret("gone"), SECRET.repeat(60)), Precondition::Absent).await.unwrap();
    store.delete(&secret("gone"), Precondition::Present).await.unwrap();
    store.put(saying(&secret("a"), SECRET), Precondition::Absent).await.unwrap();
    drop(store);
    let plain = hex(SECRET.as_bytes());
    for table in ["resources", "changes"] {
        assert!(is_in_pages(&database, table, &plain), "{table}");
    }
    let (old, new) = (new_key(), new_key());
    drop(open(&database, sealing(&old)).unwrap());
    for table in ["resources", "changes"] {
        assert!(!is_in_pages(&database, table, &plain), "{table}");
    }
    let under_old: Vec<String> = ["SELECT spec FROM resources", "SELECT sealed FROM data_keys"]
        .map(|sql| database.ask(&format!("SELECT encode(({sql}), 'hex')")))
        .into();
    reseal(&database, &old, &new, Renew::KeyAlone).unwrap();
    assert!(!is_in_pages(&database, "data_keys", &under_old[1]), "what the old key opens");
    assert!(is_in_pages(&database, "resources", &under_old[0]), "the key alone touches no row");
    reseal(&database, &new, &new, Renew::DataKeys).unwrap();
    assert!(!is_in_pages(&database, "resources", &under_old[0]));
}

pub(super) fn reseal(database: &Database, old: &str, new: &str, renew: Renew) -> Result<(), OpenError> {
    wait(store::postgres::reseal(settings(database.place()), sealing(old), sealer(new), renew))
}

/// Waits until a running store has said which key it has.
fn wait_for_key(database: &Database, key: &str) {
    let name = sealer(key).name().unwrap();
    let ask = || {
        database.ask(&format!("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'kuma-cp key {name}' AND datname = current_database()"))
    };
    eventually("the key of a store is in the list of sessions", ask, |found| found == "1");
}

/// How many rows and changes are sealed under the data key of this number.
pub(super) fn rows_under(database: &Database, id: u8) -> String {
    let count = |table: &str| {
        format!(r"SELECT count(*) AS n FROM {table} WHERE substring(spec FOR 6) = '\x0001000000{id:02x}'::bytea")
    };
    database.ask(&format!("SELECT sum(n) FROM ({} UNION ALL {}) t", count("resources"), count("changes")))
}

#[tokio::test]
async fn all_is_sealed_anew_while_stores_write_and_nothing_of_before_stays() {
    let Some(database) = database() else { return };
    let key = new_key();
    let (one, other) = (open(&database, sealing(&key)).unwrap(), open(&database, sealing(&key)).unwrap());
    // More than are sealed in one transaction.
    for number in 0..250 {
        one.put(saying(&secret(&format!("s{number}")), SECRET), Precondition::Absent).await.unwrap();
    }
    let resealing = thread::scope(|scope| {
        let resealing = scope.spawn(|| reseal(&database, &key, &key, Renew::DataKeys));
        for number in 0.. {
            let name = secret(&format!("w{number}"));
            wait(one.put(saying(&name, SECRET), Precondition::Absent)).unwrap();
            wait(other.put(saying(&name, SECRET), Precondition::Present)).unwrap();
            if resealing.is_finished() {
                break;
            }
        }
        resealing.join().unwrap()
    });
    resealing.unwrap();
    let written = contents(&one).await.len();
    one.put(saying(&secret("after"), SECRET), Precondition::Absent).await.unwrap();
    other.settled().await.unwrap();
    assert_eq!(contents(&other).await.len(), written + 1, "and go on");
    assert_eq!(database.ask("SELECT string_agg(id::text, ' ') FROM data_keys"), "2");
    assert_eq!(rows_under(&database, 1), "0");
    drop((one, other));
    assert_eq!(contents(&open(&database, sealing(&key)).unwrap()).await.len(), written + 1);
}

#[tokio::test]
async fn rows_are_not_sealed_with_a_key_that_a_running_store_does_not_have() {
    let Some(database) = database() else { return };
    let (old, new) = (new_key(), new_key());
    let store = open(&database, sealing(&old)).unwrap();
    store.put(saying(&secret("a"), SECRET), Precondition::Absent).await.unwrap();
    wait_for_key(&database, &old);
    let refused = reseal(&database, &old, &new, Renew::DataKeys).unwrap_err();
    let name = sealer(&new).name().unwrap();
    assert!(matches!(&refused, OpenError::KeyNotEverywhere { key, others: 1, .. } if *key == name), "{refused}");
    store.put(saying(&secret("b"), SECRET), Precondition::Absent).await.unwrap();
    assert_eq!(database.ask("SELECT max(id) FROM data_keys"), "1");
    drop(store);
    let store = open(&database, sealing(&new)).unwrap();
    wait_for_key(&database, &new);
    let gone = |found: &String| found == "0";
    let ask = || {
        database.ask(&format!("SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'kuma-cp key %' AND application_name <> 'kuma-cp key {name}' AND datname = current_database()"))
    };
    eventually("the store of before is gone", ask, gone);
    reseal(&database, &new, &new, Renew::DataKeys).unwrap();
    assert_eq!(contents(&store).await, [SECRET, SECRET]);
    assert_eq!(database.ask("SELECT max(id) FROM data_keys"), "2");
}

#[tokio::test]
async fn a_store_that_cannot_open_the_newest_data_key_writes_nothing() {
    let Some(database) = database() else { return };
    let key = new_key();
    let store = open(&database, sealing(&key)).unwrap();
    store.put(saying(&secret("a"), SECRET), Precondition::Absent).await.unwrap();
    database.execute("INSERT INTO data_keys VALUES (2, 'deadbeef', 'x')");
    let refused = store.put(saying(&secret("b"), SECRET), Precondition::Absent).await.unwrap_err();
    assert!(matches!(&refused, StoreError::Unavailable { detail } if detail.contains("deadbeef")), "{refused:?}");
    assert_eq!(database.ask("SELECT count(*) FROM resources"), "1");
    assert_eq!(contents(&store).await, [SECRET], "what it knew it still shows");
    database.execute("DELETE FROM data_keys WHERE id = 2");
    store.put(saying(&secret("b"), SECRET), Precondition::Absent).await.unwrap();
    assert_eq!(rows_under(&database, 1), "4");
}

#[tokio::test]
async fn a_run_that_is_stopped_leaves_a_database_that_opens_and_is_run_again() {
    let Some(database) = database() else { return };
    let key = new_key();
    let store = open(&database, sealing(&key)).unwrap();
    for number in 0..150 {
        store.put(saying(&secret(&format!("s{number}")), SECRET), Precondition::Absent).await.unwrap();
    }
    drop(store);
    // A row that does not open stops it after others are sealed anew; written last, it comes last.
    database.execute("CREATE TABLE kept AS SELECT spec FROM resources WHERE name = 's7'");
    database.execute("UPDATE resources SET spec = substring(spec FOR 40) WHERE name = 's7'");
    let stopped = reseal(&database, &key, &key, Renew::DataKeys).unwrap_err().to_string();
    assert!(stopped.contains("s7") && stopped.contains("cannot be sealed anew"), "{stopped}");
    database.execute("UPDATE resources SET spec = kept.spec FROM kept WHERE name = 's7'; DROP TABLE kept");
    let count = "SELECT string_agg(id::text, ' ' ORDER BY id) FROM data_keys";
    assert_eq!(database.ask(count), "1 2", "both are needed");
    assert_ne!(rows_under(&database, 2), "0", "some were sealed anew");
    assert_eq!(contents(&open(&database, sealing(&key)).unwrap()).await, [SECRET; 150]);
    reseal(&database, &key, &key, Renew::DataKeys).unwrap();
    assert_eq!(database.ask(count), "3");
    assert_eq!(contents(&open(&database, sealing(&key)).unwrap()).await, [SECRET; 150]);
}

#[tokio::test]
async fn a_second_run_beside_the_first_is_refused() {
    let Some(database) = database() else { return };
    let key = new_key();
    drop(open(&database, sealing(&key)).unwrap());
    let (first, connection) = connect(&database).await;
    first.batch_execute("SELECT pg_advisory_lock(7743104571913687810)").await.unwrap();
    let refused = reseal(&database, &key, &key, Renew::DataKeys).unwrap_err();
    assert!(matches!(refused, OpenError::BeingResealed { .. }), "{refused}");
    drop(first);
    connection.await.unwrap();
    let again = || reseal(&database, &key, &key, Renew::DataKeys).is_ok();
    eventually("the first is over", again, |done| *done);
}
