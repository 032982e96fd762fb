//! `store-rates`: writes a second and change notices, for SQLite and PostgreSQL, beside the same transaction by the driver
//! alone.
//!
//! The PostgreSQL is one that is started for it on this machine, durable as an operator's.
#![expect(clippy::print_stdout, reason = "a program that measures and prints")]

mod holding;

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use clap::Parser;
use futures::{StreamExt as _, future};
use jiff::Timestamp;
use model::{Key, Kind, Labels, Resource};
use store::{
    Event, Kinds, Precondition, ResourceStore,
    postgres::{Identity, Password, Pool, PostgresStore, Settings, Times, Tls},
    sqlite::SqliteStore,
};
use testkit::postgres::{Database, Place, Server};
use tokio::time::Instant;

#[derive(Parser)]
struct Options {
    /// How many writes each measurement makes.
    #[arg(long, default_value_t = 2000)]
    writes: usize,
    /// How many bytes a resource has.
    #[arg(long, default_value_t = 1024)]
    bytes: usize,
    /// How many resources are read at a start.
    #[arg(long, default_value_t = 100_000)]
    resources: usize,
    /// Opens what standard input names, and says what that takes: asked of a process of its own.
    #[arg(long, hide = true)]
    opens: Option<holding::Opens>,
    /// Only given by `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    if let Some(opens) = options.opens {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        println!("{}", runtime.block_on(holding::open(opens, options.resources, options.bytes))?);
        return Ok(());
    }
    // Starting a server waits.
    let server = Server::durable().context("PostgreSQL is needed")?;
    let database = Database::on(&server.place());
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(measure(&options, &database))
}

async fn measure(options: &Options, database: &Database) -> anyhow::Result<()> {
    println!("| what | one after the other | 64 at once |\n|---|---|---|");
    let folder = tempfile::tempdir()?;
    let sqlite = Arc::new(SqliteStore::open(&folder.path().join("store.db"))?);
    row("SQLite", options, &*sqlite).await?;
    // Alone, as the driver is: others that follow take their part of the machine.
    let mut stores = vec![PostgresStore::open(settings(database.place())).await?];
    row("PostgreSQL", options, stores.first().context("a store")?).await?;
    let raw = raw(options, database).await?;
    println!("| the same transaction by the driver alone | {raw:.0} writes/s | |");
    for _ in 0..2 {
        stores.push(PostgresStore::open(settings(database.place())).await?);
    }
    let first = stores.first().context("three stores")?;
    row("PostgreSQL, with two that follow", options, first).await?;
    notices(options, &stores).await?;
    holding::fill(first, options.resources, options.bytes).await?;
    holding::fill(&*sqlite, options.resources, options.bytes).await?;
    drop((sqlite, stores));
    println!("\n| {} resources of {} bytes | opens in | memory | at most |", options.resources, options.bytes);
    println!("|---|---|---|---|");
    let file = holding::file(&folder.path().join("store.db"));
    for (name, opens, place) in [
        ("memory (written, not opened)", "memory", serde_json::Value::Null),
        ("SQLite", "sqlite", file),
        ("PostgreSQL", "postgres", holding::database(database.place())),
    ] {
        println!("{}", holding::measured(name, opens, &place, options.resources, options.bytes)?);
    }
    Ok(())
}

async fn row(name: &str, options: &Options, store: &dyn ResourceStore) -> anyhow::Result<()> {
    let mut rates = Vec::new();
    for at_once in [1, 64] {
        let started = Instant::now();
        let writes = futures::stream::iter(0..options.writes)
            .map(|number| store.put(resource(&format!("z{}", number % 100), options.bytes), Precondition::Any))
            .buffer_unordered(at_once);
        let done: Vec<_> = writes.collect().await;
        for write in done {
            write?;
        }
        rates.push(format!("{:.0} writes/s", options.writes as f64 / started.elapsed().as_secs_f64()));
    }
    println!("| {name} | {} |", rates.join(" | "));
    Ok(())
}

