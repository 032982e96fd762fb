//! A control plane, global or of a zone, by what both have: store, keys, certificate, REST, diagnostics.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
};

use anyhow::Context as _;
use store::ResourceStore;
use sync::Features;
use tokens::StaticKeys;
use tokio::{net::TcpListener, sync::watch};
use tokio_rustls::TlsAcceptor;
use tracing::info;
use wire::kuma::system::v1alpha1::KumaCpVersion;

use super::{opened::Opened, own_certificate, running::Addresses, serve, store_freshness, unreadable};
use crate::{
    about,
    access::Authenticator,
    bootstrap::Wanted,
    clock::Clock,
    cluster::Cluster,
    config::{self, AuthMode, AuthType, Config, SealedBy, StoreType},
    doctor::{self, Doctor},
    issuing::{Issuer, Issuers},
    keys::Keys,
    ledger::Ledger,
    limits::{self, Limits, PortName, Timeouts},
    observe::{
        diagnostics::{self, Diagnostics},
        log::Log,
        metrics::Metrics,
        readiness::Readiness,
    },
    rest::{Api, EnvoyAdmin, Handles, Settings},
    revoking,
    rotation::Rotations,
    signers::{Signers, SigningMetrics},
    tasks::{OnError, Tasks},
    tls::{Alpn, Certificates, ClientCerts, PairFiles, Protocols, ServerIdentity, host_names},
    writes::{MeshDefaults, Rules, Side, Writes},
    zones::insight::{self, Insights, Instance},
};

/// A control plane before it is a global or a zone.
pub(super) struct ControlPlane {
    pub(super) config: Config,
    pub(super) clock: Clock,
    pub(super) log: Log,
    pub(super) tasks: Tasks,
    pub(super) store: Arc<dyn ResourceStore>,
    /// The general certificate, made if none is configured.
    pub(super) identity: Arc<ServerIdentity>,
    /// All that are shown.
    certificates: Certificates,
    pub(super) metrics: Metrics,
    pub(super) readiness: Readiness,
    /// What the ports share.
    pub(super) limits: Limits,
    /// The instances that work with the store.
    pub(super) cluster: Cluster,
    /// What signs outside of the store, and the keys of the settings with it.
    signers: Signers,
    static_keys: watch::Receiver<Arc<StaticKeys>>,
    hostname: String,
}

/// What the REST API of one side works with beside what both have.
pub(super) struct BehindRest {
    pub(super) side: Side,
    /// Whether zones get its keys.
    pub(super) sends_keys: bool,
    pub(super) keys: Keys,
    pub(super) ledger: Ledger,
    pub(super) issuer: Issuer,
    pub(super) admin: Arc<dyn EnvoyAdmin>,
    /// On a global: what is known of its zones, and the rotations of its keys.
    pub(super) global: Option<(Insights, Rotations)>,
    /// Where the API is that has the meshes, if this one has none.
    pub(super) elsewhere: Option<Arc<str>>,
}

