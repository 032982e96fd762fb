//! What must hold when it is quiet: every zone has what its filter says, global has every zone's own, and nobody's own
//! was touched. What is allowed to be missing, and why, is said here and nowhere else.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bytes::Bytes;
use model::{Key, Kind, Labels, Resource, labels};
use sync::{Entry, Features, Passage, WireName, from_zone, to_global};

use super::{
    Direction, World,
    consume::{is_bad, is_of_zone},
    kinds, leaves_global,
    link::{ENVELOPE, Link, Provider},
    zone::{Connection, Zone},
};

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Strictness {
    /// What was rejected comes again with its next change only (contract: kds 4.5).
    ButForRejected,
    All,
}

/// What matters of a resource: labels, spec and, where it travels, status.
type Content = (Labels, Bytes, Option<Bytes>);

pub(super) fn check(world: &World, strictness: Strictness) {
    for zone in &world.zones {
        for (key, resource) in &zone.own {
            assert_eq!(zone.store.get(key), Some(resource), "{}'s own {key} was touched", zone.name);
        }
        let also = |key: &Key| strictness == Strictness::ButForRejected && zone.rejected.contains(key);
        // A zone keeps a status of its own.
        let without_status = |all: BTreeMap<Key, Content>| -> BTreeMap<Key, Content> {
            all.into_iter().map(|(key, (labels, spec, _))| (key, (labels, spec, None))).collect()
        };
        let found = without_status(in_zone(zone));
        for (key, (labels, _, _)) in &found {
            let own = labels.get(labels::ZONE) == Some(&zone.name);
            assert!(!own, "{} got back its own {key}", zone.name);
            assert_ne!(key.name, "admin-user-token", "a secret of the control plane reached {}", zone.name);
        }
        compare(world, zone, Direction::Down, without_status(expected_in_zone(world, zone)), found, also);

        let of_zone = world.global.iter().filter(|(_, one)| is_of_zone(one, &zone.name));
        let found = of_zone.map(|(key, one)| (key.clone(), content(one))).collect();
        compare(world, zone, Direction::Up, expected_of_zone(zone), found, |_| false);

        for (direction, link) in zone.live().flat_map(Connection::links) {
            sizes_are_said(world, zone, direction, link);
        }
    }
}

/// What does not fit was said, and what fits was not, or was said to fit again.
fn sizes_are_said(world: &World, zone: &Zone, direction: Direction, link: &Link) {
    for (kind, lane) in link.lanes().filter(|(_, lane)| lane.dropped.is_none()) {
        let sizes = || visible(world, zone, direction, Kind::by_name(kind).unwrap()).map(|entry| entry.payload.len());
        let is_too_large = match &link.provider {
            Provider::Real(_) => false,
            Provider::Ours { .. } if lane.complete || link.takes_parts() => sizes().any(|size| too_large(world, size)),
            Provider::Ours { .. } => too_large(world, sizes().sum()),
        };
        assert_eq!(link.too_large.contains(kind), is_too_large, "what was said of {kind} {direction:?} {}", zone.name);
    }
}

fn too_large(world: &World, bytes: usize) -> bool {
    bytes.saturating_add(ENVELOPE) > world.setup.limit
}

fn compare(
    world: &World,
    zone: &Zone,
    direction: Direction,
    mut expected: BTreeMap<Key, Content>,
    mut found: BTreeMap<Key, Content>,
    also: impl Fn(&Key) -> bool,
) {
    for kind in kinds().filter(|kind| direction.carries(*kind)) {
        let of_kind = |key: &Key| key.kind == kind;
        let bad = expected.iter().filter(|(key, content)| of_kind(key) && is_bad(&content.1)).count();
        let several_bad = bad > 1
            || (bad == 1 && kind == Kind::MESH)
            || (bad == 1 && expected.keys().filter(|key| of_kind(key)).count() == 1);
        match exactness(world, zone, direction, kind, several_bad) {
            Exactness::Exact => {}
            Exactness::NothingMissing => found.retain(|key, _| !of_kind(key) || expected.contains_key(key)),
            Exactness::Unknown => {
                expected.retain(|key, _| !of_kind(key));
                found.retain(|key, _| !of_kind(key));
            }
        }
    }
    // What is not valid, or too large, is not there, or is there as it was before.
    let too_large = never_fits(world, zone, direction);
    let gets_by = |key: &Key, content: &Content| is_bad(&content.1) || also(key) || too_large.contains(key);
    let forget: Vec<Key> =
        expected.iter().filter(|(key, content)| gets_by(key, content)).map(|(key, _)| key.clone()).collect();
    for key in forget {
        expected.remove(&key);
        found.remove(&key);
    }
    assert_eq!(found, expected, "what {} has {direction:?}", zone.name);
}

