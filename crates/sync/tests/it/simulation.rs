//! A global and its zones on a network that loses connections and delivers kinds in any order. No time, no threads: a
//! run is the list of its steps.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use jiff::Timestamp;
use model::{Key, Kind, Resource, labels};
use sync::{
    Audience, Change, Features, Outgoing, Passage, Received, Receiver, Side, WireName, from_global, from_zone,
    received_by_global, reconcile, to_global, to_zone,
};

use crate::link::{Link, Snapshots};

/// The kinds of the simulation: each way of flowing, with and without hash, status and policy.
pub(crate) const KINDS: [&str; 8] = [
    "Mesh",
    "Secret",
    "GlobalSecret",
    "MeshTimeout",
    "MeshService",
    "Dataplane",
    "HostnameGenerator",
    "MeshMultiZoneService",
];

/// What a control plane keeps.
pub(crate) type Store = BTreeMap<Key, Arc<Resource>>;

pub(crate) fn kinds() -> impl Iterator<Item = Kind> {
    KINDS.into_iter().map(|name| Kind::by_name(name).unwrap())
}

/// Everything: the global, its zones, and what is between them.
pub(crate) struct World {
    pub(crate) global: Store,
    pub(crate) disabled: BTreeSet<String>,
    pub(crate) zones: Vec<Zone>,
    /// Snapshots for zones with and without the hash suffix.
    hashed: Snapshots,
    plain: Snapshots,
    now: i64,
    /// Writes that reconciling made, on either side.
    pub(crate) writes: usize,
    /// Resources and removals in responses to zones, and how many of them zones rejected.
    pub(crate) sent_down: usize,
    pub(crate) rejected_down: usize,
}

/// One zone.
pub(crate) struct Zone {
    pub(crate) name: String,
    pub(crate) features: Features,
    pub(crate) store: Store,
    /// What was written in the zone itself: the truth about its own.
    pub(crate) own: Store,
    /// Keys that were rejected at some time: they come back with a change or a new stream, not before.
    pub(crate) rejected: BTreeSet<Key>,
    /// The versions that what came from global has.
    versions: BTreeMap<&'static str, BTreeMap<String, String>>,
    snapshots: Snapshots,
    connection: Option<Connection>,
}

impl Zone {
    fn new(name: &str, features: Features) -> Self {
        Self {
            name: name.to_owned(),
            features,
            store: Store::new(),
            own: Store::new(),
            rejected: BTreeSet::new(),
            versions: BTreeMap::new(),
            snapshots: Snapshots::default(),
            connection: None,
        }
    }

    /// In the simulation header and metadata agree.
    pub(crate) fn hashes(&self) -> bool {
        self.features.contains(Features::HASH_SUFFIX)
    }
}

/// Both streams of a zone.
struct Connection {
    down: Link,
    up: Link,
}

/// One message on the way.
#[derive(Clone, Debug)]
pub(crate) struct Way {
    zone: usize,
    down: bool,
    request: bool,
    kind: String,
}

impl World {
    pub(crate) fn new() -> Self {
        let older = Features::HASH_SUFFIX | Features::ZONE_TOKEN;
        let plain = Features::PRODUCER_POLICY_FLOW | Features::HG_MZ_SELECTOR;
        Self {
            global: Store::new(),
            disabled: BTreeSet::new(),
            zones: vec![Zone::new("west", Features::ALL), Zone::new("east", older), Zone::new("north", plain)],
            hashed: Snapshots::default(),
            plain: Snapshots::default(),
            now: 0,
            writes: 0,
            sent_down: 0,
            rejected_down: 0,
        }
    }

    pub(crate) fn tick(&mut self) -> Timestamp {
        self.now += 1;
        Timestamp::from_second(self.now).unwrap()
    }

    /// Whether a resource may leave global, and as what.
    pub(crate) fn leaves_global(&self, resource: &Resource, hashed: bool) -> Option<Outgoing> {
        let mapped = to_zone(resource, hashed, &[]);
        match from_global(resource, &|zone| !self.disabled.contains(zone)) {
            Passage::Block => None,
            Passage::Pass => Some(mapped),
            Passage::PublicHalf => Some(Outgoing { spec: "public".into(), ..mapped }),
        }
    }

