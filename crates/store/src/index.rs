//! The resources in memory: what every backend reads from, and where a batch is tried before it is made durable.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use model::{Key, Kind, Resource};

use crate::{Applied, Batch, Outcome, Page, Precondition, Query, StoreError, Stored, Version, Write};

/// All resources, by kind, then mesh and name; and who owns whom.
#[derive(Debug, Default)]
pub(crate) struct Index {
    kinds: BTreeMap<Kind, BTreeMap<(String, String), Stored>>,
    owned: BTreeMap<Key, BTreeSet<Key>>,
    version: u64,
}

/// What a batch changes: for the journal and for watchers, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// Written.
    Put(Stored),
    /// Deleted.
    Delete { key: Key, version: Version },
}

impl Index {
    pub(crate) fn get(&self, key: &Key) -> Option<&Stored> {
        self.kinds.get(&key.kind)?.get(&(key.mesh.clone(), key.name.clone()))
    }

    #[cfg(feature = "sqlite")]
    pub(crate) fn set_version(&mut self, version: u64) {
        self.version = self.version.max(version);
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Stored> {
        self.kinds.values().flat_map(BTreeMap::values)
    }

    pub(crate) fn list(&self, query: &Query) -> Page {
        let matches = |stored: &&Stored| {
            let resource = &stored.resource;
            query.mesh.as_ref().is_none_or(|mesh| resource.key.mesh == *mesh)
                && query.name_contains.as_ref().is_none_or(|text| resource.key.name.contains(text.as_str()))
                && query.labels.iter().all(|(key, value)| resource.labels.get(key) == Some(value))
        };
        let matching: Vec<&Stored> = match (self.kinds.get(&query.kind), &query.mesh) {
            (None, _) => Vec::new(),
            (Some(kind), Some(mesh)) => {
                let from = (mesh.clone(), String::new());
                kind.range(from..).take_while(|((in_mesh, _), _)| in_mesh == mesh).map(|(_, stored)| stored).filter(matches).collect()
            }
            (Some(kind), None) => kind.values().filter(matches).collect(),
        };
        let total = matching.len();
        let items = matching.into_iter().skip(query.offset).take(query.limit.unwrap_or(usize::MAX)).cloned().collect();
        Page { items, total }
    }

    /// Tries a batch: the changes it makes, or the first reason why not. Changes nothing.
    pub(crate) fn plan(&self, batch: &Batch) -> Result<(Applied, Vec<Change>), StoreError> {
        let version = Version(self.version + 1);
        let mut plan = Plan { index: self, version, pending: BTreeMap::new(), changes: Vec::new() };
        let mut outcomes = Vec::with_capacity(batch.writes.len());
        for write in &batch.writes {
            outcomes.push(match write {
                Write::Put { resource, expect } => plan.put(resource, *expect)?,
                Write::Delete { key, expect } => plan.delete(key, *expect)?,
            });
        }
        Ok((Applied { version, outcomes }, plan.changes))
    }

    /// Makes the changes of a plan.
    pub(crate) fn commit(&mut self, changes: &[Change]) {
        for change in changes {
            match change {
                Change::Put(stored) => {
                    self.version = self.version.max(stored.version.0);
                    self.insert(stored.clone());
                }
                Change::Delete { key, version } => {
                    self.version = self.version.max(version.0);
                    self.remove(key);
                }
            }
        }
    }

    pub(crate) fn insert(&mut self, stored: Stored) {
        let key = stored.resource.key.clone();
        self.remove_ownership(&key);
        if let Some(owner) = &stored.resource.owner {
            self.owned.entry(owner.clone()).or_default().insert(key.clone());
        }
        self.kinds.entry(key.kind).or_default().insert((key.mesh, key.name), stored);
    }

    fn remove(&mut self, key: &Key) {
        self.remove_ownership(key);
        if let Some(kind) = self.kinds.get_mut(&key.kind) {
            kind.remove(&(key.mesh.clone(), key.name.clone()));
        }
    }

    fn remove_ownership(&mut self, key: &Key) {
        let owner = self.get(key).and_then(|stored| stored.resource.owner.clone());
        if let Some(owner) = owner
            && let Some(owned) = self.owned.get_mut(&owner)
        {
            owned.remove(key);
            if owned.is_empty() {
                self.owned.remove(&owner);
            }
        }
    }

    /// Everything whose mesh is this one.
    fn in_mesh(&self, mesh: &str) -> Vec<Key> {
        self.kinds
            .values()
            .flat_map(|kind| kind.range((mesh.to_owned(), String::new())..).take_while(|((in_mesh, _), _)| in_mesh == mesh))
            .map(|(_, stored)| stored.resource.key.clone())
            .collect()
    }
}

/// A batch that is being tried: the index, with what the batch did so far on top.
struct Plan<'a> {
    index: &'a Index,
    version: Version,
    /// What the batch made of a key: written, or deleted.
    pending: BTreeMap<Key, Option<Arc<Resource>>>,
    changes: Vec<Change>,
}

