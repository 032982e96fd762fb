//! Connections come and go: at both ends at once, at one end first, two of a zone beside each other, with a restart.

use std::rc::Rc;

use sync::{Audience, Features, Receiver, Side};

use super::{
    Direction, Global, Store, World,
    engine::{Besides, Engine},
    feed::{Feed, versions},
    kinds,
    link::{Link, Provider, ours},
    zone::{Connection, Peer, Zone},
};

/// Whether a consumer says what it has of each kind when it opens a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Versions {
    Told,
    Untold,
}

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ends {
    /// Both ends know at once.
    AtOnce,
    /// The zone's end is gone, global hears of it later.
    AtGlobalLater,
}

impl World {
    /// Opens the streams of a zone, if there are none.
    pub(super) fn connect(&mut self, index: usize, versions: Versions) {
        if self.zones[index].live().next().is_none() {
            self.open(index, versions, versions);
        }
    }

    /// Opens a second connection beside the first one. A zone does not tell what it has while another connection of it
    /// takes in; global always asks for the difference.
    pub(super) fn duplicate(&mut self, index: usize) {
        if self.zones[index].live().count() == 1 {
            self.open(index, Versions::Untold, Versions::Told);
        }
    }

    fn open(&mut self, index: usize, told_down: Versions, told_up: Versions) {
        self.publish();
        let id = self.tick();
        let zone = &self.zones[index];
        let of_ours = self.setup.global == Global::Ours;
        let feed = self.feed_for(zone);
        let down_provider = if of_ours {
            let audience = Audience {
                zone: zone.name.clone(),
                features: zone.peer.features(),
                drops_rejected_batches: zone.peer.drops_rejected_batches(),
            };
            ours(audience, self.setup.limit, feed)
        } else {
            let node = Rc::clone(&zone.node);
            Provider::Real(Engine::new(id, node, Besides::ClusterId, &zone.name, zone.peer.features()))
        };
        let up_features = if of_ours { Features::ALL | Features::PARTS } else { Features::ALL };
        let up_provider = if zone.peer == Peer::Ours {
            let audience = Audience { zone: String::new(), features: up_features, drops_rejected_batches: false };
            ours(audience, self.setup.limit, &zone.feed)
        } else {
            // One program, one connection: nothing else stops its streams.
            Provider::Real(Engine::new(id, Rc::default(), Besides::Nothing, "", up_features))
        };
        let down = consumer(Direction::Down, told_down, zone, &zone.store, Side::Zone);
        let up_told = if of_ours { told_up } else { Versions::Untold };
        let up = consumer(Direction::Up, up_told, zone, &self.global, Side::Global { zone: &zone.name });
        let connection = Connection {
            id,
            down: Link::new(down_provider, down, id, &zone.name, zone.peer.features()),
            up: Link::new(up_provider, up, id, "", up_features),
            half_dead: false,
        };
        self.zones[index].connections.push(connection);
    }

    /// Ends one of the connections that both ends hold: the oldest, or the newest.
    pub(super) fn end(&mut self, index: usize, newest: bool, ends: Ends) {
        let live: Vec<i64> = self.zones[index].live().map(|connection| connection.id).collect();
        let Some(id) = (if newest { live.last() } else { live.first() }).copied() else { return };
        let now = self.tick();
        let zone = &mut self.zones[index];
        let Some(place) = zone.connections.iter().position(|one| one.id == id) else { return };
        let mut connection = zone.connections.remove(place);
        doubt(zone, &connection.down, Direction::Down, now);
        match ends {
            Ends::AtOnce => gone_at_global(zone, connection, now),
            Ends::AtGlobalLater => {
                connection.half_dead = true;
                zone.connections.insert(place, connection);
            }
        }
    }

    /// Global hears that the zone's end of its oldest half-dead connection is gone. Returns whether there was one.
    pub(super) fn end_arrives(&mut self, index: usize) -> bool {
        let now = self.tick();
        let zone = &mut self.zones[index];
        let Some(place) = zone.connections.iter().position(|one| one.half_dead) else { return false };
        let connection = zone.connections.remove(place);
        gone_at_global(zone, connection, now);
        true
    }

    pub(super) fn drop_all(&mut self) {
        for index in 0..self.zones.len() {
            while self.zones[index].live().next().is_some() {
                self.end(index, true, Ends::AtOnce);
            }
            while self.end_arrives(index) {}
        }
    }

    /// The zone's program ends and starts again, with its store or without.
    pub(super) fn restart_zone(&mut self, index: usize, wiped: bool, ends: Ends) {
        while self.zones[index].live().next().is_some() {
            self.end(index, true, ends);
        }
        let zone = &mut self.zones[index];
        zone.feed = Feed::default();
        if wiped {
            zone.store.clear();
            zone.own.clear();
            zone.rejected.clear();
        }
    }

    /// The global's program ends and starts again, with its store or without.
    pub(super) fn restart_global(&mut self, wiped: bool) {
        self.drop_all();
        self.hashed = Feed::default();
        self.plain = Feed::default();
        if wiped {
            self.global.clear();
            self.disabled.clear();
        }
    }
}

/// The end of a stream that asks for its kinds, and says what is here of them if it may. Only two of ours do.
fn consumer(direction: Direction, told: Versions, zone: &Zone, store: &Store, side: Side<'_>) -> Receiver {
    let kinds = || kinds().filter(move |kind| direction.carries(*kind));
    let mut receiver = Receiver::new(kinds().collect());
    if told == Versions::Told && zone.peer == Peer::Ours {
        for kind in kinds() {
            let here = store.values().filter(|one| one.key.kind == kind);
            receiver = receiver.with_initial_versions(kind, versions(here, side));
        }
    }
    receiver
}

fn gone_at_global(zone: &mut Zone, mut connection: Connection, now: i64) {
    doubt(zone, &connection.up, Direction::Up, now);
    if let Provider::Real(engine) = &mut connection.down.provider {
        engine.stop();
    }
}

/// The consumer takes nothing more from this stream, and goes on with others. What this one said after these were opened
/// is not known to them: they cannot put it right.
fn doubt(zone: &mut Zone, gone: &Link, direction: Direction, now: i64) {
    let Some(others) = zone.live_links(direction).map(|link| link.opened).min() else { return };
    for (kind, _) in gone.lanes().filter(|(_, lane)| lane.applied > others) {
        zone.doubts.insert((direction, kind), now);
    }
}
