//! Opens the port for the other instances of a global, and says where they reach it.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use anyhow::Context as _;
use async_trait::async_trait;
use bytes::Bytes;
use http::StatusCode;
use tracing::info;

use super::{
    control_plane::{self, ControlPlane},
    proxies::Proxies,
    running::Addresses,
};
use crate::{
    config::{Config, StoreType},
    inter_cp::{Answers, Credentials, Others, Reply, serve},
    limits::{self, PortName},
    tasks::OnError,
    tls::address_to_reach,
};

/// Serves the others, and returns how to ask them.
pub(super) async fn start(
    control_plane: &ControlPlane,
    proxies: &Proxies,
    addresses: &mut Addresses,
) -> anyhow::Result<Others> {
    let ControlPlane { config, clock, tasks, store, cluster, .. } = control_plane;
    let settings = &config.inter_cp;
    let protocols = control_plane.protocols(&settings.tls)?;
    let (credentials, secrets) = Credentials::start(&**store, protocols, clock.clone()).await?;
    let follow = credentials.clone().follow(secrets, tasks.clone());
    tasks.spawn("inter-cp-authority", OnError::StopProgram, follow);
    let listener = limits::bind(control_plane::any(settings.port), "the other instances (interCp.server.port)")?;
    let port = control_plane::listening("inter-cp", &listener)?;
    addresses.inter_cp = Some(port);
    let answers = Arc::new(Here { proxies: proxies.clone() });
    let places = control_plane.limits.port(PortName::InterCp);
    let serving = serve(listener, credentials.clone(), cluster.me().to_owned(), answers, places, tasks.clone());
    tasks.spawn("inter-cp", OnError::StopProgram, serving);
    let address = address(config, port.port()).await;
    info!(address, "other instances reach this one there");
    cluster.announce(&address);
    Ok(Others::new(cluster.clone(), credentials))
}

/// Where the others reach this instance, as host and port.
async fn address(config: &Config, port: u16) -> String {
    let host = match &config.inter_cp.instance_address {
        Some(host) => host.clone(),
        None => address_to_reach(database(config).await).to_string(),
    };
    match host.parse::<IpAddr>() {
        Ok(address) => SocketAddr::new(address, port).to_string(),
        Err(_name) => format!("{host}:{port}"),
    }
}

/// Where the database is that all instances reach; none if it is here, behind a socket.
async fn database(config: &Config) -> Option<SocketAddr> {
    let postgres = &config.postgres;
    if config.store != StoreType::Postgres || postgres.host.starts_with('/') {
        return None;
    }
    let found = tokio::net::lookup_host((postgres.host.as_str(), postgres.port)).await;
    found.context("look the database up").ok()?.next()
}

/// What others ask this instance.
struct Here {
    proxies: Proxies,
}

#[async_trait]
impl Answers for Here {
    async fn answer(&self, path: &str, question: Bytes) -> Reply {
        match path {
            Proxies::PATH => self.proxies.answer(&question).await,
            _ => Reply::new(StatusCode::NOT_FOUND, "this instance knows no such question"),
        }
    }
}