impl Plan<'_> {
    /// The version of a key as the batch sees it, or `None` if it is not there.
    fn present(&self, key: &Key) -> Option<Version> {
        match self.pending.get(key) {
            Some(Some(_)) => Some(self.version),
            Some(None) => None,
            None => self.index.get(key).map(|stored| stored.version),
        }
    }

    fn check(&self, key: &Key, expect: Precondition) -> Result<Option<Version>, StoreError> {
        let present = self.present(key);
        match (expect, present) {
            (Precondition::Any, _) | (Precondition::Absent, None) | (Precondition::Present, Some(_)) => Ok(present),
            (Precondition::Version(wanted), Some(found)) if wanted == found => Ok(present),
            (Precondition::Absent, Some(_)) => Err(StoreError::AlreadyExists { key: key.clone() }),
            (Precondition::Version(_), Some(_)) => Err(StoreError::Conflict { key: key.clone() }),
            (Precondition::Present | Precondition::Version(_), None) => Err(StoreError::NotFound { key: key.clone() }),
        }
    }

    fn put(&mut self, resource: &Resource, expect: Precondition) -> Result<Outcome, StoreError> {
        let present = self.check(&resource.key, expect)?;
        if let Some(owner) = &resource.owner
            && self.present(owner).is_none()
        {
            return Err(StoreError::NotFound { key: owner.clone() });
        }
        let resource = Arc::new(resource.clone());
        self.pending.insert(resource.key.clone(), Some(Arc::clone(&resource)));
        self.changes.push(Change::Put(Stored { resource, version: self.version }));
        Ok(if present.is_some() { Outcome::Updated } else { Outcome::Created })
    }

    fn delete(&mut self, key: &Key, expect: Precondition) -> Result<Outcome, StoreError> {
        if self.check(key, expect)?.is_none() {
            return Ok(Outcome::Missing);
        }
        let mut due = vec![key.clone()];
        while let Some(key) = due.pop() {
            if self.present(&key).is_none() {
                continue;
            }
            due.extend(self.owned_by(&key));
            if key.kind == Kind::MESH {
                due.extend(self.index.in_mesh(&key.name));
                due.extend(self.written(|resource| resource.key.mesh == key.name));
            }
            self.pending.insert(key.clone(), None);
            self.changes.push(Change::Delete { key, version: self.version });
        }
        Ok(Outcome::Deleted)
    }

    /// What a key owns as the batch sees it.
    fn owned_by(&self, owner: &Key) -> Vec<Key> {
        let before = self.index.owned.get(owner).into_iter().flatten();
        let kept = before.filter(|key| !matches!(self.pending.get(*key), Some(Some(now)) if now.owner.as_ref() != Some(owner)));
        let mut owned: Vec<Key> = kept.cloned().collect();
        owned.extend(self.written(|resource| resource.owner.as_ref() == Some(owner)));
        owned
    }

    fn written(&self, which: impl Fn(&Resource) -> bool) -> Vec<Key> {
        self.pending.values().flatten().filter(|resource| which(resource)).map(|resource| resource.key.clone()).collect()
    }
}
