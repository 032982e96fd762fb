//! A connector beside a zone: the zone has no token and no CA, and joins like one that has.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream as StdStream,
    time::Duration,
};

use testkit::{
    client,
    kds::{Call, Peer},
    ports::ClosedPort,
    program::{ControlPlane, LIMIT, eventually},
    rpcs::{DOWN, PING, PRESENT, UP},
    runtime::run,
};
use tokio::net::{TcpStream, UnixStream};

use crate::stage::{
    plain_port::first,
    relays::{connector, connector_to, zone_behind},
    sides::wait_until_equal,
    world::World,
};

async fn peer(connector: &ControlPlane) -> Peer {
    let stream = TcpStream::connect(connector.address("connector")).await.unwrap();
    stream.set_nodelay(true).unwrap();
    Peer::over(stream).await
}

fn open(peer: &Peer, path: &str, zone: &str) -> Call {
    peer.open(path, &[("client-id", zone), ("features", "zone-ping-health"), ("features", "hash-suffix")])
}

fn ready(connector: &ControlPlane) -> String {
    client::ask(connector.address("diagnostics"), "GET", "/ready", None).1
}

#[test]
fn a_zone_behind_a_connector_joins_gets_and_reports() {
    let world = World::new(&[]);
    let connector = connector(&world, "west", &world.token_file("west"));
    let zone = zone_behind(&world, &connector, "west");
    world.wait_online("west");
    world.global.line(&["successfully authenticated", r#""zone": "west""#]);
    world.apply("type: Mesh\nname: later\nskipCreatingInitialPolicies: ['*']\n");
    wait_until_equal(world.http(), zone.address("http"), "west");
    eventually("the connector is content", || ready(&connector), |said| !said.contains(':'));
    assert!(!zone.text().contains("not connected"), "{}", zone.text());
}

#[test]
fn a_unix_socket_serves_as_well_and_an_old_one_is_replaced() {
    let world = World::new(&[]);
    let path = world.path("connector.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let listen = format!("unix://{}", path.display());
    let port = world.global.address("kds").port();
    let settings = [("KUMA_MULTIZONE_CONNECTOR_LISTEN", listen.as_str())];
    let _connector = connector_to(&world, port, "west", &world.token_file("west"), &settings);
    run(async {
        let peer = Peer::over(UnixStream::connect(&path).await.unwrap()).await;
        let mut ping = open(&peer, PING, "west");
        ping.send(&[]);
        ping.half_close();
        assert!(ping.next().await.is_some());
        assert_eq!(ping.ended().await.code, 0);
    });
}

#[test]
fn who_is_not_the_zone_is_refused_here() {
    let world = World::new(&[]);
    let connector = connector(&world, "west", &world.token_file("west"));
    run(async {
        let peer = peer(&connector).await;
        let code = async |headers: &[(&str, &str)], path: &str| peer.open(path, headers).ended().await.code;
        for path in [DOWN, UP, PING] {
            assert_eq!(code(&[("client-id", "east")], path).await, 7, "{path}");
            assert_eq!(code(&[("client-id", "west"), ("client-id", "east")], path).await, 7, "{path}");
            assert_eq!(code(&[], path).await, 3, "{path}");
            // Another token would be a second one.
            assert_eq!(code(&[("client-id", "west"), ("authorization", "Bearer x")], path).await, 3, "{path}");
        }
        assert_eq!(code(&[("client-id", "west")], PRESENT).await, 12);
        // And who is, is served on the same connection.
        let mut down = open(&peer, DOWN, "west");
        down.send(&first("west", "Mesh"));
        assert!(down.next().await.is_some());
    });
}

#[test]
fn more_streams_than_a_token_may_have_are_answered_one_by_one() {
    let world = World::new(&[]);
    let connector = connector(&world, "west", &world.token_file("west"));
    run(async {
        let peer = peer(&connector).await;
        let mut standing = Vec::new();
        let mut calls: Vec<_> = (0..10_000).map(|_| open(&peer, UP, "west")).collect();
        let mut refused = 0;
        for mut call in calls.drain(..) {
            // A stream that stands says something: global asks for what the zone has.
            if call.next().await.is_some() {
                standing.push(call);
            } else {
                assert_eq!(call.ended().await.code, 8);
                refused += 1;
            }
        }
        // As many as a token may have, and no ping between them that costs them their life.
        assert!(!standing.is_empty() && refused >= 10_000 - 64, "{refused} refused");
        // With room again it is pinged, if it was not before, while the zone is there.
        drop(standing);
        let pinged = async {
            while !connector.logged_after(0, &["\tconnected to the global control plane"]) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(LIMIT, pinged).await.expect("it is pinged");
    });
}

#[test]
fn while_global_is_away_calls_end_at_once_and_ready_says_why() {
    let world = World::new(&[]);
    let token = world.token_file("west");
    let nobody = ClosedPort::new();
    let connector = connector_to(&world, nobody.port(), "west", &token, &[]);
    run(async {
        let peer = peer(&connector).await;
        for path in [DOWN, UP, PING] {
            let ended = open(&peer, path, "west").ended().await;
            assert_eq!(ended.code, 14, "{ended:?}");
            assert!(ended.message.contains("cannot reach localhost"), "{ended:?}");
        }
    });
    eventually("ready says why", || ready(&connector), |said| said.contains("global: cannot reach localhost"));
}

#[test]
fn a_token_of_another_zone_is_refused_until_the_file_is_mended() {
    let world = World::new(&[]);
    let file = world.file("the.token", &world.token("east"));
    let connector = connector(&world, "west", &file);
    eventually(
        "ready says why",
        || ready(&connector),
        |said| said.contains("token: the token of the connector is of zone `east`"),
    );
    run(async {
        let peer = peer(&connector).await;
        let ended = open(&peer, DOWN, "west").ended().await;
        assert_eq!(ended.code, 7, "{ended:?}");
        assert!(ended.message.contains("of zone `east`"), "{ended:?}");
    });
    world.file("the.token", &world.token("west"));
    let _zone = zone_behind(&world, &connector, "west");
    world.wait_online("west");
    eventually("the connector is content", || ready(&connector), |said| !said.contains(':'));
}

#[test]
fn a_new_token_in_the_file_is_taken_without_a_gap() {
    let world = World::new(&[]);
    // Tokens without an end are the same bytes each time.
    let issue = || world.kumactl.ok(&["generate", "control-plane-token", "--zone=west", "--valid-for", "720h"], "");
    let connector = connector(&world, "west", &world.file("west.token", &issue()));
    let zone = zone_behind(&world, &connector, "west");
    world.wait_online("west");
    connector.line(&["\tconnected to the global control plane"]);
    world.file("west.token", &issue());
    connector.line(&["the connection stands on the new token"]);
    assert!(!zone.text().contains("not connected"), "{}", zone.text());
}

#[test]
fn a_deleted_key_ends_the_streams_and_the_next_token_brings_the_zone_back() {
    let world = World::new(&[]);
    let token = world.kumactl.ok(&["generate", "control-plane-token", "--zone=west", "--valid-for", "720h"], "");
    let connector = connector(&world, "west", &world.file("west.token", &token));
    let zone = zone_behind(&world, &connector, "west");
    world.wait_online("west");
    world.kumactl.ok(&["delete", "global-secret", "control-plane-signing-key-0001"], "");
    zone.line(&["refused this zone"]);
    world.wait_offline("west");
    let key = world.kumactl.ok(&["generate", "signing-key"], "");
    world.kumactl.ok(
        &["apply", "--var", &format!("key={key}"), "-f", "-"],
        "type: GlobalSecret\nname: control-plane-signing-key-0002\ndata: {{ key }}\n",
    );
    world.token_file("west");
    world.wait_online("west");
}

#[test]
fn a_connector_renews_the_token_and_the_zone_notices_nothing() {
    let world = World::new(&[("KUMA_MULTIZONE_GLOBAL_KDS_AUTH_LEEWAY", "0s")]);
    let token = world.kumactl.ok(&["generate", "control-plane-token", "--zone=west", "--valid-for", "12s"], "");
    let file = world.file("west.token", &token);
    let connector = connector(&world, "west", &file);
    let zone = zone_behind(&world, &connector, "west");
    world.wait_online("west");
    let moved =
        || connector.text().lines().filter(|line| line.contains("the connection stands on the new token")).count();
    eventually("the token is renewed", moved, |moved| *moved >= 2);
    assert_ne!(std::fs::read_to_string(&file).unwrap(), token);
    assert!(!zone.text().contains("not connected"), "{}", zone.text());
}

#[test]
fn restarts_of_either_end_are_overcome() {
    let mut world = World::new(&[]);
    let token = world.token_file("west");
    world.global.keep_ports();
    let mut connector = connector(&world, "west", &token);
    let address = connector.address("connector").to_string();
    let zone = zone_behind(&world, &connector, "west");
    world.wait_online("west");
    world.global.restart();
    world.wait_online("west");
    connector.set("KUMA_MULTIZONE_CONNECTOR_LISTEN", &address);
    let mark = zone.mark();
    connector.terminate();
    zone.line_after(mark, &["not connected to the global control plane"]);
    world.wait_offline("west");
    connector.again();
    world.wait_online("west");
}

#[test]
fn who_speaks_something_else_hears_it() {
    let world = World::new(&[]);
    let connector = connector(&world, "west", &world.token_file("west"));
    let mut http1 = StdStream::connect(connector.address("connector")).unwrap();
    http1.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut said = String::new();
    let _reset_or_end = http1.read_to_string(&mut said);
    assert!(said.starts_with("HTTP/1.1 505"), "{said}");
    let mut tls = StdStream::connect(connector.address("connector")).unwrap();
    tls.write_all(b"\x16\x03\x01\x00\x05hello").unwrap();
    connector.line(&["it speaks TLS, and this port is plain"]);
}