    /// Encodes what changed, at all ends.
    fn publish(&mut self) {
        for hashed in [true, false] {
            let mut outgoing: BTreeMap<&'static str, Vec<Outgoing>> = BTreeMap::new();
            for resource in self.global.values() {
                outgoing.entry(resource.key.kind.name).or_default().extend(self.leaves_global(resource, hashed));
            }
            if hashed { &mut self.hashed } else { &mut self.plain }.publish(&outgoing);
        }
        for zone in &mut self.zones {
            let mut outgoing: BTreeMap<&'static str, Vec<Outgoing>> = BTreeMap::new();
            for resource in zone.store.values().filter(|resource| from_zone(resource) == Passage::Pass) {
                outgoing.entry(resource.key.kind.name).or_default().push(to_global(resource, &zone.name, &[]));
            }
            zone.snapshots.publish(&outgoing);
        }
    }

    /// Opens the streams of a zone, if they are not open.
    pub(crate) fn connect(&mut self, index: usize, with_versions: bool) {
        let zone = &mut self.zones[index];
        if zone.connection.is_some() {
            return;
        }
        let snapshots = if zone.hashes() { &self.hashed } else { &self.plain };
        let mut consumer = Receiver::new(kinds().filter(|kind| kind.flow.global_to_zone()).collect());
        if with_versions {
            for (kind, versions) in &zone.versions {
                consumer = consumer.with_initial_versions(Kind::by_name(kind).unwrap(), versions.clone());
            }
        }
        let down = Link::new(
            Audience { zone: zone.name.clone(), features: zone.features, drops_rejected_batches: false },
            snapshots,
            consumer,
        );
        let global = Receiver::new(kinds().filter(|kind| kind.flow.zone_to_global()).collect());
        let up = Link::new(
            Audience { zone: String::new(), features: Features::ALL, drops_rejected_batches: false },
            &zone.snapshots,
            global,
        );
        zone.connection = Some(Connection { down, up });
    }

    /// Loses the connection and all that is on the way.
    pub(crate) fn drop_connection(&mut self, index: usize) {
        self.zones[index].connection = None;
    }

    pub(crate) fn drop_all(&mut self) {
        for zone in &mut self.zones {
            zone.connection = None;
        }
    }

    /// The zone's program ends and starts again, with its store or without.
    pub(crate) fn restart_zone(&mut self, index: usize, wiped: bool) {
        let zone = &mut self.zones[index];
        zone.connection = None;
        zone.snapshots = Snapshots::default();
        if wiped {
            *zone = Zone::new(&zone.name, zone.features);
        }
    }

    /// The global's program ends and starts again, with its store or without.
    pub(crate) fn restart_global(&mut self, wiped: bool) {
        self.drop_all();
        self.hashed = Snapshots::default();
        self.plain = Snapshots::default();
        if wiped {
            self.global.clear();
            self.disabled.clear();
        }
    }

    /// Lets every provider say what it has to say; returns how many resources and removals that is.
    pub(crate) fn pump(&mut self) -> usize {
        self.publish();
        let mut sent = 0;
        for zone in &mut self.zones {
            let snapshots = if zone.hashes() { &self.hashed } else { &self.plain };
            if let Some(connection) = &mut zone.connection {
                let down = connection.down.pump(snapshots);
                self.sent_down += down;
                sent += down + connection.up.pump(&zone.snapshots);
            }
        }
        sent
    }

    pub(crate) fn ask_again(&mut self, index: usize, down: bool, kind: Kind) {
        let flows = if down { kind.flow.global_to_zone() } else { kind.flow.zone_to_global() };
        if let Some(connection) = self.zones[index].connection.as_mut().filter(|_| flows) {
            if down { &mut connection.down } else { &mut connection.up }.ask_again(kind.name);
        }
    }

    /// All messages that could arrive next.
    pub(crate) fn on_the_way(&self) -> Vec<Way> {
        let mut ways = Vec::new();
        for (zone, state) in self.zones.iter().enumerate() {
            for (down, link) in state.connection.iter().flat_map(|both| [(true, &both.down), (false, &both.up)]) {
                let mut add = |request: bool, kind: &String| ways.push(Way { zone, down, request, kind: kind.clone() });
                link.requests.iter().filter(|(_, queue)| !queue.is_empty()).for_each(|(kind, _)| add(true, kind));
                link.responses.iter().filter(|(_, queue)| !queue.is_empty()).for_each(|(kind, _)| add(false, kind));
            }
        }
        ways
    }

