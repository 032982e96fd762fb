//! Drives the registry with any order of connect, rotate, delete, revoke, expire, reconnect, with verdicts that are
//! older than the ring, and checks against an oracle of its own that no stream lives on a key that is gone.

use std::collections::{BTreeMap, BTreeSet};

use futures::FutureExt as _;
use jiff::SignedDuration;
use proptest::prelude::*;
use tokens::{Accept, SecretEntry, Want};

use super::*;

const LEEWAY: Duration = Duration::from_secs(30);

fn zone(name: &str) -> ZoneName {
    ZoneName::parse(name).unwrap()
}

/// One token and what the oracle knows of it.
#[derive(Clone)]
struct Issued {
    raw: String,
    zone: &'static str,
    serial: u64,
    id: String,
    expires: Timestamp,
}

/// The secrets as an operator changes them.
struct Operator {
    keys: BTreeMap<u64, Vec<u8>>,
    revoked: BTreeSet<String>,
    generation: u64,
    now: Timestamp,
}

/// Bytes that look random, other ones for each number.
fn key_of_test(number: u64) -> Vec<u8> {
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_be_bytes()[0]
    };
    (0..40).map(|_| next()).collect()
}

impl Operator {
    fn ring(&self) -> Arc<KeyRing> {
        let names: Vec<_> = self.keys.keys().map(|serial| format!("control-plane-signing-key-{serial:04}")).collect();
        let list = self.revoked.iter().cloned().collect::<Vec<_>>().join(",");
        let mut secrets: Vec<_> = names
            .iter()
            .zip(self.keys.values())
            .map(|(name, data)| SecretEntry { mesh: "", name, data: Some(data) })
            .collect();
        secrets.push(SecretEntry { mesh: "", name: "control-plane-token-revocations", data: Some(list.as_bytes()) });
        let (ring, problems) = KeyRing::build(self.generation, &secrets);
        assert!(problems.is_empty());
        Arc::new(ring)
    }

    fn good(&self, token: &Issued) -> bool {
        self.keys.contains_key(&token.serial)
            && !self.revoked.contains(&token.id)
            && self.now < token.expires + SignedDuration::try_from(LEEWAY).unwrap()
    }

    fn issue(&self, zone_name: &'static str, valid_for: u64) -> Option<Issued> {
        let serial = *self.keys.keys().next_back()?;
        let valid = Duration::from_secs(valid_for);
        let token =
            tokens::issue_control_plane(&self.ring(), &zone(zone_name), Some(valid), self.now, uuid::Uuid::new_v4())
                .unwrap();
        Some(Issued {
            raw: token.reveal().to_owned(),
            zone: zone_name,
            serial,
            id: token.id().unwrap().to_owned(),
            expires: token.expires_at().unwrap(),
        })
    }
}

#[derive(Clone, Debug)]
enum Step {
    Issue {
        zone: usize,
        valid_for: u64,
    },
    /// Verify now, enter later: the ring may have changed in between.
    Verify {
        token: usize,
        connection: usize,
        unary: bool,
    },
    Enter {
        verdict: usize,
    },
    Leave {
        stream: usize,
    },
    AddKey,
    DeleteKey {
        nth: usize,
    },
    Revoke {
        token: usize,
    },
    Pass {
        seconds: i64,
    },
    Sweep,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (0..3usize, 1..2000u64).prop_map(|(zone, valid_for)| Step::Issue { zone, valid_for }),
        4 => any::<(usize, usize, bool)>().prop_map(|(token, connection, unary)| Step::Verify { token, connection, unary }),
        4 => any::<usize>().prop_map(|verdict| Step::Enter { verdict }),
        1 => any::<usize>().prop_map(|stream| Step::Leave { stream }),
        1 => Just(Step::AddKey),
        1 => any::<usize>().prop_map(|nth| Step::DeleteKey { nth }),
        1 => any::<usize>().prop_map(|token| Step::Revoke { token }),
        1 => (1..600i64).prop_map(|seconds| Step::Pass { seconds }),
        3 => Just(Step::Sweep),
    ];
    proptest::collection::vec(step, 1..60)
}

