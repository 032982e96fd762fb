//! One rule each.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use futures::FutureExt as _;
use jiff::SignedDuration;
use tokens::{Accept, Want};

use super::{
    operator::{Issued, LEEWAY, Operator, key_of_test, zone},
    *,
};

#[test]
fn the_next_token_of_a_zone_has_room_however_much_the_stolen_one_has_open() {
    let start = Timestamp::from_second(1_700_000_000).unwrap();
    let mut operator =
        Operator { keys: BTreeMap::from([(1, key_of_test(1))]), revoked: BTreeSet::new(), generation: 1, now: start };
    let registry = Registry::new(operator.ring(), LEEWAY);
    let (stolen, next) = (operator.issue("west", 1000).unwrap(), operator.issue("west", 1000).unwrap());
    let arrival = |token: &Issued, connection: &ConnectionGuard| {
        let want = Want { zone: "west", accept: Accept::CpToken, leeway: LEEWAY, legacy_until: None };
        let verified = tokens::verify(&token.raw, &operator.ring(), start, &want).unwrap();
        let caller = ZoneCaller::Verified(verified);
        let unverified = unverified("west", connection.id().0);
        Arrival { caller, ring_generation: 1, unary: true, method: "HealthCheck", ..unverified }
    };
    let mut thief: Vec<_> = (0..=bounds::CONNECTIONS).map(|_| registry.connect()).collect();
    let zone = registry.connect();
    let calls: Vec<_> = (0..bounds::STREAMS)
        .map(|number| registry.admit(arrival(&stolen, &thief[number % bounds::CONNECTIONS]), start).unwrap())
        .collect();
    assert_eq!(registry.admit(arrival(&stolen, &thief[0]), start).err(), Some(CloseReason::TooManyStreams));
    let mut good = registry.admit(arrival(&next, &zone), start).unwrap();
    let late = arrival(&stolen, &thief[bounds::CONNECTIONS]);
    drop(calls);
    assert_eq!(registry.admit(late, start).err(), Some(CloseReason::TooManyConnections));
    // An idle connection stands on its token as a stream does.
    let mut open = registry.admit(arrival(&stolen, &thief[0]), start).unwrap();
    let changed = thief.remove(0);
    operator.revoked.insert(stolen.id);
    operator.generation += 1;
    assert_eq!(registry.sweep(&operator.ring(), start, Instant::now()).closed.len(), 1);
    assert!(matches!(open.closed().now_or_never(), Some(CloseReason::Refused(_))), "a unary call is told");
    assert_eq!(good.closed().now_or_never(), None);
    assert_eq!(changed.standing(), Standing::Withdrawn);
    assert!(thief[..bounds::CONNECTIONS - 1].iter().all(|idle| idle.standing() == Standing::Withdrawn));
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
    assert_eq!(old.close_reason(), Some(CloseReason::Replaced { by: "host-2".to_owned() }));
    assert!(new.close_reason().is_none());
    assert!(other.close_reason().is_none());
}

#[test]
fn a_second_connection_of_the_same_instance_ends_nothing() {
    let registry = empty();
    let now = Timestamp::UNIX_EPOCH;
    let old = registry.admit(unverified("west", 1), now).unwrap();
    let new = registry.admit(unverified("west", 2), now).unwrap();
    assert!(registry.identify(old.id(), "host-1").is_empty());
    assert!(registry.identify(new.id(), "host-1").is_empty());
    assert!(old.close_reason().is_none());
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
    assert!(stays.close_reason().is_none());
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
    assert!(late.close_reason().is_some());
}

