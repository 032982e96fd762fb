//! A global and its zones on a network that loses connections and delivers kinds in any order. No time, no threads: a
//! run is the list of its steps.
//!
//! ```text
//! step ──► World ─┬─ global: Store, Feed (with hashes, and without)
//!                 └─ Zone: Store, Feed ── Connection ─┬─ down: Link ─┬─ Provider (our Sender, or the engine of real ones)
//!                                     (several a zone)└─ up: Link    └─ Receiver
//! ```

mod check;
mod connect;
mod consume;
mod engine;
mod feed;
mod link;
mod quiet;
mod step;
mod write;
mod zone;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, LazyLock},
};

use model::{Key, Kind, Resource};
use sync::{Outgoing, Passage, from_global, from_zone, to_global, to_zone};

use self::{
    feed::Feed,
    zone::{Peer, Zone},
};
pub(crate) use self::{
    quiet::settle,
    step::{setup, steps, take},
};

/// The kinds of the simulation: each way of flowing, with and without hash, status and policy.
static KINDS: LazyLock<[Kind; 8]> = LazyLock::new(|| {
    [
        "Mesh",
        "Secret",
        "GlobalSecret",
        "MeshTimeout",
        "MeshService",
        "Dataplane",
        "HostnameGenerator",
        "MeshMultiZoneService",
    ]
    .map(|name| Kind::by_name(name).unwrap())
});

/// What a control plane keeps.
type Store = BTreeMap<Key, Arc<Resource>>;

fn kinds() -> impl Iterator<Item = Kind> {
    KINDS.iter().copied()
}

/// Which way a stream carries resources.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Direction {
    /// From global to a zone.
    Down,
    /// From a zone to global.
    Up,
}

impl Direction {
    fn carries(self, kind: Kind) -> bool {
        match self {
            Self::Down => kind.flow.global_to_zone(),
            Self::Up => kind.flow.zone_to_global(),
        }
    }
}

/// Whose global it is. A real one serves zones of ours, ours serves old zones too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Global {
    Ours,
    Real,
}

/// What stays the same during a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup {
    global: Global,
    /// The largest message that providers of ours may send.
    limit: usize,
}

/// Everything: the global, its zones, and what is between them.
pub(crate) struct World {
    setup: Setup,
    global: Store,
    disabled: BTreeSet<String>,
    zones: Vec<Zone>,
    /// What global provides for zones with and without the hash suffix.
    hashed: Feed,
    plain: Feed,
    now: i64,
    /// Writes that reconciling made, on either side.
    writes: usize,
}

/// One message on the way.
#[derive(Clone, Copy, Debug)]
struct Way {
    zone: usize,
    connection: i64,
    direction: Direction,
    request: bool,
    kind: &'static str,
}

/// Consumers ask, providers respond.
fn is_for_zone(request: bool, direction: Direction) -> bool {
    request == (direction == Direction::Up)
}

impl World {
    pub(crate) fn new(setup: Setup) -> Self {
        let peers: &[(&str, Peer)] = match setup.global {
            Global::Ours => {
                &[("west", Peer::Ours), ("east", Peer::Older), ("north", Peer::Unhashed), ("south", Peer::Before2_9_4)]
            }
            Global::Real => &[("west", Peer::Ours), ("east", Peer::Ours), ("north", Peer::Ours)],
        };
        Self {
            setup,
            global: Store::new(),
            disabled: BTreeSet::new(),
            zones: peers.iter().map(|(name, peer)| Zone::new(name, *peer)).collect(),
            hashed: Feed::default(),
            plain: Feed::default(),
            now: 0,
            writes: 0,
        }
    }

    fn tick(&mut self) -> i64 {
        self.now += 1;
        self.now
    }

    /// What global provides for a zone.
    fn feed_for(&self, zone: &Zone) -> &Feed {
        if zone.peer.hashes() { &self.hashed } else { &self.plain }
    }

    /// Encodes what changed, at all ends.
    fn publish(&mut self) {
        let Self { global, disabled, zones, hashed, plain, .. } = self;
        hashed.publish(global, |resource| leaves_global(disabled, resource, true));
        plain.publish(global, |resource| leaves_global(disabled, resource, false));
        for zone in zones {
            let Zone { name, store, feed, .. } = zone;
            let passes = |resource: &Resource| from_zone(resource) == Passage::Pass;
            feed.publish(store, |resource| passes(resource).then(|| to_global(resource, name, &[])));
        }
    }

    fn set_enabled(&mut self, zone: usize, enabled: bool) {
        let name = self.zones[zone].name.clone();
        if enabled {
            self.disabled.remove(&name)
        } else {
            self.disabled.insert(name)
        };
        self.hashed.forget();
        self.plain.forget();
    }

    /// Lets every provider say what it has to say; returns how many responses that is.
    fn pump(&mut self) -> usize {
        self.publish();
        let Self { zones, hashed, plain, .. } = self;
        let mut responses = 0;
        for zone in zones {
            let feed = if zone.peer.hashes() { &*hashed } else { &*plain };
            for connection in &mut zone.connections {
                responses += connection.down.pump(feed);
                if !connection.half_dead {
                    responses += connection.up.pump(&zone.feed);
                }
            }
        }
        responses
    }

    /// All messages that could arrive next. Nothing reaches the zone's end of a connection that has none any more, and
    /// nobody reads a kind that is slow.
    fn on_the_way(&self) -> Vec<Way> {
        let mut ways = Vec::new();
        for (index, zone) in self.zones.iter().enumerate() {
            for connection in &zone.connections {
                for (direction, link) in connection.links() {
                    for request in [true, false] {
                        if connection.half_dead && is_for_zone(request, direction) {
                            continue;
                        }
                        let kinds = link.on_the_way(request).filter(|kind| !zone.slow.contains(&(direction, *kind)));
                        let connection = connection.id;
                        ways.extend(kinds.map(|kind| Way { zone: index, connection, direction, request, kind }));
                    }
                }
            }
        }
        ways
    }

    fn deliver(&mut self, way: &Way) {
        let zone = &mut self.zones[way.zone];
        let Some(connection) = zone.connections.iter_mut().find(|one| one.id == way.connection) else { return };
        if connection.half_dead && is_for_zone(way.request, way.direction) {
            return;
        }
        match (way.request, way.direction) {
            (true, Direction::Down) => connection.down.deliver_request(way.kind),
            (true, Direction::Up) => connection.up.deliver_request(way.kind),
            (false, Direction::Down) => self.zone_takes(way.zone, way.connection, way.kind),
            (false, Direction::Up) => self.global_takes(way.zone, way.connection, way.kind),
        }
    }

    /// Delivers everything until nobody has anything to say.
    fn rest(&mut self) {
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

/// Whether a resource may leave global, and as what.
fn leaves_global(disabled: &BTreeSet<String>, resource: &Resource, hashed: bool) -> Option<Outgoing> {
    match from_global(resource, &|zone| !disabled.contains(zone)) {
        Passage::Block => None,
        Passage::Pass => Some(to_zone(resource, hashed, &[])),
        Passage::PublicHalf => Some(Outgoing { spec: "public".into(), ..to_zone(resource, hashed, &[]) }),
    }
}
