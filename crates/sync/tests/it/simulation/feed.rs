//! What one end provides: its resources as they leave, encoded once, a snapshot a kind. And the way back.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bytes::Bytes;
use model::{Key, Labels, Resource};
use serde_json::{Value, json};
use sync::{Entry, Outgoing, Received, Side, Snapshot, WireName};

use super::{Store, kinds};

/// The snapshots of one end, and what they were made of.
pub(crate) struct Feed {
    seen: BTreeMap<Key, Seen>,
    snapshots: BTreeMap<&'static str, Arc<Snapshot>>,
    /// Who may see what has changed: everything is mapped again.
    stale: bool,
}

struct Seen {
    resource: Arc<Resource>,
    entry: Option<Entry>,
}

impl Default for Feed {
    fn default() -> Self {
        let snapshots = kinds().map(|kind| (kind.name, Arc::new(Snapshot::empty(kind.name)))).collect();
        Self { seen: BTreeMap::new(), snapshots, stale: false }
    }
}

impl Feed {
    pub(crate) fn snapshots(&self) -> &BTreeMap<&'static str, Arc<Snapshot>> {
        &self.snapshots
    }

    /// Filters have changed.
    pub(crate) fn forget(&mut self) {
        self.stale = true;
    }

    /// Takes in what the store says now.
    pub(crate) fn publish(&mut self, store: &Store, outgoing: impl Fn(&Resource) -> Option<Outgoing>) {
        let mut dirty = BTreeSet::new();
        self.seen.retain(|key, _| {
            let here = store.contains_key(key);
            if !here {
                dirty.insert(key.kind.name);
            }
            here
        });
        for (key, resource) in store {
            let unchanged = self.seen.get(key).is_some_and(|seen| Arc::ptr_eq(&seen.resource, resource));
            if unchanged && !self.stale {
                continue;
            }
            dirty.insert(key.kind.name);
            let entry = outgoing(resource).as_ref().map(encode);
            self.seen.insert(key.clone(), Seen { resource: Arc::clone(resource), entry });
        }
        self.stale = false;
        for kind in dirty {
            self.rebuild(kind);
        }
    }

    /// Two resources may want one name on the wire; the last one has it, and gives it back when it goes.
    fn rebuild(&mut self, kind: &'static str) {
        let of_kind = self.seen.iter().filter(|(key, _)| key.kind.name == kind);
        let by_name: BTreeMap<&WireName, &Entry> =
            of_kind.filter_map(|(_, seen)| seen.entry.as_ref()).map(|entry| (&entry.name, entry)).collect();
        let Some(before) = self.snapshots.get(kind) else { return };
        let gone: Vec<WireName> =
            before.entries().keys().filter(|name| !by_name.contains_key(*name)).cloned().collect();
        let changed = by_name
            .into_iter()
            .filter(|(name, entry)| before.entries().get(*name).is_none_or(|known| **known != **entry))
            .map(|(_, entry)| entry.clone())
            .collect();
        let next = before.with_changes(changed, &gone);
        self.snapshots.insert(kind, Arc::new(next));
    }
}

/// The versions that what is here of a kind came with, computed from what is here, as the programs do.
pub(crate) fn versions<'a>(
    resources: impl Iterator<Item = &'a Arc<Resource>>,
    side: Side<'_>,
) -> BTreeMap<String, String> {
    let in_scope = resources.filter(|one| sync::in_scope(one.key.kind, one, side));
    in_scope
        .map(|one| {
            let name = WireName { mesh: one.key.mesh.clone(), name: one.key.name.clone() };
            // A zone keeps a status of its own, so what came from global carried the empty one.
            let status = match side {
                Side::Zone => one.key.kind.empty_status.map(|empty| Bytes::from_static(empty.as_bytes())),
                Side::Global { .. } => one.status.clone(),
            };
            (name.to_string(), content(&name, &one.labels, &one.spec, status.as_ref()))
        })
        .collect()
}

fn content(name: &WireName, labels: &Labels, spec: &Bytes, status: Option<&Bytes>) -> String {
    let utf8 = |bytes: &Bytes| String::from_utf8(bytes.to_vec()).unwrap();
    let content = json!({
        "mesh": name.mesh, "name": name.name, "labels": labels, "spec": utf8(spec), "status": status.map(utf8),
    });
    content.to_string()
}

/// The content stands for its own version.
fn encode(outgoing: &Outgoing) -> Entry {
    let content = content(&outgoing.name, &outgoing.labels, &outgoing.spec, outgoing.status.as_ref());
    Entry {
        name: outgoing.name.clone(),
        payload: content.clone().into(),
        version: content,
        origin_zone: outgoing.origin_zone.clone(),
        needs: outgoing.needs,
        needs_for_all: outgoing.needs_for_all,
    }
}

pub(crate) fn decode(payload: &[u8]) -> Received {
    let content: Value = serde_json::from_slice(payload).unwrap();
    let text = |key: &str| content[key].as_str().map(str::to_owned);
    let labels: Labels = content["labels"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(key, value)| (key.clone(), value.as_str().unwrap().to_owned()))
        .collect();
    Received {
        name: WireName { mesh: text("mesh").unwrap(), name: text("name").unwrap() },
        labels,
        spec: text("spec").unwrap().into(),
        status: text("status").map(Bytes::from),
    }
}
