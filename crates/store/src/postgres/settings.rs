//! Where the database is and how it is used: what an operator sets.

use std::{fmt, path::PathBuf, time::Duration};

use zeroize::Zeroizing;

use super::identity::Identity;
use crate::Options;

/// Where the database is, who we are there, and how connections are kept.
#[derive(Clone, Debug)]
pub struct Settings {
    /// A name, an address, or the folder of a socket.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The role.
    pub user: String,
    /// Its password.
    pub password: Password,
    /// The database. Only control planes of one cluster, and of one zone, share one.
    pub database: String,
    /// How the way there is protected.
    pub tls: Tls,
    /// How long making a connection may take.
    pub connect_timeout: Duration,
    /// The connections that are kept.
    pub pool: Pool,
    /// Whose resources these are.
    pub identity: Identity,
    /// Whether a database is used that has steps which are not known here.
    pub tolerate_newer: bool,
    /// How long things may take.
    pub times: Times,
    /// What every store has.
    pub options: Options,
}

impl Settings {
    /// The database in words, for logs and errors.
    pub(super) fn place(&self) -> String {
        format!("database `{}` at `{}:{}`", self.database, self.host, self.port)
    }
}

/// A password that is never shown.
#[derive(Clone)]
pub struct Password(Zeroizing<String>);

impl Password {
    /// Takes over a password.
    pub fn new(password: String) -> Self {
        Self(Zeroizing::new(password))
    }

    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("*****")
    }
}

/// What is checked of the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsMode {
    /// There is no TLS.
    #[default]
    Disable,
    /// TLS with whoever answers.
    VerifyNone,
    /// Its certificate is signed by an authority of the file, for whatever name.
    VerifyCa,
    /// And it is one for the host of the settings.
    VerifyFull,
}

/// TLS on the way to the database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// What is checked of the server.
    pub mode: TlsMode,
    /// The authorities.
    pub ca_file: Option<PathBuf>,
    /// Our certificate, with its key.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// Do not say which host is meant.
    pub without_server_name: bool,
}

/// The connections that are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool {
    /// How many there are at most.
    pub max_open: usize,
    /// How many may be there without being used.
    pub max_idle: usize,
    /// So many are kept, however long they are not used.
    pub min_open: usize,
    /// One that was not used for so long is closed.
    pub max_idle_time: Duration,
    /// One that is so old is closed,
    pub max_lifetime: Duration,
    /// and up to so much later, so that not all are closed together.
    pub lifetime_jitter: Duration,
    /// How often is looked.
    pub check_interval: Duration,
}

impl Default for Pool {
    fn default() -> Self {
        Self {
            max_open: 50,
            max_idle: 50,
            min_open: 0,
            max_idle_time: Duration::from_secs(30 * 60),
            max_lifetime: Duration::from_secs(60 * 60),
            lifetime_jitter: Duration::from_secs(60),
            check_interval: Duration::from_secs(30),
        }
    }
}

/// How long things may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// A write is answered within this time, also if the database is silent.
    pub answer: Duration,
    /// How often the database is asked for what nobody told.
    pub heartbeat: Duration,
    /// The store is behind when it has not heard the database for so long.
    pub behind_after: Duration,
    /// How long changes are kept for stores that missed them. Who is further behind reads everything.
    pub keep_changes: Duration,
}

/// Bytes a second on the slowest way to a database that is expected to do. A usual write takes no longer for it; what a
/// zone reports at once may be some hundred megabytes.
const SLOWEST_LINE: f64 = 4.0 * 1024.0 * 1024.0;

impl Times {
    /// How long a batch may wait for its turn.
    pub(super) fn patience(self) -> Duration {
        self.answer * 3 / 10
    }

    /// How long a transaction may take.
    pub(super) fn transaction(self) -> Duration {
        self.answer * 4 / 10
    }

    /// How long finding out about a lost answer may take. Together they leave a little for everything else.
    pub(super) fn finding_out(self) -> Duration {
        self.answer * 2 / 10
    }

    /// How long a transaction may wait for those of others.
    pub(super) fn lock(self) -> Duration {
        self.answer * 3 / 10
    }

    /// How long a transaction may do nothing: an instance that is stopped in the middle of one lets go of the others.
    pub(super) fn idle_in_transaction(self) -> Duration {
        self.answer * 2 / 10
    }

    /// How much longer it may take to send so much.
    pub(super) fn sending(self, bytes: usize) -> Duration {
        Duration::from_secs(1).mul_f64(bytes as f64 / SLOWEST_LINE)
    }
}

impl Default for Times {
    fn default() -> Self {
        Self {
            answer: Duration::from_secs(5),
            heartbeat: Duration::from_secs(1),
            behind_after: Duration::from_secs(5),
            keep_changes: Duration::from_secs(10 * 60),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_write_waits_for_fits_into_the_time_for_its_answer() {
        let times = Times::default();
        assert!(times.patience() + times.transaction() + times.finding_out() < times.answer);
        assert!(times.idle_in_transaction() < times.lock(), "others go on before they give up");
        assert!(times.lock() < times.transaction(), "and hear what they waited for");
        assert!(
            times.sending(10_000) < Duration::from_millis(10) && times.sending(256 << 20) > Duration::from_secs(60)
        );
    }

    #[test]
    fn a_password_is_not_shown() {
        let shown = format!("{:?}", Password::new("hunter2".to_owned()));
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
