//! Drives the registry with any order of connect, rotate, delete, revoke, expire, reconnect, with verdicts that are
//! older than the ring, and checks against an oracle of its own that no stream lives on a key that is gone.

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;
use proptest::prelude::*;
use tokens::{Accept, Want};

use self::operator::{Issued, LEEWAY, Operator, key_of_test};
use super::*;

mod connections;
mod enforcement;
mod examples;
mod operator;
mod presenting;
mod telling;

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
    /// A verdict of a token renews a stream in place of letting one in.
    Renew {
        stream: usize,
        verdict: usize,
    },
    /// A verdict of a token is shown for what stands on the token of a stream, on the connection that the verdict is for.
    Present {
        stream: usize,
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
    /// Looks at what has expired, and at nothing else.
    Expire,
    /// Nobody of the zone is refused.
    Shadow {
        zone: usize,
    },
    /// It is as before.
    Enforce {
        zone: usize,
    },
}

const ZONES: [&str; 3] = ["west", "east", "north"];

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (0..3usize, 1..2000u64).prop_map(|(zone, valid_for)| Step::Issue { zone, valid_for }),
        4 => any::<(usize, usize, bool)>().prop_map(|(token, connection, unary)| Step::Verify { token, connection, unary }),
        4 => any::<usize>().prop_map(|verdict| Step::Enter { verdict }),
        3 => any::<(usize, usize)>().prop_map(|(stream, verdict)| Step::Renew { stream, verdict }),
        3 => any::<(usize, usize)>().prop_map(|(stream, verdict)| Step::Present { stream, verdict }),
        1 => any::<usize>().prop_map(|stream| Step::Leave { stream }),
        1 => Just(Step::AddKey),
        1 => any::<usize>().prop_map(|nth| Step::DeleteKey { nth }),
        1 => any::<usize>().prop_map(|token| Step::Revoke { token }),
        1 => (1..600i64).prop_map(|seconds| Step::Pass { seconds }),
        3 => Just(Step::Sweep),
        2 => Just(Step::Expire),
        1 => (0..3usize).prop_map(|zone| Step::Shadow { zone }),
        1 => (0..3usize).prop_map(|zone| Step::Enforce { zone }),
    ];
    proptest::collection::vec(step, 1..60)
}

fn pick<T>(items: &[T], index: usize) -> Option<&T> {
    if items.is_empty() { None } else { items.get(index % items.len()) }
}

/// A stream that was admitted, and the newest token that was shown for it.
struct Stream {
    token: Issued,
    connection: ConnectionId,
    guard: StreamGuard,
}

impl Stream {
    fn is_open(&self) -> bool {
        self.guard.close_reason().is_none()
    }

    /// Its zone, key and token.
    fn proof(&self) -> (String, u64, String) {
        (self.token.zone.to_owned(), self.token.serial, self.token.id.clone())
    }
}

