//! A gateway before a global that believes everybody: what a zone gets and reports goes through, and what must not does not.

use prost::Message as _;
use testkit::{
    client,
    kds::{Call, Peer},
    ports::ClosedPort,
    program::eventually,
    rpcs::{DOWN, UP},
    runtime::run,
};
use wire::envoy::{
    config::core::v3::ControlPlane as Identifier,
    service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse},
};

use crate::stage::{
    plain_port::{first, open, peer},
    relays::{Guarded, connector, zone_behind},
    sides::wait_until_equal,
    world::{World, decode},
};

const FAMILY: &str = "control-plane-signing-key";

/// Plain text, so that a test can play a zone.
const PLAIN: (&str, &str) = ("KUMA_MULTIZONE_GLOBAL_KDS_TLS_ENABLED", "false");

#[test]
fn a_zone_joins_through_a_gateway_and_both_have_what_the_other_gives() {
    let guarded = Guarded::new(&[]);
    let zone = guarded.gate.connected_zone("west");
    guarded.behind.wait_online("west");
    guarded.behind.apply("type: Mesh\nname: later\nskipCreatingInitialPolicies: ['*']\n");
    wait_until_equal(guarded.behind.http(), zone.address("http"), "west");
    assert!(!zone.text().contains("not connected"), "{}", zone.text());
    let shown = guarded.gate.kumactl.ok(&["inspect", "zones", "-o", "wide"], "");
    assert!(shown.contains("west") && shown.contains("Online"), "{shown}");
    // The token stays at the gateway.
    let overview = client::get(guarded.behind.http(), "/zones/west/_overview");
    assert!(!overview.to_string().contains("authTokenProvided\":true"), "{overview}");
}

#[test]
fn a_zone_joins_through_connector_and_gateway_and_renews_there() {
    let guarded = Guarded::new(&[("KUMA_MULTIZONE_GLOBAL_KDS_AUTH_LEEWAY", "0s")]);
    let gate = &guarded.gate;
    let token = gate.kumactl.ok(&["generate", "control-plane-token", "--zone=west", "--valid-for", "12s"], "");
    let connector = connector(gate, "west", &gate.file("west.token", &token));
    let zone = zone_behind(gate, &connector, "west");
    guarded.behind.wait_online("west");
    wait_until_equal(guarded.behind.http(), zone.address("http"), "west");
    let moved =
        || connector.text().lines().filter(|line| line.contains("the connection stands on the new token")).count();
    eventually("the token is renewed", moved, |moved| *moved >= 2);
    assert!(!zone.text().contains("not connected"), "{}", zone.text());
}

#[test]
fn a_revocation_at_the_gateway_closes_the_streams_on_both_sides() {
    let guarded = Guarded::new(&[]);
    let gate = &guarded.gate;
    let token = gate.kumactl.ok(&["generate", "control-plane-token", "--zone=west", "--valid-for", "720h"], "");
    let file = gate.file("west.token", &token);
    let west = gate.zone("west", &[("KUMA_MULTIZONE_ZONE_KDS_AUTH_TOKEN_PATH", &file)]);
    let _east = gate.connected_zone("east");
    guarded.behind.wait_online("west");
    guarded.behind.wait_online("east");
    let id = serde_json::from_str::<serde_json::Value>(&decode(&token).1).unwrap()["jti"].as_str().unwrap().to_owned();
    gate.kumactl.ok(&["revoke", "token", "--family", "control-plane-token", "--id", &id, "--reason", "lost"], "");
    west.line(&["refused this zone", "revoked"]);
    // The streams were told; the connection did not have to go for that.
    assert!(!west.text().contains("closed by the other side"), "{}", west.text());
    guarded.behind.wait_offline("west");
    gate.wait_offline("west");
    assert!(gate.online("east") && guarded.behind.online("east"));
    gate.token_file("west");
    guarded.behind.wait_online("west");
}

#[test]
fn nobody_comes_in_without_a_token_or_under_another_name() {
    let guarded = Guarded::new(&[PLAIN]);
    let (gate, token) = (&guarded.gate, guarded.gate.token("west"));
    run(async {
        let peer = peer(gate).await;
        assert_eq!(peer.open(DOWN, &[("client-id", "west")]).ended().await.code, 16);
        assert_eq!(open(&peer, DOWN, "east", &token).ended().await.code, 7);
        let twice = [("client-id", "west"), ("authorization", token.as_str()), ("authorization", token.as_str())];
        assert_eq!(peer.open(DOWN, &twice).ended().await.code, 16, "one too many is none");
    });
    assert_eq!(client::ask(guarded.behind.http(), "GET", "/zones/west", None).0, 404, "nothing came through");
}