fn pick<T>(items: &[T], index: usize) -> Option<&T> {
    if items.is_empty() { None } else { items.get(index % items.len()) }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_stream_lives_on_a_key_that_is_gone(steps in steps()) {
        let mut operator = Operator {
            keys: BTreeMap::from([(1, key_of_test(1))]),
            revoked: BTreeSet::new(),
            generation: 1,
            now: Timestamp::from_second(1_700_000_000).unwrap(),
        };
        let registry = Registry::new(operator.ring(), LEEWAY);
        let mut published = operator.ring();
        let mut tokens: Vec<Issued> = Vec::new();
        let mut verdicts: Vec<(Issued, Arrival)> = Vec::new();
        let mut streams: Vec<(Issued, StreamGuard)> = Vec::new();
        let mut next_key = 2;
        let connections: Vec<_> = (0..3).map(|_| registry.connect()).collect();
        // The tokens that were shown on each connection.
        let mut shown: BTreeMap<ConnectionId, Vec<Issued>> = BTreeMap::new();
        for step in steps {
            match step {
                Step::Issue { zone, valid_for } => tokens.extend(operator.issue(["west", "east", "north"][zone], valid_for)),
                Step::Verify { token, connection, unary } => {
                    let Some(token) = pick(&tokens, token) else { continue };
                    // The port verifies with the ring that is published, which may lag behind the store.
                    let want = Want { zone: token.zone, accept: Accept::CpToken, leeway: LEEWAY };
                    if let Ok(verified) = tokens::verify(&token.raw, &published, operator.now, &want) {
                        let arrival = Arrival {
                            caller: ZoneCaller::Verified(verified),
                            ring_generation: published.generation(),
                            connection: connections[connection % connections.len()].id(),
                            method: "GlobalToZoneSync",
                            unary,
                            pings: false,
                        };
                        verdicts.push((token.clone(), arrival));
                    }
                }
                Step::Enter { verdict } => {
                    if verdicts.is_empty() { continue }
                    let (token, arrival) = verdicts.remove(verdict % verdicts.len());
                    let connection = arrival.connection;
                    if let Ok(guard) = registry.admit(arrival, operator.now) {
                        shown.entry(connection).or_default().push(token.clone());
                        streams.push((token, guard));
                    }
                }
                Step::Leave { stream } => {
                    if !streams.is_empty() {
                        drop(streams.remove(stream % streams.len()));
                    }
                }
                Step::AddKey => {
                    operator.keys.insert(next_key, key_of_test(next_key));
                    next_key += 1;
                    operator.generation += 1;
                }
                Step::DeleteKey { nth } => {
                    let serials: Vec<_> = operator.keys.keys().copied().collect();
                    if let Some(serial) = pick(&serials, nth) {
                        operator.keys.remove(serial);
                        operator.generation += 1;
                    }
                }
                Step::Revoke { token } => {
                    if let Some(token) = pick(&tokens, token) {
                        operator.revoked.insert(token.id.clone());
                        operator.generation += 1;
                    }
                }
                Step::Pass { seconds } => operator.now += SignedDuration::from_secs(seconds),
                Step::Sweep => {
                    published = operator.ring();
                    registry.sweep(&published, operator.now);
                    for (token, guard) in &streams {
                        let open = guard.closed.borrow().is_none();
                        prop_assert_eq!(open, operator.good(token) && open, "an open stream stands on a good token");
                    }
                    for connection in &connections {
                        let proofs = shown.entry(connection.id()).or_default();
                        let had = !proofs.is_empty();
                        proofs.retain(|token| operator.good(token));
                        let expected = if !had { connection.standing() } else if proofs.is_empty() { Standing::Withdrawn } else { Standing::Proven };
                        prop_assert_eq!(connection.standing(), expected, "a connection stands on a good token");
                        prop_assert!(had || expected != Standing::Proven);
                    }
                    // A verdict from before the sweep must not get in on a key that the sweep knows to be gone.
                    for (token, arrival) in verdicts.drain(..) {
                        let connection = arrival.connection;
                        let entered = registry.admit(arrival, operator.now);
                        if let Ok(guard) = entered {
                            shown.entry(connection).or_default().push(token.clone());
                            let alive = operator.keys.contains_key(&token.serial) && !operator.revoked.contains(&token.id);
                            prop_assert!(alive, "admitted on a key that was swept away");
                            streams.push((token, guard));
                        }
                    }
                }
            }
        }
        registry.sweep(&operator.ring(), operator.now);
        for (token, guard) in &streams {
            if guard.closed.borrow().is_none() {
                prop_assert!(operator.good(token));
            }
        }
        drop(streams);
        prop_assert!(registry.open().is_empty(), "streams that ended leave nothing behind");
        drop(connections);
        let state = registry.lock();
        prop_assert!(state.connections.is_empty());
        prop_assert!(state.sessions.is_empty() && state.by_zone.is_empty());
        prop_assert!(state.instances.is_empty() && state.expiries.is_empty());
    }
}

