//! The configuration: defaults, then the file, then the environment. The only place that reads the environment.
//! Longer than usual because every section of the settings has its struct here.
//!
//! A name of an earlier generation works and is told in one line. Two names with different values, an unknown key in a
//! section of ours, a bad value: the program does not start, and says which source, which name, what is allowed.

mod build;
mod inter_cp;
mod layers;
mod postgres;
mod proxy;
mod relays;
mod sealing;
mod settings;
mod signers;
mod validators;
mod values;
mod zone_grants;

use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

use jiff::Timestamp;
use thiserror::Error;
use tokens::{Accept, ZoneTerms};
use zeroize::Zeroizing;

pub use self::{inter_cp::InterCp, postgres::Postgres, proxy::Proxy, sealing::SealedBy, values::Source};
use crate::{access::Access, files, signers::SignerSettings};

/// What a control plane is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Owns the configuration.
    Global,
    /// Runs proxies; may follow a global.
    Zone,
    /// Stands beside a zone control plane, and authenticates it at a global.
    Connector,
    /// Stands before a global control plane, and authenticates its zones.
    Gateway,
}

impl Mode {
    /// The word of the settings.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Global => "global",
            Self::Zone => "zone",
            Self::Connector => "connector",
            Self::Gateway => "gateway",
        }
    }

    /// Whether zones connect to it, and it looks at who they are.
    pub(crate) const fn takes_zones(self) -> bool {
        matches!(self, Self::Global | Self::Gateway)
    }
}

/// How zones prove who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthType {
    /// They do not.
    None,
    /// By a control plane token, or a zone token with scope `cp`.
    CpToken,
    /// By a zone token with scope `cp`.
    ZoneToken,
}

/// Where resources are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreType {
    /// In a file of the work directory.
    Sqlite,
    /// In memory: gone after a restart.
    Memory,
    /// In a database that several control planes share.
    Postgres,
}

/// A text that is never shown.
#[derive(Clone)]
pub struct SecretText(Zeroizing<String>);

impl SecretText {
    /// The text.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("*****")
    }
}

/// Certificate, key and versions of one TLS port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// Certificate file; the general one, or a self-made one, if there is none.
    pub cert_file: Option<PathBuf>,
    /// Key file.
    pub key_file: Option<PathBuf>,
    /// `TLSv1_2` or `TLSv1_3`.
    pub min_version: String,
    /// The same, or empty.
    pub max_version: String,
    /// IANA names; all if empty.
    pub cipher_suites: Vec<String>,
}

/// How zones authenticate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GlobalAuth {
    /// By what.
    pub kind: AuthType,
    /// How long past `exp` and before `nbf` a token is good.
    pub leeway: Duration,
    /// Whether control plane tokens are issued here.
    pub enable_issuer: bool,
    /// What happens to those who do not.
    pub mode: AuthMode,
    /// When a zone that is connected is judged.
    pub recheck: Recheck,
    /// Until when tokens without end are accepted; for ever if there is no such time.
    pub legacy_tokens_until: Option<Timestamp>,
    /// For how long zones are let in by what is known while the store is behind.
    pub max_staleness: Duration,
    /// How zones get their next token.
    pub renewal: Renewal,
    /// What a rotation waits for.
    pub rotation: RotationTimes,
}

impl GlobalAuth {
    /// On which terms tokens of zones are accepted. Where zones need none, those that control planes issue are looked at.
    pub(crate) fn zone_terms(&self) -> ZoneTerms {
        let accept = match self.kind {
            AuthType::None | AuthType::CpToken => Accept::CpToken,
            AuthType::ZoneToken => Accept::ZoneToken,
        };
        ZoneTerms { accept, leeway: self.leeway, legacy_until: self.legacy_tokens_until }
    }
}

/// What happens to zones that do not authenticate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AuthMode {
    /// They are refused.
    #[default]
    Enforce,
    /// They are let in under the name they say, counted and told of.
    Shadow,
}

/// When a zone that is connected is judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Recheck {
    /// Whenever something changes.
    #[default]
    Live,
    /// When it connects, as Kong Mesh documents.
    OnConnect,
}

/// How zones get their next token over KDS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Renewal {
    /// Whether they get one.
    pub enabled: bool,
    /// How long such a token is good at most; zero: as long as the one before.
    pub max_life: Duration,
}

/// What a rotation waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RotationTimes {
    /// For how long a zone that is away still counts.
    pub recent_zones: Duration,
    /// An automatic rotation stops after so long without news.
    pub patience: Duration,
}

impl Default for GlobalAuth {
    /// What is in force where nothing is set.
    fn default() -> Self {
        Self {
            kind: AuthType::CpToken,
            leeway: Duration::from_secs(30),
            enable_issuer: true,
            mode: AuthMode::Enforce,
            recheck: Recheck::Live,
            legacy_tokens_until: None,
            max_staleness: Duration::from_secs(5 * 60),
            renewal: Renewal { enabled: true, max_life: Duration::ZERO },
            rotation: RotationTimes {
                recent_zones: Duration::from_secs(168 * 3600),
                patience: Duration::from_secs(24 * 3600),
            },
        }
    }
}

