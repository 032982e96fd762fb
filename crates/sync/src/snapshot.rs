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
    /// The features a zone needs to read all of it.
    pub needs_for_all: Features,
}

/// Equal content has an equal version; that is what a version is.
impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.version == other.version && self.origin_zone == other.origin_zone && self.needs == other.needs
    }
}

impl Eq for Entry {}

/// A kind at a generation. The next one shares what did not change, so a stream that lags keeps little alive.
///
/// Generations are those of one line of snapshots: a stream must not be given snapshots of another line, where an equal
/// generation may be other content.
#[derive(Clone, Debug)]
pub struct Snapshot {
    kind: Arc<str>,
    generation: u64,
    entries: OrdMap<WireName, Arc<Entry>>,
}

impl Snapshot {
    /// Returns a kind without resources, at generation 0.
    pub fn empty(kind: impl Into<Arc<str>>) -> Self {
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
        Self { kind: Arc::clone(&self.kind), generation: self.generation + u64::from(changed), entries }
    }

    /// The type name.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// The type name, to keep: every stream has it of every kind.
    pub(crate) fn shared_kind(&self) -> Arc<str> {
        Arc::clone(&self.kind)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, version: &str) -> Entry {
        Entry {
            name: WireName::parse(name),
            version: version.to_owned(),
            payload: Bytes::new(),
            origin_zone: None,
            needs: Features::NONE,
            needs_for_all: Features::NONE,
        }
    }

    fn names(snapshot: &Snapshot) -> Vec<String> {
        snapshot.entries().keys().map(WireName::to_string).collect()
    }

    #[test]
    fn unchanged_content_keeps_its_generation() {
        let one = Snapshot::empty("Mesh").with_changes(vec![entry("a.", "1"), entry("b.", "1")], &[]);
        assert_eq!(one.generation(), 1);
        assert_eq!(one.with_changes(vec![entry("b.", "1"), entry("a.", "1")], &[]).generation(), 1);
        assert_eq!(one.with_changes(Vec::new(), &[WireName::parse("never.")]).generation(), 1);
        assert_eq!(one.with_changes(vec![entry("a.", "2")], &[]).generation(), 2);
        let given_away = Entry { origin_zone: Some("west".to_owned()), ..entry("a.", "1") };
        assert_eq!(one.with_changes(vec![given_away], &[]).generation(), 2, "who sees it has changed");
    }

    #[test]
    fn an_older_generation_stays_as_it_was() {
        let one = Snapshot::empty("Mesh").with_changes(vec![entry("a.", "1"), entry("b.", "1")], &[]);
        let two = one.with_changes(vec![entry("c.", "1")], &[WireName::parse("a.")]);
        assert_eq!(names(&one), ["a.", "b."]);
        assert_eq!(names(&two), ["b.", "c."]);
        assert_eq!(two.kind(), "Mesh");
    }
}