#[test]
fn the_next_token_of_a_zone_has_room_however_much_the_stolen_one_has_open() {
    let start = Timestamp::from_second(1_700_000_000).unwrap();
    let mut operator =
        Operator { keys: BTreeMap::from([(1, key_of_test(1))]), revoked: BTreeSet::new(), generation: 1, now: start };
    let registry = Registry::new(operator.ring(), LEEWAY);
    let (stolen, next) = (operator.issue("west", 1000).unwrap(), operator.issue("west", 1000).unwrap());
    let arrival = |token: &Issued, connection: &ConnectionGuard| {
        let want = Want { zone: "west", accept: Accept::CpToken, leeway: LEEWAY };
        let verified = tokens::verify(&token.raw, &operator.ring(), start, &want).unwrap();
        let caller = ZoneCaller::Verified(verified);
        let unverified = unverified("west", connection.id().0);
        Arrival { caller, ring_generation: 1, unary: true, method: "HealthCheck", ..unverified }
    };
    let mut thief: Vec<_> = (0..=sessions::CONNECTIONS).map(|_| registry.connect()).collect();
    let zone = registry.connect();
    let calls: Vec<_> = (0..sessions::STREAMS)
        .map(|number| registry.admit(arrival(&stolen, &thief[number % sessions::CONNECTIONS]), start).unwrap())
        .collect();
    assert_eq!(registry.admit(arrival(&stolen, &thief[0]), start).err(), Some(CloseReason::TooManyStreams));
    let mut good = registry.admit(arrival(&next, &zone), start).unwrap();
    let late = arrival(&stolen, &thief[sessions::CONNECTIONS]);
    drop(calls);
    assert_eq!(registry.admit(late, start).err(), Some(CloseReason::TooManyConnections));
    // An idle connection stands on its token as a stream does.
    let mut open = registry.admit(arrival(&stolen, &thief[0]), start).unwrap();
    let changed = thief.remove(0);
    operator.revoked.insert(stolen.id);
    operator.generation += 1;
    assert_eq!(registry.sweep(&operator.ring(), start).len(), 1);
    assert!(matches!(open.closed().now_or_never(), Some(CloseReason::Refused(_))), "a unary call is told");
    assert_eq!(good.closed().now_or_never(), None);
    assert_eq!(changed.standing(), Standing::Withdrawn);
    assert!(thief[..sessions::CONNECTIONS - 1].iter().all(|idle| idle.standing() == Standing::Withdrawn));
    assert_eq!(zone.standing(), Standing::Proven);
}

fn unverified(name: &str, connection: u64) -> Arrival {
    Arrival {
        caller: ZoneCaller::Unverified(zone(name)),
        ring_generation: 0,
        connection: ConnectionId(connection),
        method: "GlobalToZoneSync",
        unary: false,
        pings: false,
    }
}

fn empty() -> Registry {
    Registry::new(Arc::new(KeyRing::build(1, &[]).0), LEEWAY)
}

#[test]
fn the_older_of_two_instances_is_ended() {
    let registry = empty();
    let now = Timestamp::UNIX_EPOCH;
    let old = registry.admit(unverified("west", 1), now).unwrap();
    let other = registry.admit(unverified("east", 1), now).unwrap();
    let new = registry.admit(unverified("west", 2), now).unwrap();
    assert!(registry.identify(old.id(), "host-1").is_empty());
    let closed = registry.identify(new.id(), "host-2");
    assert_eq!(closed.len(), 1);
    assert_eq!(*old.closed.borrow(), Some(CloseReason::Replaced { by: "host-2".to_owned() }));
    assert!(new.closed.borrow().is_none());
    assert!(other.closed.borrow().is_none());
}

#[test]
fn a_second_connection_of_the_same_instance_ends_nothing() {
    let registry = empty();
    let now = Timestamp::UNIX_EPOCH;
    let old = registry.admit(unverified("west", 1), now).unwrap();
    let new = registry.admit(unverified("west", 2), now).unwrap();
    assert!(registry.identify(old.id(), "host-1").is_empty());
    assert!(registry.identify(new.id(), "host-1").is_empty());
    assert!(old.closed.borrow().is_none());
}

