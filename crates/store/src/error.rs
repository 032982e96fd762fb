//! What can go wrong, as facts.

use model::Key;
use thiserror::Error;

use crate::Epoch;

/// Why the store did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum StoreError {
    /// A delete or a conditional write named a resource that is not there.
    #[error("resource not found: {key}")]
    NotFound {
        /// The resource.
        key: Key,
    },
    /// A create named a resource that is there.
    #[error("resource already exists: {key}")]
    AlreadyExists {
        /// The resource.
        key: Key,
    },
    /// The resource changed since the version the caller knows.
    #[error("resource conflict: {key}")]
    Conflict {
        /// The resource.
        key: Key,
    },
    /// Whoever wrote led in an epoch that is over. Nothing was written.
    #[error("another instance leads since this one did, in epoch {}", .epoch.0)]
    Deposed {
        /// The epoch in which it led.
        epoch: Epoch,
    },
    /// What is stored cannot be read.
    #[error("the store is corrupt: {detail}")]
    Corrupt {
        /// What was found, where.
        detail: String,
    },
    /// The store cannot answer now: disk full, connection lost. Nothing was written.
    #[error("the store is unavailable: {detail}")]
    Unavailable {
        /// What the backend said.
        detail: String,
    },
    /// The answer of the database got lost, and nobody could find out in time whether the write is there.
    #[error("whether it was written is not known: {detail}")]
    Unknown {
        /// What the backend said.
        detail: String,
    },
}

impl StoreError {
    /// Returns whether the same call may succeed later without a change by the caller. One that may have been done already
    /// is refused then if it has a condition.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Unavailable { .. } | Self::Unknown { .. } => true,
            Self::NotFound { .. }
            | Self::AlreadyExists { .. }
            | Self::Conflict { .. }
            | Self::Deposed { .. }
            | Self::Corrupt { .. } => false,
        }
    }
}
