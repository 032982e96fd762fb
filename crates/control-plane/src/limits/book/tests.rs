//! Who gets in, who has to go, and who never has to.

use proptest::prelude::*;

use super::*;

const GRACE: Grace = Grace { silent: Duration::from_millis(250), heard: Duration::from_secs(3) };
const A: u8 = 1;
const B: u8 = 2;

fn group(last: u8) -> Group {
    Group::of([192, 0, 2, last].into())
}

fn book(all: usize, unproven: usize) -> Book<Id> {
    Book::new(Capacity { all, unproven, users: None, grace: GRACE, patience: Some(Patience::OF_ZONES) })
}

/// Enters; the payload is the name that the connection gets.
fn enter(book: &mut Book<Id>, from: u8, now: Instant) -> Entry<Id> {
    let belongs = Id(book.next + 1);
    book.enter(group(from), now, belongs)
}

fn entered(book: &mut Book<Id>, from: u8, now: Instant) -> (Id, Option<Id>) {
    match enter(book, from, now) {
        Entry::In { id, in_place_of } => (id, in_place_of),
        Entry::Wait(until) => panic!("it has to wait until {until:?}"),
    }
}

/// Somebody proves who they are, and has a request from then on; the error or the one that goes is as the book says.
fn prove(book: &mut Book<Id>, id: Id, holder: Holder, now: Instant) -> Result<Option<Id>, Crowd> {
    book.prove(id, group(A), holder, now, id)
}

#[test]
fn zones_behind_one_address_all_get_in_while_there_are_places() {
    let mut book = book(100, 75);
    let now = Instant::now();
    for _ in 0..75 {
        assert_eq!(entered(&mut book, A, now).1, None);
    }
}

#[test]
fn nobody_loses_a_fresh_place_to_one_of_the_same_address() {
    let mut book = book(100, 10);
    let now = Instant::now();
    let first = entered(&mut book, A, now).0;
    for _ in 0..9 {
        entered(&mut book, A, now);
    }
    assert_eq!(enter(&mut book, A, now), Entry::Wait(Some(now + GRACE.silent)));
    assert_eq!(entered(&mut book, A, now + GRACE.silent).1, Some(first), "the one that waited longest goes");
}

#[test]
fn one_that_has_said_something_stays_longer_than_one_that_has_not() {
    let mut book = book(100, 2);
    let now = Instant::now();
    let heard = entered(&mut book, A, now).0;
    book.touch(heard, now);
    let silent = entered(&mut book, A, now).0;
    assert_eq!(entered(&mut book, A, now + GRACE.silent).1, Some(silent));
}

#[test]
fn an_address_that_holds_much_makes_room_for_another_one_at_once() {
    let mut book = book(100, 10);
    let now = Instant::now();
    let first = entered(&mut book, A, now).0;
    for _ in 0..9 {
        entered(&mut book, A, now);
    }
    assert_eq!(entered(&mut book, B, now).1, Some(first));
}

#[test]
fn many_addresses_with_little_each_do_not_push_each_other_out() {
    let mut book = book(100, 20);
    let now = Instant::now();
    for address in 0..20 {
        entered(&mut book, address, now);
    }
    assert_eq!(enter(&mut book, 99, now), Entry::Wait(Some(now + GRACE.silent)));
}

#[test]
fn what_proved_itself_keeps_its_place() {
    let mut book = book(4, 2);
    let now = Instant::now();
    for _ in 0..4 {
        let id = entered(&mut book, A, now).0;
        prove(&mut book, id, Holder::Zone, now).unwrap();
    }
    assert_eq!(enter(&mut book, B, now + GRACE.heard), Entry::Wait(None), "all places are proven");
}

#[test]
fn one_that_proves_itself_while_it_has_to_go_is_counted() {
    let mut book = book(4, 1);
    let now = Instant::now();
    let first = entered(&mut book, A, now).0;
    assert_eq!(entered(&mut book, A, now + GRACE.silent).1, Some(first));
    prove(&mut book, first, Holder::Zone, now).unwrap();
    assert_eq!((book.unproven(), book.proven()), (1, 1));
    book.leave(first);
    assert_eq!((book.unproven(), book.proven()), (1, 0));
}

#[test]
fn a_connection_that_lost_its_proof_waits_anew() {
    let mut book = book(4, 2);
    let now = Instant::now();
    let id = entered(&mut book, A, now).0;
    prove(&mut book, id, Holder::Zone, now).unwrap();
    assert_eq!((book.unproven(), book.proven()), (0, 1));
    book.unprove(id, group(A), now, id);
    assert_eq!((book.unproven(), book.proven()), (1, 0));
    assert_eq!(book.oldest.first(), Some(&(now + GRACE.heard, id)));
    book.leave(id);
    assert_eq!((book.unproven(), book.proven()), (0, 0));
}

