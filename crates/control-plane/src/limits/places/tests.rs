//! What connections are told, and what a proof is worth.

use futures::FutureExt as _;

use super::*;
use crate::limits::book::{Grace, Users};

const FROM: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

fn port(unproven: usize) -> Arc<Port> {
    let capacity = Capacity { all: unproven + 1, unproven, users: None, grace: Grace::OF_REST, patience: None };
    Port::new("test", capacity, &ConnectionMetrics::default())
}

fn counts(port: &Port) -> (usize, usize) {
    let book = port.lock();
    (book.unproven(), book.proven())
}

#[tokio::test(start_paused = true)]
async fn the_oldest_is_told_and_one_that_proved_itself_is_not() {
    let port = port(2);
    let (first, second) = (port.place_for_tests(), port.place_for_tests());
    first.prove();
    let third = port.place_for_tests();
    tokio::time::advance(Grace::OF_REST.silent).await;
    let Asked::Got { displaced: true, place: _fourth } = port.ask(FROM, Instant::now()) else { panic!("no place") };
    assert_eq!(first.told().now_or_never(), None);
    assert_eq!(second.told().now_or_never(), Some(Told::Displaced));
    assert_eq!(third.told().now_or_never(), None);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_proves_nothing_takes_the_proof_of_an_earlier_one_away() {
    let port = port(2);
    let place = port.place_for_tests();
    let proof = Proof::new(place.clone());
    proof.shown(Holder::Administrator, std::future::pending()).unwrap();
    proof.answered();
    assert_eq!(counts(&port), (0, 1));
    Proof::new(place.clone()).answered();
    assert_eq!(counts(&port), (1, 0));
    drop((place, proof));
    assert_eq!(counts(&port), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn who_waits_hears_of_a_place() {
    let port = port(1);
    let place = port.place_for_tests();
    assert!(matches!(port.ask(FROM, Instant::now()), Asked::Wait(Some(_))));
    drop(place);
    port.freed().await;
    assert!(matches!(port.ask(FROM, Instant::now()), Asked::Got { displaced: false, .. }));
}

#[tokio::test(start_paused = true)]
async fn a_user_with_too_many_connections_loses_an_idle_one() {
    let users = Some(Users::of(32));
    let capacity = Capacity { all: 32, unproven: 24, users, grace: Grace::OF_REST, patience: None };
    let port = Port::new("test", capacity, &ConnectionMetrics::default());
    let shown = || {
        let place = port.place_for_tests();
        let proof = Proof::new(place.clone());
        (place, proof.shown(Holder::User("joe".into()), std::future::pending()))
    };
    let first: Vec<Place> = (0..4).map(|_| shown().0).collect();
    let (refused, proof) = shown();
    assert_eq!(proof, Err(Crowd::Own));
    first[2].rest();
    let (fifth, proof) = shown();
    assert_eq!((proof, first[2].told().now_or_never()), (Ok(()), Some(Told::Crowded)));
    assert_eq!(counts(&port), (1, 4));
    drop((first, refused, fifth));
    assert_eq!(counts(&port), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_proof_that_ended_does_not_count_and_a_newer_one_does() {
    let port = port(2);
    let place = port.place_for_tests();
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    let user = || Holder::User("joe".into());
    Proof::new(place.clone()).shown(user(), async { drop(ended.await) }).unwrap();
    let mut following = Box::pin(place.follow_proof());
    assert_eq!((following.as_mut().now_or_never(), counts(&port)), (None, (0, 1)));
    end.send(()).unwrap();
    assert_eq!((following.as_mut().now_or_never(), counts(&port)), (None, (1, 0)));
    // The request that shows the next token may come in the moment in which the one of before ends.
    Proof::new(place.clone()).shown(user(), std::future::ready(())).unwrap();
    Proof::new(place.clone()).shown(user(), std::future::pending()).unwrap();
    assert_eq!((following.as_mut().now_or_never(), counts(&port)), (None, (0, 1)));
}
