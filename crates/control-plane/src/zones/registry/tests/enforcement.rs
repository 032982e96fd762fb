//! What becomes of those whose token is good no more: closed, or spared in shadow.

use std::collections::BTreeSet;

use jiff::SignedDuration;

use super::{
    connections::operator_and_registry,
    examples::{arrival, empty, unverified},
    operator::{LEEWAY, Operator, key_of_test, zone},
    *,
};

#[test]
fn who_leaves_shadow_with_a_good_token_stays() {
    let (operator, registry) = operator_and_registry();
    let (here, token) = (registry.connect(), operator.issue("west", 1000).unwrap());
    registry.shadow(&zone("west"));
    let stream = registry.admit(arrival(&operator, &token, &here), operator.now).unwrap();
    assert_eq!(registry.enforce_again(&zone("west"), operator.now, Instant::now()), Swept::default());
    assert_eq!((stream.close_reason(), here.standing()), (None, Standing::Proven));
}

#[test]
fn the_end_of_tokens_closes_what_ends_and_looks_at_nothing_else() {
    let start = Timestamp::from_second(1_700_000_000).unwrap();
    let mut operator = Operator::at(start);
    let registry = Registry::new(operator.ring(), LEEWAY);
    let (short, long) = (operator.issue("west", 10).unwrap(), operator.issue("east", 1000).unwrap());
    let (here, there) = (registry.connect(), registry.connect());
    let west = registry.admit(arrival(&operator, &short, &here), start).unwrap();
    let east = registry.admit(arrival(&operator, &long, &there), start).unwrap();
    // Nobody has swept with the ring in which the key is gone.
    operator.keys.clear();
    let (at, due) = (Instant::now() + Duration::from_secs(100), short.expires + registry.leeway());
    assert_eq!(registry.expire(due - SignedDuration::from_nanos(1), at), Swept::default());
    let swept = registry.expire(due + SignedDuration::from_secs(2), at);
    assert_eq!(swept.closed.iter().map(|one| one.zone.as_str()).collect::<Vec<_>>(), ["west"]);
    assert_eq!(west.enforcement().since(), Some(at - Duration::from_secs(2)), "it counts from the end of the token");
    assert_eq!((here.standing(), there.standing()), (Standing::Withdrawn, Standing::Proven));
    assert_eq!((east.close_reason(), east.enforcement().since()), (None, None));
    assert_eq!(*registry.earliest_expiry().borrow(), Some(long.expires));
}

#[test]
fn in_shadow_nobody_is_refused_and_what_would_have_been_is_told_once() {
    let start = Timestamp::from_second(1_700_000_000).unwrap();
    let mut operator = Operator::at(start);
    let registry = Registry::new(operator.ring(), LEEWAY);
    let (west, east) = (operator.issue("west", 10).unwrap(), operator.issue("east", 1000).unwrap());
    let (here, there) = (registry.connect(), registry.connect());
    registry.shadow(&zone("west"));
    let stays = registry.admit(arrival(&operator, &west, &here), start).unwrap();
    let goes = registry.admit(arrival(&operator, &east, &there), start).unwrap();
    assert_eq!(stays.would_be_refused(), None);
    let proves_nothing = |name: &str, connection: &ConnectionGuard| Arrival {
        caller: ZoneCaller::Shadowed { zone: zone(name), why: Rejection::Missing },
        ..unverified(name, connection.id().0)
    };
    let guest = registry.admit(proves_nothing("west", &here), start).unwrap();
    assert_eq!(guest.would_be_refused(), Some(&Rejection::Missing));
    let refused = registry.admit(proves_nothing("east", &there), start).err();
    assert_eq!(refused, Some(CloseReason::Refused(Rejection::Missing)), "it is in shadow no more, or never was");
    operator.keys.clear();
    operator.generation += 1;
    let swept = registry.sweep(&operator.ring(), start, Instant::now());
    assert_eq!(swept.closed.iter().map(|one| one.zone.as_str()).collect::<Vec<_>>(), ["east"]);
    assert_eq!(swept.spared.iter().map(|one| one.zone.as_str()).collect::<Vec<_>>(), ["west"], "the guest was told of");
    assert_eq!((here.standing(), there.standing()), (Standing::Proven, Standing::Withdrawn));
    assert_eq!(registry.sweep(&operator.ring(), start, Instant::now()), Swept::default(), "once");
    let late = west.expires + registry.leeway();
    assert_eq!(registry.expire(late, Instant::now()), Swept::default());
    assert_eq!(*registry.earliest_expiry().borrow(), None, "nobody waits for an end that closes nothing");
    // What was verified by an older ring is told of too.
    let stale = Arrival { ring_generation: 1, ..arrival_of(&stays, &here) };
    let stale = registry.admit(stale, start).unwrap();
    assert!(matches!(stale.would_be_refused(), Some(Rejection::UnknownKey { .. })));
    let heard = Instant::now();
    assert_eq!(registry.enforce_again(&zone("west"), start, heard).closed.len(), 3);
    assert_eq!(guest.close_reason(), Some(CloseReason::Refused(Rejection::Missing)));
    assert_eq!((stays.enforcement().since(), here.standing()), (Some(heard), Standing::Withdrawn));
    assert!(goes.close_reason().is_some());
}

