//! One thing that happens, which things happen how often, and what each does.

use model::Kind;
use proptest::{collection::vec, prelude::*};

use super::{
    Direction, Global, KINDS, Setup, Way, World,
    connect::{Ends, Versions},
    link::Provider,
    quiet::calm,
    write::{CONTENTS, NAMES},
    zone::Peer,
};

#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    GlobalPut {
        kind: Kind,
        name: usize,
        content: u8,
    },
    GlobalDelete {
        kind: Kind,
        name: usize,
    },
    GlobalFlip {
        kind: Kind,
        name: usize,
    },
    GlobalFill {
        kind: Kind,
        content: u8,
    },
    /// Deletes all of a kind, but perhaps one.
    GlobalKeep {
        kind: Kind,
        name: usize,
    },
    GlobalRemoveBad(usize),
    GlobalDeleteAwaited {
        zone: usize,
    },
    ZonePut {
        zone: usize,
        kind: Kind,
        name: usize,
        content: u8,
    },
    ZoneDelete {
        zone: usize,
        kind: Kind,
        name: usize,
    },
    ZoneFlip {
        zone: usize,
        kind: Kind,
        name: usize,
    },
    ZoneFill {
        zone: usize,
        kind: Kind,
        content: u8,
    },
    Enable {
        zone: usize,
        enabled: bool,
    },
    Pump,
    Deliver(usize),
    DeliverMany(usize),
    /// One turn of one kind: what was asked is heard, and what is answered is taken.
    Exchange {
        zone: usize,
        choice: usize,
    },
    Slow {
        zone: usize,
        direction: Direction,
        kind: Kind,
    },
    Fast {
        zone: usize,
    },
    AskAgain {
        zone: usize,
        direction: Direction,
        kind: Kind,
    },
    AskAllAgain {
        zone: usize,
    },
    Connect {
        zone: usize,
        versions: Versions,
    },
    Duplicate {
        zone: usize,
    },
    End {
        zone: usize,
        newest: bool,
        ends: Ends,
    },
    /// The zone's end of a connection is gone, and a new one is open before global hears of it.
    Race {
        zone: usize,
        versions: Versions,
    },
    EndArrives {
        zone: usize,
    },
    RestartZone {
        zone: usize,
        wiped: bool,
        ends: Ends,
    },
    RestartGlobal {
        wiped: bool,
    },
    Calm,
}

/// In some runs every message fits, in the others little does: one resource takes about 250 bytes, beside the envelope.
pub(crate) fn setup() -> impl Strategy<Value = Setup> {
    let global = prop_oneof![2 => Just(Global::Ours), 1 => Just(Global::Real)];
    let limit = prop_oneof![2 => Just(usize::MAX), 4 => 450..1100_usize, 1 => 1100..3000_usize];
    (global, limit).prop_map(|(global, limit)| Setup { global, limit })
}

pub(crate) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let (kind, name, content) = ((0..KINDS.len()).prop_map(|index| KINDS[index]), 0..NAMES, 0..CONTENTS);
    // More happens to the two that differ most: ours, and the oldest.
    let zone = prop_oneof![3 => Just(0_usize), 2 => Just(3), 1 => Just(1), 1 => Just(2)].boxed();
    let direction = prop_oneof![Just(Direction::Down), Just(Direction::Up)];
    let versions = || prop_oneof![Just(Versions::Told), Just(Versions::Untold)];
    let ends = || prop_oneof![Just(Ends::AtOnce), Just(Ends::AtGlobalLater)];
    let place = (kind.clone(), name.clone());
    let place_in_zone = (zone.clone(), kind.clone(), name);
    let lane = (zone.clone(), direction, kind.clone());
    let rarely = || prop::bool::weighted(0.3);
    let one = prop_oneof![
        16 => (place.clone(), content.clone())
            .prop_map(|((kind, name), content)| Step::GlobalPut { kind, name, content }),
        6 => place.clone().prop_map(|(kind, name)| Step::GlobalDelete { kind, name }),
        5 => place.prop_map(|(kind, name)| Step::GlobalFlip { kind, name }),
        3 => (kind.clone(), content.clone()).prop_map(|(kind, content)| Step::GlobalFill { kind, content }),
        3 => (kind.clone(), 0..=NAMES).prop_map(|(kind, name)| Step::GlobalKeep { kind, name }),
        2 => any::<usize>().prop_map(Step::GlobalRemoveBad),
        2 => zone.clone().prop_map(|zone| Step::GlobalDeleteAwaited { zone }),
        3 => (zone.clone(), kind, content.clone())
            .prop_map(|(zone, kind, content)| Step::ZoneFill { zone, kind, content }),
        16 => (place_in_zone.clone(), content)
            .prop_map(|((zone, kind, name), content)| Step::ZonePut { zone, kind, name, content }),
        6 => place_in_zone.clone().prop_map(|(zone, kind, name)| Step::ZoneDelete { zone, kind, name }),
        4 => place_in_zone.prop_map(|(zone, kind, name)| Step::ZoneFlip { zone, kind, name }),
        2 => (zone.clone(), any::<bool>()).prop_map(|(zone, enabled)| Step::Enable { zone, enabled }),
        16 => Just(Step::Pump),
        24 => any::<usize>().prop_map(Step::Deliver),
        16 => (1..40_usize).prop_map(Step::DeliverMany),
        24 => (zone.clone(), any::<usize>()).prop_map(|(zone, choice)| Step::Exchange { zone, choice }),
        3 => lane.clone().prop_map(|(zone, direction, kind)| Step::Slow { zone, direction, kind }),
        1 => zone.clone().prop_map(|zone| Step::Fast { zone }),
        3 => lane.prop_map(|(zone, direction, kind)| Step::AskAgain { zone, direction, kind }),
        1 => zone.clone().prop_map(|zone| Step::AskAllAgain { zone }),
        8 => (zone.clone(), versions()).prop_map(|(zone, versions)| Step::Connect { zone, versions }),
        3 => zone.clone().prop_map(|zone| Step::Duplicate { zone }),
        4 => (zone.clone(), any::<bool>(), ends()).prop_map(|(zone, newest, ends)| Step::End { zone, newest, ends }),
        3 => (zone.clone(), versions()).prop_map(|(zone, versions)| Step::Race { zone, versions }),
        3 => zone.clone().prop_map(|zone| Step::EndArrives { zone }),
        2 => (zone, rarely(), ends()).prop_map(|(zone, wiped, ends)| Step::RestartZone { zone, wiped, ends }),
        1 => rarely().prop_map(|wiped| Step::RestartGlobal { wiped }),
        2 => Just(Step::Calm),
    ];
    vec(one, 1..150)
}

