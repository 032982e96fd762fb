//! The write path: every rule a resource passes before it is stored, without HTTP.
//!
//! ```text
//! read-only kinds ─► access ─► mesh exists ─► document ─► meta and labels ─► labels computed ─► keys ─► store
//! ```
//!
//! Access is a permit that the caller got before the body was read; it is asked again here for the kind, and for the
//! kinds of all that goes with a resource. It comes before anything that tells what is stored: who may not know is not
//! told (the peer looks up first).
//! One call is one batch: a mesh comes with its policies, its signing key and its authorities, or not at all.

mod authority;
pub(crate) mod delete;
mod error;
mod keys;
mod labels;
mod mesh;
mod put;

use std::sync::Arc;

use model::{Key, Kind, Scope, Writable};
use store::ResourceStore;

use crate::{
    access::Permit,
    clock::Clock,
    observe::line_budget::{Line, LineBudgets},
};

pub(crate) use authority::authority_certificate;
pub use authority::missing_authorities;
pub use error::{Operation, ReadOnly, WriteError};
pub use mesh::mesh_batch;
pub use put::{Put, Written};

/// How often a write that has no condition looks again because somebody else was quicker. Of those that write one name at
/// once one is done each time.
const ATTEMPTS: usize = 64;

/// Does a write to this resource that has no condition: whatever somebody else did to it between the look and the write is
/// written over.
async fn retry_on_conflict<T, F>(key: &Key, attempt: impl Fn() -> F) -> Result<T, WriteError>
where
    F: Future<Output = Result<T, WriteError>>,
{
    let mut result = attempt().await;
    for _again in 1..ATTEMPTS {
        match &result {
            Err(error) if error.is_overtaken(key) => result = attempt().await,
            _ => break,
        }
    }
    result
}

/// Which control plane this is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Side {
    /// The global one.
    Global,
    /// A zone that belongs to a global one.
    FederatedZone(String),
    /// A zone on its own.
    LoneZone(String),
}

impl Side {
    /// The name of the zone, on a zone.
    pub fn zone(&self) -> Option<&str> {
        match self {
            Self::Global => None,
            Self::FederatedZone(zone) | Self::LoneZone(zone) => Some(zone),
        }
    }
}

/// The settings that change what may be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Which control plane this is.
    pub side: Side,
    /// Whether zones get its keys.
    pub sends_keys: bool,
    /// `apiServer.readOnly`.
    pub read_only: bool,
    /// `multizone.zone.disableOriginLabelValidation`.
    pub origin_label_is_free: bool,
    /// `store.unsafeDelete`.
    pub unsafe_delete: bool,
    /// What a new mesh gets.
    pub mesh_defaults: MeshDefaults,
}

/// Whether a new mesh gets its policies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MeshDefaults {
    /// As its `skipCreatingInitialPolicies` says.
    AsTheMeshSays,
    /// None.
    Never,
}

/// Writes resources for callers. Cheap to clone.
#[derive(Clone)]
pub struct Writes {
    store: Arc<dyn ResourceStore>,
    clock: Clock,
    rules: Arc<Rules>,
    /// For the log lines of what was not written, by caller.
    refusals: Arc<LineBudgets>,
}

impl Writes {
    /// Returns the write path to a store.
    pub fn new(store: Arc<dyn ResourceStore>, clock: Clock, rules: Rules) -> Self {
        Self { store, clock, rules: Arc::new(rules), refusals: Arc::new(LineBudgets::new()) }
    }

    /// Returns why nobody may write resources of a kind here, if so (contract: rest 1.8).
    pub fn read_only(&self, kind: Kind) -> Option<ReadOnly> {
        if self.rules.read_only {
            return Some(ReadOnly::Setting);
        }
        let (wrong_side, text) = match &self.rules.side {
            Side::Global => (!kind.flow.provided_by_global(), ReadOnly::OnGlobal),
            Side::FederatedZone(_) => (!kind.flow.provided_by_zone(), ReadOnly::OnZone),
            Side::LoneZone(_) => (false, ReadOnly::OnZone),
        };
        (wrong_side || kind.writable == Writable::Never).then_some(text)
    }

    /// Refuses kinds that nobody may write here.
    pub fn writable(&self, kind: Kind) -> Result<(), WriteError> {
        self.read_only(kind).map_or(Ok(()), |why| Err(why.into()))
    }

    /// The settings in force.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Leave to log a write: always for one that was done, within the caller's budget for one that was not.
    fn line<T, E>(&self, permit: &Permit, result: &Result<T, E>) -> Option<Line> {
        match result {
            Ok(_) => Some(Line { left_out: 0 }),
            Err(_) => self.refusals.take(permit.caller().name()),
        }
    }

    async fn mesh_exists(&self, kind: Kind, mesh: &str) -> Result<(), WriteError> {
        if kind.scope == Scope::Global { Ok(()) } else { mesh_exists(&*self.store, mesh).await }
    }
}

/// Checks that a mesh is there, for who reads and who writes what is in it.
pub(crate) async fn mesh_exists(store: &dyn ResourceStore, mesh: &str) -> Result<(), WriteError> {
    match store.get(&Key::global(Kind::MESH, mesh)).await {
        Ok(Some(_)) => Ok(()),
        Ok(None) => Err(WriteError::NoMesh),
        Err(source) => Err(WriteError::Store { operation: Operation::FindMesh, source }),
    }
}
