//! What a connection stands on, and for whom it counts.

use super::{
    examples::{arrival, empty, verified},
    operator::{Issued, LEEWAY, Operator},
    *,
};

/// An operator with one key, and a registry that has swept with it.
pub(super) fn operator_and_registry() -> (Operator, Registry) {
    let now = Timestamp::from_second(1_700_000_000).unwrap();
    let operator = Operator::at(now);
    let registry = Registry::new(operator.ring(), LEEWAY);
    (operator, registry)
}

fn revoke(operator: &mut Operator, registry: &Registry, token: &Issued) -> usize {
    operator.revoked.insert(token.id.clone());
    operator.generation += 1;
    registry.sweep(&operator.ring(), operator.now, Instant::now()).closed.len()
}

#[test]
fn a_connection_on_which_nothing_was_shown_yet_is_not_withdrawn() {
    let registry = empty();
    let (fresh, now) = (registry.connect(), Timestamp::UNIX_EPOCH);
    assert_eq!(registry.sweep(&Arc::new(KeyRing::build(2, &[]).0), now, Instant::now()), Swept::default());
    assert_eq!(registry.expire(now, Instant::now()), Swept::default());
    assert_eq!(fresh.standing(), Standing::Unproven);
}

#[test]
fn the_sweeper_learns_of_the_end_of_what_a_connection_stands_on() {
    let start = Timestamp::from_second(1_700_000_000).unwrap();
    let operator = Operator::at(start);
    let registry = Registry::new(operator.ring(), LEEWAY);
    let (here, token) = (registry.connect(), operator.issue("west", 10).unwrap());
    let call = Arrival { unary: true, ..arrival(&operator, &token, &here) };
    drop(registry.admit(call, start).unwrap());
    assert_eq!(*registry.earliest_expiry().borrow(), Some(token.expires), "the call is over, its proof is not");
    assert_eq!(registry.expire(token.expires + registry.leeway(), Instant::now()), Swept::default());
    assert_eq!((here.standing(), *registry.earliest_expiry().borrow()), (Standing::Withdrawn, None));
}

#[test]
fn a_connection_stands_on_the_token_that_it_was_renewed_with_alone() {
    let (mut operator, registry) = operator_and_registry();
    let (old, newer) = (operator.issue("west", 1000).unwrap(), operator.issue("west", 1000).unwrap());
    let here = registry.connect();
    let stream = registry.admit(arrival(&operator, &old, &here), operator.now).unwrap();
    stream.renew(verified(arrival(&operator, &newer, &here)), 1, operator.now).unwrap();
    assert_eq!((revoke(&mut operator, &registry, &old), here.standing()), (0, Standing::Proven));
    assert_eq!((revoke(&mut operator, &registry, &newer), here.standing()), (1, Standing::Withdrawn));
}

#[test]
fn a_renewal_counts_its_connection_for_the_newer_token_and_no_more_for_the_old_one() {
    let (operator, registry) = operator_and_registry();
    let (old, newer) = (operator.issue("west", 1000).unwrap(), operator.issue("west", 1000).unwrap());
    let admit = |token, connection| registry.admit(arrival(&operator, token, connection), operator.now).unwrap();
    let here = registry.connect();
    let stream = admit(&old, &here);
    let mut others: Vec<_> = (0..bounds::CONNECTIONS).map(|_| registry.connect()).collect();
    others.iter().for_each(|other| drop(admit(&newer, other)));
    let renew = || stream.renew(verified(arrival(&operator, &newer, &here)), 1, operator.now);
    assert_eq!(renew(), Err(CloseReason::TooManyConnections));
    drop(others.pop());
    assert_eq!((renew(), renew()), (Ok(()), Ok(())), "it was shown here already");
    let late = registry.connect();
    let one_more = registry.admit(arrival(&operator, &newer, &late), operator.now);
    assert_eq!(one_more.err(), Some(CloseReason::TooManyConnections));
    drop((stream, here, others, late));
    let state = registry.lock();
    assert!(state.sessions.is_empty() && state.connections.is_empty(), "nothing is counted that is gone");
}
