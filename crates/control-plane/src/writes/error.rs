//! Why something was not written.

use model::{
    Key,
    document::{DocumentError, Violation},
};
use store::StoreError;
use thiserror::Error;

use crate::{access::Denied, observe::shown};

/// The most that a reason takes in a log line, in bytes.
const LONGEST_REASON: usize = 1024;

/// What was being done when a rule or the store said no.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Looking for the mesh.
    FindMesh,
    /// Looking for the resource.
    Find,
    /// Checking the document, before it is known whether it is new.
    Check,
    /// Creating.
    Create,
    /// Changing.
    Update,
    /// Deleting.
    Delete,
}

/// Why a kind cannot be written here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ReadOnly {
    /// The kind is not made on a global control plane.
    #[error(
        "On global control plane you can not modify dataplane resources with 'kumactl apply' or via the HTTP API. \
         You can still use 'kumactl' or the HTTP API to modify them on the zone control plane.\n"
    )]
    OnGlobal,
    /// The kind is not made on a zone.
    #[error(
        "On zone control plane you can only modify zone resources with 'kumactl apply' or via the HTTP API. You can \
         still use 'kumactl' or the HTTP API to modify the rest of the resource on the global control plane.\n"
    )]
    OnZone,
    /// The API takes no writes at all.
    #[error("the API server of this control plane is read-only (apiServer.readOnly)")]
    Setting,
}

/// Why a resource was not written. Nothing was.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum WriteError {
    /// The kind cannot be written here.
    #[error(transparent)]
    ReadOnly(#[from] ReadOnly),
    /// The caller may not.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The mesh is not there.
    #[error("the mesh is not found")]
    NoMesh,
    /// There is nothing to delete.
    #[error("the resource is not found")]
    NotFound,
    /// The body is no document of the kind.
    #[error("the document is not valid: {0}")]
    Document(#[from] DocumentError),
    /// The document breaks rules.
    #[error("the resource is not valid: {}", texts(.violations))]
    Invalid {
        /// When that was found.
        operation: Operation,
        /// The rules.
        violations: Vec<Violation>,
    },
    /// `kuma.io/workload` is not what it must be.
    #[error("bad request: labels[\"kuma.io/workload\"]: {reason}")]
    Workload {
        /// What is wrong with it.
        reason: String,
    },
    /// A signing key could not be made.
    #[error("the signing key of the mesh could not be made")]
    NoKey,
    /// The store could not.
    #[error("the store did not do it")]
    Store {
        /// What was asked.
        operation: Operation,
        /// What the store said.
        source: StoreError,
    },
}

impl WriteError {
    /// What the log says of it.
    pub(super) fn said(&self) -> String {
        format!("refused: {}", shown::escaped(&self.to_string(), LONGEST_REASON))
    }

    /// Whether somebody else wrote the resource between the look and the write.
    pub(super) fn is_overtaken(&self, key: &Key) -> bool {
        use StoreError::{AlreadyExists, Conflict, NotFound};
        let Self::Store { source: AlreadyExists { key: of } | Conflict { key: of } | NotFound { key: of }, .. } = self
        else {
            return false;
        };
        of == key
    }

    pub(super) fn one(operation: Operation, field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Invalid { operation, violations: vec![Violation::new(field, reason)] }
    }
}

fn texts(violations: &[Violation]) -> String {
    let texts: Vec<String> = violations.iter().map(|found| format!("{}: {}", found.field, found.reason)).collect();
    texts.join("; ")
}
