//! From the merged values to a [`Config`]: reads each one as what it is, and collects every problem before it gives up.
//! Longer than usual because each section of the configuration has a reader here, all of one shape.

use std::{path::PathBuf, sync::Arc, time::Duration};

use jiff::Timestamp;
use rustls_pki_types::ServerName;
use serde_json::Value;
use zeroize::Zeroizing;

use super::{
    ApiPort, ApiServer, ApiTimeouts, AuthMode, AuthType, Config, ConfigError, GlobalAddress, GlobalAuth, GlobalKds,
    Mode, Proxy, Recheck, Remark, Renewal, RotationTimes, SecretText, StoreType, Tls, ZoneKds, postgres, sealing,
    settings, signers, validators, values::Values, zone_grants,
};
use crate::{
    access::{Access, Allowed},
    files,
};

/// The products whose kumactl looks for its own name in `GET /`.
/// No token is renewed for a shorter time than this, whatever is set.
const SHORTEST_LIFE: Duration = Duration::from_secs(60);

const SPOKEN_PRODUCTS: [&str; 2] = ["Kuma", "Kong Mesh"];

/// Builds the configuration. `home` is the folder of the user, for the default work directory.
pub(super) fn config(
    values: Values,
    remarks: Vec<String>,
    environment: &[(String, String)],
    home: &str,
) -> Result<(Config, Vec<Remark>), ConfigError> {
    let mut builder = Builder { values, remarks, environment, problems: Vec::new() };
    match builder.build(home) {
        Some(config) if builder.problems.is_empty() => Ok((config, builder.remarks.into_iter().map(Remark).collect())),
        _ => Err(ConfigError(builder.problems)),
    }
}

/// The settings that a build reads, before it shows them all.
#[cfg(test)]
pub(super) fn read(values: Values) -> std::collections::BTreeSet<String> {
    let mut builder = Builder { values, remarks: Vec::new(), environment: &[], problems: Vec::new() };
    let _built = builder.build("/home/user");
    builder.values.read()
}

/// Turns values into a configuration, collecting all problems.
pub(super) struct Builder<'a> {
    pub(super) values: Values,
    pub(super) remarks: Vec<String>,
    environment: &'a [(String, String)],
    pub(super) problems: Vec<String>,
}