/// The global's end of KDS.
#[derive(Clone, Debug)]
pub struct GlobalKds {
    /// The port; 0 lets the system choose.
    pub grpc_port: u16,
    /// Whether TLS is on.
    pub tls_enabled: bool,
    /// With what.
    pub tls: Tls,
    /// What the certificate that a control plane makes for itself names beside this machine: a balancer's names and addresses.
    pub tls_names: Vec<String>,
    /// The largest message, in bytes.
    pub max_msg_size: usize,
    /// How many resources one zone may keep here.
    pub zone_quota_resources: usize,
    /// How large they may be together, in bytes.
    pub zone_quota_bytes: usize,
    /// How often counters of zones are written.
    pub zone_insight_flush_interval: Duration,
    /// How long a zone may take to answer a response before that is told.
    pub msg_send_timeout: Duration,
    /// How often zones shall ping; zero leaves it to them.
    pub health_poll_interval: Duration,
    /// A zone that has not pinged for so long is taken for gone; zero switches that off.
    pub health_timeout: Duration,
    /// Labels with these prefixes are not sent.
    pub skip_prefixes: Vec<String>,
    /// How zones authenticate.
    pub auth: GlobalAuth,
}

/// The zone's end of KDS.
#[derive(Clone, Debug)]
pub struct ZoneKds {
    /// The file with the authorities of global's certificate; the system's if there is none.
    pub root_ca_file: Option<PathBuf>,
    /// Whether global's certificate is not verified.
    pub tls_skip_verify: bool,
    /// The largest message, in bytes.
    pub max_msg_size: usize,
    /// How long global may take to answer a response, and how long a stream of a real one may be silent.
    pub msg_send_timeout: Duration,
    /// Whether joining a global may delete what the zone had of its own; a copy is written first.
    pub delete_own_meshes: bool,
    /// The admin port of proxies whose Dataplane names none.
    pub default_admin_port: u16,
    /// Labels with these prefixes are not sent.
    pub skip_prefixes: Vec<String>,
    /// The token.
    pub token_inline: Option<SecretText>,
    /// The file with the token; wins over the token itself.
    pub token_path: Option<PathBuf>,
    /// Whether the zone asks for its next token and writes it into the file.
    pub renew_token: bool,
}

/// Where global is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GlobalAddress {
    /// Whether the scheme is `grpcs`.
    pub secure: bool,
    /// The host.
    pub host: String,
    /// The port.
    pub port: u16,
}

/// Where a connector listens for its zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// On an address of this machine.
    Tcp(std::net::SocketAddr),
    /// On a UNIX socket.
    Unix(PathBuf),
}

/// What a connector has beside the settings of a zone.
#[derive(Clone, Debug)]
pub struct Connector {
    /// Where it listens.
    pub listen: Listen,
    /// Certificate and key of that port; plain text without.
    pub tls: Option<(PathBuf, PathBuf)>,
}

/// What a gateway has beside the settings of a global.
#[derive(Clone, Debug)]
pub struct Gateway {
    /// Where the global control plane is; one that answers is taken.
    pub upstream: Vec<GlobalAddress>,
    /// The file with the authorities of its certificate; the system's if there is none.
    pub root_ca_file: Option<PathBuf>,
    /// Whether its certificate is not verified.
    pub tls_skip_verify: bool,
    /// Whether it sees the tokens of zones.
    pub forward_token: bool,
}

/// A port of the REST API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiPort {
    /// Whether it is served.
    pub enabled: bool,
    /// The address to listen on.
    pub interface: String,
    /// The port; 0 lets the system choose.
    pub port: u16,
}

/// How long a client of the REST API may take. None of them is zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApiTimeouts {
    /// For the head of a request.
    pub read_header: Duration,
    /// For the body of a request.
    pub read: Duration,
    /// For taking more of an answer.
    pub write: Duration,
    /// Between two requests of one connection.
    pub idle: Duration,
}

/// The REST API.
#[derive(Clone, Debug)]
pub struct ApiServer {
    /// Refuse every write.
    pub read_only: bool,
    /// The plain port.
    pub http: ApiPort,
    /// The TLS port.
    pub https: ApiPort,
    /// Its certificate.
    pub https_tls: Tls,
    /// Clients of the TLS port must show a certificate of an authority in this file; none need to if there is none.
    pub client_ca_file: Option<PathBuf>,
    /// Whether direct callers from this machine are admins.
    pub localhost_is_admin: bool,
    /// Whether an admin token is made at the first start.
    pub bootstrap_admin_token: bool,
    /// Whether user tokens are issued.
    pub enable_user_issuer: bool,
    /// The product that `GET /` names: the one whose kumactl is to be served.
    pub product: String,
    /// The path in front of every route.
    pub base_path: String,
    /// Origins that browsers may call from.
    pub cors_allowed_domains: Vec<String>,
    /// How long clients may take.
    pub timeouts: ApiTimeouts,
}