impl ControlPlane {
    pub(super) async fn start(
        config: Config,
        clock: Clock,
        log: Log,
        tasks: Tasks,
        metrics_zone: &str,
        opened: Opened,
    ) -> anyhow::Result<Self> {
        let hostname = hostname();
        let Opened { store, others, .. } = opened;
        let cluster = match others {
            Some((others, times)) => Cluster::join(others, || instance_of(&hostname), times, &tasks).await,
            None => Cluster::alone(&instance_of(&hostname)),
        };
        let general = &config.general_tls;
        let identity = match (&general.cert_file, &general.key_file) {
            (Some(cert), Some(key)) => ServerIdentity::load(&PairFiles { cert: cert.clone(), key: key.clone() })?,
            _ => own_certificate::identity(&config, &*store, &clock).await?,
        };
        identity.watch(&tasks);
        let certificates = Certificates::default();
        certificates.add(&identity);
        let metrics = Metrics::new(metrics_zone, cluster.me(), log.lines());
        metrics.register(|metrics| cluster.register(metrics));
        let readiness = Readiness::default();
        let signing = metrics.register(SigningMetrics::register);
        let started = Signers::start(&config.static_keys, &config.signers, signing, &tasks).await;
        let (signers, static_keys) = started.context("the keys that sign outside of the store")?;
        let auth = &config.global.auth;
        let zones_are_refused =
            config.mode.takes_zones() && auth.kind != AuthType::None && auth.mode == AuthMode::Enforce;
        let zones = zones_are_refused.then_some(auth.max_staleness);
        let stale = store_freshness::Stale::of(store.freshness());
        metrics.register(|metrics| metrics.register_collector(Box::new(stale)));
        let told = store_freshness::tell(store.freshness(), zones, readiness.clone(), clock.clone(), tasks.clone());
        tasks.spawn("store-freshness", OnError::Log, told);
        Ok(Self {
            config,
            clock,
            log,
            tasks,
            store,
            identity,
            certificates,
            limits: metrics.register(Limits::start),
            metrics,
            readiness,
            cluster,
            signers,
            static_keys,
            hostname,
        })
    }

    pub(super) fn wanted(&self) -> Wanted {
        Wanted {
            admin_token: self.config.api_server.bootstrap_admin_token,
            default_mesh: !self.config.skip_mesh_creation,
            hostname_generators: !self.config.skip_hostname_generators,
            mesh_defaults: MeshDefaults::AsTheMeshSays,
            signed_outside: self.config.signers.iter().map(|signer| signer.family.clone()).collect(),
        }
    }

    pub(super) async fn keys(&self) -> anyhow::Result<Keys> {
        let keys =
            Keys::start_beside(self.static_keys.clone(), &self.store, &self.tasks).await.context("read the keys")?;
        if let Some(unreadable) = keys.unreadable() {
            let gauges = self.metrics.register(unreadable::Gauges::register);
            let told = unreadable::tell(unreadable, self.readiness.clone(), gauges, self.tasks.clone());
            self.tasks.spawn("unreadable", OnError::Log, told);
        }
        let (leeway, clock) = (self.config.global.auth.leeway, self.clock.clone());
        let cluster = self.cluster.clone();
        self.tasks.spawn(
            "keys-of-cluster",
            OnError::Log,
            cluster.clone().tell_keys(keys.version(), self.tasks.clone()),
        );
        let (store, tasks) = (Arc::clone(&self.store), self.tasks.clone());
        let pruning = revoking::pruning::run(store, keys.clone(), leeway, cluster, clock, tasks);
        self.tasks.spawn("revocation-pruning", OnError::Log, pruning);
        Ok(keys)
    }

    pub(super) async fn ledger(&self) -> anyhow::Result<Ledger> {
        let started = Ledger::start(&self.store, &self.clock, &self.tasks).await;
        let ledger = started.context("read the ledger of issued tokens")?;
        let pruning = ledger.clone().prune(self.cluster.clone(), self.clock.clone(), self.tasks.clone());
        self.tasks.spawn("ledger-pruning", OnError::Log, pruning);
        Ok(ledger)
    }

    /// What issues tokens, for whoever asks.
    pub(super) fn issuer(&self, keys: &Keys, ledger: &Ledger) -> Issuer {
        let issuers = Issuers {
            dataplane: self.config.enable_dataplane_issuer,
            zone: self.config.enable_zone_issuer,
            user: self.config.api_server.enable_user_issuer,
            control_plane: self.config.global.auth.enable_issuer,
            without_end_until: self.config.global.auth.legacy_tokens_until,
        };
        Issuer::new(keys.clone(), self.clock.clone(), issuers, ledger.clone()).with_signers(self.signers.clone())
    }

