//! `kumactl doctor` on a running global: it names who stands where, who would be refused, and whose clock is off.

use serde_json::Value;
use testkit::{kds::Peer, program::eventually, rpcs::DOWN, runtime::run_in_threads};

use crate::stage::{
    plain_port::{first, peer, plain_world},
    world::World,
};

/// What each check says, by its name.
fn findings(world: &World) -> Vec<(String, String, String)> {
    let shown = world.kumactl.run(&["doctor", "-o", "json"], "");
    let found: Value = serde_json::from_slice(&shown.stdout).expect("findings");
    let member = |finding: &Value, name: &str| finding[name].as_str().unwrap_or_default().to_owned();
    found
        .as_array()
        .expect("a list")
        .iter()
        .map(|finding| (member(finding, "name"), member(finding, "status"), member(finding, "what")))
        .collect()
}

fn says(world: &World, check: &str, status: &str, part: &str) {
    let found = || findings(world);
    let is = |found: &Vec<(String, String, String)>| {
        found.iter().any(|(name, how, what)| name == check && how == status && what.contains(part))
    };
    eventually(&format!("{check} {status} {part}"), found, is);
}

#[test]
fn a_zone_of_ours_that_renews_leaves_nothing_to_say() {
    let world = World::new(&[
        ("KUMA_MULTIZONE_GLOBAL_KDS_ZONE_HEALTH_CHECK_POLL_INTERVAL", "1s"),
        ("KUMA_MULTIZONE_GLOBAL_KDS_ZONE_HEALTH_CHECK_TIMEOUT", "1m"),
    ]);
    let token = world.kumactl.ok(&["generate", "control-plane-token", "--zone=west", "--valid-for=24h"], "");
    let file = world.file("west.token", &token);
    let _west = world.zone("west", &[("KUMA_MULTIZONE_ZONE_KDS_AUTH_TOKEN_PATH", &file)]);
    world.wait_online("west");
    says(&world, "keys", "ok", "control-plane-signing-key 1 signs; retired now it would cut off west");
    says(&world, "tokens-that-end", "ok", "no token that a zone stands on ends within 7 days");
    // It tells its time with the second ping.
    says(&world, "clocks", "ok", "the clocks of 1 zones");
    let found = findings(&world);
    assert!(found.iter().all(|(_, status, _)| status == "ok"), "{found:?}");
    assert!(world.kumactl.run(&["doctor"], "").status.success());
}

#[test]
fn tokens_that_nobody_renews_and_tokens_without_end_are_named() {
    let world = plain_world();
    let west = world.kumactl.ok(&["generate", "control-plane-token", "--zone=west", "--valid-for=24h"], "");
    let east = world.kumactl.ok(&["generate", "control-plane-token", "--zone=east"], "");
    run_in_threads(async {
        let peer: Peer = peer(&world).await;
        let mut calls = [("west", &west), ("east", &east)]
            .map(|(zone, token)| (zone, peer.open(DOWN, &[("client-id", zone), ("authorization", token)])));
        for (zone, call) in &mut calls {
            call.send(&first(zone, "Mesh"));
            assert!(call.next().await.is_some());
        }
        says(&world, "tokens-that-end", "warn", "of zone west ends at");
        says(&world, "tokens-without-end", "warn", "issued to zone east (sha256:");
        says(&world, "tokens-without-end", "warn", "stand on one: east");
        // Somebody comes with the wrong token.
        let mut wrong = peer.open(DOWN, &[("client-id", "east"), ("authorization", west.trim())]);
        assert!(wrong.next().await.is_none());
        says(&world, "refusals", "warn", "zone east was refused");
    });
}

#[test]
fn in_shadow_it_names_who_would_be_refused() {
    let world = World::new(&[
        ("KUMA_MULTIZONE_GLOBAL_KDS_TLS_ENABLED", "false"),
        ("KUMA_MULTIZONE_GLOBAL_KDS_AUTH_MODE", "shadow"),
    ]);
    says(&world, "authentication", "warn", "no zone is connected");
    run_in_threads(async {
        let peer: Peer = peer(&world).await;
        let mut call = peer.open(DOWN, &[("client-id", "west")]);
        call.send(&first("west", "Mesh"));
        assert!(call.next().await.is_some(), "in shadow it is let in");
        says(&world, "authentication", "warn", "would be refused: west (missing");
    });
}
