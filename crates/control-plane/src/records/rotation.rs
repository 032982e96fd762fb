//! The record of the rotations of one family, and what all of them say of the phases of keys.

use std::collections::{BTreeMap, BTreeSet};

use model::{Key, Kind};
use serde::{Deserialize, Serialize};
use store::Picture;
use tokens::{
    Family, Half, KeyId, KeyName, NoFamily, Phase, Phases,
    rotation::{Outcome, Stage, State},
};
use tracing::error;

use super::Record;

/// The record of one family.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub(crate) struct Rotations {
    /// Whose keys these are.
    pub(crate) family: Family,
    /// What is kept of them.
    pub(crate) state: State,
}

impl Record for Rotations {
    const FRONT: &'static str = "rotation";

    fn rest(&self) -> String {
        rest(&self.family)
    }

    /// With a mesh go its keys, and what was kept of them: one that is made again under the name is another mesh, whose serials
    /// begin anew. No token of the one before is good there, because its keys are others.
    fn owner(&self) -> Option<Key> {
        self.family.mesh().map(|mesh| Key::global(Kind::MESH, mesh))
    }
}

/// The rest of the name of the record of a family.
pub(crate) fn rest(family: &Family) -> String {
    match family.mesh() {
        Some(mesh) => format!("{}.{mesh}", family.key_word()),
        None => family.key_word().to_owned(),
    }
}

/// The highest serial that a record names that cannot be read as a whole, if it can be made out.
pub(crate) fn highest_of_damaged(spec: &[u8]) -> Option<u64> {
    serde_json::from_slice::<serde_json::Value>(spec).ok()?.get("highest")?.as_u64()
}

#[derive(Clone, Serialize, Deserialize)]
struct Written {
    family: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mesh: Option<String>,
    #[serde(flatten)]
    state: State,
}

impl From<Rotations> for Written {
    fn from(Rotations { family, state }: Rotations) -> Self {
        Self { family: family.key_word().to_owned(), mesh: family.mesh().map(str::to_owned), state }
    }
}

impl TryFrom<Written> for Rotations {
    type Error = NoFamily;

    fn try_from(Written { family, mesh, state }: Written) -> Result<Self, NoFamily> {
        Ok(Self { family: Family::of_word(&family, mesh.as_deref())?, state })
    }
}

/// The phases of all keys of a picture of secrets and records.
///
/// Nobody knows what a record says that cannot be read: none of the keys that it is about signs, and all of them verify.
pub(crate) fn phases(stored: &Picture) -> Phases {
    let mut keys: BTreeMap<Family, BTreeSet<u64>> = BTreeMap::new();
    for KeyId { family, serial } in stored.stored().filter_map(|stored| private_key(&stored.resource.key)) {
        keys.entry(family).or_default().insert(serial);
    }
    let none = BTreeSet::new();
    let mut phases = Vec::new();
    for record in stored.stored().filter(|stored| super::is::<Rotations>(&stored.resource.key)) {
        match super::read::<Rotations>(&record.resource) {
            Ok(Rotations { family, state }) => {
                phases.extend(state.phases(&family, keys.get(&family).unwrap_or(&none)));
            }
            Err(problem) => {
                error!(%problem, "nothing is signed with the keys that this record is about");
                let about = |family: &&Family| super::key::<Rotations>(&rest(family)) == record.resource.key;
                for family in keys.keys().filter(about) {
                    let serials = keys.get(family).unwrap_or(&none).iter();
                    let id = |serial: &u64| KeyId { family: family.clone(), serial: *serial };
                    phases.extend(serials.map(|serial| (id(serial), Phase::Retiring)));
                }
            }
        }
    }
    phases.into_iter().collect()
}

/// The keys that rotations took away, as far as they are remembered.
pub(crate) fn retired(stored: &Picture) -> BTreeSet<KeyId> {
    let records = stored.stored().filter(|stored| super::is::<Rotations>(&stored.resource.key));
    let readable = records.filter_map(|stored| super::read::<Rotations>(&stored.resource).ok());
    let gone = readable.flat_map(|Rotations { family, state }| {
        let finished = state.history.into_iter().filter(|finished| finished.outcome != Outcome::ByHand);
        finished.map(move |finished| KeyId { family: family.clone(), serial: finished.from })
    });
    gone.collect()
}

/// The keys that sign no more and of which zones are not told yet: they are when the rotation drains them.
pub(crate) fn untold(stored: &Picture) -> BTreeSet<KeyId> {
    let records = stored.stored().filter(|stored| super::is::<Rotations>(&stored.resource.key));
    let readable = records.filter_map(|stored| super::read::<Rotations>(&stored.resource).ok());
    let signing = readable.filter_map(|Rotations { family, state }| {
        let rotation = state.rotation.filter(|rotation| rotation.stage == Stage::Signing)?;
        Some(KeyId { family, serial: rotation.from })
    });
    signing.collect()
}

/// The key that a secret holds the private half of, by its name.
pub(crate) fn private_key(key: &Key) -> Option<KeyId> {
    secret(key).filter(|name| name.half == Half::Private)?.id()
}

