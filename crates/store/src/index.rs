//! What is stored, as a value: the rules of reads and writes without IO, locks or time.
//!
//! An index is a persistent map, so a clone is cheap and is a snapshot: a batch is tried on a clone that is thrown away
//! when the batch fails, and a reader keeps its clone while writers go on.

mod cascade;
mod list;

use std::{ops::Bound, sync::Arc};

use imbl::{OrdMap, OrdSet};
use model::{Key, Kind, Resource, labels};

use crate::{Applied, Batch, Event, Kinds, Outcome, Precondition, StoreError, Stored, Version, Write};

/// The resources of one kind, by mesh and name.
type Rows = OrdMap<Arc<Key>, Stored>;

/// Everything that is stored, and the version of the last batch.
#[derive(Clone, Default)]
pub(crate) struct Index {
    version: u64,
    kinds: OrdMap<Kind, Rows>,
    /// Who is owned by a resource.
    owned: OrdMap<Key, OrdSet<Arc<Key>>>,
    /// Who lives in a mesh; not only the owned ones.
    members: OrdMap<String, OrdSet<Arc<Key>>>,
    /// Who carries the label of a zone, by its value: each zone that connects is asked for what it reported last time,
    /// and a look through what all of them reported would cost the square of their number.
    of_zones: OrdSet<(String, Arc<Key>)>,
}

impl Index {
    /// Returns the version of the last batch.
    #[cfg(feature = "journaled")]
    pub(crate) fn version(&self) -> Version {
        Version(self.version)
    }

    /// Whether there is no resource.
    #[cfg(feature = "journaled")]
    pub(crate) fn is_empty(&self) -> bool {
        self.kinds.values().all(OrdMap::is_empty)
    }

    /// Returns one resource.
    pub(crate) fn get(&self, key: &Key) -> Option<&Stored> {
        self.kinds.get(&key.kind)?.get(key)
    }

    /// Returns the resources of the watched kinds, sorted by kind, mesh and name.
    pub(crate) fn picture(&self, kinds: &Kinds) -> Vec<Stored> {
        self.kinds
            .iter()
            .filter(|(kind, _)| kinds.contains(**kind))
            .flat_map(|(_, rows)| rows.values().cloned())
            .collect()
    }

    /// Returns everything.
    #[cfg(feature = "sqlite")]
    pub(crate) fn resources(&self) -> impl Iterator<Item = &Stored> {
        self.kinds.values().flat_map(OrdMap::values)
    }

    /// Returns what is sealed where it is written.
    #[cfg(feature = "sqlite")]
    pub(crate) fn secrets(&self, sealing: &crate::sealing::Sealing) -> Vec<Stored> {
        self.resources().filter(|stored| sealing.seals(&stored.resource.key)).cloned().collect()
    }

    /// Applies a batch and returns what it did and what watchers hear. After an error the index is of no use.
    pub(crate) fn apply(&mut self, batch: &Batch) -> Result<(Applied, Vec<Event>), StoreError> {
        let version = self.next_version()?;
        let mut events = Vec::with_capacity(batch.writes.len());
        let mut outcomes = Vec::with_capacity(batch.writes.len());
        for write in &batch.writes {
            outcomes.push(match write {
                Write::Put { resource, expect } => self.put(resource, *expect, version, &mut events)?,
                Write::Delete { key, expect } => self.delete(key, *expect, version, &mut events)?,
            });
        }
        self.version = version.0;
        Ok((Applied { version, outcomes }, events))
    }

    /// Takes over a resource that a backend read, without any check.
    #[cfg(feature = "journaled")]
    pub(crate) fn restore(&mut self, stored: Stored) {
        self.raise_version(stored.version);
        self.insert(stored);
    }

    /// Takes over changes that another index made, up to this version.
    #[cfg(feature = "journaled")]
    pub(crate) fn follow(&mut self, changes: &[Event], version: Version) {
        for change in changes {
            match change {
                Event::Apply(stored) => self.insert(stored.clone()),
                Event::Delete { key, .. } => self.remove(key),
                // no batch makes these
                Event::Init | Event::InitApply(_) | Event::InitDone => {}
            }
        }
        self.raise_version(version);
    }

    /// Takes over the version of the last batch that a backend read; the counter never goes back.
    #[cfg(feature = "journaled")]
    pub(crate) fn raise_version(&mut self, version: Version) {
        self.version = self.version.max(version.0);
    }

