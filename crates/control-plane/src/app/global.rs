//! The global control plane: store, keys, registry, KDS port, REST, diagnostics.

use std::sync::Arc;

use anyhow::Context as _;
use model::Kind;
use prometheus_client::metrics::histogram::Histogram;
use store::{Kinds, Mirror};
use tokio_rustls::TlsAcceptor;
use tracing::{info, warn};

use super::{
    control_plane::{self, BehindRest, ControlPlane},
    drain::Drain,
    global_link, inter_cp,
    open_store::open_to_run,
    opened::Opened,
    proxies::{Proxies, ThroughZones},
    running::{Addresses, Running},
};
use crate::{
    bootstrap,
    clock::Clock,
    config::{AuthMode, AuthType, Config, Recheck},
    kds::{
        global::{
            asker::Asker,
            context::Context,
            down,
            renewals::Renewals,
            router::{Behind, Router},
            upstream::Upstream,
        },
        link::Link,
        quota::Quotas,
    },
    limits::{self, PortName},
    observe::{
        grpc_metrics::GrpcMetrics,
        kds_metrics::{KdsMetrics, SECONDS},
        log::Log,
    },
    rotation::{self, RotationMetrics, Rotations},
    tasks::{OnError, Tasks},
    tls::Alpn,
    writes::Side,
    zones::{
        ageing,
        confirmed::Confirmed,
        elsewhere, health,
        in_use::{KeysInUse, TokensInUse},
        registry::Registry,
        sweeper::{self, Enforcer},
    },
};

/// What a control plane that zones connect to is, beside what both kinds of it have.
pub(super) struct Front {
    /// What it is called in the label of metrics.
    pub(super) metrics_zone: &'static str,
    /// Whether it has the meshes and what is in them.
    pub(super) has_meshes: bool,
    /// Who serves the zones that were let in, and whether it can be reached; this control plane itself if nobody.
    pub(super) upstream: Option<(Arc<Upstream>, Link)>,
    /// Where the API is that has what this one has not.
    pub(super) elsewhere: Option<Arc<str>>,
}

impl Front {
    /// The global control plane.
    pub(super) const GLOBAL: Self = Self { metrics_zone: "Global", has_meshes: true, upstream: None, elsewhere: None };
}

