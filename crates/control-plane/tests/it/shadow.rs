//! Authentication in shadow, for everybody or for one zone: nobody is refused, and what would have been is counted and told.

use serde_json::{Value, json};
use testkit::{
    client,
    program::eventually,
    rpcs::{DOWN, PING},
    runtime::run_in_threads,
};

use crate::stage::{
    plain_port::{first, open, peer, plain_world},
    world::World,
};

const INVALID_ARGUMENT: u32 = 3;
const UNAUTHENTICATED: u32 = 16;

fn events(world: &World, zone: &str) -> Value {
    client::get(world.http(), &format!("/zones/{zone}/_overview"))["zoneInsight"]["authEvents"].clone()
}

fn metrics(world: &World) -> String {
    client::ask(world.global.address("diagnostics"), "GET", "/metrics", None).1
}

#[test]
fn in_shadow_everybody_is_let_in_under_the_name_that_they_say() {
    let settings =
        [("KUMA_MULTIZONE_GLOBAL_KDS_TLS_ENABLED", "false"), ("KUMA_MULTIZONE_GLOBAL_KDS_AUTH_MODE", "shadow")];
    let world = World::new(&settings);
    world.global.line(&["WARN", "authentication of Zone CPs is in shadow"]);
    let token = world.token("west");
    run_in_threads(async {
        let peer = peer(&world).await;
        let nobody = peer.open(DOWN, &[("authorization", &token)]).ended().await;
        assert_eq!(nobody.code, INVALID_ARGUMENT, "{nobody:?}");
        let mut calls = Vec::new();
        for (zone, token) in [("west", token.as_str()), ("east", token.as_str()), ("north", "garbage")] {
            let mut call = open(&peer, DOWN, zone, token);
            call.send(&first(zone, "Mesh"));
            assert!(call.next().await.is_some(), "{zone}");
            calls.push(call);
        }
        for (zone, reason) in [("east", "wrong-zone"), ("north", "malformed")] {
            let shown = eventually("the event", || events(&world, zone), |events| events[0].is_object());
            assert_eq!(shown[0]["reason"], "would-be-refused", "{shown}");
            assert!(shown[0]["text"].as_str().is_some_and(|text| text.starts_with(reason)), "{shown}");
            world.global.line(&["Zone CP would be refused", zone, reason]);
            let counted = format!(r#"zone_auth_total{{zone="Global",result="would_be_refused",reason="{reason}"}} 1"#);
            assert!(metrics(&world).contains(&counted), "{}", metrics(&world));
        }
        assert_eq!(events(&world, "west"), Value::Null, "its token is good");
        // The key of all goes: who is connected stays.
        world.kumactl.ok(&["delete", "global-secret", "control-plane-signing-key-0001"], "");
        world.global.line(&["these live streams would be closed", r#""zone": "west""#, "unknown-key"]);
        calls[0].send(&first("west", "MeshTimeout"));
        assert!(calls[0].next().await.is_some(), "it is served as before");
    });
    assert!(!metrics(&world).contains(r#"result="refused",reason="wrong-zone""#));
}

#[test]
fn one_zone_is_in_shadow_by_a_label_and_no_longer() {
    let world = plain_world();
    let labelled = |value: &str| json!({"type": "Zone", "name": "west", "labels": {"arctos.io/auth": value}});
    let put = |value: &str| {
        let (status, body) = client::ask(world.http(), "PUT", "/zones/west", Some(&labelled(value)));
        assert!(status == 200 || status == 201, "{status} {body}");
    };
    put("shadow");
    run_in_threads(async {
        let peer = peer(&world).await;
        let refused = open(&peer, DOWN, "east", "garbage").ended().await;
        assert_eq!(refused.code, UNAUTHENTICATED, "{refused:?}");
        // What was written is known to the port in a moment.
        let mut call = loop {
            let mut call = open(&peer, DOWN, "west", "garbage");
            call.send(&first("west", "Mesh"));
            if call.next().await.is_some() {
                break call;
            }
        };
        let mut ping = open(&peer, PING, "west", "garbage");
        ping.half_close();
        assert_ne!(ping.ended().await.code, UNAUTHENTICATED);
        put("enforce");
        let ended = call.ended().await;
        assert_eq!(ended.code, UNAUTHENTICATED, "{ended:?}");
        assert!(ended.message.contains("could not parse token"), "{ended:?}");
        // The connection goes with the last who was let in on it.
        let again = self::peer(&world).await;
        assert_eq!(open(&again, DOWN, "west", "garbage").ended().await.code, UNAUTHENTICATED);
    });
    let counted = |name: &str| {
        let line = metrics(&world).lines().find(|line| line.starts_with(name)).map(str::to_owned);
        line.and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).unwrap_or_default()
    };
    eventually("the closed stream is measured", || counted("auth_enforcement_seconds_count"), |count| *count >= 1.0);
}

#[test]
fn zones_that_are_judged_when_they_connect_stay_until_they_come_again() {
    let settings = [
        ("KUMA_MULTIZONE_GLOBAL_KDS_TLS_ENABLED", "false"),
        ("KUMA_MULTIZONE_GLOBAL_KDS_AUTH_RECHECK", "onConnect"),
        ("KUMA_STORE_UNSAFE_DELETE", "true"),
    ];
    let world = World::new(&settings);
    world.global.line(&["WARN", "judged when they connect only"]);
    let token = world.token("west");
    run_in_threads(async {
        let peer = peer(&world).await;
        let mut call = open(&peer, DOWN, "west", &token);
        call.send(&first("west", "Mesh"));
        assert!(call.next().await.is_some());
        world.kumactl.ok(&["delete", "global-secret", "control-plane-signing-key-0001"], "");
        world.global.line(&["key ring rebuilt", r#""generation": 2"#]);
        let refused = async || {
            let mut ping = open(&peer, PING, "west", &token);
            ping.half_close();
            ping.ended().await.code == UNAUTHENTICATED
        };
        while !refused().await {}
        call.send(&first("west", "MeshTimeout"));
        assert!(call.next().await.is_some(), "it is served as before");
        world.kumactl.ok(&["delete", "zone", "west"], "");
        assert!(call.ended().await.message.contains("the zone was deleted"));
    });
}
