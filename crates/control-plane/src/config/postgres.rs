//! Where the database of the store is, from the settings `store.postgres` (contract: rest-and-cli, appendix A).

use std::{path::PathBuf, time::Duration};

use store::postgres::{Pool, Tls, TlsMode};
use zeroize::Zeroizing;

use super::{SecretText, values::Values};

/// Where the database of the store is, and how connections to it are kept.
#[derive(Clone, Debug)]
pub struct Postgres {
    /// A name, an address, or the folder of a socket.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The role.
    pub user: String,
    /// Its password.
    pub password: SecretText,
    /// The database.
    pub database: String,
    /// How the way there is protected.
    pub tls: Tls,
    /// How long making a connection may take.
    pub connect_timeout: Duration,
    /// The connections that are kept.
    pub pool: Pool,
    /// Whether a database of a newer program is used.
    pub tolerate_newer: bool,
}

/// One is needed for what is written, one for keeping house.
const FEWEST_CONNECTIONS: u32 = 2;

const TLS_MODES: [(&str, TlsMode); 4] = [
    ("disable", TlsMode::Disable),
    ("verifyNone", TlsMode::VerifyNone),
    ("verifyCa", TlsMode::VerifyCa),
    ("verifyFull", TlsMode::VerifyFull),
];

/// Reads the settings, and says of each that is wrong where it comes from and what is allowed.
pub(super) fn read(values: &Values) -> (Postgres, Vec<String>) {
    let mut reading = Reading { values, problems: Vec::new() };
    let postgres = reading.read();
    (postgres, reading.problems)
}

struct Reading<'a> {
    values: &'a Values,
    problems: Vec<String>,
}

impl Reading<'_> {
    fn read(&mut self) -> Postgres {
        if self.values.text("store.postgres.driverName") != "pgx" {
            self.bad("driverName", "allowed is `pgx`; it means nothing here, and the driver is this program's own");
        }
        if !self.values.text("store.postgres.readReplica.host").is_empty() {
            self.bad(
                "readReplica.host",
                "reads come from memory here and never reach the database, so a replica has nothing to do: remove it",
            );
        }
        let timeout = self.number("connectionTimeout");
        if timeout == 0 {
            self.bad("connectionTimeout", "it must be at least 1 (second)");
        }
        Postgres {
            host: self.needed("host"),
            port: self.port(),
            user: self.needed("user"),
            password: SecretText(Zeroizing::new(self.needed("password"))),
            database: self.needed("dbName"),
            tls: self.tls(),
            connect_timeout: Duration::from_secs(u64::from(timeout.max(1))),
            pool: self.pool(),
            tolerate_newer: self.values.flag("store.postgres.tolerateNewerDBVersions"),
        }
    }

    fn tls(&mut self) -> Tls {
        let mode = self.text("tls.mode");
        let found = TLS_MODES.iter().find(|(name, _)| *name == mode).map(|(_, mode)| *mode);
        if found.is_none() {
            self.bad("tls.mode", "allowed are `disable`, `verifyNone`, `verifyCa` and `verifyFull`");
        }
        let mode = found.unwrap_or_default();
        let ca_file = self.file("tls.caPath");
        if matches!(mode, TlsMode::VerifyCa | TlsMode::VerifyFull) && ca_file.is_none() {
            self.bad("tls.caPath", "this TLS mode needs a file with the authorities of the server's certificate");
        }
        let (certificate, key) = (self.file("tls.certPath"), self.file("tls.keyPath"));
        if certificate.is_some() != key.is_some() {
            self.bad("tls.certPath", "a certificate and its key (tls.keyPath) must be set together");
        }
        let without_server_name = self.values.flag("store.postgres.tls.disableSSLSNI");
        Tls { mode, ca_file, certificate: certificate.zip(key), without_server_name }
    }

    fn pool(&mut self) -> Pool {
        let (least, most) = (self.number("minOpenConnections"), self.number("maxOpenConnections"));
        if most < FEWEST_CONNECTIONS {
            self.bad("maxOpenConnections", "at least 2 are needed");
        }
        if least > most {
            self.bad("minOpenConnections", "it must not be more than maxOpenConnections");
        }
        let (life, jitter) = (self.duration("maxConnectionLifetime"), self.duration("maxConnectionLifetimeJitter"));
        if jitter > life {
            self.bad("maxConnectionLifetimeJitter", "it must not be longer than maxConnectionLifetime");
        }
        let count = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
        Pool {
            max_open: count(most.max(FEWEST_CONNECTIONS)),
            max_idle: count(self.number("maxIdleConnections")),
            min_open: count(least),
            max_idle_time: self.duration("maxConnectionIdleTime"),
            max_lifetime: life,
            lifetime_jitter: jitter,
            check_interval: self.duration("healthCheckInterval"),
        }
    }

    fn port(&mut self) -> u16 {
        match u16::try_from(self.number("port")) {
            Ok(port) if port > 0 => port,
            _ => {
                self.bad("port", "a port is a number from 1 to 65535");
                0
            }
        }
    }

    fn needed(&mut self, name: &str) -> String {
        let text = self.text(name);
        if text.is_empty() {
            self.bad(name, "it must not be empty");
        }
        text
    }

    fn bad(&mut self, name: &str, allowed: &str) {
        let path = path(name);
        // A password is in no error, whatever is wrong with it.
        let shown = if name == "password" { "*****" } else { self.values.text(&path) };
        self.problems.push(format!("{}: {path} is `{shown}`: {allowed}", self.values.source(&path)));
    }

    fn text(&self, name: &str) -> String {
        self.values.text(&path(name)).to_owned()
    }

    fn file(&self, name: &str) -> Option<PathBuf> {
        Some(self.text(name)).filter(|text| !text.is_empty()).map(PathBuf::from)
    }

    fn number(&self, name: &str) -> u32 {
        self.values.number(&path(name))
    }

    fn duration(&self, name: &str) -> Duration {
        self.values.duration(&path(name))
    }
}

