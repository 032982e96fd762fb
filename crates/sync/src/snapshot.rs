//! All resources of one kind at one generation, encoded once and shared by every stream.

use std::sync::Arc;

use bytes::Bytes;
use imbl::OrdMap;

use crate::{feature::Features, wire_name::WireName};

/// One resource, encoded.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its name on the wire.
    pub name: WireName,
    /// Its version: changes when the content changes.
    pub version: String,
    /// Its bytes on the wire, opaque here.
    pub payload: Bytes,
    /// The zone that made it: that zone does not get it back.
    pub origin_zone: Option<String>,
    /// The features a zone needs to get it.
    pub needs: Features,
}

/// Equal content has an equal version; that is what a version is.
impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.version == other.version && self.origin_zone == other.origin_zone && self.needs == other.needs
    }
}

impl Eq for Entry {}

/// A kind at a generation. The next one shares what did not change, so a stream that lags keeps little alive.
#[derive(Clone, Debug)]
pub struct Snapshot {
    kind: String,
    generation: u64,
    entries: OrdMap<WireName, Arc<Entry>>,
}

impl Snapshot {
    /// Returns a kind without resources, at generation 0.
    pub fn empty(kind: impl Into<String>) -> Self {
        Self { kind: kind.into(), generation: 0, entries: OrdMap::new() }
    }

    /// Returns the next generation; the same one if nothing differs.
    pub fn with_changes(&self, upserts: Vec<Entry>, removals: &[WireName]) -> Self {
        let mut entries = self.entries.clone();
        let mut changed = false;
        for name in removals {
            changed |= entries.remove(name).is_some();
        }
        for entry in upserts {
            if entries.get(&entry.name).is_none_or(|known| **known != entry) {
                entries.insert(entry.name.clone(), Arc::new(entry));
                changed = true;
            }
        }
        Self { kind: self.kind.clone(), generation: self.generation + u64::from(changed), entries }
    }

    /// The type name.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// The generation.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The resources.
    pub fn entries(&self) -> &OrdMap<WireName, Arc<Entry>> {
        &self.entries
    }
}