    /// Versions end where SQLite's and PostgreSQL's integers end, so that every backend has the same ones.
    fn next_version(&self) -> Result<Version, StoreError> {
        match self.version.checked_add(1) {
            Some(next) if i64::try_from(next).is_ok() => Ok(Version(next)),
            _ => Err(StoreError::Corrupt { detail: format!("no version follows {}", self.version) }),
        }
    }

    fn put(
        &mut self,
        resource: &Resource,
        expect: Precondition,
        version: Version,
        events: &mut Vec<Event>,
    ) -> Result<Outcome, StoreError> {
        let outcome = if self.check(&resource.key, expect)? { Outcome::Updated } else { Outcome::Created };
        if let Some(owner) = &resource.owner
            && self.get(owner).is_none()
        {
            return Err(StoreError::NotFound { key: owner.clone() });
        }
        let stored = Stored { resource: Arc::new(resource.clone()), version };
        self.insert(stored.clone());
        events.push(Event::Apply(stored));
        Ok(outcome)
    }

    fn delete(
        &mut self,
        key: &Key,
        expect: Precondition,
        version: Version,
        events: &mut Vec<Event>,
    ) -> Result<Outcome, StoreError> {
        if !self.check(key, expect)? {
            return Ok(Outcome::Missing);
        }
        for gone in self.cascade(key) {
            self.remove(&gone);
            events.push(Event::Delete { key: Key::clone(&gone), version });
        }
        Ok(Outcome::Deleted)
    }

    /// Returns whether the resource is there, or why it may not be written.
    fn check(&self, key: &Key, expect: Precondition) -> Result<bool, StoreError> {
        let found = self.get(key).map(|stored| stored.version);
        match (expect, found) {
            (Precondition::Any, _) => Ok(found.is_some()),
            (Precondition::Absent, None) => Ok(false),
            (Precondition::Absent, Some(_)) => Err(StoreError::AlreadyExists { key: key.clone() }),
            (Precondition::Present, Some(_)) => Ok(true),
            (Precondition::Version(expected), Some(found)) if expected == found => Ok(true),
            (Precondition::Version(_), Some(_)) => Err(StoreError::Conflict { key: key.clone() }),
            (Precondition::Present | Precondition::Version(_), None) => Err(StoreError::NotFound { key: key.clone() }),
        }
    }

    fn insert(&mut self, stored: Stored) {
        let key = Arc::new(stored.resource.key.clone());
        self.remove(&key);
        if let Some(owner) = &stored.resource.owner {
            self.owned.entry(owner.clone()).or_default().insert(Arc::clone(&key));
        }
        if !key.mesh.is_empty() {
            self.members.entry(key.mesh.clone()).or_default().insert(Arc::clone(&key));
        }
        if let Some(zone) = stored.resource.labels.get(labels::ZONE) {
            self.of_zones.insert((zone.clone(), Arc::clone(&key)));
        }
        self.kinds.entry(key.kind).or_default().insert(key, stored);
    }

    fn remove(&mut self, key: &Key) {
        let Some(stored) = self.kinds.get_mut(&key.kind).and_then(|rows| rows.remove(key)) else { return };
        if let Some(owner) = &stored.resource.owner
            && let Some(owned) = self.owned.get_mut(owner)
        {
            owned.remove(key);
            if owned.is_empty() {
                self.owned.remove(owner);
            }
        }
        if let Some(zone) = stored.resource.labels.get(labels::ZONE) {
            self.of_zones.remove(&(zone.clone(), Arc::new(key.clone())));
        }
        if let Some(members) = self.members.get_mut(&key.mesh) {
            members.remove(key);
            if members.is_empty() {
                self.members.remove(&key.mesh);
            }
        }
    }

    /// Returns the rows of a kind from a key on.
    fn rows_from(&self, from: &Key) -> impl Iterator<Item = &Stored> {
        let rows =
            self.kinds.get(&from.kind).map(|rows| rows.range::<_, Key>((Bound::Included(from), Bound::Unbounded)));
        rows.into_iter().flatten().map(|(_, stored)| stored)
    }

    /// Returns the rows of a kind from a key on that carry the label of this zone.
    fn rows_of_zone(&self, zone: &str, from: &Key) -> impl Iterator<Item = &Stored> {
        let kind = from.kind;
        self.of_zones
            .range((zone.to_owned(), Arc::new(from.clone()))..)
            .take_while(move |(of, key)| of == zone && key.kind == kind)
            .filter_map(|(_, key)| self.get(key))
    }
}
