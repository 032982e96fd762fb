//! Why a database is not used, and what its errors mean for a caller.

use std::{io, path::PathBuf};

use model::causes;
use thiserror::Error;
use tokio_postgres::error::SqlState;

use super::identity::Found;
use crate::{StoreError, sealing::SealerError};

/// Why a database is not used. It is as it was.
#[derive(Debug, Error)]
pub enum OpenError {
    /// Nobody answers, or not in time, or there is no such user or database.
    #[error("cannot use {place}: {detail}")]
    Away {
        /// The database.
        place: String,
        /// What was said.
        detail: String,
        /// Whether somebody has to change something: waiting does not help.
        is_refusal: bool,
    },
    /// The database holds what a Kuma stored.
    #[error(
        "{place} holds the tables of a Kuma control plane, which this program neither reads nor changes: name an empty database (store.postgres.dbName)"
    )]
    OfKuma {
        /// The database.
        place: String,
    },
    /// The database holds something else.
    #[error("{place} holds tables of something else ({tables}): name an empty database (store.postgres.dbName)")]
    Foreign {
        /// The database.
        place: String,
        /// The first of them.
        tables: String,
    },
    /// The database is that of another control plane.
    #[error("{place} is that of {found}, and this is {ours}: name the right database (store.postgres.dbName)")]
    OfAnother {
        /// The database.
        place: String,
        /// Whose it is.
        found: Box<Found>,
        /// Who we are.
        ours: Box<Found>,
    },
    /// The database lacks steps.
    #[error(
        "{place} has schema version {found}, and this program writes version {known}: stop all control planes of older versions, take a backup, and run `kuma-cp migrate up` with the same configuration"
    )]
    OlderSchema {
        /// The database.
        place: String,
        /// Its version.
        found: i32,
        /// The version of this program.
        known: i32,
    },
    /// A newer program made steps that are not known here.
    #[error(
        "{place} has schema version {found}, this program knows up to {known}: use a newer program; one that is known to get along with the newer schema may be let in with store.postgres.tolerateNewerDBVersions"
    )]
    NewerSchema {
        /// The database.
        place: String,
        /// Its version.
        found: i32,
        /// The last version known here.
        known: i32,
    },
    /// There is nothing in the database, and an empty store is not wanted.
    #[error("{place} is empty")]
    Empty {
        /// The database.
        place: String,
    },
    /// What is in the database cannot be read.
    #[error("{place} is corrupt: {detail}")]
    Corrupt {
        /// The database.
        place: String,
        /// What was found, where.
        detail: String,
    },
    /// The secrets in the database are sealed, and what opens them is not there.
    #[error("{place} is not opened")]
    Sealed {
        /// The database.
        place: String,
        /// What is missing.
        #[source]
        cause: SealerError,
    },
    /// Somebody else seals the database anew.
    #[error("another `kuma-cp store reseal` works with {place}: wait for it")]
    BeingResealed {
        /// The database.
        place: String,
    },
    /// The data keys are sealed with the new key, and the rows are not sealed anew: not every store could open them.
    #[error(
        "the data keys of {place} are sealed with the key `{key}` now, and {others} control planes that work with it have another one: give them the new one (store.sealing.keyFile), start them anew one after the other, and run this again"
    )]
    KeyNotEverywhere {
        /// The database.
        place: String,
        /// The name of the new key.
        key: String,
        /// How many do not have it.
        others: i64,
    },
    /// A file of the TLS settings cannot be used.
    #[error("cannot use `{}` for TLS with the database: {detail}", .path.display())]
    TlsFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// The settings make no TLS.
    #[error("TLS with the database: {detail}")]
    Tls {
        /// What is wrong.
        detail: String,
    },
    /// The store's thread cannot be started.
    #[error("cannot start what works with the database")]
    Thread(#[source] io::Error),
}

impl OpenError {
    /// Whether the same settings may do later.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Away { is_refusal: false, .. })
    }
}

/// What went wrong between us and the database.
#[derive(Debug, Error)]
pub(super) enum Trouble {
    /// There is no connection, or there is none any more.
    #[error("{0}")]
    Way(String),
    /// The database did not answer in time.
    #[error("the database did not answer within {0:?}")]
    Silent(std::time::Duration),
    /// The database said no.
    #[error("{text}")]
    Refused {
        /// Its code.
        code: SqlState,
        /// What it said. Never what was sent: that may be a secret.
        text: String,
    },
    /// The database is not the one that was opened.
    #[error("the database is that of {found} now, and was that of {ours}")]
    OfAnother {
        /// Whose it is.
        found: String,
        /// Whose it was.
        ours: Found,
    },
    /// A data key that another one made cannot be opened.
    #[error("{0}: start this control plane anew with the right key (store.sealing)")]
    Sealed(SealerError),
    /// What is stored cannot be read.
    #[error("{0}")]
    Corrupt(String),
}

impl From<tokio_postgres::Error> for Trouble {
    fn from(cause: tokio_postgres::Error) -> Self {
        match cause.as_db_error() {
            // The database ends a connection with an error of its own.
            Some(said) if ends_the_connection(said.code()) => Self::Way(said.message().to_owned()),
            // Not the details: they may quote the row.
            Some(said) => Self::Refused { code: said.code().clone(), text: said.message().to_owned() },
            None => Self::Way(causes::on_one_line(&cause)),
        }
    }
}

impl Trouble {
    /// Whether the database could not be asked at all, or ended what was asked.
    pub(super) fn is_of_the_way(&self) -> bool {
        matches!(self, Self::Way(_) | Self::Silent(_))
    }

    /// What a caller of an open store hears.
    pub(super) fn while_running(&self) -> StoreError {
        let detail = self.to_string();
        match self {
            Self::Corrupt(_) => StoreError::Corrupt { detail },
            Self::Way(_) | Self::Silent(_) | Self::Refused { .. } | Self::OfAnother { .. } | Self::Sealed(_) => {
                StoreError::Unavailable { detail }
            }
        }
    }

    /// What somebody hears who starts the program.
    pub(super) fn while_opening(self, place: String) -> OpenError {
        match self {
            Self::Corrupt(detail) => OpenError::Corrupt { place, detail },
            Self::Sealed(cause) => OpenError::Sealed { place, cause },
            trouble => {
                let is_refusal = matches!(&trouble, Self::Refused { code, .. } if !passes(code));
                OpenError::Away { place, detail: trouble.to_string(), is_refusal }
            }
        }
    }
}

/// A database that stops or starts, an idle transaction that was ended, an administrator who ends connections.
fn ends_the_connection(code: &SqlState) -> bool {
    [
        SqlState::ADMIN_SHUTDOWN,
        SqlState::CRASH_SHUTDOWN,
        SqlState::CANNOT_CONNECT_NOW,
        SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
        SqlState::READ_ONLY_SQL_TRANSACTION,
    ]
    .contains(code)
        || code.code().starts_with("08")
}

/// Whether waiting may help: too many connections, a disk that is full, a lock.
fn passes(code: &SqlState) -> bool {
    ["53", "55", "57", "40", "58"].iter().any(|class| code.code().starts_with(class))
}
