//! Rotations of signing keys as an operator makes them: guided, by hand, by itself, and back from every phase.

mod cast;
mod crashes;
mod inside;
mod zones;

use serde_json::{Value, json};
use testkit::{
    client,
    program::{ControlPlane, eventually},
};

use crate::stage::world::World;

const FAMILY: &str = "control-plane-signing-key";

/// Where the rotation of a family stands.
fn status(world: &World, family: &str) -> Value {
    let text = world.kumactl.ok(&["rotate", "status", family, "-o", "json"], "");
    serde_json::from_str(&text).unwrap()
}

/// The phase, and the keys.
fn position(status: &Value) -> (String, Option<u64>, Option<u64>) {
    let phase = status["phase"].as_str().unwrap_or_default().to_owned();
    (phase, status["from"].as_u64(), status["to"].as_u64())
}

fn assert_stands(world: &World, family: &str, phase: &str, keys: Option<(u64, u64)>) {
    let (from, to) = keys.unzip();
    assert_eq!(position(&status(world, family)), (phase.to_owned(), from, to));
}

fn rotate(world: &World, step: &str, family: &str) {
    world.kumactl.ok(&["rotate", step, family], "");
}

/// What standard error says of a command that is refused.
fn refused(world: &World, arguments: &[&str]) -> String {
    let done = world.kumactl.run(arguments, "");
    assert_eq!(done.status.code(), Some(1), "{arguments:?}: {done:?}");
    String::from_utf8(done.stderr).unwrap()
}

fn wait_for_nobody_in_the_way(world: &World, family: &str) {
    let blockers = || status(world, family)["blockers"].clone();
    eventually("nobody is in the way", blockers, |blockers| *blockers == json!([]));
}

/// A zone that leaves its token as it is, and waits until it is let in.
fn fixed_zone(world: &World, name: &str) -> ControlPlane {
    let token = world.token_file(name);
    let settings =
        [("KUMA_MULTIZONE_ZONE_KDS_AUTH_TOKEN_PATH", token.as_str()), ("KUMA_MULTIZONE_ZONE_KDS_AUTH_RENEW", "false")];
    let zone = world.zone(name, &settings);
    world.wait_online(name);
    zone
}

/// Gives a zone a token of the key that signs now, and waits until the zone stands on it alone.
fn new_token(world: &World, zone: &ControlPlane, name: &str, serial: u64) {
    let (mark, zone_mark) = (world.global.mark(), zone.mark());
    world.token_file(name);
    let (serial, name) = (format!("\"tokenSerialNumber\": {serial}"), format!("\"zone\": \"{name}\""));
    world.global.line_after(mark, &["successfully authenticated", &serial, &name]);
    zone.line_after(zone_mark, &["the new token was accepted"]);
}

fn status_of_key(world: &World, serial: u64) -> u16 {
    client::ask(world.http(), "GET", &format!("/global-secrets/{FAMILY}-{serial:04}"), None).0
}

#[test]
fn a_guided_rotation_waits_for_a_zone_that_does_not_renew() {
    guided_rotation(&World::new(&[]));
}

#[test]
fn a_guided_rotation_waits_for_a_zone_that_does_not_renew_on_postgres() {
    if let Some(world) = World::on_postgres(&[]) {
        guided_rotation(&world);
    }
}

fn guided_rotation(world: &World) {
    let west = fixed_zone(world, "west");
    let mark = west.mark();
    assert_stands(world, FAMILY, "idle", None);
    rotate(world, "start", FAMILY);
    assert_stands(world, FAMILY, "staged", Some((1, 2)));
    assert_eq!(status_of_key(world, 2), 200);
    for phase in ["signing", "draining"] {
        rotate(world, "advance", FAMILY);
        assert_stands(world, FAMILY, phase, Some((1, 2)));
    }
    assert_eq!(status(world, FAMILY)["zonesByKey"], json!({"1": 1}));
    for dry in [&[][..], &["--dry-run"]] {
        let text = refused(world, &[&["rotate", "advance", FAMILY], dry].concat());
        assert!(text.contains("zone west: is connected with a token of key 1"), "{text}");
    }
    let told = world.kumactl.ok(&["rotate", "advance", FAMILY, "--dry-run", "--force"], "");
    assert!(told.contains("would be cut off: zone west"), "{told}");
    assert_stands(world, FAMILY, "draining", Some((1, 2)));
    new_token(world, &west, "west", 2);
    wait_for_nobody_in_the_way(world, FAMILY);
    rotate(world, "advance", FAMILY);
    assert_stands(world, FAMILY, "idle", None);
    assert_eq!((status_of_key(world, 1), status_of_key(world, 2)), (404, 200));
    let finished = status(world, FAMILY)["history"][0].clone();
    assert_eq!((&finished["outcome"], &finished["forced"]), (&json!("retired"), &json!(false)));
    assert_eq!(finished["steps"].as_array().map(Vec::len), Some(4));
    assert!(world.online("west") && !west.logged_after(mark, &["not connected"]), "{}", west.text());
}

#[test]
fn a_rotation_goes_back_from_every_phase_and_gives_no_serial_twice() {
    let world = World::new(&[]);
    let west = fixed_zone(&world, "west");
    let mark = west.mark();
    for (advances, next) in [(0, 2), (1, 3), (2, 4)] {
        rotate(&world, "start", FAMILY);
        (0..advances).for_each(|_| rotate(&world, "advance", FAMILY));
        rotate(&world, "rollback", FAMILY);
        if advances > 0 {
            assert_stands(&world, FAMILY, "draining", Some((next, 1)));
            assert_eq!(status(&world, FAMILY)["rollingBack"], json!(true));
            rotate(&world, "advance", FAMILY);
        }
        assert_stands(&world, FAMILY, "idle", None);
        assert_eq!((status_of_key(&world, 1), status_of_key(&world, next)), (200, 404));
    }
    let outcomes = status(&world, FAMILY)["history"].clone();
    let outcomes = outcomes.as_array().unwrap().iter().map(|finished| finished["outcome"].as_str().unwrap());
    assert_eq!(outcomes.collect::<Vec<_>>(), ["rolledBack"; 3]);
    assert!(world.online("west") && !west.logged_after(mark, &["not connected"]), "{}", west.text());
}