/// The configuration of one control plane.
#[derive(Clone, Debug)]
pub struct Config {
    /// What it is.
    pub mode: Mode,
    /// Its work directory.
    pub work_dir: PathBuf,
    /// The longest that zones are told to go before the program stops.
    pub drain_time: Duration,
    /// Whether an empty store may stand where one was: told on the command line, never in the settings, so that it does
    /// not stay.
    pub fresh: bool,
    /// The general certificate.
    pub general_tls: Tls,
    /// The first pause before a zone connects again.
    pub base_backoff: Duration,
    /// The longest one.
    pub max_backoff: Duration,
    /// Where resources are kept.
    pub store: StoreType,
    /// What seals the secrets in it.
    pub sealed_by: SealedBy,
    /// The database, if they are kept in one.
    pub postgres: Postgres,
    /// Delete zones that are connected and meshes that are used.
    pub unsafe_delete: bool,
    /// The REST API.
    pub api_server: ApiServer,
    /// Global's KDS.
    pub global: Arc<GlobalKds>,
    /// The zone's name.
    pub zone_name: model::ZoneName,
    /// Where the zone's global is, each with the proxy on the way there, as the environment says; one that answers is taken.
    pub global_addresses: Vec<(GlobalAddress, Option<Proxy>)>,
    /// The zone's KDS.
    pub zone: ZoneKds,
    /// Of a connector.
    pub connector: Connector,
    /// Of a gateway.
    pub gateway: Gateway,
    /// How instances on one database reach each other.
    pub inter_cp: InterCp,
    /// Whether zones accept resources without origin label over REST.
    pub disable_origin_label_validation: bool,
    /// Who may do what.
    pub access: Access,
    /// Keys that verify tokens beside those of the store, or alone.
    pub static_keys: Arc<tokens::StaticKeys>,
    /// Keys that sign outside of the store.
    pub signers: Vec<SignerSettings>,
    /// The diagnostics port; 0 lets the system choose.
    pub diagnostics_port: u16,
    /// Make no mesh at the first start.
    pub skip_mesh_creation: bool,
    /// Make no host name generators at the first start.
    pub skip_hostname_generators: bool,
    /// How many subscriptions of a zone are kept.
    pub zone_subscription_limit: usize,
    /// Whether finished ones lose their details.
    pub compact_finished_subscriptions: bool,
    /// Whether dataplane tokens are issued.
    pub enable_dataplane_issuer: bool,
    /// Whether zone tokens are issued.
    pub enable_zone_issuer: bool,
    shown: String,
}

/// What the operator should know of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark(pub String);

/// Why the program does not start. One line a problem.
#[derive(Debug, Error)]
#[error("{}", .0.join("\n"))]
pub struct ConfigError(pub Vec<String>);

impl Config {
    /// Loads the configuration from the file, if one is given, and the environment of the process.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the environment")]
    pub fn load(file: Option<&std::path::Path>) -> Result<(Self, Vec<Remark>), ConfigError> {
        let text = match file {
            None => None,
            Some(path) => Some((path.display().to_string(), files::read_text(path, files::LARGEST).map_err(|error| {
                ConfigError(vec![format!(
                    "unable to access configuration file '{}', please check if the file exists and has the correct permissions: {error}",
                    path.display()
                )])
            })?)),
        };
        let environment: Vec<(String, String)> = std::env::vars_os()
            .filter_map(|(key, value)| Some((key.into_string().ok()?, value.to_string_lossy().into_owned())))
            .collect();
        let home = std::env::var("HOME").unwrap_or_default();
        Self::from_sources(text.as_ref().map(|(name, text)| (name.as_str(), text.as_str())), &environment, &home)
    }

    /// Builds a configuration from the text of a file and an environment. Pure but for the files that settings name.
    pub fn from_sources(
        file: Option<(&str, &str)>,
        environment: &[(String, String)],
        home: &str,
    ) -> Result<(Self, Vec<Remark>), ConfigError> {
        let (values, remarks) = layers::merge(file, environment).map_err(ConfigError)?;
        build::config(values, remarks, environment, home)
    }

    /// The zone's name if it follows a global.
    pub fn federated_zone(&self) -> Option<&model::ZoneName> {
        (self.mode == Mode::Zone && !self.global_addresses.is_empty()).then_some(&self.zone_name)
    }

    /// The configuration as JSON, secrets masked: what `GET /config` answers and what a zone reports.
    pub fn display_json(&self) -> &str {
        &self.shown
    }
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