impl Builder<'_> {
    fn build(&mut self, home: &str) -> Option<Config> {
        let mode =
            match self.choice("mode", &["global", "zone", "connector", "gateway", "remote", "standalone"]).as_str() {
                "global" => Mode::Global,
                "connector" => Mode::Connector,
                "gateway" => Mode::Gateway,
                "remote" | "standalone" => {
                    self.remarks.push(format!(
                        "`mode: {0}` of {1} is now called `zone`",
                        self.values.text("mode"),
                        self.values.source("mode")
                    ));
                    self.values.replace("mode", "zone");
                    Mode::Zone
                }
                _ => Mode::Zone,
            };
        if self.values.text("environment") != "universal" {
            self.bad("environment", "allowed is `universal`; this program does not run inside the Kubernetes API");
        }
        let store = match self.values.text("store.type") {
            "sqlite" => StoreType::Sqlite,
            "memory" => StoreType::Memory,
            "postgres" => StoreType::Postgres,
            "kubernetes" => {
                self.bad("store.type", "this store does not exist here; allowed are `sqlite`, `postgres` and `memory`");
                StoreType::Sqlite
            }
            _ => {
                self.bad("store.type", "allowed are `sqlite`, `postgres` and `memory`");
                StoreType::Sqlite
            }
        };
        let (sealed_by, problems) = sealing::read(&self.values);
        self.problems.extend(problems);
        if store == StoreType::Postgres
            && let Some(problem) = sealed_by.lacks_a_key_for_all()
        {
            self.problems.push(problem);
        }
        let (postgres, problems) = postgres::read(&self.values);
        if store == StoreType::Postgres {
            self.problems.extend(problems);
        }
        if self.values.text("access.type") != "static" {
            self.bad("access.type", "allowed is `static`");
        }
        if self.values.text("apiServer.authn.type") != "tokens" {
            self.bad("apiServer.authn.type", "allowed is `tokens`");
        }
        if self.values.text("general.workDir").is_empty() {
            // Not the current folder: two of them would be two control planes.
            match home {
                // It keeps nothing there.
                _ if mode == Mode::Connector => {}
                "" => self.bad(
                    "general.workDir",
                    "the environment names no HOME, so the folder for database and keys must be given",
                ),
                _ if home.starts_with('/') => {}
                _ => self.bad(
                    "general.workDir",
                    &format!(
                        "HOME is `{home}`, which depends on the current folder: give the folder for database and keys"
                    ),
                ),
            }
            self.values.replace("general.workDir", &format!("{home}/.kuma"));
        } else if self.values.text("general.workDir").starts_with('~') {
            self.bad("general.workDir", "nobody puts a home folder in the place of `~`: give the whole path");
        }
        let zone_name = self.zone_name();
        let global_addresses = self.global_addresses();
        let is_followed = matches!(mode, Mode::Zone | Mode::Connector);
        let zone = self.zone_kds(&global_addresses);
        let connector = self.connector(mode, !global_addresses.is_empty());
        let global_addresses: Vec<_> = global_addresses
            .into_iter()
            .map(|address| {
                let proxy = if is_followed { self.proxy(&address) } else { None };
                (address, proxy)
            })
            .collect();
        let mut shown = self.values.shown();
        let proxy = global_addresses.iter().find_map(|(_, proxy)| proxy.as_ref());
        if let (Some(proxy), Some(Value::Object(kds))) = (proxy, shown.pointer_mut("/multizone/zone/kds")) {
            kds.insert("proxy".to_owned(), Value::from(proxy.to_string()));
        }
        let gateway = self.gateway(mode);
        let inter_cp = self.inter_cp();
        let general_tls = self.tls("general");
        let global = Arc::new(self.global_kds());
        let api_server = self.api_server();
        let access = self.access();
        let static_keys = validators::read(&self.values, &mut self.remarks, &mut self.problems);
        let signers = signers::read(&self.values, &mut self.problems);
        let config = Config {
            mode,
            work_dir: PathBuf::from(self.values.text("general.workDir")),
            fresh: false,
            general_tls,
            drain_time: self.values.duration("general.drainTime"),
            base_backoff: self.values.duration("general.resilientComponentBaseBackoff"),
            max_backoff: self.values.duration("general.resilientComponentMaxBackoff"),
            store,
            sealed_by,
            postgres,
            unsafe_delete: self.values.flag("store.unsafeDelete"),
            api_server,
            global,
            zone_name: zone_name?,
            global_addresses,
            zone,
            connector: connector?,
            gateway,
            inter_cp,
            disable_origin_label_validation: self.values.flag("multizone.zone.disableOriginLabelValidation"),
            access,
            static_keys: Arc::new(static_keys),
            signers,
            diagnostics_port: self.port("diagnostics.serverPort"),
            skip_mesh_creation: self.values.flag("defaults.skipMeshCreation"),
            skip_hostname_generators: self.values.flag("defaults.SkipHostnameGenerators"),
            zone_subscription_limit: usize::try_from(self.values.number("metrics.zone.subscriptionLimit"))
                .unwrap_or(10),
            compact_finished_subscriptions: self.values.flag("metrics.zone.compactFinishedSubscriptions"),
            enable_dataplane_issuer: self.values.flag("dpServer.authn.dpProxy.dpToken.enableIssuer"),
            enable_zone_issuer: self.values.flag("dpServer.authn.zoneProxy.zoneToken.enableIssuer"),
            shown: shown.to_string(),
        };
        if config.mode == Mode::Zone && config.global_addresses.is_empty() {
            self.remarks.push(
                "this is a zone without a global control plane; set KUMA_MODE=global to make it a global, or \
                 KUMA_MULTIZONE_ZONE_GLOBAL_ADDRESS to join one"
                    .to_owned(),
            );
        }
        Some(config)
    }

    pub(super) fn bad(&mut self, path: &str, allowed: &str) {
        self.problems.push(format!(
            "{}: {} is `{}`: {allowed}",
            self.values.source(path),
            path,
            self.values.text(path)
        ));
    }

    fn choice(&mut self, path: &'static str, allowed: &[&str]) -> String {
        let value = self.values.text(path).to_owned();
        if !allowed.contains(&value.as_str()) {
            let list: Vec<_> = allowed.iter().map(|one| format!("`{one}`")).collect();
            self.bad(path, &format!("allowed are {}", list.join(", ")));
        }
        value
    }

    pub(super) fn port(&mut self, path: &'static str) -> u16 {
        u16::try_from(self.values.number(path)).unwrap_or_else(|_too_large| {
            self.bad(path, "a port is a number from 0 to 65535; 0 lets the system choose");
            0
        })
    }

    pub(super) fn file(&self, path: &str) -> Option<PathBuf> {
        let text = self.values.text(path);
        (!text.is_empty()).then(|| PathBuf::from(text))
    }

    fn zone_name(&mut self) -> Option<model::ZoneName> {
        let name = model::ZoneName::parse(self.values.text("multizone.zone.name"));
        name.map_err(|wrong| self.bad("multizone.zone.name", &wrong.to_string())).ok()
    }

    /// Where global is; nothing if there is none, or if what is said is wrong.
    fn global_addresses(&mut self) -> Vec<GlobalAddress> {
        const PATH: &str = "multizone.zone.globalAddress";
        let found: Result<Vec<_>, _> = self.values.list(PATH).iter().map(|text| address(text)).collect();
        let wrong = match &found {
            Err(allowed) => Some(*allowed),
            Ok(found) if found.is_empty() && !self.values.text(PATH).is_empty() => {
                Some("the list names nothing; leave it empty if that is meant")
            }
            Ok(found) if found.iter().any(|one| found.first().is_some_and(|first| first.secure != one.secure)) => {
                Some("of several addresses all of them or none begin with `grpcs://`")
            }
            Ok(_) => None,
        };
        wrong.into_iter().for_each(|wrong| self.bad(PATH, wrong));
        if wrong.is_some() { Vec::new() } else { found.unwrap_or_default() }
    }

    /// The proxy on the way to an address.
    fn proxy(&mut self, address: &GlobalAddress) -> Option<Proxy> {
        Proxy::of(self.environment, &address.host, address.port).unwrap_or_else(|wrong| {
            let problem = format!("environment variable {wrong}");
            if !self.problems.contains(&problem) {
                self.problems.push(problem);
            }
            None
        })
    }

    fn send_timeout(&mut self, key: &str) -> Duration {
        let timeout = self.values.duration(key);
        if timeout.is_zero() {
            self.bad(key, "it must be greater than zero");
        }
        timeout
    }

    fn zone_kds(&mut self, addresses: &[GlobalAddress]) -> ZoneKds {
        let inline = self.values.text("multizone.zone.kds.auth.tokenInline").to_owned();
        let token_path = self.file("multizone.zone.kds.auth.tokenPath");
        if !inline.is_empty() && token_path.is_some() {
            self.remarks.push(
                "both a token and a token file are set (multizone.zone.kds.auth.tokenInline and tokenPath): the file is used".to_owned(),
            );
        }
        if addresses.iter().any(|address| !address.secure) && (!inline.is_empty() || token_path.is_some()) {
            self.bad(
                "multizone.zone.globalAddress",
                "a token must not travel in plain text. Use grpcs scheme: `grpcs://<host>:5685`",
            );
        }
        if token_path.as_ref().is_some_and(|path| path.components().any(|part| part.as_os_str() == "..")) {
            self.bad("multizone.zone.kds.auth.tokenPath", "`..` is not allowed in the path of the token file");
        }
        let root_ca_file = self.file("multizone.zone.kds.rootCaFile");
        if addresses.iter().any(|address| address.secure)
            && let Some(path) = &root_ca_file
        {
            let readable = files::read(path, files::LARGEST)
                .is_ok_and(|pem| pem.windows(27).any(|text| text == b"-----BEGIN CERTIFICATE-----"));
            if !readable {
                self.bad("multizone.zone.kds.rootCaFile", "the file must be readable and hold certificates in PEM");
            }
        }
        ZoneKds {
            root_ca_file,
            tls_skip_verify: self.values.flag("multizone.zone.kds.tlsSkipVerify"),
            max_msg_size: self.message_size("multizone.zone.kds.maxMsgSize"),
            msg_send_timeout: self.send_timeout("multizone.zone.kds.msgSendTimeout"),
            delete_own_meshes: self.values.flag("multizone.zone.kds.deleteOwnMeshes"),
            default_admin_port: self.port("bootstrapServer.params.adminPort"),
            skip_prefixes: self.values.list("multizone.zone.kds.labels.skipPrefixes"),
            token_inline: (!inline.is_empty() && token_path.is_none()).then(|| SecretText(Zeroizing::new(inline))),
            token_path,
            renew_token: self.values.flag("multizone.zone.kds.auth.renew"),
        }
    }

    fn message_size(&mut self, path: &'static str) -> usize {
        let size = usize::try_from(self.values.number(path)).unwrap_or(0);
        if size < 1024 {
            self.bad(path, "a message must be allowed at least 1024 bytes");
        }
        size
    }

    /// One of a few words.
    fn one_of<T: Copy + Default>(&mut self, path: &'static str, words: &[(&'static str, T)]) -> T {
        let text = self.values.text(path).to_owned();
        if let Some((_, meant)) = words.iter().find(|(word, _)| *word == text) {
            return *meant;
        }
        let allowed: Vec<String> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
        self.bad(path, &format!("allowed are {}", allowed.join(" and ")));
        T::default()
    }

    /// How long renewed tokens live at most; zero is no limit.
    fn longest_life(&mut self) -> Duration {
        const PATH: &str = "multizone.global.kds.auth.renewal.maxLife";
        let life = self.values.duration(PATH);
        if !life.is_zero() && life < SHORTEST_LIFE {
            self.bad(
                PATH,
                "it must be at least `1m`, or zones would do little else than renew their tokens; `0s` sets no limit",
            );
        }
        life
    }

    /// A moment, or nothing.
    fn moment(&mut self, path: &'static str) -> Option<Timestamp> {
        let text = self.values.text(path).to_owned();
        if text.is_empty() {
            return None;
        }
        let moment = text.parse().ok();
        if moment.is_none() {
            self.bad(path, "it must be a moment like `2026-12-31T00:00:00Z` (RFC 3339)");
        }
        moment
    }

    /// Names that a certificate can have.
    fn tls_names(&mut self) -> Vec<String> {
        const PATH: &str = "multizone.global.kds.tlsNames";
        let names = self.values.list(PATH);
        if let Some(odd) = names.iter().find(|name| ServerName::try_from(name.as_str()).is_err()) {
            self.bad(
                PATH,
                &format!("`{odd}` is no host name and no IP address, and only these can stand in a certificate"),
            );
        }
        names
    }

    fn quota(&mut self, path: &'static str) -> usize {
        let quota = usize::try_from(self.values.number(path)).unwrap_or(usize::MAX);
        if quota == 0 {
            self.bad(path, "it must be greater than zero, or zones could report nothing");
        }
        quota
    }

    fn tls(&mut self, section: &str) -> Tls {
        let (cert_file, key_file) =
            (self.file(&format!("{section}.tlsCertFile")), self.file(&format!("{section}.tlsKeyFile")));
        if cert_file.is_some() != key_file.is_some() {
            self.problems.push(format!("{section}: tlsCertFile and tlsKeyFile must be set together"));
        }
        Tls { cert_file, key_file, ..self.tls_versions(section) }
    }

    /// What is spoken on a port whose certificate is not a matter of settings.
    pub(super) fn tls_versions(&mut self, section: &str) -> Tls {
        let path = |name: &str| format!("{section}.{name}");
        for name in ["tlsMinVersion", "tlsMaxVersion"] {
            if !["", "TLSv1_2", "TLSv1_3"].contains(&self.values.text(&path(name))) {
                self.bad(&path(name), "allowed are `TLSv1_2` and `TLSv1_3`");
            }
        }
        Tls {
            cert_file: None,
            key_file: None,
            min_version: self.values.text(&path("tlsMinVersion")).to_owned(),
            max_version: self.values.text(&path("tlsMaxVersion")).to_owned(),
            cipher_suites: self.values.list(&path("tlsCipherSuites")),
        }
    }

    fn global_kds(&mut self) -> GlobalKds {
        let kind = match self.values.text("multizone.global.kds.auth.type") {
            "none" => AuthType::None,
            "cpToken" => AuthType::CpToken,
            "zoneToken" => AuthType::ZoneToken,
            "konnect" => {
                self.bad("multizone.global.kds.auth.type", "`konnect` is a service of Kong's and does not exist here; allowed are `cpToken`, `zoneToken` and `none`");
                AuthType::CpToken
            }
            _ => {
                self.bad("multizone.global.kds.auth.type", "allowed are `cpToken`, `zoneToken` and `none`");
                AuthType::CpToken
            }
        };
        let flush = self.values.duration("multizone.global.kds.zoneInsightFlushInterval");
        if flush.is_zero() {
            self.bad("multizone.global.kds.zoneInsightFlushInterval", "it must be greater than zero");
        }
        let poll = self.values.duration("multizone.global.kds.zoneHealthCheck.pollInterval");
        let timeout = self.values.duration("multizone.global.kds.zoneHealthCheck.timeout");
        if poll.is_zero() != timeout.is_zero() {
            self.bad(
                "multizone.global.kds.zoneHealthCheck.timeout",
                "pollInterval and timeout go together: set both, or none of them",
            );
        }
        GlobalKds {
            grpc_port: self.port("multizone.global.kds.grpcPort"),
            tls_enabled: self.values.flag("multizone.global.kds.tlsEnabled"),
            tls: self.tls("multizone.global.kds"),
            tls_names: self.tls_names(),
            max_msg_size: self.message_size("multizone.global.kds.maxMsgSize"),
            zone_quota_resources: self.quota("multizone.global.kds.zoneQuota.resources"),
            zone_quota_bytes: self.quota("multizone.global.kds.zoneQuota.bytes"),
            zone_insight_flush_interval: flush,
            msg_send_timeout: self.send_timeout("multizone.global.kds.msgSendTimeout"),
            health_poll_interval: poll,
            health_timeout: timeout,
            skip_prefixes: self.values.list("multizone.global.kds.labels.skipPrefixes"),
            auth: GlobalAuth {
                kind,
                leeway: self.values.duration("multizone.global.kds.auth.leeway"),
                enable_issuer: self.values.flag("multizone.global.kds.auth.zoneToken.enableIssuer"),
                mode: self.one_of(
                    "multizone.global.kds.auth.mode",
                    &[("enforce", AuthMode::Enforce), ("shadow", AuthMode::Shadow)],
                ),
                recheck: self.one_of(
                    "multizone.global.kds.auth.recheck",
                    &[("live", Recheck::Live), ("onConnect", Recheck::OnConnect)],
                ),
                legacy_tokens_until: self.moment("multizone.global.kds.auth.legacyTokensUntil"),
                max_staleness: self.values.duration("multizone.global.kds.auth.maxStaleness"),
                renewal: Renewal {
                    enabled: self.values.flag("multizone.global.kds.auth.renewal.enabled"),
                    max_life: self.longest_life(),
                },
                rotation: RotationTimes {
                    recent_zones: self.values.duration("multizone.global.kds.auth.rotation.recentZones"),
                    patience: self.values.duration("multizone.global.kds.auth.rotation.patience"),
                },
            },
        }
    }

    fn api_port(&mut self, section: &'static str, port: &'static str) -> ApiPort {
        let interface = format!("{section}.interface");
        if self.values.text(&interface).trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_err() {
            self.bad(
                &interface,
                "it must be an IP address of this machine, like `127.0.0.1` or `::1`; `0.0.0.0` is every address",
            );
        }
        ApiPort {
            enabled: self.values.flag(&format!("{section}.enabled")),
            interface: self.values.text(&interface).to_owned(),
            port: self.port(port),
        }
    }

    /// The authorities of client certificates, if such are demanded.
    fn client_ca_file(&mut self) -> Option<PathBuf> {
        const DEMANDED: &str = "apiServer.https.requireClientCert";
        let file = self.file("apiServer.https.tlsCaFile");
        if !self.values.flag(DEMANDED) {
            return None;
        }
        if file.is_none() {
            self.bad(
                DEMANDED,
                "apiServer.https.tlsCaFile must name the file with the authorities of these certificates",
            );
        }
        file
    }

    fn api_server(&mut self) -> ApiServer {
        if !SPOKEN_PRODUCTS.contains(&self.values.text("apiServer.product")) {
            self.bad("apiServer.product", "allowed are `Kuma` and `Kong Mesh`, the products whose kumactl connects");
        }
        ApiServer {
            read_only: self.values.flag("apiServer.readOnly"),
            http: self.api_port("apiServer.http", "apiServer.http.port"),
            https: self.api_port("apiServer.https", "apiServer.https.port"),
            https_tls: self.tls("apiServer.https"),
            client_ca_file: self.client_ca_file(),
            localhost_is_admin: self.values.flag("apiServer.authn.localhostIsAdmin"),
            bootstrap_admin_token: self.values.flag("apiServer.authn.tokens.bootstrapAdminToken"),
            enable_user_issuer: self.values.flag("apiServer.authn.tokens.enableIssuer"),
            product: self.values.text("apiServer.product").to_owned(),
            base_path: self.values.text("apiServer.basePath").to_owned(),
            cors_allowed_domains: self.values.list("apiServer.corsAllowedDomains"),
            timeouts: ApiTimeouts {
                read_header: self.client_timeout("apiServer.readHeaderTimeout"),
                read: self.client_timeout("apiServer.readTimeout"),
                write: self.client_timeout("apiServer.writeTimeout"),
                idle: self.client_timeout("apiServer.idleTimeout"),
            },
        }
    }

    /// How long a client may take. Zero switches such a limit off at a real one; here there is always one.
    fn client_timeout(&mut self, path: &'static str) -> Duration {
        if self.values.duration(path).is_zero() {
            let default = settings::default_of(path);
            let source = self.values.source(path);
            self.remarks.push(format!(
                "{source}: {path} is 0, but a client without a time limit can keep others out: {default} is used"
            ));
            self.values.replace(path, default);
        }
        self.values.duration(path)
    }

    fn access(&mut self) -> Access {
        let zones = zone_grants::read(&self.values, &mut self.problems);
        let allowed = |name: &str| Allowed {
            users: self.values.list(&format!("access.static.{name}.users")),
            groups: self.values.list(&format!("access.static.{name}.groups")),
        };
        Access {
            admin_resources: allowed("adminResources"),
            generate_dp_token: allowed("generateDpToken"),
            generate_user_token: allowed("generateUserToken"),
            generate_zone_token: allowed("generateZoneToken"),
            generate_cp_token: allowed("generateCpToken"),
            zones,
            view_config_dump: allowed("viewConfigDump"),
            view_stats: allowed("viewStats"),
            view_clusters: allowed("viewClusters"),
            control_plane_metadata: allowed("controlPlaneMetadata"),
            view_signing_keys: allowed("viewSigningKeys"),
        }
    }
}

/// Reads where a global control plane is; the error is what is allowed.
pub(super) fn address(text: &str) -> Result<GlobalAddress, &'static str> {
    let secure = match text.split_once("://") {
        Some(("grpcs", _)) => true,
        Some(("grpc", _)) => false,
        _ => return Err("it must begin with `grpcs://` (TLS) or `grpc://` (plain text)"),
    };
    let parsed = url::Url::parse(&text.replacen("grpc", "http", 1));
    let host = parsed.as_ref().ok().and_then(url::Url::host_str).map(|host| host.trim_matches(['[', ']']).to_owned());
    let host = host.filter(|host| !host.is_empty()).ok_or("it must be `grpcs://<host>:<port>`")?;
    // 5685 is the documented port; a real zone would dial 443 or 80 without one.
    let explicit = text.rsplit_once(':').and_then(|(_, port)| port.trim_end_matches('/').parse().ok());
    let port = parsed.ok().and_then(|url| url.port()).or(explicit).unwrap_or(5685);
    Ok(GlobalAddress { secure, host, port })
}
