//! Assembles a control plane from its parts. What differs between global and zone is in `global.rs` and `zone.rs`; a gateway is
//! a global with another front, and a connector is what its file says.

mod connector;
mod control_plane;
mod drain;
mod gateway;
mod global;
mod global_link;
mod inter_cp;
mod offline;
mod open_postgres;
mod open_store;
mod opened;
mod own_certificate;
mod proxies;
mod running;
mod sealing;
mod serve;
mod store_files;
mod store_freshness;
mod unreadable;
mod waiting;
mod whose;
mod zone;

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use store::{Instances, ResourceStore};
use tokio::signal::unix::{SignalKind, signal};
use tracing::{info, warn};

use self::{global::Front, opened::Opened};
pub use self::{
    offline::{Restore, backup, copy, generate_key, reseal, restore},
    open_postgres::migrate,
    running::{Addresses, Running},
};
use crate::{
    clock::Clock,
    cluster::Times,
    config::{Config, Mode},
    observe::log::Log,
    tasks::Tasks,
};

/// How long streams and requests under way may take to end after the first signal.
const GRACE: Duration = Duration::from_secs(5);

/// Runs a control plane until a signal or a failure. The first signal drains, the second one ends at once.
pub async fn run(config: Config, log: Log) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listen for SIGINT")?;
    // A start may have to wait for a database.
    let running = tokio::select! {
        started = start(config, Clock::system(), log) => started?,
        _ = terminate.recv() => return Ok(()),
        _ = interrupt.recv() => return Ok(()),
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        () = running.tasks().stopping() => {}
    }
    info!("stopping, a second signal ends at once");
    let (finished, failure) = tokio::select! {
        ended = running.stop(GRACE) => ended,
        _ = terminate.recv() => (false, None),
        _ = interrupt.recv() => (false, None),
    };
    if finished {
        info!("all components have stopped");
    } else {
        warn!("forcefully stopped");
    }
    match failure {
        Some(failure) => Err(anyhow::anyhow!(failure)),
        None => Ok(()),
    }
}

/// Starts a control plane and returns when it serves.
pub async fn start(config: Config, clock: Clock, log: Log) -> anyhow::Result<Running> {
    let tasks = Tasks::new();
    let started = match config.mode {
        Mode::Global => Box::pin(global::start(config, clock, log, tasks.clone(), None, Front::GLOBAL)).await,
        Mode::Zone => zone::start(config, clock, log, tasks.clone()).await,
        Mode::Connector => connector::start(config, clock, log, tasks.clone()).await,
        Mode::Gateway => Box::pin(gateway::start(config, clock, log, tasks.clone())).await,
    };
    finish(started, &tasks).await
}

/// Starts a global control plane on a store of the caller, in place of the one that the configuration names. If others work
/// with it, too, this one joins them.
pub async fn start_global_on(
    store: Arc<dyn ResourceStore>,
    others: Option<(Arc<dyn Instances>, Times)>,
    config: Config,
    clock: Clock,
    log: Log,
) -> anyhow::Result<Running> {
    let (tasks, opened) = (Tasks::new(), Opened { store, others, cluster: None });
    let started = Box::pin(global::start(config, clock, log, tasks.clone(), Some(opened), Front::GLOBAL)).await;
    finish(started, &tasks).await
}

/// A start that failed leaves no task behind.
async fn finish(started: anyhow::Result<Running>, tasks: &Tasks) -> anyhow::Result<Running> {
    if started.is_err() {
        tasks.stop();
        tasks.finished(GRACE).await;
    }
    started
}
