//! What people write: few names and contents, so that they meet; among them the ones that have a meaning, and traps.

use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use model::{Key, Kind, Labels, Resource, Scope, labels};

use super::{Direction, World, consume::is_bad, leaves_global, zone::Zone};

/// How many names and contents there are.
pub(super) const NAMES: usize = 4;
pub(super) const CONTENTS: u8 = 16;

impl World {
    pub(super) fn global_put(&mut self, kind: Kind, name: usize, content: u8) {
        let resource = resource(self.tick(), kind, name, content);
        let taken = self.global.get(&resource.key).is_some_and(|here| is_of_some_zone(here));
        if resource.key.kind.flow.provided_by_global() && !taken {
            self.global.insert(resource.key.clone(), Arc::new(resource));
        }
    }

    pub(super) fn global_delete(&mut self, kind: Kind, name: usize) {
        let key = key(kind, name);
        if self.global.get(&key).is_some_and(|here| !is_of_some_zone(here)) {
            self.global.remove(&key);
        }
    }

    /// Makes what is valid invalid, and the other way round.
    pub(super) fn global_flip(&mut self, kind: Kind, name: usize) {
        let now = self.tick();
        if let Some(here) = self.global.get_mut(&key(kind, name)).filter(|here| !is_of_some_zone(here)) {
            *here = Arc::new(flipped(here, now));
        }
    }

    /// Removes something that consumers reject.
    pub(super) fn global_remove_bad(&mut self, choice: usize) {
        let bad = |here: &&Arc<Resource>| is_bad(&here.spec) && !is_of_some_zone(here);
        let keys: Vec<Key> = self.global.values().filter(bad).map(|here| here.key.clone()).collect();
        if !keys.is_empty() {
            self.global.remove(&keys[choice % keys.len()]);
        }
    }

    /// Removes what a zone still waits for: all of the rest of a first response that came in part.
    pub(super) fn global_delete_awaited(&mut self, zone: usize) {
        let Self { global, disabled, zones, .. } = self;
        let zone = &zones[zone];
        let waits = |kind: &str| zone.live_links(Direction::Down).any(|link| !link.lane(kind).complete);
        global.retain(|key, here| {
            let Some(outgoing) = leaves_global(disabled, here, zone.peer.hashes()) else { return true };
            let there = Key { kind: key.kind, mesh: outgoing.name.mesh, name: outgoing.name.name };
            is_of_some_zone(here) || zone.store.contains_key(&there) || !waits(key.kind.name)
        });
    }

    pub(super) fn zone_put(&mut self, zone: usize, kind: Kind, name: usize, content: u8) {
        let resource = resource(self.tick(), kind, name, content);
        let Zone { peer, store, own, .. } = &mut self.zones[zone];
        let kind = resource.key.kind;
        let foreign = store.contains_key(&resource.key) && !own.contains_key(&resource.key);
        if kind.flow.provided_by_zone() && peer.makes(kind.name) && !foreign {
            let resource = Arc::new(resource);
            own.insert(resource.key.clone(), Arc::clone(&resource));
            store.insert(resource.key.clone(), resource);
        }
    }

    pub(super) fn zone_delete(&mut self, zone: usize, kind: Kind, name: usize) {
        let zone = &mut self.zones[zone];
        let key = key(kind, name);
        if zone.own.remove(&key).is_some() {
            zone.store.remove(&key);
        }
    }

    pub(super) fn zone_flip(&mut self, zone: usize, kind: Kind, name: usize) {
        let now = self.tick();
        let Zone { store, own, .. } = &mut self.zones[zone];
        if let Some(here) = own.get_mut(&key(kind, name)) {
            *here = Arc::new(flipped(here, now));
            store.insert(here.key.clone(), Arc::clone(here));
        }
    }
}

fn is_of_some_zone(resource: &Resource) -> bool {
    resource.labels.contains_key(labels::ZONE)
}

fn key(kind: Kind, name: usize) -> Key {
    let name = match kind.name {
        "GlobalSecret" => ["mine", "zone-token-signing-key-1", "admin-user-token", "zone-token-revocations"][name],
        _ => ["a", "west.a", "with.dot", "b"][name],
    };
    match kind.scope {
        Scope::Global => Key::global(kind, name),
        Scope::Mesh => Key::in_mesh(kind, "default", name),
    }
}

fn flipped(here: &Resource, now: i64) -> Resource {
    let spec = if is_bad(&here.spec) { r#"{"value":0}"# } else { r#"{"value":"bad"}"# };
    Resource { spec: spec.into(), modified: Timestamp::from_second(now).unwrap(), ..here.clone() }
}

/// The content of a write: what people write, and what receivers refuse, filters stop, or messages have no room for.
fn resource(now: i64, kind: Kind, name: usize, content: u8) -> Resource {
    let label = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let mut pairs = Labels::new();
    let mut spec = format!(r#"{{"value":{}}}"#, content % 3);
    let filled = |bytes: usize| format!(r#"{{"value":"{}"}}"#, "x".repeat(bytes));
    match content {
        0..=3 => {}
        4 => pairs.extend([label("team", "x")]),
        5 | 6 => spec = r#"{"value":"bad"}"#.to_owned(),
        7 => pairs.extend([label(labels::KDS_SYNC, "disabled")]),
        8 => pairs.extend([label(labels::DISPLAY_NAME, "shown")]),
        9 => spec = r#"{"selector":{"meshMultiZoneService":{}}}"#.to_owned(),
        10 => spec = filled(400),
        11 => spec = filled(2000),
        12 | 13 => spec = format!(r#"{{"rules":[{{"default":{content}}}]}}"#),
        _ => {
            spec = r#"{"to":[{"targetRef":{"kind":"MeshService","labels":{"kuma.io/display-name":"a"}}}]}"#.to_owned();
            pairs.extend([label(labels::POLICY_ROLE, "producer"), label(labels::NAMESPACE, "ns")]);
        }
    }
    let status = kind.empty_status.map(|_| Bytes::from(format!(r#"{{"state":{content}}}"#)));
    let now = Timestamp::from_second(now).unwrap();
    let (key, spec) = (key(kind, name), spec.into());
    Resource { key, labels: pairs, spec, status, owner: None, created: now, modified: now }
}
