//! Stores on a database of PostgreSQL: how tests open them, and what the database is good for when several do.

mod away;
mod bad_network;
mod instances;
mod openings;
mod racing;
mod sealed;
mod secured;
mod several;

use std::{thread, time::Duration};

use ::model::{Key, Kind, Resource};
use futures::StreamExt as _;
use store::{
    Event, Kinds, Precondition, Query, ResourceStore, StoreError, Version, Watch,
    postgres::{Identity, OpenError, Password, Pool, PostgresStore, Settings, Times, Tls},
};
use testkit::postgres::{Database, Place};
use tokio::{runtime::Builder, time::timeout};

use crate::shapes;

/// How long a test waits for what must come.
const LIMIT: Duration = Duration::from_secs(30);

/// Who the stores of these tests belong to.
fn global() -> Identity {
    Identity { mode: "global".to_owned(), zone: None, cluster: None, new_cluster: "c1".to_owned() }
}

/// The settings of a store at this place. Nothing gives up because the machine is busy.
pub(crate) fn settings(place: &Place) -> Settings {
    Settings {
        host: place.host.clone(),
        port: place.port,
        user: place.user.clone(),
        password: Password::new(place.password.clone()),
        database: place.database.clone(),
        tls: Tls::default(),
        connect_timeout: Duration::from_secs(60),
        pool: Pool::default(),
        identity: global(),
        tolerate_newer: false,
        times: Times { answer: Duration::from_secs(120), behind_after: Duration::from_secs(60), ..Times::default() },
        options: store::Options::default(),
    }
}

/// Opens a store and waits for it, also inside a runtime.
pub(crate) fn open(settings: Settings) -> Result<PostgresStore, OpenError> {
    let open = || Builder::new_current_thread().enable_all().build().unwrap().block_on(PostgresStore::open(settings));
    thread::scope(|scope| scope.spawn(open).join().unwrap())
}

/// Opens stores on a database.
pub(crate) trait Opened {
    /// Opens one with the usual settings.
    fn open(&self) -> PostgresStore;
}

impl Opened for Database {
    fn open(&self) -> PostgresStore {
        open(settings(self.place())).unwrap()
    }
}

fn zone(name: &str) -> Key {
    Key::global(Kind::ZONE, name)
}

fn saying(name: &str, said: &str) -> Resource {
    shapes::saying(&zone(name), said)
}

async fn put(store: &PostgresStore, name: &str) -> Result<Version, StoreError> {
    store.put(saying(name, ""), Precondition::Absent).await
}

/// What the store shows of zones, as `name=spec`.
async fn zones(store: &PostgresStore) -> Vec<String> {
    let page = store.list(&Query::all(Kind::ZONE)).await.unwrap();
    page.items
        .iter()
        .map(|stored| format!("{}={}", stored.resource.key.name, String::from_utf8_lossy(&stored.resource.spec)))
        .collect()
}

fn watch(store: &PostgresStore) -> Watch {
    store.watch(Kinds::Only(vec![Kind::ZONE]))
}

/// The next event, shortened.
async fn next(watch: &mut Watch) -> String {
    match timeout(LIMIT, watch.next()).await.expect("an event in time").expect("a watch that goes on") {
        Event::Init => "init".to_owned(),
        Event::InitDone => "done".to_owned(),
        Event::InitApply(stored) => format!("={}", stored.resource.key.name),
        Event::Apply(stored) => format!("+{}", stored.resource.key.name),
        Event::Delete { key, .. } => format!("-{}", key.name),
    }
}

/// Reads events until this one.
async fn until(watch: &mut Watch, last: &str) -> Vec<String> {
    let mut told = Vec::new();
    while told.last().map(String::as_str) != Some(last) {
        told.push(next(watch).await);
    }
    told
}
