//! The promise of a store in the fewest words: one map, and loops over it. Slow, and easy to believe.

use std::collections::BTreeMap;

use ::model::{Key, Kind, Resource};
use store::{Applied, Batch, Outcome, Precondition, StoreError, Version, Write};

/// What a store should hold.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    pub(crate) rows: BTreeMap<Key, (Resource, Version)>,
    pub(crate) version: u64,
}

impl Model {
    pub(crate) fn apply(&mut self, batch: &Batch) -> Result<Applied, StoreError> {
        let mut next = self.clone();
        next.version += 1;
        let outcomes = batch.writes.iter().map(|write| next.write(write)).collect::<Result<_, _>>()?;
        *self = next;
        Ok(Applied { version: Version(self.version), outcomes })
    }

    fn write(&mut self, write: &Write) -> Result<Outcome, StoreError> {
        match write {
            Write::Put { resource, expect } => {
                let was_there = self.check(&resource.key, *expect)?;
                if let Some(owner) = resource.owner.as_ref().filter(|owner| !self.rows.contains_key(owner)) {
                    return Err(StoreError::NotFound { key: owner.clone() });
                }
                self.rows.insert(resource.key.clone(), (resource.clone(), Version(self.version)));
                Ok(if was_there { Outcome::Updated } else { Outcome::Created })
            }
            Write::Delete { key, expect } => {
                if !self.check(key, *expect)? {
                    return Ok(Outcome::Missing);
                }
                self.take(key);
                Ok(Outcome::Deleted)
            }
        }
    }

    fn check(&self, key: &Key, expect: Precondition) -> Result<bool, StoreError> {
        let key = key.clone();
        match (expect, self.rows.get(&key).map(|(_, version)| *version)) {
            (Precondition::Absent, Some(_)) => Err(StoreError::AlreadyExists { key }),
            (Precondition::Present | Precondition::Version(_), None) => Err(StoreError::NotFound { key }),
            (Precondition::Version(expected), Some(found)) if expected != found => Err(StoreError::Conflict { key }),
            (_, found) => Ok(found.is_some()),
        }
    }

    fn take(&mut self, key: &Key) {
        if self.rows.remove(key).is_none() {
            return;
        }
        let takes =
            |row: &Resource| row.owner.as_ref() == Some(key) || (key.kind == Kind::MESH && row.key.mesh == key.name);
        let more: Vec<_> = self.rows.values().filter(|(row, _)| takes(row)).map(|(row, _)| row.key.clone()).collect();
        for key in more {
            self.take(&key);
        }
    }
}