/// As the store does: two messages there and back, the second with all that is written.
async fn raw(options: &Options, database: &Database) -> anyhow::Result<f64> {
    const WRITE: &str = "
        WITH put AS (
            INSERT INTO resources (kind, mesh, name, labels, spec, created, modified, version)
            VALUES ('Zone', '', $1, '{}', $2, '', '', $3)
            ON CONFLICT (kind, mesh, name) DO UPDATE SET spec = excluded.spec, version = excluded.version
        ), logged AS (
            INSERT INTO changes (revision, position, kind, mesh, name, labels, spec, created, modified)
            VALUES ($3, 0, 'Zone', '', $1, '{}', $2, '', '')
        ), noted AS (
            INSERT INTO commits (revision, write_id, at) VALUES ($3, 1, clock_timestamp())
        ), moved AS (
            UPDATE store_revision SET revision = $3, write_id = 1
        )
        SELECT pg_notify('store_changes', $3::bigint::text)";
    let other = Database::on(database.place());
    let first = PostgresStore::open(settings(other.place())).await?;
    drop(first);
    let place = other.place();
    let mut config = tokio_postgres::Config::new();
    config.host(&place.host).port(place.port).user(&place.user).password(&place.password).dbname(&place.database);
    let (client, connection) = config.connect(tokio_postgres::NoTls).await?;
    let writing = async {
        let lock = client.prepare("SELECT revision FROM store_revision FOR UPDATE").await?;
        let write = client.prepare(WRITE).await?;
        let content = vec![0_u8; options.bytes];
        let started = Instant::now();
        for number in 0..options.writes {
            let (begun, locked) = future::join(client.batch_execute("BEGIN"), client.execute(&lock, &[])).await;
            begun?;
            locked?;
            let (name, revision) = (format!("z{}", number % 100), i64::try_from(number).unwrap_or(0) + 1);
            let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 3] = [&name, &content, &revision];
            let (written, done) = future::join(client.query(&write, &parameters), client.batch_execute("COMMIT")).await;
            written?;
            done?;
        }
        anyhow::Ok(options.writes as f64 / started.elapsed().as_secs_f64())
    };
    tokio::select! {
        rate = writing => rate,
        ended = connection => anyhow::bail!("the connection ended: {ended:?}"),
    }
}

/// From the answer of a write to the last of three stores that tells it.
async fn notices(options: &Options, stores: &[PostgresStore]) -> anyhow::Result<()> {
    let mut watches: Vec<_> = stores.iter().map(|store| store.watch(Kinds::Only(vec![Kind::ZONE]))).collect();
    for watch in &mut watches {
        while !matches!(watch.next().await, Some(Event::InitDone) | None) {}
    }
    let mut taken = Vec::new();
    for store in stores.iter().cycle().take(options.writes.min(500)) {
        store.put(resource("notice", options.bytes), Precondition::Any).await?;
        let committed = Instant::now();
        for watch in &mut watches {
            watch.next().await.context("a watch that goes on")?;
        }
        taken.push(committed.elapsed());
    }
    taken.sort();
    let at = |percent: usize| taken.get(taken.len() * percent / 100).copied().unwrap_or(Duration::MAX);
    println!(
        "\nA change is told by the last of three stores {:.1?} after its commit (p50), {:.1?} (p99).",
        at(50),
        at(99)
    );
    Ok(())
}

fn resource(name: &str, bytes: usize) -> Resource {
    Resource {
        key: Key::global(Kind::ZONE, name),
        labels: Labels::new(),
        spec: vec![0; bytes].into(),
        status: None,
        owner: None,
        created: Timestamp::UNIX_EPOCH,
        modified: Timestamp::UNIX_EPOCH,
    }
}

fn settings(place: &Place) -> Settings {
    Settings {
        host: place.host.clone(),
        port: place.port,
        user: place.user.clone(),
        password: Password::new(place.password.clone()),
        database: place.database.clone(),
        tls: Tls::default(),
        connect_timeout: Duration::from_secs(5),
        pool: Pool::default(),
        identity: Identity { mode: "global".to_owned(), zone: None, cluster: None, new_cluster: "bench".to_owned() },
        tolerate_newer: false,
        times: Times::default(),
        options: store::Options::default(),
    }
}