#[test]
fn shadow_for_everybody_is_left_by_no_zone() {
    let registry = empty();
    registry.shadow_everybody();
    registry.shadow(&zone("west"));
    let why = Rejection::Missing;
    let guest = Arrival { caller: ZoneCaller::Shadowed { zone: zone("west"), why }, ..unverified("west", 1) };
    let guest = registry.admit(guest, Timestamp::UNIX_EPOCH).unwrap();
    assert_eq!(registry.enforce_again(&zone("west"), Timestamp::UNIX_EPOCH, Instant::now()), Swept::default());
    assert!(registry.is_in_shadow(&zone("east")) && guest.close_reason().is_none());
}

#[test]
fn who_was_not_in_shadow_cannot_leave_it() {
    let start = Timestamp::from_second(1_700_000_000).unwrap();
    let mut operator = Operator::at(start);
    let registry = Registry::new(operator.ring(), LEEWAY);
    let token = operator.issue("west", 1000).unwrap();
    let here = registry.connect();
    let stays = registry.admit(arrival(&operator, &token, &here), start).unwrap();
    operator.keys.clear();
    operator.generation += 1;
    registry.adopt(&operator.ring());
    assert_eq!(registry.enforce_again(&zone("west"), start, Instant::now()), Swept::default());
    assert_eq!((stays.close_reason(), here.standing()), (None, Standing::Proven), "sweeps are for that");
}

#[test]
fn whose_key_a_rotation_retired_hears_that() {
    let now = Timestamp::from_second(1_700_000_000).unwrap();
    let mut operator = Operator::at(now);
    let registry = Registry::new(operator.ring(), LEEWAY);
    let (here, token) = (registry.connect(), operator.issue("west", 1000).unwrap());
    operator.keys.insert(2, key_of_test(2));
    operator.generation += 1;
    registry.adopt(&operator.ring());
    let newer = operator.issue("west", 1000).unwrap();
    let streams = [token, newer].map(|token| registry.admit(arrival(&operator, &token, &here), now).unwrap());
    operator.keys.clear();
    operator.generation += 1;
    let key = tokens::KeyId { family: tokens::Family::ControlPlane, serial: 1 };
    let ring = Arc::into_inner(operator.ring()).unwrap().with_retired(BTreeSet::from([key]));
    assert_eq!(registry.sweep(&Arc::new(ring), now, Instant::now()).closed.len(), 2);
    let [retired, deleted] = streams.map(|stream| stream.close_reason());
    assert_eq!(retired, Some(CloseReason::KeyRetired));
    assert!(matches!(deleted, Some(CloseReason::Refused(Rejection::UnknownKey { .. }))), "{deleted:?}");
}

#[test]
fn a_ring_that_is_only_adopted_closes_nobody_and_keeps_its_word_for_those_who_come() {
    let start = Timestamp::from_second(1_700_000_000).unwrap();
    let mut operator = Operator::at(start);
    let registry = Registry::new(operator.ring(), LEEWAY);
    let token = operator.issue("west", 1000).unwrap();
    let here = registry.connect();
    let (first, late) = (arrival(&operator, &token, &here), arrival(&operator, &token, &here));
    let stays = registry.admit(first, start).unwrap();
    operator.keys.clear();
    operator.generation += 1;
    registry.adopt(&operator.ring());
    assert_eq!((stays.close_reason(), here.standing()), (None, Standing::Proven));
    assert!(matches!(registry.admit(late, start).err(), Some(CloseReason::Refused(Rejection::UnknownKey { .. }))));
}

/// The same caller once more.
fn arrival_of(stream: &StreamGuard, connection: &ConnectionGuard) -> Arrival {
    Arrival { caller: stream.caller().clone(), ..unverified(stream.caller().zone().as_str(), connection.id().0) }
}
