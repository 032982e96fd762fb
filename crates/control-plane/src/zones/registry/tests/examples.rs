//! One rule each.

use std::collections::VecDeque;

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
    let mut operator = Operator::at(start);
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

pub(super) fn unverified(name: &str, connection: u64) -> Arrival {
    Arrival {
        caller: ZoneCaller::Unverified(zone(name)),
        ring_generation: 0,
        connection: ConnectionId(connection),
        method: "GlobalToZoneSync",
        unary: false,
        pings: false,
    }
}

pub(super) fn empty() -> Registry {
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
fn an_instance_that_came_elsewhere_ends_other_ones_and_not_itself() {
    let registry = empty();
    let now = Timestamp::UNIX_EPOCH;
    let here = registry.admit(unverified("west", 1), now).unwrap();
    let unknown = registry.admit(unverified("west", 2), now).unwrap();
    assert!(registry.identify(here.id(), "host-1").is_empty());
    assert!(registry.replaced(&zone("west"), "host-1").is_empty(), "the zone moved: it ends what it left by itself");
    assert!(registry.replaced(&zone("east"), "host-2").is_empty());
    assert_eq!(registry.replaced(&zone("west"), "host-2").len(), 1);
    assert_eq!(here.close_reason(), Some(CloseReason::Replaced { by: "host-2".to_owned() }));
    assert!(unknown.close_reason().is_none(), "nobody knows whose it is");
}

#[test]
fn a_session_opens_once_however_many_streams_it_has() {
    let registry = empty();
    let now = Timestamp::UNIX_EPOCH;
    let first = registry.admit(unverified("west", 1), now).unwrap();
    let second = registry.admit(unverified("west", 2), now).unwrap();
    assert!(first.opens_session());
    assert!(!second.opens_session());
    drop(second);
    let third = registry.admit(unverified("west", 2), now).unwrap();
    assert!(!third.opens_session(), "it goes on");
    drop((first, third));
    assert!(registry.admit(unverified("west", 3), now).unwrap().opens_session());
}

#[tokio::test]
async fn a_draining_registry_admits_nobody_and_hears_who_is_there() {
    let registry = empty();
    let now = Timestamp::UNIX_EPOCH;
    let stays = registry.admit(unverified("west", 1), now).unwrap();
    assert_eq!(registry.drain(), [zone("west")]);
    registry.draining().await;
    let ping = |name| Arrival { unary: true, ..unverified(name, 1) };
    for refused in [unverified("east", 2), unverified("west", 1), ping("east")] {
        assert_eq!(registry.admit(refused, now).err(), Some(CloseReason::Draining));
    }
    assert!(registry.admit(ping("west"), now).is_ok());
    assert!(stays.close_reason().is_none());
    drop(stays);
    assert_eq!(registry.admit(ping("west"), now).err(), Some(CloseReason::Draining));
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
fn an_instance_is_known_until_its_connection_has_no_stream() {
    let registry = empty();
    let now = Timestamp::UNIX_EPOCH;
    let streams = [1, 1, 3].map(|connection| registry.admit(unverified("west", connection), now).unwrap());
    let [first, second, other] = streams;
    assert!(registry.identify(first.id(), "host-1").is_empty());
    assert!(registry.identify(other.id(), "host-1").is_empty());
    drop((second, other));
    // Another one comes over the connection that is gone, and does not say who it is.
    let silent = registry.admit(unverified("west", 3), now).unwrap();
    let newer = registry.admit(unverified("west", 2), now).unwrap();
    assert_eq!(registry.identify(newer.id(), "host-2").len(), 1);
    assert_eq!(first.close_reason(), Some(CloseReason::Replaced { by: "host-2".to_owned() }));
    assert_eq!((silent.close_reason(), newer.close_reason()), (None, None));
}

#[test]
fn streams_that_come_and_go_are_told_and_calls_are_not() {
    let registry = empty();
    let now = Timestamp::UNIX_EPOCH;
    let mut changes = registry.changes();
    let mut told = move || (changes.has_changed().unwrap(), *changes.borrow_and_update());
    let call = registry.admit(Arrival { unary: true, ..unverified("west", 1) }, now).unwrap();
    assert_eq!(told(), (false, 0));
    let stream = registry.admit(unverified("west", 1), now).unwrap();
    assert_eq!(told(), (true, 1));
    drop(call);
    assert_eq!(told(), (false, 1));
    drop(stream);
    assert_eq!(told(), (true, 2));
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
    let operator = Operator::at(start);
    let registry = Registry::new(operator.ring(), LEEWAY);
    let mut earliest = registry.earliest_expiry();
    let arrive = |seconds| {
        let token = operator.issue("west", seconds).unwrap();
        let want = Want { zone: "west", accept: Accept::CpToken, leeway: LEEWAY, legacy_until: None };
        let verified = tokens::verify(&token.raw, &operator.ring(), start, &want).unwrap();
        let arrival = Arrival { caller: ZoneCaller::Verified(verified), ..unverified("west", 1) };
        (registry.admit(Arrival { ring_generation: 1, ..arrival }, start).unwrap(), token.expires)
    };
    let mut told = move || (earliest.has_changed().unwrap(), *earliest.borrow_and_update());
    let (late, late_expiry) = arrive(1000);
    assert_eq!(told(), (true, Some(late_expiry)));
    let (later, _) = arrive(2000);
    assert_eq!(told(), (false, Some(late_expiry)), "it is woken by nothing that ends later");
    let (soon, soon_expiry) = arrive(10);
    assert_eq!(told(), (true, Some(soon_expiry)));
    drop((soon, later));
    assert_eq!(told(), (true, Some(late_expiry)));
    drop(late);
    assert_eq!(told(), (true, None));
}

#[test]
fn a_session_on_a_token_without_end_is_closed_on_the_day_on_which_such_tokens_end() {
    let start = Timestamp::from_second(1_700_000_000).unwrap();
    let operator = Operator::at(start);
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
    assert!(registry.close_silent(at(100), timeout, |_| Some(at(70))).is_empty(), "just in time");
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

pub(super) fn verified(arrival: Arrival) -> VerifiedZone {
    match arrival.caller {
        ZoneCaller::Verified(verified) => verified,
        other => panic!("{other:?} proved nothing"),
    }
}

#[test]
fn a_renewal_keeps_the_streams_of_its_connection_and_saves_nobody_elsewhere() {
    let now = Timestamp::from_second(1_700_000_000).unwrap();
    let mut operator = Operator::at(now);
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
    let operator = Operator::at(now);
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
fn a_renewal_by_a_key_that_went_meanwhile_changes_nothing() {
    let now = Timestamp::from_second(1_700_000_000).unwrap();
    let mut operator = Operator::at(now);
    let old = operator.issue("west", 1000).unwrap();
    operator.keys.insert(2, key_of_test(2));
    let registry = Registry::new(operator.ring(), LEEWAY);
    let here = registry.connect();
    let stream = registry.admit(arrival(&operator, &old, &here), now).unwrap();
    let newer = operator.issue("west", 1000).unwrap();
    let proof = verified(arrival(&operator, &newer, &here));
    operator.keys.remove(&2);
    operator.generation = 2;
    assert!(registry.sweep(&operator.ring(), now, Instant::now()).closed.is_empty());
    assert!(matches!(stream.renew(proof, 1, now), Err(CloseReason::Refused(Rejection::UnknownKey { .. }))));
}

#[test]
fn a_renewal_has_the_room_of_the_session_that_it_becomes() {
    let now = Timestamp::from_second(1_700_000_000).unwrap();
    let operator = Operator::at(now);
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
fn what_is_open_is_listed_until_it_is_told_to_close() {
    let registry = empty();
    let now = Timestamp::UNIX_EPOCH;
    let _streams = ["west", "east"].map(|name| registry.admit(unverified(name, 1), now).unwrap());
    let zones = || registry.open().into_iter().map(|open| open.caller.zone().clone()).collect::<Vec<_>>();
    assert_eq!(zones(), [zone("west"), zone("east")]);
    assert_eq!(registry.close_zone(&zone("west"), &CloseReason::ZoneDeleted, None).len(), 1);
    assert_eq!(zones(), [zone("east")]);
}
