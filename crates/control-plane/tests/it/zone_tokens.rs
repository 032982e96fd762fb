//! Who uses what: on which key each connected zone stands, until when, and whether somebody renews its token. An operator
//! reads it over REST, in `inspect zones -o wide` and in the metrics.

use std::net::SocketAddr;

use serde_json::Value;
use testkit::{
    client,
    kds::{Call, Peer},
    program::eventually,
    rpcs::DOWN,
    runtime::run_in_threads,
};

use crate::stage::{
    plain_port::{first, peer, plain_world},
    world::World,
};

/// Opens the stream that opens a subscription, as a zone that says this of its renewal.
fn open(peer: &Peer, zone: &str, token: &str, renews: Option<&str>) -> Call {
    let mut headers = vec![("client-id", zone), ("authorization", token)];
    headers.extend(renews.map(|renews| ("arctos-token-renewal", renews)));
    peer.open(DOWN, &headers)
}

fn insight(world: &World, zone: &str) -> Value {
    client::get(world.http(), &format!("/zones/{zone}/_overview"))["zoneInsight"].clone()
}

/// What the last subscription stands on, once it says so.
fn auth(world: &World, zone: &str) -> Value {
    let last = || insight(world, zone)["subscriptions"].as_array().and_then(|all| all.last().cloned());
    let last = eventually("the token", last, |last| last.as_ref().is_some_and(|last| last["auth"].is_object()));
    last.unwrap()["auth"].clone()
}

#[test]
fn each_zone_says_on_which_key_it_stands_and_until_when() {
    let world = plain_world();
    let issue = |arguments: &[&str]| world.kumactl.ok(&[&["generate"], arguments].concat(), "");
    let west = issue(&["control-plane-token", "--zone=west", "--valid-for", "720h"]);
    let east = issue(&["control-plane-token", "--zone=east"]);
    run_in_threads(async {
        let peer = peer(&world).await;
        let mut calls = [open(&peer, "west", &west, Some("no (file)")), open(&peer, "east", &east, Some("perhaps"))];
        for (call, zone) in calls.iter_mut().zip(["west", "east"]) {
            call.send(&first(zone, "Mesh"));
            assert!(call.next().await.is_some());
        }
        let shown = auth(&world, "west");
        assert_eq!(shown["family"], "control-plane-signing-key", "{shown}");
        assert_eq!((&shown["key"], &shown["algorithm"]), (&Value::from("1"), &Value::from("HS256")), "{shown}");
        assert_eq!(shown["renews"], "no (file)", "{shown}");
        for time in ["since", "issuedAt", "expiresAt"] {
            assert!(shown[time].as_str().is_some_and(|time| time.ends_with('Z')), "{time} in {shown}");
        }
        let address = shown["address"].as_str().and_then(|address| address.parse::<SocketAddr>().ok());
        assert!(address.is_some_and(|address| address.ip().is_loopback()), "{shown}");
        assert!(shown["tokenId"].as_str().is_some_and(|id| !id.is_empty() && !west.contains(id)), "{shown}");
        let page = auth(&world, "east");
        assert_eq!((&page["renews"], page.get("expiresAt")), (&Value::from("no"), None), "{page}");

        let (_, metrics) = client::ask(world.global.address("diagnostics"), "GET", "/metrics", None);
        let by_key = r#"zones_by_signing_key{zone="Global",family="control-plane-signing-key",key="1"} 2"#;
        assert!(metrics.contains(by_key), "{metrics}");
        let ends = r#"zone_token_expires_in_seconds{zone="west"} 25"#;
        assert!(metrics.contains(ends), "30 days are 2,592,000 s: {metrics}");
        assert!(!metrics.contains(r#"expires_in_seconds{zone="east""#), "it has no end");
        assert!(metrics.contains(r#"zone_auth_total{zone="Global",result="accepted",reason=""} 2"#), "{metrics}");
    });
    let rows = |arguments: &[&str]| {
        let table = world.kumactl.ok(&[&["inspect", "zones"], arguments].concat(), "");
        table.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let (plain, wide) = (rows(&[]), rows(&["-o", "wide"]));
    assert!(plain[0].ends_with("ZONE-CP VERSION   BACKEND"), "{plain:?}");
    assert!(wide[0].contains("BACKEND   KEY") && wide[0].ends_with("RENEWS"), "{wide:?}");
    let row = |zone: &str| wide.iter().find(|row| row.starts_with(zone)).cloned().unwrap_or_default();
    assert!(row("west").contains("control-plane-signing-key-0001") && row("west").ends_with("no (file)"), "{wide:?}");
    assert!(row("east").contains("never") && row("east").ends_with("   no"), "{wide:?}");
}