#[test]
fn who_insists_cuts_off_who_is_left_and_says_why() {
    let world = World::new(&[]);
    let west = fixed_zone(&world, "west");
    rotate(&world, "start", FAMILY);
    rotate(&world, "advance", FAMILY);
    rotate(&world, "advance", FAMILY);
    let mark = world.global.mark();
    let told = world.kumactl.ok(&["rotate", "advance", FAMILY, "--force"], "");
    assert!(told.contains("cut off: zone west"), "{told}");
    world.global.line_after(mark, &["rotation step made", "\"forced\": true", "west"]);
    world.global.line_after(mark, &["closed live streams", "\"zone\": \"west\"", "key-retired"]);
    west.line(&["key retired"]);
    assert_eq!(status(&world, FAMILY)["history"][0]["forced"], json!(true));
}

#[test]
fn a_rotation_by_hand_is_seen_as_what_it_is() {
    let world = World::new(&[]);
    let west = fixed_zone(&world, "west");
    let key = world.kumactl.ok(&["generate", "signing-key"], "");
    world.kumactl.ok(
        &["apply", "--var", &format!("key={key}"), "-f", "-"],
        "type: GlobalSecret\nname: control-plane-signing-key-0002\ndata: {{ key }}\n",
    );
    assert_stands(&world, FAMILY, "signing", Some((1, 2)));
    assert_eq!(status(&world, FAMILY)["byHand"], json!(true));
    let text = refused(&world, &["rotate", "start", FAMILY]);
    assert!(text.contains("by hand"), "{text}");
    new_token(&world, &west, "west", 2);
    world.kumactl.ok(&["delete", "global-secret", "control-plane-signing-key-0001"], "");
    assert_stands(&world, FAMILY, "idle", None);
    assert!(world.online("west"));
    // Another one is taken over in the middle, and ends guided.
    let key = world.kumactl.ok(&["generate", "signing-key"], "");
    world.kumactl.ok(
        &["apply", "--var", &format!("key={key}"), "-f", "-"],
        "type: GlobalSecret\nname: control-plane-signing-key-0003\ndata: {{ key }}\n",
    );
    rotate(&world, "advance", FAMILY);
    let text = refused(&world, &["rotate", "advance", FAMILY]);
    assert!(text.contains("zone west: is connected with a token of key 2"), "{text}");
    new_token(&world, &west, "west", 3);
    wait_for_nobody_in_the_way(&world, FAMILY);
    rotate(&world, "advance", FAMILY);
    assert_eq!((status_of_key(&world, 2), status_of_key(&world, 3)), (404, 200));
}

#[test]
fn an_automatic_rotation_goes_on_as_evidence_comes_in() {
    let world = World::new(&[]);
    let west = fixed_zone(&world, "west");
    world.kumactl.ok(&["rotate", "start", FAMILY, "--automatic"], "");
    let phase = || status(&world, FAMILY)["phase"].clone();
    eventually("it drains", phase, |phase| *phase == json!("draining"));
    new_token(&world, &west, "west", 2);
    eventually("it is over", phase, |phase| *phase == json!("idle"));
    assert_eq!(status(&world, FAMILY)["history"][0]["endedBy"], json!("automatic"));
    assert!(world.online("west"));
}

#[test]
fn an_automatic_rotation_that_waits_in_vain_stops_and_says_so() {
    let world = World::new(&[("KUMA_MULTIZONE_GLOBAL_KDS_AUTH_ROTATION_PATIENCE", "1s")]);
    let _west = fixed_zone(&world, "west");
    world.kumactl.ok(&["rotate", "start", FAMILY, "--automatic"], "");
    world.global.line(&["an automatic rotation goes no further by itself", "west"]);
    let stopped = status(&world, FAMILY)["stopped"]["reason"].clone();
    assert!(stopped.as_str().is_some_and(|reason| reason.contains("zone `west`")), "{stopped}");
    let (_, metrics) = client::ask(world.global.address("diagnostics"), "GET", "/metrics", None);
    let sample = metrics.lines().find(|line| line.starts_with("rotation_stopped{") && line.contains(FAMILY));
    assert!(sample.is_some_and(|sample| sample.ends_with(" 1")), "{sample:?}");
}

#[test]
fn of_two_operators_one_wins_and_a_step_sent_again_changes_nothing() {
    let world = World::new(&[]);
    rotate(&world, "start", FAMILY);
    let advance = |id: &str| {
        let expect = json!({"phase": "staged", "from": 1, "to": 2});
        let body = json!({"id": id, "expect": expect});
        client::ask(world.http(), "POST", &format!("/rotations/{FAMILY}/advance"), Some(&body))
    };
    let (status, first) = advance("a");
    assert_eq!(status, 200, "{first}");
    let (status, second) = advance("b");
    assert_eq!(status, 409, "{second}");
    assert!(second.contains("was quicker: `advance` at "), "{second}");
    let (status, again) = advance("a");
    assert_eq!((status, &again), (200, &first), "nothing has changed");
    let (status, text) = client::ask(world.http(), "POST", &format!("/rotations/{FAMILY}/advance"), Some(&json!({})));
    assert_eq!(status, 400, "{text}");
}
