//! Opens the database that the configuration names; an empty one only where there was none before.
//!
//! ```text
//! the work folder                        the database
//! global.postgres: cluster c1   ──────►  store_identity: global, c1      the same, or refused
//! nothing, or something lost    ──────►  empty: set up, or refused
//! ```
//!
//! What is in the folder says which cluster a control plane worked with, so that it never takes another database for its own.
//! While the database is away the start waits, and says so on `/ready`.

use std::{
    io::{self, Write as _},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use model::{Kind, causes};
use store::{
    Missing, Options, Query, ResourceStore, StoreError,
    postgres::{OpenError, Password, PostgresStore, Settings, Times},
};
use tokio::time::sleep;
use tracing::{info, warn};

use super::{
    sealing,
    store_files::{MARKER, store_file},
    waiting::Waiting,
    whose,
};
use crate::{
    clock::Clock,
    config::{Config, Mode},
    files::{self, whole},
};

/// How often a database that is away is tried again.
const PAUSE: Duration = Duration::from_secs(1);

/// Where the settings say the database is, for a control plane that worked with this cluster.
pub(super) fn settings(config: &Config, cluster: Option<String>) -> Settings {
    let postgres = &config.postgres;
    Settings {
        host: postgres.host.clone(),
        port: postgres.port,
        user: postgres.user.clone(),
        password: Password::new(postgres.password.reveal().to_owned()),
        database: postgres.database.clone(),
        tls: postgres.tls.clone(),
        connect_timeout: postgres.connect_timeout,
        pool: postgres.pool,
        identity: whose::identity(config, cluster),
        tolerate_newer: postgres.tolerate_newer,
        times: Times::default(),
        options: Options::default(),
    }
}

/// Opens the database.
pub(super) async fn open(config: &Config, clock: &Clock) -> anyhow::Result<Arc<PostgresStore>> {
    let marker = Marker::of(config);
    // Who insists takes whatever there is.
    let cluster = if config.fresh { None } else { marker.cluster()? };
    let was_used = cluster.is_some() || marker.other_store_was_used(config);
    let mut settings = settings(config, cluster);
    if was_used && !config.fresh {
        settings.options.missing = Missing::Refuse;
    }
    let store = wait_for(settings, config).await.map_err(|error| explained(error, config))?;
    let cluster = store.identity().cluster.clone();
    if config.mode.takes_zones() {
        whose::say_cluster(&store, &cluster, clock).await.context("write the id of the cluster")?;
    }
    remember(config, &store, &cluster).await?;
    info!(of = %store.identity(), host = config.postgres.host, database = config.postgres.database, "the store is a database");
    Ok(Arc::new(store))
}

/// Says in the work folder with which cluster this control plane works, once its database holds something: without anything
/// in it, it may be one of a first start that is about to be killed.
pub(super) async fn remember(config: &Config, store: &dyn ResourceStore, cluster: &str) -> anyhow::Result<()> {
    if is_empty(store).await? {
        return Ok(());
    }
    Marker::of(config).write(cluster)
}

/// Where the database is, for a control plane that worked in this folder.
pub(super) fn known_settings(config: &Config) -> anyhow::Result<Settings> {
    Ok(settings(config, Marker::of(config).cluster()?))
}

/// Takes the steps that the database lacks, and says what came of it.
pub async fn migrate(config: &Config) -> anyhow::Result<String> {
    anyhow::ensure!(config.mode != Mode::Connector, "a connector has no store");
    let (from, to) = store::postgres::migrate(known_settings(config)?).await?;
    Ok(match from {
        _ if from == to => format!("the database has schema version {to} already"),
        0 => format!("the database was empty and has schema version {to} now"),
        _ => format!("the database has been migrated from schema version {from} to {to}"),
    })
}

fn explained(error: OpenError, config: &Config) -> anyhow::Error {
    let folder = config.work_dir.display();
    let context = match &error {
        OpenError::Empty { .. } => format!(
            "a control plane worked in `{folder}` before, and an empty store would have other keys than its zones and users \
             have tokens of: restore the database from a backup (docs/backup.md), or insist on an empty one with `--fresh`"
        ),
        OpenError::OfAnother { found, ours, .. } if found.mode == ours.mode && found.zone == ours.zone => {
            format!("the work folder `{folder}` belongs to one control plane; `--fresh` makes it that of this database")
        }
        _ => return error.into(),
    };
    anyhow::Error::new(error).context(context)
}

/// Opens the database, and waits while nobody answers there.
async fn wait_for(settings: Settings, config: &Config) -> Result<PostgresStore, OpenError> {
    let mut waiting: Option<Waiting> = None;
    let mut told = String::new();
    let sealing = sealing::sealing(config);
    loop {
        let problem = match PostgresStore::open_sealed(settings.clone(), Arc::clone(&sealing)).await {
            Err(problem) if problem.is_retryable() => causes::on_one_line(&problem),
            opened => {
                if let Some(waiting) = waiting {
                    waiting.end().await;
                }
                return opened;
            }
        };
        let is_news = problem != told;
        if is_news {
            warn!(error = problem, "waiting for the database of the store");
            told.clone_from(&problem);
        }
        match &waiting {
            Some(waiting) => waiting.say(&problem),
            // The port may be another program's: that is said once.
            None if is_news => waiting = Waiting::start(config.diagnostics_port, &problem),
            None => {}
        }
        sleep(PAUSE).await;
    }
}

async fn is_empty(store: &dyn ResourceStore) -> Result<bool, StoreError> {
    for kind in Kind::all() {
        if store.list(&Query { limit: Some(0), ..Query::all(kind) }).await?.total > 0 {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The file in the work folder that says with which cluster a control plane worked there.
struct Marker(PathBuf);

impl Marker {
    fn of(config: &Config) -> Self {
        Self(config.work_dir.join(store_file(config)).with_extension(MARKER))
    }

    fn cluster(&self) -> anyhow::Result<Option<String>> {
        match files::read_text(&self.0, files::TOKEN) {
            Ok(text) if text.trim().is_empty() => Ok(None),
            Ok(text) => Ok(Some(text.trim().to_owned())),
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(cause) => Err(cause).with_context(|| format!("read `{}`", self.0.display())),
        }
    }

    /// Whether the folder has a file of SQLite in which this control plane kept its resources before.
    fn other_store_was_used(&self, config: &Config) -> bool {
        let path = self.0.with_file_name(store_file(config));
        store::sqlite::before(&path) == store::sqlite::Before::Used
    }

    fn write(&self, cluster: &str) -> anyhow::Result<()> {
        whole::put(&self.0, |file| writeln!(file, "{cluster}")).with_context(|| format!("write `{}`", self.0.display()))
    }
}
