//! A zone that is authenticated and floods: how many lines of the log it causes is not its decision.
#![expect(clippy::disallowed_types, reason = "how many windows of a budget a flood took, by the real clock")]

use std::time::Instant;

use testkit::{
    rpcs::{DOWN, UP},
    runtime::run,
};

use crate::stage::{
    plain_port::{open, peer, plain_world},
    played_zone::{Played, json, open_world, sent},
    relays::Guarded,
    world::World,
};

/// More than the log has lines for within some windows of a budget.
const MANY: usize = 600;

/// Looks for no more lines of a kind than the budget has for the time that the flood took, and for the one of the zone.
fn check(world: &World, start: Instant, kinds: &[&str]) {
    let windows = usize::try_from(start.elapsed().as_secs() / 10).unwrap_or(usize::MAX - 2) + 2;
    let text = world.global.text();
    for kind in kinds {
        let lines = text.lines().filter(|line| line.contains(kind) && line.contains(r#""zone": "west""#)).count();
        assert!((1..=50 * windows).contains(&lines), "{lines} lines of `{kind}`, {windows} windows");
    }
    assert_eq!(text.matches("\tzone successfully created\t{\"zone\": \"west\"}\n").count(), 1, "what was done is told");
}

#[test]
fn a_zone_that_reports_nonsense_over_and_over_does_not_fill_the_log() {
    let world = open_world();
    let start = Instant::now();
    run(async {
        let mut up = Played::new("west").up(&world).await;
        for _ in 0..MANY {
            let bad = sent("default", "bad", &[], json("{}"));
            assert!(up.report("MeshTrafficPermission", vec![bad]).await.is_some());
        }
    });
    check(&world, start, &["rejected resources of the zone"]);
}

#[test]
fn a_zone_that_comes_and_goes_does_not_fill_the_log() {
    let world = plain_world();
    let token = world.token("west");
    let start = Instant::now();
    run(async {
        let connection = peer(&world).await;
        for _ in 0..MANY {
            let mut call = open(&connection, UP, "west", &token);
            assert!(call.next().await.is_some());
            call.send(&[0xff; 64]);
            assert_ne!(call.ended().await.code, 0);
        }
    });
    check(&world, start, &["ZoneToGlobalSync ended", "successfully authenticated"]);
}

#[test]
fn a_zone_that_comes_and_goes_does_not_fill_the_log_of_a_gateway() {
    let guarded = Guarded::new(&[("KUMA_MULTIZONE_GLOBAL_KDS_TLS_ENABLED", "false")]);
    let token = guarded.gate.token("west");
    let start = Instant::now();
    run(async {
        let connection = peer(&guarded.gate).await;
        for _ in 0..MANY {
            let mut call = open(&connection, DOWN, "west", &token);
            call.send(&[]);
            assert_ne!(call.ended().await.code, 0);
        }
    });
    check(&guarded.gate, start, &["a relayed stream ended", "successfully authenticated"]);
}
