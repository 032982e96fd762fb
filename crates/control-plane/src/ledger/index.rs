//! The entries as they are known here, for whoever asks often: by id, by key, by zone.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use store::{Change, Stored, Version};
use tokens::{Family, KeyId};
use tracing::error;

use super::Entry;
use crate::records;

/// A token that was handed out, as far as it is known here.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    /// What is written of it.
    pub(crate) entry: Arc<Entry>,
    /// Somebody showed it; known a moment before it is written.
    pub(crate) seen: bool,
}

/// All entries.
#[derive(Default)]
pub(super) struct Index {
    rows: BTreeMap<Family, BTreeMap<Arc<str>, Row>>,
    by_key: BTreeMap<KeyId, BTreeSet<Arc<str>>>,
    by_zone: BTreeMap<String, BTreeSet<(Family, Arc<str>)>>,
    /// Names of records that cannot be read.
    unreadable: BTreeSet<String>,
}

struct Row {
    entry: Arc<Entry>,
    version: Version,
    seen: AtomicBool,
    /// That it was seen is about to be written.
    writing: AtomicBool,
}

impl Row {
    fn known(&self) -> Known {
        Known { entry: Arc::clone(&self.entry), seen: self.seen.load(Ordering::Relaxed) }
    }
}

impl Index {
    /// Takes over what changed in the store.
    pub(super) fn take(&mut self, change: &Change) {
        if !records::is::<Entry>(change.key()) {
            return;
        }
        match change {
            Change::Set { now, .. } => self.read(now),
            Change::Gone { was } => {
                self.unreadable.remove(&was.resource.key.name);
                // What cannot be read was not taken in.
                if let Ok(entry) = records::read::<Entry>(&was.resource) {
                    self.remove(&entry, was.version);
                }
            }
        }
    }

    fn read(&mut self, stored: &Stored) {
        let name = &stored.resource.key.name;
        match records::read::<Entry>(&stored.resource) {
            Ok(entry) => {
                self.unreadable.remove(name);
                self.put(Arc::new(entry), stored.version);
            }
            Err(problem) => {
                error!(problem = %problem, "an entry of the ledger of tokens cannot be read");
                self.unreadable.insert(name.clone());
            }
        }
    }

    /// Takes in an entry of a version; an older one than is known is no news.
    pub(super) fn put(&mut self, entry: Arc<Entry>, version: Version) {
        let family = self.rows.entry(entry.family().clone()).or_default();
        let mut seen = entry.first_seen.is_some();
        if let Some(row) = family.get(entry.id.as_str()) {
            if row.version >= version {
                return;
            }
            seen |= row.seen.load(Ordering::Relaxed);
        }
        let id: Arc<str> = entry.id.as_str().into();
        self.by_key.entry(entry.key.clone()).or_default().insert(Arc::clone(&id));
        if let Some(zone) = &entry.zone {
            self.by_zone.entry(zone.clone()).or_default().insert((entry.family().clone(), Arc::clone(&id)));
        }
        let writing = AtomicBool::new(false);
        family.insert(id, Row { entry, version, seen: AtomicBool::new(seen), writing });
    }

    /// Takes an entry out that was gone at a version; one that was written anew since stays.
    pub(super) fn remove(&mut self, entry: &Entry, version: Version) {
        let Some(family) = self.rows.get_mut(entry.family()) else { return };
        if family.get(entry.id.as_str()).is_none_or(|row| row.version > version) {
            return;
        }
        family.remove(entry.id.as_str());
        if let Some(ids) = self.by_key.get_mut(&entry.key) {
            ids.remove(entry.id.as_str());
            if ids.is_empty() {
                self.by_key.remove(&entry.key);
            }
        }
        let Some(zone) = &entry.zone else { return };
        if let Some(ids) = self.by_zone.get_mut(zone) {
            ids.retain(|(family, id)| family != entry.family() || **id != *entry.id);
            if ids.is_empty() {
                self.by_zone.remove(zone);
            }
        }
    }

    fn row(&self, family: &Family, id: &str) -> Option<&Row> {
        self.rows.get(family)?.get(id)
    }

    pub(super) fn get(&self, family: &Family, id: &str) -> Option<Known> {
        self.row(family, id).map(Row::known)
    }

    /// An entry and its version.
    pub(super) fn version_of(&self, family: &Family, id: &str) -> Option<(Arc<Entry>, Version)> {
        self.row(family, id).map(|row| (Arc::clone(&row.entry), row.version))
    }

    pub(super) fn all(&self) -> Vec<Known> {
        self.rows.values().flat_map(BTreeMap::values).map(Row::known).collect()
    }

    pub(super) fn of_key(&self, key: &KeyId) -> Vec<Known> {
        let ids = self.by_key.get(key).into_iter().flatten();
        ids.filter_map(|id| self.get(&key.family, id)).collect()
    }

    pub(super) fn of_zone(&self, zone: &str) -> Vec<Known> {
        let ids = self.by_zone.get(zone).into_iter().flatten();
        ids.filter_map(|(family, id)| self.get(family, id)).collect()
    }

    pub(super) fn unreadable(&self) -> Vec<String> {
        self.unreadable.iter().cloned().collect()
    }

    /// Notes that somebody showed a token; returns whether that is to be written, which is said once.
    pub(super) fn see(&self, family: &Family, id: &str) -> bool {
        let Some(row) = self.row(family, id) else { return false };
        row.seen.store(true, Ordering::Relaxed);
        row.entry.first_seen.is_none() && !row.writing.swap(true, Ordering::Relaxed)
    }

    /// That it was seen could not be written: whoever shows it next makes it be tried again.
    pub(super) fn not_written(&self, family: &Family, id: &str) {
        if let Some(row) = self.row(family, id) {
            row.writing.store(false, Ordering::Relaxed);
        }
    }
}
