//! How long a store that holds much takes to open, and how much memory it needs then: each in a process of its own, that
//! did nothing before.

use std::{
    fs,
    io::{self, Write as _},
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context as _, ensure};
use clap::ValueEnum;
use serde_json::{Value, json};
use store::{
    Batch, Precondition, Query, ResourceStore, Write, memory::MemoryStore, postgres::PostgresStore, sqlite::SqliteStore,
};
use testkit::postgres::Place;
use tokio::time::Instant;

use crate::{resource, settings};

/// What a process opens.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Opens {
    Memory,
    Sqlite,
    Postgres,
}

/// Fills a store.
pub(crate) async fn fill(store: &dyn ResourceStore, resources: usize, bytes: usize) -> anyhow::Result<()> {
    for first in (0..resources).step_by(1000) {
        let writes = (first..(first + 1000).min(resources))
            .map(|number| Write::Put { resource: resource(&format!("r{number}"), bytes), expect: Precondition::Any });
        store.apply(Batch::of(writes.collect())).await?;
    }
    Ok(())
}

/// Has a process of its own open what is there, and returns a row of what it says.
pub(crate) fn measured(
    name: &str,
    opens: &str,
    place: &Value,
    resources: usize,
    bytes: usize,
) -> anyhow::Result<String> {
    let mut child = Command::new("/proc/self/exe")
        .args(["--opens", opens, "--resources", &resources.to_string(), "--bytes", &bytes.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    child.stdin.take().context("standard input")?.write_all(place.to_string().as_bytes())?;
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "{name} was not opened");
    Ok(format!("| {name} | {} |", String::from_utf8(output.stdout)?.trim()))
}

/// Where a file is, for the other process.
pub(crate) fn file(path: &Path) -> Value {
    json!({ "path": path })
}

/// Where a database is, for the other process.
pub(crate) fn database(place: &Place) -> Value {
    json!({
        "host": place.host, "port": place.port, "user": place.user, "password": place.password,
        "database": place.database,
    })
}

/// Opens what standard input names, and returns how long that took and what it holds in memory.
pub(crate) async fn open(opens: Opens, resources: usize, bytes: usize) -> anyhow::Result<String> {
    let place: Value = serde_json::from_reader(io::stdin())?;
    let text = |name: &str| place.get(name).and_then(Value::as_str).map(str::to_owned).context("a place");
    let before = resident("VmRSS")?;
    let started = Instant::now();
    let store: Box<dyn ResourceStore> = match opens {
        Opens::Memory => {
            let store = MemoryStore::new();
            fill(&store, resources, bytes).await?;
            Box::new(store)
        }
        Opens::Sqlite => Box::new(SqliteStore::open(Path::new(&text("path")?))?),
        Opens::Postgres => {
            let port = place.get("port").and_then(Value::as_u64).context("a port")?;
            let place = Place {
                host: text("host")?,
                port: u16::try_from(port)?,
                user: text("user")?,
                password: text("password")?,
                database: text("database")?,
            };
            Box::new(PostgresStore::open(settings(&place)).await?)
        }
    };
    let taken = started.elapsed();
    let held = store.list(&Query { limit: Some(0), ..Query::all(model::Kind::ZONE) }).await?.total;
    ensure!(held >= resources, "{held} resources");
    let (now, peak) = (resident("VmRSS")?, resident("VmHWM")?);
    Ok(format!("{taken:.2?} | {} MB | {} MB", (now - before) / 1024, (peak - before) / 1024))
}

/// A figure of this process in KiB.
fn resident(what: &str) -> anyhow::Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(what)?.strip_prefix(':')).context("a figure")?;
    Ok(line.trim().trim_end_matches("kB").trim().parse()?)
}