    pub(crate) fn deliver(&mut self, way: &Way) {
        let Some(connection) = &mut self.zones[way.zone].connection else { return };
        match (way.request, way.down) {
            (true, true) => connection.down.deliver_request(&way.kind),
            (true, false) => connection.up.deliver_request(&way.kind),
            (false, true) => self.zone_takes(way.zone, &way.kind),
            (false, false) => self.global_takes(way.zone, &way.kind),
        }
    }

    fn zone_takes(&mut self, index: usize, kind: &str) {
        let now = self.tick();
        let zone = &mut self.zones[index];
        let connection = zone.connection.as_mut().unwrap();
        let Some((incoming, sent_versions)) = connection.down.take_response(kind) else { return };
        let nonce = incoming.nonce.clone();
        let mut plan = connection.down.receiver.on_response(incoming).unwrap();
        let mut rejected = validate(&mut plan);
        let local: Vec<_> = zone.store.values().filter(|resource| resource.key.kind == plan.kind).cloned().collect();
        let reconciled = reconcile(plan.kind, &local, &plan, Side::Zone, now, None);
        assert_eq!(reconciled.dropped, 0, "global marks everything as its own");
        self.writes += reconciled.changes.len();
        apply(&mut zone.store, reconciled.changes);

        let key = |name: &WireName| Key { kind: plan.kind, mesh: name.mesh.clone(), name: name.name.clone() };
        let versions = zone.versions.entry(plan.kind.name).or_default();
        if plan.initial {
            versions.clear();
        }
        for name in &plan.removed {
            versions.remove(&name.to_string());
        }
        let in_force =
            |name: &WireName| plan.resources.iter().any(|one| one.name == *name) && !zone.own.contains_key(&key(name));
        for (name, version) in sent_versions {
            if in_force(&name) {
                versions.insert(name.to_string(), version);
            } else {
                zone.rejected.insert(key(&name));
            }
        }
        rejected.extend(reconciled.rejected);
        self.rejected_down += rejected.len();
        connection.down.answer(kind, &nonce, rejected);
    }

    fn global_takes(&mut self, index: usize, kind: &str) {
        let now = self.tick();
        let zone = &mut self.zones[index];
        let (name, prefix) = (zone.name.clone(), !zone.hashes());
        let connection = zone.connection.as_mut().unwrap();
        let Some((incoming, _)) = connection.up.take_response(kind) else { return };
        let nonce = incoming.nonce.clone();
        let mut plan = connection.up.receiver.on_response(incoming).unwrap();
        for received in &mut plan.resources {
            received_by_global(received, &name, prefix);
        }
        for removed in plan.removed.iter_mut().filter(|_| prefix) {
            removed.name = format!("{name}.{}", removed.name);
        }
        let mut rejected = validate(&mut plan);
        let local: Vec<_> = self.global.values().filter(|resource| resource.key.kind == plan.kind).cloned().collect();
        let owner = Key::global(Kind::ZONE, &name);
        let reconciled = reconcile(plan.kind, &local, &plan, Side::Global { zone: &name }, now, Some(&owner));
        assert_eq!(reconciled.dropped, 0, "global writes the zone on everything");
        rejected.extend(reconciled.rejected);
        self.writes += reconciled.changes.len();
        apply(&mut self.global, reconciled.changes);
        connection.up.answer(kind, &nonce, rejected);
    }

    /// Delivers everything until nobody has anything to say.
    pub(crate) fn rest(&mut self) {
        for _ in 0..10_000 {
            self.pump();
            let ways = self.on_the_way();
            if ways.is_empty() {
                return;
            }
            for way in &ways {
                self.deliver(way);
            }
        }
        panic!("the network does not come to rest");
    }
}

/// Takes out what a validator refuses: specs that say `bad`.
fn validate(plan: &mut sync::Plan) -> Vec<String> {
    let bad = |received: &Received| is_bad(&received.spec);
    plan.invalid =
        plan.resources.iter().filter(|received| bad(received)).map(|received| received.name.clone()).collect();
    plan.resources.retain(|received| !bad(received));
    plan.invalid.iter().map(|_| "spec: bad".to_owned()).collect()
}

pub(crate) fn is_bad(spec: &[u8]) -> bool {
    spec.windows(3).any(|window| window == b"bad")
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
pub(crate) fn is_of_zone(resource: &Resource, zone: &str) -> bool {
    let label = |key: &str| resource.labels.get(key).map(String::as_str);
    label(labels::ORIGIN) == Some(labels::ORIGIN_ZONE) && label(labels::ZONE) == Some(zone)
}