/// Sends these on a stream of `west`; the code that it ends with.
async fn ended_after(peer: &Peer, path: &str, token: &str, messages: &[Vec<u8>]) -> (u32, Call) {
    let mut call = open(peer, path, "west", token);
    messages.iter().for_each(|message| call.send(message));
    (call.ended().await.code, call)
}

#[test]
fn a_payload_that_names_another_zone_ends_its_stream_before_it_is_through() {
    let guarded = Guarded::new(&[PLAIN]);
    let (gate, token) = (&guarded.gate, guarded.gate.token("west"));
    run(async {
        let peer = peer(gate).await;
        let (good, other) = (first("west", "Mesh"), first("east", "Mesh"));
        let nobody = DeltaDiscoveryRequest { node: None, ..DeltaDiscoveryRequest::decode(&*good).unwrap() };
        for bad in [other.clone(), nobody.encode_to_vec(), [good.clone(), other.clone()].concat(), Vec::new()] {
            assert_eq!(ended_after(&peer, DOWN, &token, std::slice::from_ref(&bad)).await.0, 3, "first: {bad:?}");
            assert_eq!(ended_after(&peer, DOWN, &token, &[good.clone(), bad.clone()]).await.0, 3, "later: {bad:?}");
        }
        let report = |identifier: &str| {
            DeltaDiscoveryResponse {
                type_url: "Dataplane".to_owned(),
                nonce: "1".to_owned(),
                control_plane: Some(Identifier { identifier: identifier.to_owned() }),
                ..Default::default()
            }
            .encode_to_vec()
        };
        assert_eq!(ended_after(&peer, UP, &token, &[report("east")]).await.0, 3);
        let mut up = open(&peer, UP, "west", &token);
        up.send(&report("west"));
        assert!(up.next().await.is_some(), "the zone itself is heard");
        // The stream of the zone that was refused on one goes on with another.
        let mut down = open(&peer, DOWN, "west", &token);
        down.send(&good);
        assert!(down.next().await.is_some());
    });
    assert_eq!(client::ask(guarded.behind.http(), "GET", "/zones/east", None).0, 404);
}

