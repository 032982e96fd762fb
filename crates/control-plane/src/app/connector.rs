//! The connector beside a zone control plane: its listener, the zone's own way to global, diagnostics. No store, no REST.

mod socket;

use std::sync::Arc;

use tokens::KeyRing;
use tokio::{net::UnixListener, sync::watch};
use tokio_rustls::TlsAcceptor;
use tracing::info;

use super::{
    control_plane::{hostname, instance_of, listening, serve_diagnostics},
    global_link,
    running::{Addresses, Running},
    zone,
};
use crate::{
    about,
    access::Authenticator,
    clock::Clock,
    cluster::Cluster,
    config::{Config, Listen},
    kds::{
        connector::{Connector, Options, listener},
        link::Link,
    },
    keys::Keys,
    limits::{self, Limits, PortName},
    observe::{diagnostics::Diagnostics, grpc_metrics::GrpcMetrics, log::Log, metrics::Metrics, readiness::Readiness},
    tasks::{OnError, Tasks},
    tls::{Alpn, ClientCerts, PairFiles, Protocols, ServerIdentity},
};

pub(super) async fn start(config: Config, clock: Clock, log: Log, tasks: Tasks) -> anyhow::Result<Running> {
    let starting = tasks.stop_on_drop();
    let instance = instance_of(&hostname());
    let metrics = Metrics::new(config.zone_name.as_str(), &instance, log.lines());
    metrics.register(|metrics| Cluster::alone(&instance).register(metrics));
    let (readiness, limits) = (Readiness::default(), metrics.register(Limits::start));
    let mut addresses = Addresses::default();
    readiness.expect("connector");
    // Nobody proves who they are with a token here: log levels are set from this machine.
    let no_keys = Keys::of(watch::Sender::new(Arc::new(KeyRing::empty())).subscribe());
    let shown = Diagnostics {
        readiness: readiness.clone(),
        metrics: metrics.clone(),
        levels: log.levels().clone(),
        authenticator: Authenticator::new(config.api_server.localhost_is_admin, no_keys),
        access: config.access.clone(),
        clock: clock.clone(),
    };
    addresses.diagnostics = Some(serve_diagnostics(config.diagnostics_port, shown, &limits, &tasks)?);
    anyhow::ensure!(!config.global_addresses.is_empty(), "multizone.zone.globalAddress is not set");
    let (dialer, token) = zone::reach(&config, &clock, &tasks)?;
    let link = Link::default();
    let options = Options {
        zone: config.zone_name.clone(),
        dialer,
        token,
        renew_token: config.zone.renew_token,
        version: about::BASED_ON_KUMA.to_owned(),
        base_backoff: config.base_backoff,
        calls: metrics.register(GrpcMetrics::register),
    };
    let connector = Connector::new(options, clock, link.clone(), readiness.clone(), tasks.clone());
    let gauges = metrics.register(global_link::Gauges::register);
    tasks.spawn("link", OnError::Log, global_link::tell(link, readiness.clone(), gauges, tasks.clone()));
    tasks.spawn("token", OnError::StopProgram, Arc::clone(&connector).watch_token());
    match &config.connector.listen {
        Listen::Unix(path) => {
            let (listener, held) = socket::listen(path)?;
            listener.set_nonblocking(true)?;
            let listener = UnixListener::from_std(listener)?;
            info!(what = "connector", path = %path.display(), "listening");
            let serving = listener::serve_unix(listener, connector, tasks.clone());
            tasks.spawn("connector", OnError::StopProgram, async move {
                let served = serving.await;
                drop(held);
                served
            });
        }
        Listen::Tcp(address) => {
            let (listener, tls) =
                (limits::bind(*address, "the zone (multizone.connector.listen)")?, tls(&config, &tasks)?);
            addresses.connector = Some(listening("connector", &listener)?);
            let places = limits.port(PortName::Relay);
            let serving = listener::serve_tcp(listener, tls, connector, places, tasks.clone());
            tasks.spawn("connector", OnError::StopProgram, serving);
        }
    }
    readiness.ready("connector");
    info!(mode = "connector", zone = %config.zone_name, version = about::VERSION, instance = %instance, "started");
    let _serves = starting.disarm();
    Ok(Running { tasks, addresses, drain: None })
}

/// The certificate of the port, where one is configured.
fn tls(config: &Config, tasks: &Tasks) -> anyhow::Result<Option<TlsAcceptor>> {
    let Some((cert, key)) = &config.connector.tls else { return Ok(None) };
    let identity = ServerIdentity::load(&PairFiles { cert: cert.clone(), key: key.clone() })?;
    identity.watch(tasks);
    let general = &config.general_tls;
    let protocols = Protocols::parse(&general.min_version, &general.max_version, &general.cipher_suites)?;
    Ok(Some(TlsAcceptor::from(identity.server_config(Alpn::H2, &protocols, &ClientCerts::Ignore)?)))
}