/// Takes a step. What makes no sense at the moment is left out.
pub(crate) fn take(world: &mut World, step: Step) {
    let zones = world.zones.len();
    match step {
        Step::GlobalPut { kind, name, content } => world.global_put(kind, name, content),
        Step::GlobalDelete { kind, name } => world.global_delete(kind, name),
        Step::GlobalFlip { kind, name } => world.global_flip(kind, name),
        Step::GlobalFill { kind, content } => (0..NAMES).for_each(|name| world.global_put(kind, name, content)),
        Step::GlobalKeep { kind, name } => {
            (0..NAMES).filter(|other| *other != name).for_each(|other| world.global_delete(kind, other));
        }
        Step::GlobalDeleteAwaited { zone } => world.global_delete_awaited(zone % zones),
        Step::GlobalRemoveBad(choice) => world.global_remove_bad(choice),
        Step::ZonePut { zone, kind, name, content } => world.zone_put(zone % zones, kind, name, content),
        Step::ZoneDelete { zone, kind, name } => world.zone_delete(zone % zones, kind, name),
        Step::ZoneFlip { zone, kind, name } => world.zone_flip(zone % zones, kind, name),
        Step::ZoneFill { zone, kind, content } => {
            (0..NAMES).for_each(|name| world.zone_put(zone % zones, kind, name, content));
        }
        Step::Enable { zone, enabled } => world.set_enabled(zone % zones, enabled),
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
        Step::Exchange { zone, choice } => world.exchange(zone % zones, choice),
        Step::Slow { zone, direction, kind } => {
            world.zones[zone % zones].slow.insert((direction, kind.name));
        }
        Step::Fast { zone } => world.zones[zone % zones].slow.clear(),
        Step::AskAgain { zone, direction, kind } => world.ask_again(zone % zones, direction, kind),
        Step::AskAllAgain { zone } => {
            world.ask_all_again(zone % zones);
        }
        Step::Connect { zone, versions } => world.connect(zone % zones, versions),
        Step::Duplicate { zone } => world.duplicate(zone % zones),
        Step::End { zone, newest, ends } => world.end(zone % zones, newest, ends),
        Step::Race { zone, versions } => {
            world.end(zone % zones, true, Ends::AtGlobalLater);
            world.connect(zone % zones, versions);
        }
        Step::EndArrives { zone } => {
            world.end_arrives(zone % zones);
        }
        Step::RestartZone { zone, wiped, ends } => world.restart_zone(zone % zones, wiped, ends),
        Step::RestartGlobal { wiped } => world.restart_global(wiped),
        Step::Calm => calm(world),
    }
}

impl World {
    fn exchange(&mut self, zone: usize, choice: usize) {
        let mut ways = self.on_the_way();
        ways.retain(|way| way.zone == zone);
        if !ways.is_empty() {
            let way = ways.swap_remove(choice % ways.len());
            self.deliver(&Way { request: true, ..way });
            self.pump();
            self.deliver(&Way { request: false, ..way });
        }
    }

    /// A consumer of ours asks for one kind again, on its newest stream.
    fn ask_again(&mut self, zone: usize, direction: Direction, kind: Kind) {
        let of_ours = match direction {
            Direction::Down => self.zones[zone].peer == Peer::Ours,
            Direction::Up => self.setup.global == Global::Ours,
        };
        let newest = self.zones[zone].connections.iter_mut().rfind(|connection| !connection.half_dead);
        if let Some(connection) = newest.filter(|_| of_ours && direction.carries(kind)) {
            connection.link_mut(direction).ask_again(kind.name);
        }
    }

    /// A zone of ours asks for everything again on all its streams, as it does when a real global is silent for long.
    /// Returns which ones must be answered: by connection, and how many responses it had.
    pub(super) fn ask_all_again(&mut self, zone: usize) -> Vec<(i64, usize)> {
        let mut must_answer = Vec::new();
        let zone = &mut self.zones[zone];
        for connection in zone.connections.iter_mut().filter(|one| !one.half_dead && zone.peer == Peer::Ours) {
            let link = &mut connection.down;
            if matches!(link.provider, Provider::Real(_)) && link.ask_all_again() {
                must_answer.push((connection.id, link.taken));
            }
        }
        must_answer
    }
}
