//! The global control plane: store, keys, registry, KDS port, REST, diagnostics.

use std::sync::Arc;

use anyhow::Context as _;
use tokio_rustls::TlsAcceptor;
use tracing::{info, warn};

use super::{
    parts::{Addresses, Running},
    serve,
};
use crate::{
    app::parts,
    bootstrap,
    clock::Clock,
    config::{AuthType, Config},
    kds::{self, port::Port},
    keys::Keys,
    observe::{kds_metrics::KdsMetrics, log::Log},
    tasks::{OnError, Tasks},
    zones::{
        insight::{Insights, Options as InsightOptions, Peer},
        registry::Registry,
        sweeper,
    },
};

pub(super) async fn start(config: Config, clock: Clock, log: Log, tasks: Tasks) -> anyhow::Result<Running> {
    let common = super::common::start(config, clock.clone(), log, tasks.clone()).await?;
    todo!()
}