pub(super) async fn start(
    config: Config,
    clock: Clock,
    log: Log,
    tasks: Tasks,
    opened: Option<Opened>,
    front: Front,
) -> anyhow::Result<Running> {
    let opened = match opened {
        Some(opened) => opened,
        None => open_to_run(&config, &clock).await?,
    };
    let control_plane = ControlPlane::start(config, clock, log, tasks, front.metrics_zone, opened).await?;
    let ControlPlane { config, clock, tasks, store, identity, .. } = &control_plane;
    let starting = tasks.stop_on_drop();
    let wanted = control_plane.wanted();
    let wanted = bootstrap::Wanted {
        default_mesh: wanted.default_mesh && front.has_meshes,
        hostname_generators: wanted.hostname_generators && front.has_meshes,
        ..wanted
    };
    bootstrap::global(store, &wanted, clock.now()).await.context("make what a global control plane needs")?;
    let keys = control_plane.keys().await?;
    let ledger = control_plane.ledger().await?;
    // Keys stay at a gateway: what zones verify with comes from the global control plane behind it.
    let sends_keys = front.upstream.is_none();
    let issuer = control_plane.issuer(&keys, &ledger).without_proxies(front.elsewhere.clone());
    let mut addresses = Addresses::default();
    // A probe hears from here on what is still missing.
    for part in ["rest", "kds"] {
        control_plane.readiness.expect(part);
    }
    control_plane.serve_diagnostics(&keys, &mut addresses).await?;
    let registry = Registry::new(keys.ring(), config.global.auth.leeway);
    let metrics = control_plane.metrics.register(KdsMetrics::register);
    let insights = control_plane.insights().await?;
    let settings = Arc::clone(&config.global);
    let confirmed = Confirmed::default();
    let behind = match front.upstream {
        Some((upstream, link)) => {
            let gauges = control_plane.metrics.register(global_link::Gauges::register);
            let following = global_link::tell(link, control_plane.readiness.clone(), gauges, tasks.clone());
            tasks.spawn("link", OnError::Log, following);
            Behind::Upstream(upstream)
        }
        None => {
            let shared = down::Shared::start(store, &settings, &metrics, tasks).await;
            Behind::Here(Arc::new(shared.context("make the snapshots of what zones get")?))
        }
    };
    let context = Arc::new(Context {
        store: Arc::clone(store),
        clock: clock.clone(),
        registry: registry.clone(),
        confirmed: confirmed.clone(),
        insights: insights.clone(),
        ledger: ledger.clone(),
        metrics: metrics.clone(),
        asker: Asker::default(),
        quotas: Quotas::new(settings.zone_quota_resources, settings.zone_quota_bytes),
        us: control_plane.us(String::new()),
        settings,
        tasks: tasks.clone(),
    });
    let calls = control_plane.metrics.register(GrpcMetrics::register);
    let renewals = Renewals::new(issuer.clone(), clock.clone(), config.global.auth.renewal, tasks.clone());
    let router = Router::new(Arc::clone(&context), behind, renewals, keys.clone(), calls);
    let enforcer = Enforcer {
        registry: registry.clone(),
        insights: insights.clone(),
        metrics: metrics.clone(),
        clock: clock.clone(),
        recheck: config.global.auth.recheck,
    };
    if config.global.auth.mode == AuthMode::Shadow {
        registry.shadow_everybody();
    }
    let mut zones = Mirror::of(&**store, Kinds::Only(vec![Kind::ZONE]));
    enforcer.learn(&mut zones).await.context("read the zones")?;
    tasks.spawn("sweeper", OnError::StopProgram, enforcer.clone().run(keys.clone(), tasks.clone()));
    tasks.spawn("zones", OnError::StopProgram, enforcer.follow(zones, tasks.clone()));
    tasks.spawn("ageing-tokens", OnError::Log, ageing::run(insights.clone(), tasks.clone()));
    let keys_in_use = KeysInUse::new(registry.clone());
    control_plane.metrics.register(|metrics| metrics.register_collector(Box::new(keys_in_use)));
    let tokens_in_use = TokensInUse::new(registry.clone(), clock.clone());
    control_plane.metrics.register_of_zones(|metrics| metrics.register_collector(Box::new(tokens_in_use)));
    let elsewhere = elsewhere::run(registry.clone(), insights.clone(), metrics.clone(), tasks.clone());
    tasks.spawn("zones-elsewhere", OnError::StopProgram, elsewhere);
    tasks.spawn("gauges", OnError::Log, sweeper::gauges(registry.clone(), metrics.clone(), tasks.clone()));
    if !config.global.health_timeout.is_zero() {
        let (interval, timeout) = (config.global.health_poll_interval, config.global.health_timeout);
        let elsewhere = health::Elsewhere {
            members: control_plane.cluster.members(),
            freshness: store.freshness(),
            flush_interval: config.global.zone_insight_flush_interval,
        };
        let checks = health::HealthChecks { interval, timeout, elsewhere };
        let took = Histogram::new(SECONDS);
        let watched = took.clone();
        control_plane.metrics.register(|registry| {
            registry.register("component_zone_watch", "Seconds to look at all zones", watched);
        });
        let (registry, insights) = (registry.clone(), insights.clone());
        let watch = health::run(registry, insights, metrics.clone(), clock.clone(), checks, took, tasks.clone());
        tasks.spawn("zone-health", OnError::StopProgram, watch);
    }

    let proxies = Proxies::new(context.asker.clone(), insights, control_plane.cluster.me());
    // Nobody else is there on a store that one process has for itself, and a gateway's zones are those of others.
    let others = match front.has_meshes && !control_plane.cluster.is_alone() {
        true => inter_cp::start(&control_plane, &proxies, &keys, &confirmed, &mut addresses).await?,
        false => None,
    };
    let admin = Arc::new(ThroughZones::new(proxies, others));
    let rotations = Rotations::start(
        rotation::Sources {
            store: Arc::clone(store),
            clock: clock.clone(),
            keys: keys.clone(),
            registry: registry.clone(),
            insights: context.insights.clone(),
            confirmed: sends_keys.then_some(confirmed),
            ledger: ledger.clone(),
            cluster: control_plane.cluster.clone(),
            times: rotation::times(&config.global.auth),
            metrics: control_plane.metrics.register(RotationMetrics::register),
        },
        tasks,
    );
    let behind = BehindRest {
        side: Side::Global,
        sends_keys,
        keys: keys.clone(),
        ledger: ledger.clone(),
        issuer,
        admin,
        global: Some((context.insights.clone(), rotations)),
        elsewhere: front.elsewhere,
    };
    control_plane.serve_rest(behind, &mut addresses).await?;
    control_plane.readiness.ready("rest");
    let listener = limits::bind(control_plane::any(config.global.grpc_port), "KDS (multizone.global.kds.grpcPort)")?;
    let tls = match (config.global.tls_enabled, identity) {
        (true, identity) => {
            let kds = control_plane.identity_for(&config.global.tls, identity)?;
            let protocols = control_plane.protocols(&config.global.tls)?;
            Some(TlsAcceptor::from(kds.server_config(Alpn::H2, &protocols, &crate::tls::ClientCerts::Ignore)?))
        }
        (false, _) => None,
    };
    warn_of_open_doors(config);
    addresses.kds = Some(control_plane::listening("kds", &listener)?);
    let places = control_plane.limits.port(if router.passes_on() { PortName::Relay } else { PortName::Kds });
    tasks.spawn(
        "kds",
        OnError::StopProgram,
        crate::kds::global::listener::serve(listener, tls, Arc::new(router), places, tasks.clone()),
    );
    control_plane.readiness.ready("kds");
    info!(
        mode = config.mode.as_str(),
        version = crate::about::VERSION,
        instance = control_plane.cluster.me(),
        "started"
    );
    let _serves = starting.disarm();
    let drain = Drain {
        registry,
        readiness: control_plane.readiness.clone(),
        members: control_plane.cluster.members(),
        time: config.drain_time,
    };
    Ok(Running { tasks: tasks.clone(), addresses, drain: Some(drain) })
}

