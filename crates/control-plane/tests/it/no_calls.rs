//! Requests that are no calls of gRPC: a global, a gateway and a connector refuse them in the same words, before it counts
//! who asks.

use http::{Method, Request};
use testkit::{
    client,
    kds::Peer,
    rpcs::{DOWN, PING},
    runtime::run,
};

use crate::stage::{
    passage::{MARK, Passage, with_each_relay},
    plain_port::{peer, peer_at, plain_world},
    relays::Guarded,
    way::Way,
    world::World,
};

const GRPC: &[&str] = &["application/grpc"];
const PLAIN: (&str, &str) = ("KUMA_MULTIZONE_GLOBAL_KDS_TLS_ENABLED", "false");

/// Sends requests with these headers that are almost calls, and looks how they are refused.
async fn check(peer: &Peer, headers: &[(&str, &str)]) {
    let (query, above) = (format!("{DOWN}?a=b"), format!("/a/..{PING}"));
    let post = Method::POST;
    for (method, path, types, http, grpc) in [
        (&Method::GET, DOWN, GRPC, 405, "13"),
        (&Method::PUT, PING, GRPC, 405, "13"),
        (&post, DOWN, &[][..], 415, "3"),
        (&post, PING, &["application/json"], 415, "3"),
        (&post, DOWN, &["application/grpc-web"], 415, "3"),
        (&post, DOWN, &["application/grpc", "application/json"], 415, "3"),
        (&post, &query, GRPC, 200, "12"),
        (&post, &above, GRPC, 200, "12"),
    ] {
        let mut request = Request::builder().method(method).uri(format!("http://kds{path}")).header("te", "trailers");
        for kind in types {
            request = request.header("content-type", *kind);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = peer.ask(request.body(()).unwrap()).await;
        let said = (answer.status.as_u16(), answer.headers["grpc-status"].to_str().unwrap());
        assert_eq!(said, (http, grpc), "{method} {path} {types:?}");
    }
}

/// Whoever asks: nobody looks who that is, and nothing is kept of it.
fn refused_before_it_counts_who_asks(door: &World) {
    let token = door.token("west");
    run(async {
        let peer = peer(door).await;
        let named = ("client-id", "west");
        check(&peer, &[named, ("authorization", &token)]).await;
        check(&peer, &[named, ("authorization", "guessed")]).await;
        check(&peer, &[named]).await;
    });
    let (_, metrics) = client::ask(door.global.address("diagnostics"), "GET", "/metrics", None);
    let judged: Vec<_> = metrics.lines().filter(|line| line.starts_with("zone_auth_total{")).collect();
    assert!(judged.iter().all(|line| line.ends_with(" 0")), "{judged:?}");
    assert_eq!(client::ask(door.http(), "GET", "/zones/west", None).0, 404, "there is no such zone");
}

#[test]
fn a_global_refuses_them_before_it_counts_who_asks() {
    refused_before_it_counts_who_asks(&plain_world());
}

#[test]
fn a_gateway_refuses_them_before_it_counts_who_asks() {
    let guarded = Guarded::new(&[PLAIN]);
    refused_before_it_counts_who_asks(&guarded.gate);
    assert_eq!(client::ask(guarded.behind.http(), "GET", "/zones/west", None).0, 404, "nothing came through");
}

with_each_relay! {
    nothing_of_them_comes_through
}

async fn nothing_of_them_comes_through(way: Way) {
    let mut passage = Passage::start(way).await;
    let peer = peer_at(passage.relay.near).await;
    check(&peer, &[("client-id", "west"), (MARK, "bad")]).await;
    passage.serves().await;
    assert!(!passage.has_arrived("bad"));
}
