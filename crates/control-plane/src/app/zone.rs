//! The zone control plane: store, its own keys, REST, diagnostics, and the connection to global.

use std::{path::Path, sync::Arc};

use anyhow::Context as _;
use tracing::info;

use super::{
    control_plane::{BehindRest, ControlPlane},
    global_link, open_postgres,
    open_store::open_to_run,
    running::{Addresses, Running},
};
use crate::{
    bootstrap,
    clock::Clock,
    config::{Config, StoreType},
    kds::{
        dial::{Dialer, Target, Trust},
        link::Link,
        zone::{self, Lead, LegacyPolicies, Options, OwnMeshes, Reports, Shared, Token, TokenSource},
    },
    observe::{kds_metrics::KdsMetrics, log::Log},
    rest::NoZones,
    tasks::{OnError, Tasks},
    tls::{ClientTrust, InsecureTrust},
    writes::Side,
};

pub(super) async fn start(config: Config, clock: Clock, log: Log, tasks: Tasks) -> anyhow::Result<Running> {
    let name = config.zone_name.clone();
    let opened = open_to_run(&config, &clock).await?;
    let cluster = opened.cluster.clone();
    let control_plane = ControlPlane::start(config, clock, log, tasks, name.as_str(), opened).await?;
    let ControlPlane { config, clock, tasks, store, .. } = &control_plane;
    let starting = tasks.stop_on_drop();
    let side = match config.federated_zone() {
        Some(zone) => Side::FederatedZone(zone.as_str().to_owned()),
        None => Side::LoneZone(name.as_str().to_owned()),
    };
    bootstrap::zone(store, &side, &control_plane.wanted(), clock.now())
        .await
        .context("make what a zone control plane needs")?;
    // What was empty when it was opened is its own from now on.
    if let Some(cluster) = cluster {
        open_postgres::remember(config, &**store, &cluster).await?;
    }
    let keys = control_plane.keys().await?;
    let ledger = control_plane.ledger().await?;
    let issuer = control_plane.issuer(&keys, &ledger);
    let mut addresses = Addresses::default();
    // A probe hears from here on what is still missing.
    control_plane.readiness.expect("rest");
    control_plane.serve_diagnostics(&keys, &mut addresses).await?;
    let behind = BehindRest {
        side,
        sends_keys: false,
        keys,
        ledger,
        issuer,
        admin: Arc::new(NoZones),
        global: None,
        elsewhere: None,
    };
    control_plane.serve_rest(behind, &mut addresses).await?;
    control_plane.readiness.ready("rest");
    if let Some(options) = connection(&control_plane).await? {
        let link = Link::default();
        let gauges = control_plane.metrics.register(global_link::Gauges::register);
        let told = global_link::tell(link.clone(), control_plane.readiness.clone(), gauges, tasks.clone());
        tasks.spawn("link", OnError::Log, told);
        let running = zone::run(options, Arc::clone(store), clock.clone(), link, tasks.clone());
        tasks.spawn("kds-zone", OnError::StopProgram, running);
    }
    info!(mode = "zone", zone = %name, version = crate::about::VERSION, instance = control_plane.cluster.me(), "started");
    let _serves = starting.disarm();
    Ok(Running { tasks: tasks.clone(), addresses, drain: None })
}

/// What the connection to global needs, if there is a global.
async fn connection(control_plane: &ControlPlane) -> anyhow::Result<Option<Options>> {
    let ControlPlane { config, clock, tasks, store, cluster, .. } = control_plane;
    // A store of one program has one instance, and what is of the zone is in its folder.
    let is_shared = config.store == StoreType::Postgres;
    let shared = is_shared.then(|| Shared::new(Arc::clone(store), clock.clone()));
    if config.global_addresses.is_empty() {
        if let Some(shared) = shared {
            shared.left().await.context("note in the store that this zone has no global")?;
        }
        OwnMeshes::left(&config.work_dir, config.zone_name.as_str())
            .context("note in the work folder that this zone has no global")?;
        return Ok(None);
    }
    let (dialer, token) = reach(config, clock, tasks)?;
    Ok(Some(Options {
        zone: config.zone_name.clone(),
        dialer,
        token,
        renew_token: config.zone.renew_token,
        us: control_plane.us(config.display_json().to_owned()),
        max_message_size: config.zone.max_msg_size,
        base_backoff: config.base_backoff,
        max_backoff: config.max_backoff,
        skip_prefixes: config.zone.skip_prefixes.clone(),
        default_admin_port: config.zone.default_admin_port,
        own_meshes: Arc::new(
            OwnMeshes::new(
                &config.work_dir,
                config.zone_name.as_str(),
                config.zone.delete_own_meshes,
                config.store != StoreType::Memory,
            )
            .shared(shared.clone()),
        ),
        lead: Lead::of(cluster),
        shared,
        msg_send_timeout: config.zone.msg_send_timeout,
        reports: Reports {
            insights: control_plane.insights().await?,
            metrics: control_plane.metrics.register(KdsMetrics::register),
            policies: Arc::new(LegacyPolicies::new(control_plane.readiness.clone())),
            rejections: Arc::default(),
        },
    }))
}

/// How a zone reaches its global, and where its token is.
pub(super) fn reach(config: &Config, clock: &Clock, tasks: &Tasks) -> anyhow::Result<(Dialer, TokenSource)> {
    let zone = &config.zone;
    // All of them are, or none.
    let is_secure = config.global_addresses.iter().all(|(address, _)| address.secure);
    let trust = trust(is_secure, zone.tls_skip_verify, zone.root_ca_file.as_deref(), clock, tasks)?;
    let token = match (&config.zone.token_path, &config.zone.token_inline) {
        (Some(path), _) => TokenSource::File(path.clone()),
        (None, Some(inline)) => TokenSource::Inline(
            Token::new(inline.reveal()).context("multizone.zone.kds.auth.tokenInline holds no token")?,
        ),
        (None, None) => TokenSource::None,
    };
    let mut places = Vec::new();
    for (address, proxy) in &config.global_addresses {
        let target = Target { host: address.host.clone(), port: address.port };
        if let Some(proxy) = proxy {
            info!(target: "kds.zone", %proxy, global = %target, "the global control plane is reached through a proxy, as HTTPS_PROXY says");
        }
        places.push((target, proxy.clone()));
    }
    Ok((Dialer::new(places, trust, clock.clone()), token))
}

/// Whom to believe to be global.
pub(super) fn trust(
    secure: bool,
    skip_verify: bool,
    root_ca_file: Option<&Path>,
    clock: &Clock,
    tasks: &Tasks,
) -> anyhow::Result<Trust> {
    let trust = match (secure, skip_verify, root_ca_file) {
        (false, _, _) => Trust::Plain,
        (true, true, _) => Trust::Insecure(InsecureTrust),
        (true, false, Some(file)) => Trust::Verified(ClientTrust::from_file(file, clock.clone())?),
        (true, false, None) => Trust::Verified(ClientTrust::system(clock.clone())?),
    };
    if let Trust::Verified(trust) = &trust {
        trust.watch(tasks);
    }
    Ok(trust)
}
