//! How many places users get, and that administrators always get one.

use super::*;

const GRACE: Grace = Grace { silent: Duration::from_millis(250), heard: Duration::from_secs(1) };
const PLACES: usize = 32;

fn group() -> Group {
    Group::of([192, 0, 2, 1].into())
}

/// Each user has 4 of 32 places, all together have 28.
fn book() -> Book<Id> {
    let users = Some(Users::of(PLACES));
    Book::new(Capacity { all: PLACES, unproven: PLACES * 3 / 4, users, grace: GRACE, patience: None })
}

fn user(name: &str) -> Holder {
    Holder::User(name.into())
}

/// Enters and proves who it is; a request is under way on it. Returns its name and the one that had to go for the proof.
fn proved(book: &mut Book<Id>, holder: Holder, now: Instant) -> (Id, Result<Option<Id>, Crowd>) {
    let belongs = Id(book.next + 1);
    let Entry::In { id, .. } = book.enter(group(), now, belongs) else { panic!("no place for one more") };
    (id, book.prove(id, group(), holder, now, id))
}

/// Fills all places of users with requests of so many users as it takes.
fn full_of_users(book: &mut Book<Id>, now: Instant) -> Vec<Id> {
    (0..28)
        .map(|nth| {
            let (id, proof) = proved(book, user(&format!("user-{}", nth / 4)), now);
            assert_eq!(proof, Ok(None));
            id
        })
        .collect()
}

#[test]
fn shares_of_users_fit_every_port() {
    for (places, all, each) in [(8, 4, 4), (120, 113, 15), (4096, 3840, 32)] {
        let users = Users::of(places);
        assert_eq!((users.all, users.each), (all, each), "{places}");
    }
}

#[test]
fn a_user_with_too_many_loses_the_own_one_that_is_idle_for_longest() {
    let mut book = book();
    let now = Instant::now();
    let (other, _) = proved(&mut book, user("ann"), now);
    book.rest(other, now);
    let ids: Vec<Id> = (0..4).map(|_| proved(&mut book, user("joe"), now).0).collect();
    let later = now + GRACE.heard;
    for id in [ids[2], ids[1]] {
        book.rest(id, later);
    }
    book.rest(ids[2], later + GRACE.heard);
    assert_eq!(proved(&mut book, user("joe"), later).1, Ok(Some(ids[1])), "ann's is older, and not joe's");
    assert_eq!(book.proven(), 5);
}

#[test]
fn a_user_with_a_request_on_each_gets_no_more() {
    let mut book = book();
    let now = Instant::now();
    for _ in 0..4 {
        assert_eq!(proved(&mut book, user("joe"), now).1, Ok(None));
    }
    assert_eq!(proved(&mut book, user("joe"), now).1, Err(Crowd::Own));
    assert_eq!((book.unproven(), book.proven()), (1, 4), "it is one that proved nothing");
    assert_eq!(proved(&mut book, user("ann"), now).1, Ok(None), "others have their own");
}

#[test]
fn users_together_leave_places_to_administrators() {
    let mut book = book();
    let now = Instant::now();
    let ids = full_of_users(&mut book, now);
    assert_eq!(proved(&mut book, user("one-more"), now).1, Err(Crowd::Others), "all have requests");
    assert_eq!(proved(&mut book, Holder::Administrator, now).1, Ok(None));
    book.rest(ids[7], now);
    assert_eq!(proved(&mut book, user("one-more"), now).1, Ok(Some(ids[7])), "the idle one makes room");
}

#[test]
fn who_is_about_to_prove_something_gets_the_place_of_an_idle_user() {
    let mut book = book();
    let now = Instant::now();
    let ids = full_of_users(&mut book, now);
    for _ in 0..4 {
        assert_eq!(proved(&mut book, Holder::Administrator, now).1, Ok(None));
    }
    assert_eq!(book.enter(group(), now, Id(99)), Entry::Wait(None), "a request is under way on each");
    book.rest(ids[3], now);
    assert!(matches!(book.enter(group(), now, Id(99)), Entry::In { in_place_of: Some(gone), .. } if gone == ids[3]));
}

#[test]
fn strangers_do_not_take_the_places_of_users_that_are_idle() {
    let mut book = book();
    let now = Instant::now();
    for id in full_of_users(&mut book, now) {
        book.rest(id, now);
    }
    let mut entered = 0;
    while matches!(book.enter(group(), now, Id(99)), Entry::In { .. }) {
        entered += 1;
    }
    assert_eq!((entered, book.unproven(), book.proven()), (8, 8, 24), "a quarter, then they wait for each other");
}

#[test]
fn administrators_make_room_for_each_other_when_nobody_else_is_left() {
    let mut book = book();
    let now = Instant::now();
    let ids: Vec<Id> = (0..PLACES).map(|_| proved(&mut book, Holder::Administrator, now).0).collect();
    assert_eq!(book.enter(group(), now, Id(99)), Entry::Wait(None));
    book.rest(ids[5], now);
    assert!(matches!(book.enter(group(), now, Id(99)), Entry::In { in_place_of: Some(gone), .. } if gone == ids[5]));
    book.rest(ids[6], now);
    assert!(matches!(book.enter(group(), now, Id(99)), Entry::Wait(Some(_))), "the unproven one goes first");
}

#[test]
fn a_connection_counts_for_who_proved_it_last() {
    let mut book = book();
    let now = Instant::now();
    let ids: Vec<Id> = (0..4).map(|_| proved(&mut book, user("joe"), now).0).collect();
    assert_eq!(book.prove(ids[0], group(), user("ann"), now, ids[0]), Ok(None));
    let (fifth, proof) = proved(&mut book, user("joe"), now);
    assert_eq!(proof, Ok(None), "joe has three");
    assert_eq!(book.prove(ids[0], group(), user("joe"), now, ids[0]), Err(Crowd::Own));
    assert_eq!((book.unproven(), book.proven()), (1, 4));
    for id in ids.into_iter().chain([fifth]) {
        book.leave(id);
    }
    assert_eq!((book.unproven(), book.proven()), (0, 0));
    assert_eq!(proved(&mut book, user("joe"), now).1, Ok(None), "nothing is counted that is not there");
}