fn warn_of_open_doors(config: &Config) {
    if config.global.auth.kind == AuthType::None {
        warn!(
            target: "kds.auth",
            "authentication of Zone CPs is disabled: whoever reaches the KDS port can join as any zone and read all \
             secrets of its meshes; set multizone.global.kds.auth.type to `cpToken`"
        );
    } else if !config.global.tls_enabled {
        warn!(
            target: "kds",
            "TLS of the KDS port is off: tokens travel in plain text unless a proxy in front ends TLS; set \
             multizone.global.kds.tlsEnabled to true"
        );
    }
    let auth = &config.global.auth;
    if auth.kind != AuthType::None && auth.mode == AuthMode::Shadow {
        warn!(
            target: "kds.auth",
            "authentication of Zone CPs is in shadow: NOBODY IS REFUSED, whoever reaches the KDS port can join as any zone and \
             read all secrets of its meshes; set multizone.global.kds.auth.mode to `enforce` when zone_auth_total counts no \
             would_be_refused any more"
        );
    }
    if auth.recheck == Recheck::OnConnect {
        warn!(
            target: "kds.auth",
            "zones are judged when they connect only: a deleted key, a revoked or an expired token ends no session of a zone \
             that is connected; set multizone.global.kds.auth.recheck to `live` to have them closed at once"
        );
    }
}