#[test]
fn a_session_opens_once_however_many_streams_it_has() {
    let registry = empty();
    let now = Timestamp::UNIX_EPOCH;
    let first = registry.admit(unverified("west", 1), now).unwrap();
    let second = registry.admit(unverified("west", 2), now).unwrap();
    assert!(first.opens_session());
    assert!(!second.opens_session());
    drop((first, second));
    assert!(registry.admit(unverified("west", 3), now).unwrap().opens_session());
}

#[test]
fn a_draining_registry_admits_nobody() {
    let registry = empty();
    let now = Timestamp::UNIX_EPOCH;
    let stays = registry.admit(unverified("west", 1), now).unwrap();
    assert_eq!(registry.drain(), [zone("west")]);
    assert_eq!(registry.admit(unverified("east", 2), now).err(), Some(CloseReason::Draining));
    assert!(stays.closed.borrow().is_none());
}

#[test]
fn streams_of_the_older_instance_that_come_late_are_ended_too() {
    let registry = empty();
    let now = Timestamp::UNIX_EPOCH;
    let first = registry.admit(unverified("west", 1), now).unwrap();
    assert!(registry.identify(first.id(), "host-1").is_empty());
    let late = registry.admit(unverified("west", 1), now).unwrap();
    let newer = registry.admit(unverified("west", 2), now).unwrap();
    assert_eq!(registry.identify(newer.id(), "host-2").len(), 2);
    assert!(late.closed.borrow().is_some());
}

#[test]
fn a_token_cannot_open_streams_and_calls_without_end() {
    let registry = empty();
    let now = Timestamp::UNIX_EPOCH;
    let unary = |number| Arrival { unary: number % 2 == 0, ..unverified("west", 1) };
    let streams: Vec<_> = (0..sessions::STREAMS).map(|number| registry.admit(unary(number), now).unwrap()).collect();
    assert_eq!(registry.admit(unary(0), now).err(), Some(CloseReason::TooManyStreams));
    assert_eq!(registry.admit(unverified("west", 1), now).err(), Some(CloseReason::TooManyStreams));
    assert!(registry.admit(unverified("east", 1), now).is_ok());
    drop(streams);
    assert!(registry.admit(unverified("west", 1), now).is_ok());
}

#[test]
fn the_sweeper_learns_of_the_earliest_expiry() {
    let start = Timestamp::from_second(1_700_000_000).unwrap();
    let operator =
        Operator { keys: BTreeMap::from([(1, key_of_test(1))]), revoked: BTreeSet::new(), generation: 1, now: start };
    let registry = Registry::new(operator.ring(), LEEWAY);
    let earliest = registry.earliest_expiry();
    let arrive = |seconds| {
        let token = operator.issue("west", seconds).unwrap();
        let want = Want { zone: "west", accept: Accept::CpToken, leeway: LEEWAY };
        let verified = tokens::verify(&token.raw, &operator.ring(), start, &want).unwrap();
        let arrival = Arrival { caller: ZoneCaller::Verified(verified), ..unverified("west", 1) };
        (registry.admit(Arrival { ring_generation: 1, ..arrival }, start).unwrap(), token.expires)
    };
    let (late, late_expiry) = arrive(1000);
    assert_eq!(*earliest.borrow(), Some(late_expiry));
    let (soon, soon_expiry) = arrive(10);
    assert_eq!(*earliest.borrow(), Some(soon_expiry));
    drop(soon);
    assert_eq!(*earliest.borrow(), Some(late_expiry));
    drop(late);
    assert_eq!(*earliest.borrow(), None);
}

#[test]
fn a_zone_that_pings_no_more_loses_its_streams_and_one_that_never_did_keeps_them() {
    let registry = empty();
    let at = |second: i64| Timestamp::from_second(second).unwrap();
    let pinging = registry.admit(Arrival { pings: true, ..unverified("west", 1) }, at(0)).unwrap();
    let quiet = registry.admit(unverified("east", 2), at(0)).unwrap();
    let fresh = registry.admit(Arrival { pings: true, ..unverified("north", 3) }, at(95)).unwrap();
    let timeout = SignedDuration::from_secs(30);
    assert!(registry.close_silent(at(100), timeout, |_| Some(at(80))).is_empty(), "pinged 20 s ago");
    let closed = registry.close_silent(at(100), timeout, |_| Some(at(60)));
    assert_eq!(closed.iter().map(|one| one.zone.as_str()).collect::<Vec<_>>(), ["west"]);
    assert_eq!(closed[0].reason, CloseReason::Silent);
    drop((pinging, quiet, fresh));
}
