//! A step as one batch: the record over the one that was read, and the key that it makes or deletes.

use jiff::Timestamp;
use model::{Key, Kind, Labels, Resource, secret};
use store::{Batch, Importance, Precondition, ResourceStore, StoreError, Write};
use thiserror::Error;
use tokens::{
    Algorithm, Family, Half, KeyName, KeyRing,
    rotation::{Action, Stage, State, Step},
};

use super::evidence::Seen;
use crate::{
    issuing::{KeyNotMade, new_key_of},
    records::{self, rotation::Rotations},
};

/// How long the name of a resource may be, in bytes.
const LONGEST_NAME: usize = 253;

/// Why nothing was written.
#[derive(Debug, Error)]
pub(super) enum NotWritten {
    /// Somebody else wrote the record or a key since they were read.
    #[error("somebody else wrote meanwhile")]
    Overtaken,
    /// The store could not.
    #[error(transparent)]
    Store(StoreError),
    /// There is no key to write.
    #[error(transparent)]
    Key(#[from] KeyNotMade),
    /// There is no record to write.
    #[error(transparent)]
    Record(#[from] serde_json::Error),
}

impl From<StoreError> for NotWritten {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Conflict { .. } | StoreError::AlreadyExists { .. } | StoreError::NotFound { .. } => {
                Self::Overtaken
            }
            StoreError::Unavailable { .. } | StoreError::Unknown { .. } | StoreError::Corrupt { .. } => {
                Self::Store(error)
            }
        }
    }
}

/// Writes a step over what was seen, all of it or nothing.
pub(super) async fn write(
    store: &dyn ResourceStore,
    family: &Family,
    seen: &Seen,
    step: &Step,
    now: Timestamp,
) -> Result<(), NotWritten> {
    let record = Rotations { family: family.clone(), state: step.state.clone() };
    let expect = seen.version.map_or(Precondition::Absent, Precondition::Version);
    let mut writes = vec![records::write(&record, expect, now)?];
    for action in &step.actions {
        match action {
            Action::CreateKey { serial, algorithm } => {
                writes.extend(create(family, *serial, *algorithm, now).await?);
            }
            Action::DeleteKey { serial } => writes.extend(delete(seen, *serial)),
        }
    }
    store.apply(Batch { writes, importance: Importance::Safety }).await?;
    Ok(())
}

/// Makes a key. No other spelling of its serial may be there, of neither half.
async fn create(family: &Family, serial: u64, algorithm: Algorithm, now: Timestamp) -> Result<Vec<Write>, KeyNotMade> {
    let made = new_key_of(algorithm).await?;
    let named = |name: String| match family.mesh() {
        Some(mesh) => Key::in_mesh(Kind::SECRET, mesh, name),
        None => Key::global(Kind::GLOBAL_SECRET, name),
    };
    let key = named(tokens::signing_key_name(family, serial));
    let halves = if *family == Family::Zone { &[Half::Private, Half::Public][..] } else { &[Half::Private][..] };
    let names = halves
        .iter()
        .flat_map(|half| KeyName { family: family.clone(), half: *half, serial: Some(serial) }.spellings(LONGEST_NAME));
    let others = names.filter(|name| *name != key.name);
    let mut writes: Vec<Write> = others.map(|name| Write::absence_of(named(name))).collect();
    let resource = Resource {
        key,
        labels: Labels::new(),
        spec: secret::encode(made.reveal()),
        status: None,
        owner: family.mesh().map(|mesh| Key::global(Kind::MESH, mesh)),
        created: now,
        modified: now,
    };
    writes.push(Write::Put { resource, expect: Precondition::Absent });
    Ok(writes)
}

/// Deletes all secrets of a key, as they were seen.
fn delete(seen: &Seen, serial: u64) -> impl Iterator<Item = Write> {
    let of_key = seen.secrets.iter().filter(move |secret| secret.serial == serial);
    of_key.map(|secret| Write::Delete { key: secret.key.clone(), expect: Precondition::Version(secret.version) })
}

/// Whether a ring is one of after a step.
pub(super) fn is_in_force(state: &State, family: &Family, ring: &KeyRing) -> bool {
    match &state.rotation {
        Some(rotation) if rotation.stage == Stage::Staged => ring.serials(family).contains(&rotation.to),
        Some(rotation) => ring.signs(family) == Some(rotation.to),
        None => state.history.last().is_none_or(|finished| !ring.serials(family).contains(&finished.from)),
    }
}
