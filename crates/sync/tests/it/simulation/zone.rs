//! A zone: what it is, what it has, and its connections.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

use model::Key;
use sync::{Features, WireName};

use super::{Direction, Store, engine::Node, feed::Feed, link::Link};

/// Whose zone it is (contract: kds 11.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    /// Ours, at present.
    Ours,
    /// A real one that lacks some features.
    Older,
    /// A real one whose names have no hash.
    Unhashed,
    /// A real one that drops a batch whole when it rejects one resource of it, and that keeps of the GlobalSecrets only
    /// what it verifies with.
    Before2_9_4,
}

impl Peer {
    pub(crate) fn features(self) -> Features {
        match self {
            Self::Ours => Features::ALL | Features::OURS | Features::NEWEST,
            Self::Older => Features::HASH_SUFFIX | Features::ZONE_TOKEN,
            Self::Unhashed => Features::PRODUCER_POLICY_FLOW | Features::HG_MZ_SELECTOR | Features::SINCE_2_10,
            Self::Before2_9_4 => Features::ALL | Features::of_version("2.9.3"),
        }
    }

    /// In the simulation header and metadata agree.
    pub(crate) fn hashes(self) -> bool {
        self.features().contains(Features::HASH_SUFFIX)
    }

    pub(crate) fn drops_rejected_batches(self) -> bool {
        self == Self::Before2_9_4
    }

    /// Whether it stores a resource that it received and found valid.
    pub(crate) fn keeps(self, kind: &str, name: &WireName) -> bool {
        self != Self::Before2_9_4 || kind != "GlobalSecret" || name.name.starts_with("zone-token-signing-public-key")
    }

    /// Whether it finds a form of a policy invalid because it does not know it.
    pub(crate) fn knows_rules(self) -> bool {
        self.features().contains(Features::SINCE_2_10)
    }

    /// Whether people may make resources of a kind in it.
    pub(crate) fn makes(self, kind: &str) -> bool {
        self != Self::Before2_9_4 || !matches!(kind, "Secret" | "GlobalSecret")
    }
}

/// One zone.
pub(crate) struct Zone {
    pub(crate) name: String,
    pub(crate) peer: Peer,
    pub(crate) store: Store,
    /// What was written in the zone itself: the truth about its own.
    pub(crate) own: Store,
    /// Keys that were rejected at some time: they come back with a change or a new stream, not before.
    pub(crate) rejected: BTreeSet<Key>,
    /// Kinds that nobody reads at the moment.
    pub(crate) slow: BTreeSet<(Direction, &'static str)>,
    /// Kinds of which a stream said something while another one was open, before it ended, and when it did. The other one
    /// does not know what was said, and cannot put it right; a stream that is opened later can.
    pub(crate) doubts: BTreeMap<(Direction, &'static str), i64>,
    pub(crate) feed: Feed,
    /// What a real global keeps of it.
    pub(crate) node: Rc<RefCell<Node>>,
    /// The oldest one first.
    pub(crate) connections: Vec<Connection>,
}

impl Zone {
    pub(crate) fn new(name: &str, peer: Peer) -> Self {
        Self {
            name: name.to_owned(),
            peer,
            store: Store::new(),
            own: Store::new(),
            rejected: BTreeSet::new(),
            slow: BTreeSet::new(),
            doubts: BTreeMap::new(),
            feed: Feed::default(),
            node: Rc::default(),
            connections: Vec::new(),
        }
    }

    /// The connections that both ends hold.
    pub(crate) fn live(&self) -> impl Iterator<Item = &Connection> {
        self.connections.iter().filter(|connection| !connection.half_dead)
    }

    /// The streams of these in one direction.
    pub(crate) fn live_links(&self, direction: Direction) -> impl Iterator<Item = &Link> {
        self.live().map(move |connection| connection.link(direction))
    }

    /// Whether a first response that comes in parts has not ended.
    pub(crate) fn waits_for_parts(&self) -> bool {
        let links = self.live().flat_map(Connection::links);
        links.map(|(_, link)| link).any(|link| link.takes_parts() && link.lanes().any(|(_, lane)| !lane.complete))
    }

    /// A stream took a whole first response: it knows what is here.
    pub(crate) fn settle_doubt(&mut self, direction: Direction, kind: &'static str, opened: i64) {
        self.doubts.retain(|doubt, since| *doubt != (direction, kind) || *since > opened);
    }
}

/// Both streams of a zone.
pub(crate) struct Connection {
    pub(crate) id: i64,
    pub(crate) down: Link,
    pub(crate) up: Link,
    /// The zone's end is gone, and global does not know: what it sends is lost, what it was sent still arrives.
    pub(crate) half_dead: bool,
}

impl Connection {
    pub(crate) fn link(&self, direction: Direction) -> &Link {
        match direction {
            Direction::Down => &self.down,
            Direction::Up => &self.up,
        }
    }

    pub(crate) fn link_mut(&mut self, direction: Direction) -> &mut Link {
        match direction {
            Direction::Down => &mut self.down,
            Direction::Up => &mut self.up,
        }
    }

    pub(crate) fn links(&self) -> [(Direction, &Link); 2] {
        [(Direction::Down, &self.down), (Direction::Up, &self.up)]
    }
}