    /// The insights of the zones that this end knows: on a zone, of itself.
    pub(super) async fn insights(&self) -> anyhow::Result<Insights> {
        let options = insight::Options {
            flush_interval: self.config.global.zone_insight_flush_interval,
            subscription_limit: self.config.zone_subscription_limit,
            compact_finished: self.config.compact_finished_subscriptions,
            cluster: self.cluster.clone(),
        };
        let started = Insights::start(&self.store, &self.clock, options, &self.tasks).await;
        started.context("read the insights of zones")
    }

    /// What this end says of itself on KDS. The version is the one that peers compare.
    pub(super) fn us(&self, config: String) -> Instance {
        Instance {
            id: self.cluster.me().to_owned(),
            version: KumaCpVersion {
                version: about::BASED_ON_KUMA.to_owned(),
                git_tag: format!("v{}", about::BASED_ON_KUMA),
                git_commit: about::COMMIT.to_owned(),
                ..KumaCpVersion::default()
            },
            config,
            features: (Features::ALL | Features::OURS).names().map(str::to_owned).collect(),
        }
    }

    /// The certificate of a port: its own if one is configured, the general one otherwise.
    pub(super) fn identity_for(
        &self,
        tls: &config::Tls,
        general: &Arc<ServerIdentity>,
    ) -> anyhow::Result<Arc<ServerIdentity>> {
        let (Some(cert), Some(key)) = (&tls.cert_file, &tls.key_file) else { return Ok(Arc::clone(general)) };
        let identity = ServerIdentity::load(&PairFiles { cert: cert.clone(), key: key.clone() })?;
        identity.watch(&self.tasks);
        self.certificates.add(&identity);
        Ok(identity)
    }

    /// Versions and suites of a port; what it does not say, the general settings say.
    pub(super) fn protocols(&self, tls: &config::Tls) -> anyhow::Result<Protocols> {
        let general = &self.config.general_tls;
        let max = if tls.max_version.is_empty() { &general.max_version } else { &tls.max_version };
        let suites = if tls.cipher_suites.is_empty() { &general.cipher_suites } else { &tls.cipher_suites };
        Ok(Protocols::parse(&tls.min_version, max, suites)?)
    }

    pub(super) async fn serve_rest(&self, behind: BehindRest, addresses: &mut Addresses) -> anyhow::Result<()> {
        let BehindRest { side, sends_keys, keys, ledger, issuer, admin, global, elsewhere } = behind;
        let server = &self.config.api_server;
        let access = Arc::new(self.config.access.clone());
        let rules = Rules {
            side,
            sends_keys,
            read_only: server.read_only,
            origin_label_is_free: self.config.disable_origin_label_validation,
            unsafe_delete: self.config.unsafe_delete,
            mesh_defaults: MeshDefaults::AsTheMeshSays,
        };
        let writes = Writes::new(Arc::clone(&self.store), self.clock.clone(), rules);
        let settings = Settings {
            product: server.product.clone(),
            base_path: server.base_path.clone(),
            cors_allowed_domains: server.cors_allowed_domains.clone(),
            read_timeout: server.timeouts.read,
            localhost_is_admin: server.localhost_is_admin,
            zones: self.config.mode.takes_zones().then(|| self.config.global.auth.zone_terms()),
            config_json: self.config.display_json().into(),
            elsewhere,
            hostname: self.hostname.clone(),
            instance_id: self.cluster.me().to_owned(),
        };
        let doctor = Doctor::new(doctor::Sources {
            store: Arc::clone(&self.store),
            clock: self.clock.clone(),
            keys: keys.clone(),
            ledger: ledger.clone(),
            certificates: self.certificates.clone(),
            settings: Arc::clone(&self.config.global),
            is_plain: self.config.store != StoreType::Memory && matches!(self.config.sealed_by, SealedBy::Nobody),
            global: global.clone(),
            signers: self.signers.clone(),
            readiness: self.readiness.clone(),
        });
        let api = Api::new(Handles {
            store: Arc::clone(&self.store),
            clock: self.clock.clone(),
            writes,
            access,
            keys,
            issuer,
            ledger,
            admin,
            settings,
            readiness: self.readiness.clone(),
            rotations: global.map(|(_, rotations)| rotations),
            doctor: Some(doctor),
        });
        let allowed = server.timeouts;
        let timeouts = Timeouts { head: allowed.read_header, write: allowed.write, idle: allowed.idle };
        for (port, what, secure) in [(&server.http, "http", false), (&server.https, "https", true)] {
            if !port.enabled {
                continue;
            }
            let interface = port.interface.trim_matches(['[', ']']);
            let interface: IpAddr = interface.parse().context("the interface of the API server")?;
            let listener =
                limits::bind(SocketAddr::new(interface, port.port), &format!("the REST API (apiServer.{what}.port)"))?;
            let tls = if secure {
                let identity = self.identity_for(&server.https_tls, &self.identity)?;
                let protocols = self.protocols(&server.https_tls)?;
                let clients = match &server.client_ca_file {
                    Some(file) => ClientCerts::require(file, &self.tasks).context("apiServer.https.tlsCaFile")?,
                    None => ClientCerts::Ignore,
                };
                Some(TlsAcceptor::from(identity.server_config(Alpn::None, &protocols, &clients)?))
            } else {
                None
            };
            let address = listening(what, &listener)?;
            if secure {
                addresses.https = Some(address)
            } else {
                addresses.http = Some(address)
            }
            let places = self.limits.port(if secure { PortName::Https } else { PortName::Http });
            let serving = serve::serve(listener, tls, api.clone(), places, timeouts, self.tasks.clone());
            self.tasks.spawn("rest", OnError::StopProgram, serving);
        }
        Ok(())
    }