#[test]
fn a_token_cannot_open_streams_and_calls_without_end() {
    let registry = empty();
    let now = Timestamp::UNIX_EPOCH;
    let unary = |number| Arrival { unary: number % 2 == 0, ..unverified("west", 1) };
    let streams: Vec<_> = (0..bounds::STREAMS).map(|number| registry.admit(unary(number), now).unwrap()).collect();
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
        let want = Want { zone: "west", accept: Accept::CpToken, leeway: LEEWAY, legacy_until: None };
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
fn a_session_on_a_token_without_end_is_closed_on_the_day_on_which_such_tokens_end() {
    let start = Timestamp::from_second(1_700_000_000).unwrap();
    let operator =
        Operator { keys: BTreeMap::from([(1, key_of_test(1))]), revoked: BTreeSet::new(), generation: 1, now: start };
    let registry = Registry::new(operator.ring(), LEEWAY);
    let raw = tokens::issue_control_plane(&operator.ring(), &zone("west"), None, start, uuid::Uuid::nil()).unwrap();
    let last_day = start + SignedDuration::from_hours(24);
    let want = Want { zone: "west", accept: Accept::CpToken, leeway: LEEWAY, legacy_until: Some(last_day) };
    let verified = tokens::verify(raw.reveal(), &operator.ring(), start, &want).unwrap();
    let arrival = Arrival { caller: ZoneCaller::Verified(verified), ring_generation: 1, ..unverified("west", 1) };
    let mut open = registry.admit(arrival, start).unwrap();
    assert_eq!(*registry.earliest_expiry().borrow(), Some(last_day));
    let leeway = SignedDuration::try_from(LEEWAY).unwrap();
    let before = last_day + leeway - SignedDuration::from_secs(1);
    assert!(registry.sweep(&operator.ring(), before, Instant::now()).closed.is_empty());
    assert_eq!(registry.sweep(&operator.ring(), last_day + leeway, Instant::now()).closed.len(), 1);
    let ended = CloseReason::Refused(Rejection::LegacyEnded { until: last_day });
    assert_eq!(open.closed().now_or_never(), Some(ended));
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

/// What comes with a token over a connection.
pub(super) fn arrival(operator: &Operator, token: &Issued, connection: &ConnectionGuard) -> Arrival {
    let want = Want { zone: token.zone, accept: Accept::CpToken, leeway: LEEWAY, legacy_until: None };
    let verified = tokens::verify(&token.raw, &operator.ring(), operator.now, &want).unwrap();
    let unverified = unverified(token.zone, connection.id().0);
    Arrival { caller: ZoneCaller::Verified(verified), ring_generation: operator.generation, ..unverified }
}

fn verified(arrival: Arrival) -> VerifiedZone {
    match arrival.caller {
        ZoneCaller::Verified(verified) => verified,
        other => panic!("{other:?} proved nothing"),
    }
}

#[test]
fn a_renewal_keeps_the_streams_of_its_connection_and_saves_nobody_elsewhere() {
    let now = Timestamp::from_second(1_700_000_000).unwrap();
    let mut operator =
        Operator { keys: BTreeMap::from([(1, key_of_test(1))]), revoked: BTreeSet::new(), generation: 1, now };
    let registry = Registry::new(operator.ring(), LEEWAY);
    let (old, newer) = (operator.issue("west", 1000).unwrap(), operator.issue("west", 2000).unwrap());
    let (here, elsewhere) = (registry.connect(), registry.connect());
    let admit = |token, connection| registry.admit(arrival(&operator, token, connection), now).unwrap();
    let (mut down, mut up, mut thief) = (admit(&old, &here), admit(&old, &here), admit(&old, &elsewhere));
    down.renew(verified(arrival(&operator, &newer, &here)), 1, now).unwrap();
    assert_eq!(*registry.earliest_expiry().borrow(), Some(old.expires), "of the thief");
    let late = admit(&newer, &here);
    assert!(!late.opens_session(), "the session goes on");
    operator.revoked.insert(old.id);
    operator.generation += 1;
    assert_eq!(registry.sweep(&operator.ring(), now, Instant::now()).closed.len(), 1);
    assert!(matches!(thief.closed().now_or_never(), Some(CloseReason::Refused(_))));
    assert!(down.closed().now_or_never().is_none() && up.closed().now_or_never().is_none());
    assert_eq!((here.standing(), elsewhere.standing()), (Standing::Proven, Standing::Withdrawn));
    assert_eq!(*registry.earliest_expiry().borrow(), Some(newer.expires));
    // Each stream hears of it once; the end comes before any other news.
    let token = |news: Option<News>| match news {
        Some(News::Renewed(caller)) => caller.token(),
        other => panic!("{other:?}"),
    };
    assert_eq!(token(down.news().now_or_never()).unwrap().id, newer.id);
    assert!(down.news().now_or_never().is_none());
    // What was renewed is closed with the token that it was renewed with.
    operator.revoked.insert(newer.id);
    operator.generation += 1;
    assert_eq!(registry.sweep(&operator.ring(), now, Instant::now()).closed.len(), 3);
    assert!(matches!(up.news().now_or_never(), Some(News::Closed(CloseReason::Refused(_)))));
    assert_eq!(here.standing(), Standing::Withdrawn);
}

#[test]
fn a_renewal_that_comes_too_late_or_for_another_zone_changes_nothing() {
    let now = Timestamp::from_second(1_700_000_000).unwrap();
    let operator =
        Operator { keys: BTreeMap::from([(1, key_of_test(1))]), revoked: BTreeSet::new(), generation: 1, now };
    let registry = Registry::new(operator.ring(), LEEWAY);
    let here = registry.connect();
    let (old, newer) = (operator.issue("west", 10).unwrap(), operator.issue("west", 1000).unwrap());
    let other = operator.issue("east", 1000).unwrap();
    let stream = registry.admit(arrival(&operator, &old, &here), now).unwrap();
    let renew = |token, now| stream.renew(verified(arrival(&operator, token, &here)), 1, now);
    assert!(matches!(renew(&other, now), Err(CloseReason::Refused(Rejection::WrongZone { .. }))));
    let end = old.expires + SignedDuration::try_from(LEEWAY).unwrap();
    assert!(matches!(renew(&newer, end), Err(CloseReason::Refused(Rejection::Expired { .. }))));
    assert_eq!(
        registry.sweep(&operator.ring(), end, Instant::now()).closed.len(),
        1,
        "it still stands on the old token"
    );
    assert!(renew(&newer, now).is_err(), "it was told to close");
    assert_eq!(here.standing(), Standing::Withdrawn);
}

#[test]
fn a_renewal_has_the_room_of_the_session_that_it_becomes() {
    let now = Timestamp::from_second(1_700_000_000).unwrap();
    let operator =
        Operator { keys: BTreeMap::from([(1, key_of_test(1))]), revoked: BTreeSet::new(), generation: 1, now };
    let registry = Registry::new(operator.ring(), LEEWAY);
    let (here, elsewhere) = (registry.connect(), registry.connect());
    let (old, newer) = (operator.issue("west", 1000).unwrap(), operator.issue("west", 1000).unwrap());
    let admit = |token, connection| registry.admit(arrival(&operator, token, connection), now).unwrap();
    let stream = admit(&old, &here);
    let mut full: VecDeque<_> = (0..bounds::STREAMS).map(|_| admit(&newer, &elsewhere)).collect();
    let renew = || stream.renew(verified(arrival(&operator, &newer, &here)), 1, now);
    assert_eq!(renew(), Err(CloseReason::TooManyStreams));
    drop(full.pop_back());
    assert_eq!(renew(), Ok(()));
    assert!(registry.admit(arrival(&operator, &newer, &here), now).is_err(), "it counts for the new session");
}

#[test]
fn the_end_of_tokens_closes_what_ends_and_looks_at_nothing_else() {
    let start = Timestamp::from_second(1_700_000_000).unwrap();
    let mut operator =
        Operator { keys: BTreeMap::from([(1, key_of_test(1))]), revoked: BTreeSet::new(), generation: 1, now: start };
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
    let mut operator =
        Operator { keys: BTreeMap::from([(1, key_of_test(1))]), revoked: BTreeSet::new(), generation: 1, now: start };
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
fn a_ring_that_is_only_adopted_closes_nobody_and_keeps_its_word_for_those_who_come() {
    let start = Timestamp::from_second(1_700_000_000).unwrap();
    let mut operator =
        Operator { keys: BTreeMap::from([(1, key_of_test(1))]), revoked: BTreeSet::new(), generation: 1, now: start };
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
