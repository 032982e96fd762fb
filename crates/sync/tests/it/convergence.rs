//! Whatever is lost, reordered, restarted, rejected or written at the same time: when it gets quiet, every zone has what
//! its filter says, global has every zone's own, and one more sync says nothing.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use model::{Key, Kind, Labels, Resource, Scope, labels};
use proptest::{
    collection::vec,
    prelude::*,
    test_runner::{Config, RngSeed, TestRunner},
};
use sync::{Audience, DeltaRequest, Entry, Features, Passage, Sender, Snapshot, WireName, from_zone, to_global};

use crate::network::{Store, World, is_bad, is_of_zone, kinds};

/// The seed of a normal run; another one by the environment.
const SEED: u64 = 20_261_124;
const RUNS: u32 = 256;

fn runner() -> TestRunner {
    let given = |name: &str| std::env::var_os(name).and_then(|value| value.to_str()?.parse().ok());
    let seed = given("ARCTOS_SEED").unwrap_or(SEED);
    let cases = given("ARCTOS_RUNS").map_or(RUNS, |runs| u32::try_from(runs).unwrap_or(u32::MAX));
    eprintln!("ARCTOS_SEED={seed} ARCTOS_RUNS={cases}");
    TestRunner::new(Config { cases, rng_seed: RngSeed::Fixed(seed), failure_persistence: None, ..Config::default() })
}

/// One thing that happens.
#[derive(Clone, Copy, Debug)]
enum Step {
    GlobalPut { kind: usize, name: usize, content: u8 },
    GlobalDelete { kind: usize, name: usize },
    ZonePut { zone: usize, kind: usize, name: usize, content: u8 },
    ZoneDelete { zone: usize, kind: usize, name: usize },
    Pump,
    Deliver(usize),
    DeliverMany(usize),
    Connect { zone: usize, with_versions: bool },
    Drop(usize),
    AskAgain { zone: usize, down: bool, kind: usize },
    RestartZone { zone: usize, wiped: bool },
    RestartGlobal { wiped: bool },
    Enable { zone: usize, enabled: bool },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let (kind, name, zone) = (0..8_usize, 0..4_usize, 0..3_usize);
    let content = 0..12_u8;
    let one = prop_oneof![
        8 => (kind.clone(), name.clone(), content.clone()).prop_map(|(kind, name, content)| Step::GlobalPut { kind, name, content }),
        3 => (kind.clone(), name.clone()).prop_map(|(kind, name)| Step::GlobalDelete { kind, name }),
        8 => (zone.clone(), kind.clone(), name.clone(), content)
            .prop_map(|(zone, kind, name, content)| Step::ZonePut { zone, kind, name, content }),
        3 => (zone.clone(), kind.clone(), name).prop_map(|(zone, kind, name)| Step::ZoneDelete { zone, kind, name }),
        8 => Just(Step::Pump),
        12 => any::<usize>().prop_map(Step::Deliver),
        8 => (1..40_usize).prop_map(Step::DeliverMany),
        4 => (zone.clone(), any::<bool>()).prop_map(|(zone, with_versions)| Step::Connect { zone, with_versions }),
        1 => zone.clone().prop_map(Step::Drop),
        1 => (zone.clone(), any::<bool>(), kind).prop_map(|(zone, down, kind)| Step::AskAgain { zone, down, kind }),
        1 => (zone.clone(), prop::bool::weighted(0.3)).prop_map(|(zone, wiped)| Step::RestartZone { zone, wiped }),
        1 => prop::bool::weighted(0.3).prop_map(|wiped| Step::RestartGlobal { wiped }),
        1 => (zone, any::<bool>()).prop_map(|(zone, enabled)| Step::Enable { zone, enabled }),
    ];
    vec(one, 1..150)
}

#[test]
fn everything_converges() {
    runner()
        .run(&steps(), |steps| {
            let mut world = World::new();
            for step in steps {
                take(&mut world, step);
            }
            settle(&mut world);
            Ok(())
        })
        .unwrap();
}