/// Who uses which key, as the registry tells it.
fn keys_in_use(registry: &Registry) -> BTreeSet<(String, u64, String)> {
    let tokens =
        registry.open().into_iter().filter_map(|open| Some((open.caller.zone().clone(), open.caller.token()?)));
    tokens.map(|(zone, token)| (zone.as_str().to_owned(), token.key.serial, token.id)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_stream_lives_on_a_key_that_is_gone(steps in steps()) {
        let mut operator = Operator::at(Timestamp::from_second(1_700_000_000).unwrap());
        let registry = Registry::new(operator.ring(), LEEWAY);
        let mut published = operator.ring();
        let mut tokens: Vec<Issued> = Vec::new();
        let mut verdicts: Vec<(Issued, Arrival)> = Vec::new();
        let mut streams: Vec<Stream> = Vec::new();
        // What the registry can know: the operator at the last sweep.
        let mut swept = operator.clone();
        let mut next_key = 2;
        let mut shadow: BTreeSet<&str> = BTreeSet::new();
        let connections: Vec<_> = (0..3).map(|_| registry.connect()).collect();
        // The tokens that were shown on each connection.
        let mut shown: BTreeMap<ConnectionId, Vec<Issued>> = BTreeMap::new();
        for step in steps {
            match step {
                Step::Issue { zone, valid_for } => tokens.extend(operator.issue(ZONES[zone], valid_for)),
                Step::Verify { token, connection, unary } => {
                    let Some(token) = pick(&tokens, token) else { continue };
                    // The port verifies with the ring that is published, which may lag behind the store.
                    let want = Want { zone: token.zone, accept: Accept::CpToken, leeway: LEEWAY, legacy_until: None };
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
                        streams.push(Stream { token, connection, guard });
                    }
                }
                Step::Renew { stream, verdict } => {
                    if verdicts.is_empty() || streams.is_empty() { continue }
                    let (newer, arrival) = verdicts.remove(verdict % verdicts.len());
                    let at = stream % streams.len();
                    let (token, connection) = (streams[at].token.clone(), streams[at].connection);
                    swept.now = operator.now;
                    let in_time = streams[at].is_open() && swept.in_time(&token);
                    let good = arrival.ring_generation == published.generation() || swept.good(&newer);
                    let ZoneCaller::Verified(proof) = arrival.caller else { continue };
                    let renewed = streams[at].guard.renew(proof, arrival.ring_generation, operator.now);
                    prop_assert_eq!(renewed.is_ok(), in_time && good && newer.zone == token.zone, "{:?}", renewed);
                    if renewed.is_ok() {
                        for other in streams.iter_mut().filter(|other| other.is_open()) {
                            if other.connection == connection && other.token.id == token.id {
                                other.token = newer.clone();
                            }
                        }
                        let proofs = shown.entry(connection).or_default();
                        proofs.retain(|proof| proof.id != token.id);
                        proofs.push(newer);
                    }
                }
                Step::Present { stream, verdict } => {
                    if verdicts.is_empty() || streams.is_empty() { continue }
                    let (newer, arrival) = verdicts.remove(verdict % verdicts.len());
                    let (former, connection) = (streams[stream % streams.len()].token.clone(), arrival.connection);
                    let Ok(call) = registry.admit(Arrival { unary: true, ..arrival }, operator.now) else { continue };
                    let proofs = shown.entry(connection).or_default();
                    proofs.push(newer.clone());
                    let presented = registry.present(call.id(), &former.id, operator.now).unwrap();
                    swept.now = operator.now;
                    let is_here = |stream: &Stream| {
                        stream.connection == connection && stream.token.zone == newer.zone && stream.is_open() && !stream.guard.unary
                    };
                    if newer.id != former.id && swept.in_time(&former) && streams.iter().any(|stream| is_here(stream) && stream.token.id == former.id) {
                        proofs.retain(|proof| proof.id != former.id);
                        for other in streams.iter_mut().filter(|other| other.is_open()) {
                            if other.connection == connection && other.token.id == former.id {
                                other.token = newer.clone();
                            }
                        }
                    }
                    let (moved, left): (Vec<_>, Vec<_>) = streams.iter().filter(|stream| is_here(stream)).partition(|stream| stream.token.id == newer.id);
                    prop_assert_eq!(presented, Presented { moved: moved.len(), left: left.len() });
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
                Step::Shadow { zone } => {
                    registry.shadow(&operator::zone(ZONES[zone]));
                    shadow.insert(ZONES[zone]);
                }
                Step::Enforce { zone } => {
                    swept.now = operator.now;
                    let left = shadow.remove(ZONES[zone]);
                    let stays = |token: &Issued| !left || token.zone != ZONES[zone] || swept.good(token);
                    let stay: Vec<_> = streams.iter().map(|stream| stream.is_open() && stays(&stream.token)).collect();
                    let _swept = registry.enforce_again(&operator::zone(ZONES[zone]), operator.now, Instant::now());
                    let open: Vec<_> = streams.iter().map(Stream::is_open).collect();
                    prop_assert_eq!(open, stay, "who leaves shadow is judged at once, and nobody else");
                    for proofs in shown.values_mut() {
                        proofs.retain(stays);
                    }
                }
                Step::Expire => {
                    let stay: Vec<_> = streams.iter().map(|stream| stream.is_open() && (operator.in_time(&stream.token) || shadow.contains(stream.token.zone))).collect();
                    let _swept = registry.expire(operator.now, Instant::now());
                    let open: Vec<_> = streams.iter().map(Stream::is_open).collect();
                    prop_assert_eq!(open, stay, "the end of a token closes its streams and no others");
                    for connection in &connections {
                        let proofs = shown.entry(connection.id()).or_default();
                        let had = !proofs.is_empty();
                        proofs.retain(|token| operator.in_time(token) || shadow.contains(token.zone));
                        let gone = had && proofs.is_empty();
                        prop_assert!(!gone || connection.standing() == Standing::Withdrawn);
                        prop_assert!(proofs.is_empty() || connection.standing() == Standing::Proven);
                    }
                }
                Step::Sweep => {
                    published = operator.ring();
                    swept = operator.clone();
                    let were_open: Vec<_> = streams.iter().map(Stream::is_open).collect();
                    let _swept = registry.sweep(&published, operator.now, Instant::now());
                    for (stream, was_open) in streams.iter().zip(were_open) {
                        let stays = was_open && (operator.good(&stream.token) || shadow.contains(stream.token.zone));
                        prop_assert_eq!(stream.is_open(), stays, "a stream stays while its newest token is good");
                    }
                    prop_assert_eq!(keys_in_use(&registry), streams.iter().filter(|stream| stream.is_open()).map(Stream::proof).collect());
                    for connection in &connections {
                        let proofs = shown.entry(connection.id()).or_default();
                        let had = !proofs.is_empty();
                        proofs.retain(|token| operator.good(token) || shadow.contains(token.zone));
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
                            prop_assert!(alive || shadow.contains(token.zone), "admitted on a key that was swept away");
                            streams.push(Stream { token, connection, guard });
                        }
                    }
                }
            }
        }
        for zone in ZONES {
            let _swept = registry.enforce_again(&operator::zone(zone), operator.now, Instant::now());
        }
        let _swept = registry.sweep(&operator.ring(), operator.now, Instant::now());
        for stream in streams.iter().filter(|stream| stream.is_open()) {
            prop_assert!(operator.good(&stream.token));
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
