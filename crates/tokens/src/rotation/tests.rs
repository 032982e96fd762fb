//! Every step, and everything that stands in its way.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use super::*;
use crate::{Algorithm, Family, KeyId, Phase};

mod automatic;
mod blockers;
mod by_hand;
mod repeated;
mod steps;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// A global of one instance, on which the keys of these serials exist and the last of `signs` signs.
fn evidence(keys: &[u64], signs: u64) -> Evidence {
    Evidence {
        family: Family::ControlPlane,
        now: at(1000),
        times: Times {
            recent_zones: SignedDuration::from_hours(168),
            patience: SignedDuration::from_hours(24),
            leeway: SignedDuration::from_secs(30),
        },
        keys: keys.iter().map(|key| (*key, at(0))).collect(),
        taken: keys.iter().copied().collect(),
        instances: vec![Instance {
            name: "global-1".to_owned(),
            last_seen: Some(at(1000)),
            verifies: keys.iter().copied().collect(),
            signs: Some(signs),
        }],
        zones: Vec::new(),
        tokens: Vec::new(),
        unreadable: Vec::new(),
    }
}

fn zone(name: &str, stands_on: StandsOn) -> Zone {
    Zone {
        name: name.to_owned(),
        live: true,
        last_seen: Some(at(990)),
        stands_on,
        issued: None,
        renews: true,
        next_is_revoked: false,
        confirmed: BTreeSet::new(),
        reads_rsa_alone: false,
        left: None,
    }
}

fn token(id: &str, key: u64) -> Handed {
    Handed {
        id: id.to_owned(),
        zone: Some("west".to_owned()),
        key,
        issued: at(500),
        ends: Some(at(5000)),
        seen: false,
        watched: true,
        renewal: false,
    }
}

fn order(command: Command) -> Order {
    Order { command, by: "ada".to_owned(), id: None, expect: None, force: false }
}

fn start() -> Order {
    order(Command::Start { automatic: false, algorithm: None })
}

fn advance() -> Order {
    order(Command::Advance)
}

fn rollback() -> Order {
    order(Command::Rollback)
}

fn force(order: Order) -> Order {
    Order { force: true, ..order }
}

fn idle() -> State {
    State { highest: 1, ..State::default() }
}

/// A rotation from key 1 to key 2 that is this far.
fn at_stage(stage: Stage) -> State {
    let mut state = step(&idle(), &evidence(&[1], 1), &start()).unwrap().state;
    state.rotation.as_mut().unwrap().stage = stage;
    state
}

/// And one that goes back from key 2 to key 1.
fn rolling_back() -> State {
    step(&at_stage(Stage::Signing), &evidence(&[1, 2], 2), &rollback()).unwrap().state
}

fn position(state: &State) -> Position {
    state.rotation.as_ref().map_or(Position::Idle, Rotation::position)
}

/// Who is in the way: their names and what is said of them.
fn blocked(result: Result<Step, Refused>) -> Vec<(BlockerKind, String, Option<u64>)> {
    match result {
        Err(Refused::Blocked { blockers }) => {
            blockers.into_iter().map(|blocker| (blocker.kind, blocker.name, blocker.key)).collect()
        }
        other => panic!("not blocked: {other:?}"),
    }
}