fn take(world: &mut World, step: Step) {
    match step {
        Step::GlobalPut { kind, name, content } => {
            let kind = kind_of(kind);
            let resource = resource(world, kind, name, content);
            let taken = world.global.get(&resource.key).is_some_and(|here| here.labels.contains_key(labels::ZONE));
            if kind.flow.provided_by_global() && !taken {
                world.global.insert(resource.key.clone(), Arc::new(resource));
            }
        }
        Step::GlobalDelete { kind, name } => {
            let key = key(kind_of(kind), name);
            if world.global.get(&key).is_some_and(|here| !here.labels.contains_key(labels::ZONE)) {
                world.global.remove(&key);
            }
        }
        Step::ZonePut { zone, kind, name, content } => {
            let kind = kind_of(kind);
            let resource = resource(world, kind, name, content);
            let zone = &mut world.zones[zone];
            let foreign = zone.store.contains_key(&resource.key) && !zone.own.contains_key(&resource.key);
            if kind.flow.provided_by_zone() && !foreign {
                let resource = Arc::new(resource);
                zone.own.insert(resource.key.clone(), Arc::clone(&resource));
                zone.store.insert(resource.key.clone(), resource);
            }
        }
        Step::ZoneDelete { zone, kind, name } => {
            let zone = &mut world.zones[zone];
            let key = key(kind_of(kind), name);
            if zone.own.remove(&key).is_some() {
                zone.store.remove(&key);
            }
        }
        Step::Pump => {
            world.pump();
        }
        Step::Deliver(choice) => {
            let ways = world.on_the_way();
            if !ways.is_empty() {
                world.deliver(&ways[choice % ways.len()]);
            }
        }
        Step::DeliverMany(count) => {
            for way in world.on_the_way().iter().rev().take(count) {
                world.deliver(way);
            }
        }
        Step::Connect { zone, with_versions } => world.connect(zone, with_versions),
        Step::Drop(zone) => world.drop_connection(zone),
        Step::AskAgain { zone, down, kind } => world.ask_again(zone, down, kind_of(kind)),
        Step::RestartZone { zone, wiped } => world.restart_zone(zone, wiped),
        Step::RestartGlobal { wiped } => world.restart_global(wiped),
        Step::Enable { zone, enabled } => {
            let name = world.zones[zone].name.clone();
            if enabled {
                world.disabled.remove(&name)
            } else {
                world.disabled.insert(name)
            };
        }
    }
}

fn kind_of(index: usize) -> Kind {
    kinds().nth(index).unwrap()
}

/// Few names, so that they meet; among them the ones that have a meaning, and traps.
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

