//! What consumers do with a response: validate, reconcile, write, answer. And what must hold whenever they do.

use std::sync::Arc;

use jiff::Timestamp;
use model::{Key, Kind, labels};
use sync::{Change, Received, Side, WireName, received_by_global, reconcile};

use super::{
    Direction, Store, World,
    link::{Link, OnTheWay},
    zone::Zone,
};

impl World {
    pub(super) fn zone_takes(&mut self, index: usize, connection: i64, kind: &'static str) {
        let now = self.tick();
        let zone = &mut self.zones[index];
        let Zone { peer, store, own, rejected, connections, .. } = zone;
        let Some(link) = connections.iter_mut().find(|one| one.id == connection).map(|one| &mut one.down) else {
            return;
        };
        let Some((incoming, sent)) = link.take_response(kind, now) else { return };
        let mut plan = link.receiver.on_response(incoming).unwrap();
        if plan.kind.name == "MeshTimeout" && !peer.knows_rules() {
            let unknown = plan.resources.iter().find(|one| one.spec.windows(5).any(|window| window == b"rules"));
            assert_eq!(unknown, None, "{} cannot read it", zone.name);
        }
        let mut reasons = validate(&mut plan);
        if peer.drops_rejected_batches() {
            if !reasons.is_empty() {
                link.dropped(&sent, reasons);
                return;
            }
            plan.initial = !link.lane(kind).complete;
        }
        plan.resources.retain(|received| peer.keeps(kind, &received.name));

        let reconciled = reconcile(plan.kind, &of_kind(store, plan.kind), &plan, Side::Zone, at(now), None);
        assert_eq!(reconciled.dropped, 0, "global marks everything as its own");
        deletes_only_what_is_gone(&reconciled.changes, &sent, link, "", peer.drops_rejected_batches());
        let key = |name: &WireName| Key { kind: plan.kind, mesh: name.mesh.clone(), name: name.name.clone() };
        let mut refused = plan.invalid.clone();
        let received = plan.resources.iter().map(|received| &received.name);
        refused.extend(received.filter(|name| own.contains_key(&key(name))).cloned());
        rejected.extend(refused.iter().map(key));
        reasons.extend(reconciled.rejected);
        self.writes += reconciled.changes.len();
        apply(store, reconciled.changes);
        let opened = link.opened;
        if link.took(&sent, &refused, reasons) {
            zone.settle_doubt(Direction::Down, kind, opened);
        }
    }

    pub(super) fn global_takes(&mut self, index: usize, connection: i64, kind: &'static str) {
        let now = self.tick();
        let zone = &mut self.zones[index];
        let Zone { name, peer, connections, .. } = zone;
        let Some(link) = connections.iter_mut().find(|one| one.id == connection).map(|one| &mut one.up) else {
            return;
        };
        let Some((incoming, sent)) = link.take_response(kind, now) else { return };
        let mut plan = link.receiver.on_response(incoming).unwrap();
        let prefix = if peer.hashes() { String::new() } else { format!("{name}.") };
        for received in &mut plan.resources {
            received_by_global(received, name, !peer.hashes());
        }
        for removed in &mut plan.removed {
            removed.name = format!("{prefix}{}", removed.name);
        }
        let mut reasons = validate(&mut plan);
        let owner = Key::global(Kind::ZONE, name.as_str());
        let local = of_kind(&self.global, plan.kind);
        let reconciled = reconcile(plan.kind, &local, &plan, Side::Global { zone: name }, at(now), Some(&owner));
        assert_eq!(reconciled.dropped, 0, "global writes the zone on everything");
        assert_eq!(reconciled.rejected, [""; 0], "no two zones make the same name");
        deletes_only_what_is_gone(&reconciled.changes, &sent, link, &prefix, false);
        reasons.extend(reconciled.rejected);
        self.writes += reconciled.changes.len();
        apply(&mut self.global, reconciled.changes);
        let as_sent = |name: &WireName| WireName { name: name.name[prefix.len()..].to_owned(), ..name.clone() };
        let refused: Vec<_> = plan.invalid.iter().map(as_sent).collect();
        let opened = link.opened;
        if link.took(&sent, &refused, reasons) {
            zone.settle_doubt(Direction::Up, kind, opened);
        }
    }
}

fn at(now: i64) -> Timestamp {
    Timestamp::from_second(now).unwrap()
}

fn of_kind(store: &Store, kind: Kind) -> Vec<Arc<model::Resource>> {
    store.values().filter(|resource| resource.key.kind == kind).cloned().collect()
}

/// Takes out what a validator refuses: specs that say `bad`. Returns why.
fn validate(plan: &mut sync::Plan) -> Vec<String> {
    let bad = |received: &Received| is_bad(&received.spec);
    plan.invalid =
        plan.resources.iter().filter(|received| bad(received)).map(|received| received.name.clone()).collect();
    plan.resources.retain(|received| !bad(received));
    plan.invalid.iter().map(|_| "spec: bad".to_owned()).collect()
}

pub(super) fn is_bad(spec: &[u8]) -> bool {
    spec.windows(3).any(|window| window == b"bad")
}

/// What the provider had, and the consumer may see, when the response was made, is not what the response deletes. But for
/// a bad one that had to be left out of a first response.
fn deletes_only_what_is_gone(changes: &[Change], sent: &OnTheWay, link: &Link, prefix: &str, bad_may_go: bool) {
    for change in changes {
        let Change::Delete(key) = change else { continue };
        let Some(name) = key.name.strip_prefix(prefix) else { continue };
        let name = WireName { mesh: key.mesh.clone(), name: name.to_owned() };
        let bad_may_go = bad_may_go && key.kind != Kind::MESH;
        let entry = sent.snapshot.entries().get(&name).filter(|entry| !(bad_may_go && is_bad(&entry.payload)));
        let lives = entry.is_some_and(|entry| link.sees(entry));
        assert!(!lives, "{key} was deleted, and lives");
    }
}

/// A store that is strict: reconciling must know what is there.
fn apply(store: &mut Store, changes: Vec<Change>) {
    for change in changes {
        match change {
            Change::Create(resource) => assert_eq!(store.insert(resource.key.clone(), Arc::new(resource)), None),
            Change::Update(resource) => assert!(store.insert(resource.key.clone(), Arc::new(resource)).is_some()),
            Change::Delete(key) => assert!(store.remove(&key).is_some()),
        }
    }
}

/// Whether a resource says that this zone made it.
pub(super) fn is_of_zone(resource: &model::Resource, zone: &str) -> bool {
    let label = |key: &str| resource.labels.get(key).map(String::as_str);
    label(labels::ORIGIN) == Some(labels::ORIGIN_ZONE) && label(labels::ZONE) == Some(zone)
}
