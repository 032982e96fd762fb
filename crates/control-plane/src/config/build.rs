//! From the merged values to a [`Config`]: reads each one as what it is, and collects every problem before it gives up.
//! A section that needs more than a line has a file of its own below.

mod api_server;
mod global_kds;
mod zone_kds;

use std::{path::PathBuf, sync::Arc};

use jiff::Timestamp;
use serde_json::Value;

pub(super) use self::zone_kds::address;
use super::{
    Config, ConfigError, Mode, Remark, StoreType, Tls, postgres, sealing, signers, validators, values::Values,
};

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
}