/// The content of a write: what people write, and what receivers refuse or filters stop.
fn resource(world: &mut World, kind: Kind, name: usize, content: u8) -> Resource {
    let now = world.tick();
    let label = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let mut pairs = Labels::new();
    let mut spec = format!(r#"{{"value":{}}}"#, content % 3);
    match content {
        0..=3 => {}
        4 => pairs.extend([label("team", "x")]),
        5 | 6 => spec = r#"{"value":"bad"}"#.to_owned(),
        7 => pairs.extend([label(labels::KDS_SYNC, "disabled")]),
        8 => pairs.extend([label(labels::DISPLAY_NAME, "shown")]),
        9 => spec = r#"{"selector":{"meshMultiZoneService":{}}}"#.to_owned(),
        _ => {
            spec = r#"{"to":[{"targetRef":{"kind":"MeshService","labels":{"kuma.io/display-name":"a"}}}]}"#.to_owned();
            pairs.extend([label(labels::POLICY_ROLE, "producer"), label(labels::NAMESPACE, "ns")]);
        }
    }
    let status = kind.empty_status.map(|_| Bytes::from(format!(r#"{{"state":{content}}}"#)));
    Resource {
        key: key(kind, name),
        labels: pairs,
        spec: spec.into(),
        status,
        owner: None,
        created: now,
        modified: now,
    }
}

/// Lets everybody connect and finish, and checks what came of it; then syncs again, in each way there is.
fn settle(world: &mut World) {
    for zone in 0..world.zones.len() {
        world.connect(zone, false);
    }
    world.rest();
    check(world, Strictness::ButForRejected);

    // What was rejected once and would be accepted now comes with a new stream.
    reconnect(world, false);
    world.rest();
    check(world, Strictness::All);

    assert_eq!((world.pump(), world.on_the_way().len()), (0, 0), "an unchanged resync sends nothing");

    let writes = world.writes;
    reconnect(world, false);
    world.rest();
    assert_eq!(world.writes, writes, "the same state again writes nothing");

    (world.sent_down, world.rejected_down) = (0, 0);
    reconnect(world, true);
    world.rest();
    assert_eq!(world.sent_down, world.rejected_down, "with initial versions only what was rejected comes again");
    assert_eq!(world.writes, writes);
    check(world, Strictness::All);
}

fn reconnect(world: &mut World, with_versions: bool) {
    world.drop_all();
    for zone in 0..world.zones.len() {
        world.connect(zone, with_versions);
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Strictness {
    /// What was rejected comes again with its next change only (contract: kds 4.5).
    ButForRejected,
    All,
}

/// What matters of a resource: labels, spec and, where it travels, status.
type Content = (Labels, Bytes, Option<Bytes>);

fn check(world: &World, strictness: Strictness) {
    for (index, zone) in world.zones.iter().enumerate() {
        for (key, resource) in &zone.own {
            assert_eq!(zone.store.get(key), Some(resource), "{}'s own {key} was touched", zone.name);
        }
        let mut expected = expected_in_zone(world, index);
        let mut found: BTreeMap<Key, Content> = foreign(&zone.store, &zone.own);
        for (key, (labels, _, _)) in &found {
            let own = labels.get(labels::ZONE) == Some(&zone.name);
            assert!(!own, "{} got back its own {key}", zone.name);
            assert_ne!(key.name, "admin-user-token", "a secret of the control plane reached {}", zone.name);
        }
        forget_rejected(&mut expected, &mut found, |key| {
            strictness == Strictness::ButForRejected && zone.rejected.contains(key)
        });
        // A zone keeps a status of its own.
        let without_status = |all: BTreeMap<Key, Content>| -> BTreeMap<Key, (Labels, Bytes)> {
            all.into_iter().map(|(key, (labels, spec, _))| (key, (labels, spec))).collect()
        };
        assert_eq!(without_status(found), without_status(expected), "what {} has of others", zone.name);

        let mut expected = expected_of_zone(world, index);
        let mut found: BTreeMap<Key, Content> = world
            .global
            .iter()
            .filter(|(_, one)| is_of_zone(one, &zone.name))
            .map(|(key, one)| (key.clone(), content(one)))
            .collect();
        forget_rejected(&mut expected, &mut found, |_| false);
        assert_eq!(found, expected, "what global has of {}", zone.name);
    }
}

/// What is not valid is not there, or is there as it was when it was valid.
fn forget_rejected(
    expected: &mut BTreeMap<Key, Content>,
    found: &mut BTreeMap<Key, Content>,
    also: impl Fn(&Key) -> bool,
) {
    let forget: Vec<Key> =
        expected.iter().filter(|(key, content)| is_bad(&content.1) || also(key)).map(|(key, _)| key.clone()).collect();
    for key in forget {
        expected.remove(&key);
        found.remove(&key);
    }
}

fn content(resource: &Resource) -> Content {
    (resource.labels.clone(), resource.spec.clone(), resource.status.clone())
}

fn foreign(store: &Store, own: &Store) -> BTreeMap<Key, Content> {
    store.iter().filter(|(key, _)| !own.contains_key(key)).map(|(key, one)| (key.clone(), content(one))).collect()
}

fn expected_in_zone(world: &World, index: usize) -> BTreeMap<Key, Content> {
    let zone = &world.zones[index];
    let mut expected = BTreeMap::new();
    for resource in world.global.values() {
        let Some(outgoing) = world.leaves_global(resource, zone.hashes()) else { continue };
        let visible = zone.features.contains(outgoing.needs) && outgoing.origin_zone.as_ref() != Some(&zone.name);
        let key = Key { kind: resource.key.kind, mesh: outgoing.name.mesh, name: outgoing.name.name };
        if visible && !zone.own.contains_key(&key) {
            expected.insert(key, (outgoing.labels, outgoing.spec, None));
        }
    }
    expected
}

fn expected_of_zone(world: &World, index: usize) -> BTreeMap<Key, Content> {
    let zone = &world.zones[index];
    let own = zone.own.values().filter(|resource| from_zone(resource) == Passage::Pass);
    own.map(|resource| {
        let outgoing = to_global(resource, &zone.name, &[]);
        let prefix = if zone.hashes() { String::new() } else { format!("{}.", zone.name) };
        let key =
            Key { kind: resource.key.kind, mesh: outgoing.name.mesh, name: format!("{prefix}{}", outgoing.name.name) };
        (key, (outgoing.labels, outgoing.spec, outgoing.status))
    })
    .collect()
}

/// Large changes come in parts; whatever changes between the parts, the consumer ends up with the truth.
#[test]
fn parts_of_large_changes_converge() {
    let change = (vec((0..12_u8, 0..4_u8, 0..400_usize), 0..8), vec(0..12_u8, 0..4), 0..4_usize);
    runner()
        .run(&vec(change, 1..20), |changes| {
            let audience =
                Audience { zone: "west".to_owned(), features: Features::NONE, drops_rejected_batches: false };
            let mut sender = Sender::new(audience);
            let mut snapshot = Snapshot::empty("K");
            let mut has: BTreeMap<String, String> = BTreeMap::new();
            let first = DeltaRequest { kind: "K".to_owned(), ..DeltaRequest::default() };
            sender.on_request(first.clone()).unwrap();
            let mut listen = |sender: &mut Sender, times: usize| {
                for _ in 0..times {
                    let Some(response) = sender.next_within(700) else { return };
                    let bytes: usize = response.changed.iter().map(|entry| entry.payload.len()).sum();
                    assert!(bytes <= 700, "{bytes}");
                    has.extend(response.changed.iter().map(|entry| (entry.name.to_string(), entry.version.clone())));
                    for name in &response.removed {
                        assert!(has.remove(&name.to_string()).is_some(), "{name} was never sent");
                    }
                    sender.on_request(DeltaRequest { nonce: response.nonce, ..first.clone() }).unwrap();
                }
            };
            listen(&mut sender, 1);
            for (puts, deletes, times) in changes {
                let upserts = puts.iter().map(|(name, owner, size)| entry(*name, *owner, *size)).collect();
                let deletes: Vec<WireName> =
                    deletes.iter().map(|name| WireName::parse(&format!("e{name}.m"))).collect();
                snapshot = snapshot.with_changes(upserts, &deletes);
                sender.on_snapshot(Arc::new(snapshot.clone()));
                listen(&mut sender, times);
            }
            listen(&mut sender, 1000);
            let visible = snapshot.entries().values().filter(|entry| entry.origin_zone.is_none());
            let expected: BTreeMap<_, _> =
                visible.map(|entry| (entry.name.to_string(), entry.version.clone())).collect();
            prop_assert_eq!(has, expected);
            Ok(())
        })
        .unwrap();
}

/// One in four is the zone's own and not for it.
fn entry(name: u8, owner: u8, size: usize) -> Entry {
    Entry {
        name: WireName::parse(&format!("e{name}.m")),
        version: format!("{owner}/{size}"),
        payload: Bytes::from(vec![0; size]),
        origin_zone: (owner == 0).then(|| "west".to_owned()),
        needs: Features::NONE,
    }
}
