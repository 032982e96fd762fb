//! A step as one batch: the record over the one that was read, and the key that it makes or deletes.

use jiff::Timestamp;
use model::{Key, Kind, Labels, Resource, secret};
use store::{Batch, Precondition, ResourceStore, StoreError, Write};
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
            StoreError::Conflict { .. }
            | StoreError::AlreadyExists { .. }
            | StoreError::NotFound { .. }
            | StoreError::Deposed { .. } => Self::Overtaken,
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
    store.apply(Batch::for_safety(writes)).await?;
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

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use store::memory::MemoryStore;
    use tokens::rotation::{Command, Evidence, Order, Times, step};

    use super::*;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    /// What is seen of a control plane with one key, and no record.
    fn seen() -> Seen {
        let hour = SignedDuration::from_hours(1);
        let evidence = Evidence {
            family: Family::ControlPlane,
            now: NOW,
            times: Times { recent_zones: hour, patience: hour, leeway: hour },
            keys: [(1, NOW)].into(),
            taken: [1].into(),
            instances: Vec::new(),
            zones: Vec::new(),
            tokens: Vec::new(),
            unreadable: Vec::new(),
        };
        Seen { state: State::default(), version: None, secrets: Vec::new(), evidence }
    }

    fn ordered(seen: &Seen, command: Command) -> Step {
        let order = Order { command, by: "ada".to_owned(), id: None, expect: None, force: false };
        step(&seen.state, &seen.evidence, &order).unwrap()
    }

    async fn written(store: &MemoryStore, seen: &Seen, step: &Step) -> Result<(), NotWritten> {
        write(store, &Family::ControlPlane, seen, step, NOW).await
    }

    #[tokio::test]
    async fn of_two_who_saw_the_same_one_writes_and_the_other_leaves_nothing_behind() {
        let store = MemoryStore::new();
        let seen = seen();
        let start = ordered(&seen, Command::Start { automatic: false, algorithm: None });
        written(&store, &seen, &start).await.unwrap();
        assert!(matches!(written(&store, &seen, &start).await, Err(NotWritten::Overtaken)));
        // The same when there is a record.
        let key = records::rotation::rest(&Family::ControlPlane);
        let kept = records::get::<Rotations>(&store, &key).await.unwrap().unwrap();
        let mut later = Seen { state: kept.record.state, version: Some(kept.version), ..seen };
        later.evidence.keys.insert(2, NOW);
        let signing = ordered(&later, Command::Advance);
        written(&store, &later, &signing).await.unwrap();
        let back = ordered(&later, Command::Rollback);
        assert!(matches!(written(&store, &later, &back).await, Err(NotWritten::Overtaken)));
        let kept = records::get::<Rotations>(&store, &key).await.unwrap().unwrap();
        assert_eq!(kept.record.state, signing.state);
    }

    #[tokio::test]
    async fn a_key_is_not_made_beside_one_of_its_serial() {
        let store = MemoryStore::new();
        let other = Resource {
            key: Key::global(Kind::GLOBAL_SECRET, "control-plane-signing-key-2"),
            labels: Labels::new(),
            spec: secret::encode(b"by hand"),
            status: None,
            owner: None,
            created: NOW,
            modified: NOW,
        };
        let by_hand = Batch::of(vec![Write::Put { resource: other, expect: Precondition::Absent }]);
        store.apply(by_hand).await.unwrap();
        let seen = seen();
        let start = ordered(&seen, Command::Start { automatic: false, algorithm: None });
        assert!(matches!(written(&store, &seen, &start).await, Err(NotWritten::Overtaken)));
        let record = records::get::<Rotations>(&store, &records::rotation::rest(&Family::ControlPlane)).await;
        assert!(record.unwrap().is_none(), "neither the key nor the record");
    }
}