#[test]
fn who_speaks_something_else_than_the_port_is_not_served_and_nothing_else_is_lost() {
    use std::{
        io::{Read as _, Write as _},
        net::TcpStream,
    };
    let answer = |gate: &World, bytes: &[u8]| {
        let mut peer = TcpStream::connect(("127.0.0.1", gate.global.address("kds").port())).unwrap();
        peer.write_all(bytes).unwrap();
        let mut said = Vec::new();
        let _reset_or_end = peer.read_to_end(&mut said);
        said
    };
    let (http1, http2) = (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    let tls = b"\x16\x03\x01\x00\x05hello";
    let guarded = Guarded::new(&[]);
    let zone = guarded.gate.connected_zone("west");
    for bytes in [&http1[..], http2] {
        // An alert of TLS, or a close: nothing of HTTP.
        assert!(matches!(answer(&guarded.gate, bytes).first(), None | Some(21)));
    }
    let plain = Guarded::before(&guarded.behind, "grpcs://localhost:1", &[PLAIN]);
    for bytes in [&http1[..], tls] {
        let said = answer(&plain, bytes);
        assert!(!said.starts_with(b"HTTP/1.1 2"), "{said:?}");
    }
    assert!(guarded.gate.online("west") && !zone.text().contains("not connected"), "{}", zone.text());
}

#[test]
fn more_streams_than_a_token_may_have_are_answered_one_by_one() {
    let guarded = Guarded::new(&[PLAIN]);
    let (gate, token) = (&guarded.gate, guarded.gate.token("west"));
    run(async {
        let peer = peer(gate).await;
        let (mut standing, mut refused) = (Vec::new(), 0);
        let calls: Vec<_> = (0..10_000).map(|_| open(&peer, UP, "west", &token)).collect();
        for mut call in calls {
            if call.next().await.is_some() {
                standing.push(call);
            } else {
                assert_eq!(call.ended().await.code, 8);
                refused += 1;
            }
        }
        assert!(!standing.is_empty() && refused > 9_900, "{refused} refused");
    });
}

#[test]
fn while_the_global_is_away_zones_hear_it_and_ready_says_it() {
    let mut guarded = Guarded::new(&[]);
    guarded.behind.global.keep_ports();
    let zone = guarded.gate.connected_zone("west");
    guarded.behind.wait_online("west");
    guarded.behind.global.terminate();
    zone.line(&["not connected", "cannot be reached"]);
    let ready = || client::ask(guarded.gate.global.address("diagnostics"), "GET", "/ready", None).1;
    eventually("ready says it", ready, |said| said.contains("global: cannot reach localhost"));
    guarded.behind.global.again();
    guarded.behind.wait_online("west");
    eventually("all is well", ready, |said| !said.contains("global:"));
}

#[test]
fn one_of_several_addresses_is_enough() {
    let behind = World::new(&[("KUMA_MULTIZONE_GLOBAL_KDS_AUTH_TYPE", "none")]);
    let nobody = ClosedPort::new();
    let upstream =
        format!("grpcs://localhost:{},grpcs://localhost:{}", nobody.port(), behind.global.address("kds").port());
    let gate = Guarded::before(&behind, &upstream, &[]);
    let _zone = gate.connected_zone("west");
    behind.wait_online("west");
}

#[test]
fn in_shadow_a_zone_without_a_token_is_let_in_and_told_of() {
    let guarded = Guarded::new(&[("KUMA_MULTIZONE_GLOBAL_KDS_AUTH_MODE", "shadow")]);
    let _zone = guarded.gate.zone("west", &[]);
    guarded.behind.wait_online("west");
    guarded.gate.global.line(&["would be refused", "west"]);
}

#[test]
fn what_a_gateway_has_not_names_who_has_it() {
    let guarded = Guarded::new(&[]);
    let http = guarded.gate.http();
    for path in ["/meshes", "/meshes/default", "/meshes/default/meshtimeouts", "/global-insight", "/secrets"] {
        let (status, body) = client::ask(http, "GET", path, None);
        assert_eq!(status, 404, "{path}: {body}");
        assert!(body.contains("`localhost`") && body.contains("this is a gateway"), "{path}: {body}");
    }
    for path in ["/", "/zones", "/zones/_overview", "/global-secrets", "/tokens", "/rotations", "/doctor", "/config"] {
        let (status, body) = client::ask(http, "GET", path, None);
        assert_eq!(status, 200, "{path}: {body}");
    }
    let said = guarded.gate.kumactl.run(&["get", "meshes"], "");
    assert!(!said.status.success());
    assert!(String::from_utf8_lossy(&said.stderr).contains("this is a gateway"), "{said:?}");
    guarded.gate.kumactl.ok(&["get", "tokens"], "");
    let order = serde_json::json!({"zone": "west", "scope": ["ingress"], "validFor": "1h"});
    let (status, body) = client::ask(http, "POST", "/tokens/zone", Some(&order));
    assert_eq!(status, 400, "{body}");
    assert!(body.contains("\"scope\"") && body.contains("`localhost`"), "{body}");
    let for_egress = ["generate", "zone-token", "--zone=west", "--scope=egress", "--valid-for=1h"];
    let said = guarded.gate.kumactl.run(&for_egress, "");
    assert!(!said.status.success() && said.stdout.is_empty(), "{said:?}");
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(said.contains("scope") && said.contains("Ask the API of the global control plane behind it"), "{said}");
    guarded.gate.kumactl.ok(&["generate", "zone-token", "--zone=west", "--scope=cp,egress", "--valid-for=1h"], "");
}

/// Rotates the keys of a family at a gateway from the beginning to the end, while a zone stands on a token of it.
fn rotated(family: &str, issue: &[&str]) {
    let guarded = Guarded::new(&[
        ("KUMA_MULTIZONE_GLOBAL_KDS_ZONE_HEALTH_CHECK_POLL_INTERVAL", "1s"),
        ("KUMA_MULTIZONE_GLOBAL_KDS_ZONE_HEALTH_CHECK_TIMEOUT", "60s"),
    ]);
    let gate = &guarded.gate;
    let token = gate.kumactl.ok(&[&["generate"], issue, &["--zone=west", "--valid-for=720h"]].concat(), "");
    let connector = connector(gate, "west", &gate.file("west.token", &token));
    let zone = zone_behind(gate, &connector, "west");
    guarded.behind.wait_online("west");
    connector.line(&["\tconnected to the global control plane"]);
    for step in ["start", "advance", "advance", "advance"] {
        let stepped = || gate.kumactl.run(&["rotate", step, family], "");
        eventually(&format!("nobody is in the way of {step}"), stepped, |made| made.status.success());
    }
    connector.line(&["the connection stands on the new token"]);
    assert!(!zone.text().contains("not connected"), "{}", zone.text());
    let secrets = client::get(gate.http(), "/global-secrets");
    let names = secrets["items"].as_array().unwrap().iter().filter_map(|one| one["name"].as_str());
    let serials: Vec<_> = names.filter_map(|name| name.strip_prefix(&format!("{family}-"))).collect();
    assert!(matches!(serials[..], ["2" | "0002"]), "{serials:?}");
    assert!(guarded.behind.online("west"));
}

#[test]
fn a_rotation_at_the_gateway_comes_to_its_end_and_cuts_nobody() {
    rotated(FAMILY, &["control-plane-token"]);
}

#[test]
fn keys_that_no_zone_is_sent_wait_for_no_zone_to_confirm_them() {
    rotated("zone-token-signing-key", &["zone-token", "--scope=cp"]);
}