    pub(super) async fn serve_diagnostics(&self, keys: &Keys, addresses: &mut Addresses) -> anyhow::Result<()> {
        let shown = Diagnostics {
            readiness: self.readiness.clone(),
            metrics: self.metrics.clone(),
            levels: self.log.levels().clone(),
            authenticator: Authenticator::new(self.config.api_server.localhost_is_admin, keys.clone()),
            access: self.config.access.clone(),
            clock: self.clock.clone(),
        };
        addresses.diagnostics =
            Some(serve_diagnostics(self.config.diagnostics_port, shown, &self.limits, &self.tasks)?);
        Ok(())
    }
}

/// Serves health, readiness and metrics; returns where.
pub(super) fn serve_diagnostics(
    port: u16,
    shown: Diagnostics,
    limits: &Limits,
    tasks: &Tasks,
) -> anyhow::Result<SocketAddr> {
    let listener = limits::bind(any(port), "diagnostics (diagnostics.serverPort)")?;
    let address = listening("diagnostics", &listener)?;
    let serving = diagnostics::serve(listener, shown, limits.port(PortName::Diagnostics), tasks.clone());
    tasks.spawn("diagnostics", OnError::StopProgram, serving);
    Ok(address)
}

/// All interfaces, of both address families where there are both.
pub(super) fn any(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port)
}

/// Says where a part listens.
pub(super) fn listening(what: &str, listener: &TcpListener) -> anyhow::Result<SocketAddr> {
    let address = listener.local_addr().context("the address of a listener")?;
    info!(what, address = %address, "listening");
    Ok(address)
}

/// A name of this process: that of the machine and four hex digits, new at each start.
pub(super) fn instance_of(hostname: &str) -> String {
    let id = uuid::Uuid::new_v4().simple().to_string();
    format!("{hostname}-{}", id.get(..4).unwrap_or_default())
}

/// The name of this machine, as far as it says.
pub(super) fn hostname() -> String {
    let said = host_names().next().unwrap_or_default();
    let name: String = said.chars().filter(|c| c.is_ascii_alphanumeric() || "-.".contains(*c)).take(63).collect();
    if name.is_empty() { "localhost".to_owned() } else { name }
}