/// What the name of a resource says of a key, if it is a secret.
pub(crate) fn secret(key: &Key) -> Option<KeyName> {
    let is_secret = key.kind == Kind::SECRET || key.kind == Kind::GLOBAL_SECRET;
    KeyName::parse(&key.mesh, &key.name).filter(|_| is_secret)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use jiff::Timestamp;
    use model::{Labels, Resource};
    use store::{Batch, Mirror, Precondition, ResourceStore, Write, memory::MemoryStore};
    use tokens::rotation::{Command, Evidence, Instance, Order, Times, step};

    use super::*;
    use crate::records;

    fn family() -> Family {
        Family::Dataplane { mesh: "default".to_owned() }
    }

    /// A rotation that was begun, from key 1 to key 2.
    fn begun() -> Rotations {
        let now = Timestamp::UNIX_EPOCH;
        let evidence = Evidence {
            family: family(),
            now,
            times: Times { recent_zones: Default::default(), patience: Default::default(), leeway: Default::default() },
            keys: [(1, now)].into(),
            taken: [1].into(),
            instances: Vec::<Instance>::new(),
            zones: Vec::new(),
            tokens: Vec::new(),
            unreadable: Vec::new(),
        };
        let command = Command::Start { automatic: false, algorithm: None };
        let order = Order { command, by: "ada".to_owned(), id: None, expect: None, force: false };
        Rotations { family: family(), state: step(&State::default(), &evidence, &order).unwrap().state }
    }

    fn put(key: Key) -> Write {
        let resource = Resource {
            key,
            labels: Labels::new(),
            spec: Bytes::new(),
            status: None,
            owner: None,
            created: Timestamp::UNIX_EPOCH,
            modified: Timestamp::UNIX_EPOCH,
        };
        Write::Put { resource, expect: Precondition::Any }
    }

    async fn phases_of(record: Write) -> Vec<Phase> {
        let store: Arc<dyn ResourceStore> = Arc::new(MemoryStore::new());
        let mut writes = vec![put(Key::global(Kind::MESH, "default"))];
        for name in ["dataplane-token-signing-key-default-1", "dataplane-token-signing-key-default-2"] {
            writes.push(put(Key::in_mesh(Kind::SECRET, "default", name)));
        }
        writes.push(record);
        store.apply(Batch::of(writes)).await.unwrap();
        let mut mirror = Mirror::of(&*store, store::Kinds::Only(vec![Kind::SECRET, Kind::RECORD]));
        mirror.changes().await.unwrap();
        let phases = phases(mirror.picture());
        [1, 2].map(|serial| phases.of(&KeyId { family: family(), serial })).to_vec()
    }

    fn written() -> Resource {
        match records::write(
            &Rotations { state: begun().state, family: family() },
            Precondition::Any,
            Timestamp::UNIX_EPOCH,
        ) {
            Ok(Write::Put { resource, .. }) => resource,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn a_record_is_about_the_keys_of_its_family() {
        let resource = written();
        assert_eq!(resource.key.name, "rotation.dataplane-token-signing-key.default");
        assert_eq!(resource.owner, Some(Key::global(Kind::MESH, "default")));
        assert_eq!(records::read::<Rotations>(&resource).unwrap(), begun());
        let put = Write::Put { resource, expect: Precondition::Any };
        assert_eq!(phases_of(put).await, [Phase::Signing, Phase::Staged]);
    }

    #[tokio::test]
    async fn zones_are_told_when_the_old_key_drains_and_not_before() {
        let old = KeyId { family: family(), serial: 1 };
        for (stage, expected) in
            [(Stage::Staged, vec![]), (Stage::Signing, vec![old.clone()]), (Stage::Draining, vec![])]
        {
            let mut rotations = begun();
            rotations.state.rotation.as_mut().unwrap().stage = stage;
            let store = MemoryStore::new();
            let record = records::write(&rotations, Precondition::Any, Timestamp::UNIX_EPOCH).unwrap();
            store.apply(Batch::of(vec![put(Key::global(Kind::MESH, "default")), record])).await.unwrap();
            let mut mirror = Mirror::of(&store, store::Kinds::Only(vec![Kind::RECORD]));
            mirror.changes().await.unwrap();
            assert_eq!(untold(mirror.picture()).into_iter().collect::<Vec<_>>(), expected, "{stage:?}");
        }
    }

    #[tokio::test]
    async fn with_keys_of_a_damaged_record_nothing_is_signed() {
        let damaged = Resource { spec: Bytes::from_static(b"{"), ..written() };
        let put = |resource| Write::Put { resource, expect: Precondition::Any };
        assert_eq!(phases_of(put(damaged.clone())).await, [Phase::Retiring, Phase::Retiring]);
        let of_another = Key::global(Kind::RECORD, "rotation.zone-token-signing-key");
        let another = Resource { key: of_another, ..damaged };
        assert_eq!(phases_of(put(another)).await, [Phase::Signing, Phase::Signing]);
    }
}