fn path(name: &str) -> String {
    format!("store.postgres.{name}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{
        StoreType,
        tests::{bad, good},
    };

    const POSTGRES: (&str, &str) = ("KUMA_STORE_TYPE", "postgres");
    const KEY: (&str, &str) = ("KUMA_STORE_SEALING_KEY_FILE", "/keys/store");

    #[test]
    fn the_settings_of_a_real_control_plane_work_as_they_are() {
        let file = "mode: global\nstore:\n  type: postgres\n  postgres: { host: db, port: 5432, user: u, password: p-4711, dbName: d, \
                    maxOpenConnections: 7, tls: { mode: verifyNone } }\n";
        let (config, remarks) = good(file, &[("KUMA_STORE_POSTGRES_MAX_CONNECTION_LIFETIME", "5m"), KEY]);
        assert_eq!(remarks, []);
        assert_eq!(config.store, StoreType::Postgres);
        let postgres = &config.postgres;
        assert_eq!((postgres.host.as_str(), postgres.port, postgres.database.as_str()), ("db", 5432, "d"));
        assert_eq!((postgres.pool.max_open, postgres.pool.max_lifetime), (7, Duration::from_secs(300)));
        assert_eq!((postgres.password.reveal(), postgres.tls.mode), ("p-4711", TlsMode::VerifyNone));
        assert!(!config.display_json().contains("p-4711") && !format!("{config:?}").contains("p-4711"));
    }

    #[test]
    fn secrets_in_a_database_need_a_key_that_is_named() {
        bad("mode: global\n", &[POSTGRES], &["store.sealing.keyFile", "generate-key", "store.sealing.enabled"]);
        good("mode: global\n", &[POSTGRES, KEY]);
        good("mode: global\n", &[POSTGRES, ("KUMA_STORE_SEALING_ENABLED", "false")]);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_source() {
        for (variable, value, words) in [
            ("HOST", "", "store.postgres.host is ``: it must not be empty"),
            ("PASSWORD", "", "store.postgres.password is `*****`: it must not be empty"),
            ("PORT", "70000", "a port is a number"),
            ("TLS_MODE", "maybe", "`verifyFull`"),
            ("TLS_MODE", "verifyCa", "store.postgres.tls.caPath is ``"),
            ("TLS_CERT_PATH", "/c.pem", "must be set together"),
            ("MAX_OPEN_CONNECTIONS", "1", "at least 2"),
            ("MIN_OPEN_CONNECTIONS", "51", "not be more than maxOpenConnections"),
            ("MAX_CONNECTION_LIFETIME_JITTER", "2h", "not be longer than maxConnectionLifetime"),
            ("CONNECTION_TIMEOUT", "0", "at least 1"),
            ("DRIVER_NAME", "postgres", "allowed is `pgx`"),
            ("READ_REPLICA_HOST", "replica", "reads come from memory here"),
        ] {
            let variable = format!("KUMA_STORE_POSTGRES_{variable}");
            bad("mode: global\n", &[POSTGRES, KEY, (&variable, value)], &[words, "store.postgres"]);
            if !value.is_empty() {
                // Of a store that is not used nothing is asked.
                good("mode: global\n", &[(&variable, value)]);
            }
        }
    }
}