/// How much may be said of a kind.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Exactness {
    Unknown,
    /// Some of it does not fit: until it does, nothing is deleted by silence.
    NothingMissing,
    Exact,
}

fn exactness(world: &World, zone: &Zone, direction: Direction, kind: Kind, several_bad: bool) -> Exactness {
    let sizes: Vec<usize> = visible(world, zone, direction, kind).map(|entry| entry.payload.len()).collect();
    let any_too_large = sizes.iter().any(|size| too_large(world, *size));
    let all_too_large = too_large(world, sizes.iter().sum());
    let mut best = None;
    for link in zone.live_links(direction) {
        let lane = link.lane(kind.name);
        let exactness = match &link.provider {
            _ if lane.complete => Exactness::Exact,
            // It has nothing at all, and says nothing.
            Provider::Real(engine) if engine.node().is_empty() => Exactness::Unknown,
            Provider::Ours { .. } if link.takes_parts() && any_too_large => Exactness::NothingMissing,
            Provider::Ours { .. } if !link.takes_parts() && all_too_large => Exactness::Unknown,
            // One bad resource is found, and keeps nothing back.
            _ if lane.dropped.is_some() && several_bad => Exactness::Unknown,
            _ => panic!("{} waits for a first response of {kind:?} {direction:?}", zone.name),
        };
        best = best.max(Some(exactness));
    }
    let unknown = zone.doubts.contains_key(&(direction, kind.name));
    if unknown { Exactness::Unknown } else { best.unwrap_or(Exactness::Unknown) }
}

/// What a zone may see of a kind, or global of a zone.
fn visible<'a>(
    world: &'a World,
    zone: &'a Zone,
    direction: Direction,
    kind: Kind,
) -> impl Iterator<Item = &'a Arc<Entry>> {
    let feed = if direction == Direction::Down { world.feed_for(zone) } else { &zone.feed };
    let link = zone.live_links(direction).next();
    let entries = feed.snapshots()[kind.name].entries().values();
    entries.filter(move |entry| link.is_some_and(|link| link.sees(entry)))
}

/// What fits into no message.
fn never_fits(world: &World, zone: &Zone, direction: Direction) -> BTreeSet<Key> {
    let limited = zone.live_links(direction).all(|link| matches!(link.provider, Provider::Ours { .. }));
    let mut keys = BTreeSet::new();
    for kind in kinds().filter(|kind| limited && direction.carries(*kind)) {
        let large = visible(world, zone, direction, kind).filter(|one| too_large(world, one.payload.len()));
        keys.extend(large.map(|entry| key_of(kind, &entry.name)));
    }
    keys
}

fn key_of(kind: Kind, name: &WireName) -> Key {
    Key { kind, mesh: name.mesh.clone(), name: name.name.clone() }
}

fn content(resource: &Resource) -> Content {
    (resource.labels.clone(), resource.spec.clone(), resource.status.clone())
}

/// What a zone has of others.
fn in_zone(zone: &Zone) -> BTreeMap<Key, Content> {
    let foreign = zone.store.iter().filter(|(key, _)| !zone.own.contains_key(key));
    foreign.map(|(key, one)| (key.clone(), content(one))).collect()
}

fn expected_in_zone(world: &World, zone: &Zone) -> BTreeMap<Key, Content> {
    let (features, hashed): (Features, bool) = (zone.peer.features(), zone.peer.hashes());
    let mut expected = BTreeMap::new();
    for resource in world.global.values() {
        let Some(outgoing) = leaves_global(&world.disabled, resource, hashed) else { continue };
        let key = key_of(resource.key.kind, &outgoing.name);
        // Two resources may want one name: the last one has it, also if the zone does not see it.
        let visible = features.contains(outgoing.needs) && outgoing.origin_zone.as_ref() != Some(&zone.name);
        if visible
            && !zone.own.contains_key(&key)
            && (is_bad(&outgoing.spec) || zone.peer.keeps(key.kind.name, &outgoing.name))
        {
            expected.insert(key, (outgoing.labels, outgoing.spec, None));
        } else {
            expected.remove(&key);
        }
    }
    expected
}

fn expected_of_zone(zone: &Zone) -> BTreeMap<Key, Content> {
    let own = zone.own.values().filter(|resource| from_zone(resource) == Passage::Pass);
    own.map(|resource| {
        let outgoing = to_global(resource, &zone.name, &[]);
        let prefix = if zone.peer.hashes() { String::new() } else { format!("{}.", zone.name) };
        let name = WireName { name: format!("{prefix}{}", outgoing.name.name), ..outgoing.name };
        (key_of(resource.key.kind, &name), (outgoing.labels, outgoing.spec, outgoing.status))
    })
    .collect()
}