#[test]
fn patience_is_short_when_places_are() {
    let mut book = book(100, 8);
    let now = Instant::now();
    let first = entered(&mut book, A, now).0;
    assert_eq!(book.due(), Some(now + GRACE.silent + Patience::OF_ZONES.usual));
    for _ in 0..6 {
        entered(&mut book, A, now);
    }
    let due = now + GRACE.silent + Patience::OF_ZONES.short;
    assert_eq!(book.due(), Some(due));
    assert_eq!(book.overdue(due - Duration::from_millis(1)), None);
    assert_eq!(book.overdue(due), Some(first));
    book.leave(first);
    assert_eq!(book.overdue(due), None, "one left: there are places again");
}

#[derive(Clone, Debug)]
enum Step {
    Enter(u8),
    Prove(usize),
    Unprove(usize),
    Touch(usize),
    Leave(usize),
    Pass(u64),
    Overdue,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0..4u8).prop_map(Step::Enter),
        2 => any::<usize>().prop_map(Step::Prove),
        1 => any::<usize>().prop_map(Step::Unprove),
        1 => any::<usize>().prop_map(Step::Touch),
        1 => any::<usize>().prop_map(Step::Leave),
        2 => (0..6u64).prop_map(Step::Pass),
        1 => Just(Step::Overdue),
    ];
    proptest::collection::vec(step, 1..120)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    /// Against the plainest of books: who is in, since when, proven or not.
    #[test]
    fn the_book_never_has_more_than_its_places_and_never_evicts_what_is_proven(steps in steps()) {
        let (all, unproven) = (12, 8);
        let mut book = book(all, unproven);
        let mut now = Instant::now();
        let mut open: Vec<(Id, u8, bool)> = Vec::new();
        for step in steps {
            match step {
                Step::Enter(from) => {
                    let full = open.iter().filter(|(_, _, proven)| !proven).count() >= unproven || open.len() >= all;
                    match enter(&mut book, from, now) {
                        Entry::In { id, in_place_of } => {
                            prop_assert_eq!(in_place_of.is_some(), full);
                            if let Some(gone) = in_place_of {
                                let index = open.iter().position(|(id, _, _)| *id == gone).unwrap();
                                prop_assert!(!open.remove(index).2, "a proven connection stays");
                                // Its task hears of it later, and leaves.
                                book.leave(gone);
                            }
                            open.push((id, from, false));
                        }
                        Entry::Wait(_) => prop_assert!(full),
                    }
                }
                Step::Prove(nth) if !open.is_empty() => {
                    let index = nth % open.len();
                    if !open[index].2 {
                        open[index].2 = true;
                        prove(&mut book, open[index].0, Holder::Zone, now).unwrap();
                    }
                }
                Step::Unprove(nth) if !open.is_empty() => {
                    let index = nth % open.len();
                    let (id, from, proven) = open[index];
                    if proven {
                        open[index].2 = false;
                        book.unprove(id, group(from), now, id);
                    }
                }
                Step::Touch(nth) if !open.is_empty() => book.touch(open[nth % open.len()].0, now),
                Step::Leave(nth) if !open.is_empty() => {
                    let (id, _, _) = open.remove(nth % open.len());
                    book.leave(id);
                }
                Step::Pass(seconds) => now += Duration::from_secs(seconds),
                Step::Overdue => {
                    if let Some(id) = book.overdue(now) {
                        prop_assert!(open.iter().any(|(other, _, proven)| *other == id && !proven));
                    }
                }
                Step::Prove(_) | Step::Unprove(_) | Step::Touch(_) | Step::Leave(_) => {}
            }
            let unproven_now = open.iter().filter(|(_, _, proven)| !proven).count();
            prop_assert_eq!((book.unproven(), book.proven()), (unproven_now, open.len() - unproven_now));
            prop_assert_eq!(book.weights.iter().map(|(count, _)| count).sum::<usize>(), unproven_now);
            prop_assert_eq!(book.oldest.len(), unproven_now);
        }
        for (id, _, _) in open {
            book.leave(id);
        }
        prop_assert!(book.unproven.is_empty() && book.oldest.is_empty() && book.groups.is_empty() && book.weights.is_empty());
        prop_assert_eq!(book.proven(), 0);
    }
}
