//! Zones get their next tokens over the connections that they have: nothing is opened anew, and nothing is missed.

use std::os::unix::fs::PermissionsExt as _;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use testkit::{
    client,
    kds::{Call, Peer},
    program::{ControlPlane, eventually},
    rpcs::{DOWN, PRESENT, RENEW, UP},
    runtime::run,
};
use wire::arctos::kds::v1::{PresentRequest, PresentResponse, RenewRequest, RenewResponse};

use crate::stage::{
    plain_port::{first, open, peer, plain_world},
    world::{World, decode},
};

/// A token is no good the moment it ends.
const NO_LEEWAY: (&str, &str) = ("KUMA_MULTIZONE_GLOBAL_KDS_AUTH_LEEWAY", "0s");
const TOKEN_PATH: &str = "KUMA_MULTIZONE_ZONE_KDS_AUTH_TOKEN_PATH";

/// A token of which a zone has two thirds behind it in seconds.
fn short_token(world: &World, zone: &str) -> String {
    token_for(world, zone, "9s")
}

fn token_for(world: &World, zone: &str, valid_for: &str) -> String {
    world.kumactl.ok(&["generate", "control-plane-token", &format!("--zone={zone}"), "--valid-for", valid_for], "")
}

fn claims(token: &str) -> Value {
    serde_json::from_str(&decode(token.trim()).1).unwrap()
}

fn id(token: &str) -> String {
    claims(token)["jti"].as_str().unwrap().to_owned()
}

/// Waits until a zone has moved to a new token so often.
fn wait_renewed(zone: &ControlPlane, times: usize) {
    let moved = || zone.text().lines().filter(|line| line.contains("the connection stands on the new token")).count();
    eventually("the zone moves to new tokens", moved, |moved| *moved >= times);
}

fn revoke(world: &World, token: &str) {
    let list = STANDARD.encode(id(token));
    world.apply(&format!("type: GlobalSecret\nname: control-plane-token-revocations\ndata: {list}\n"));
}

/// The subscriptions that global shows of a zone, and when they began.
fn connect_times(world: &World, zone: &str) -> Vec<String> {
    let overview = client::get(world.http(), &format!("/zones/{zone}/_overview"));
    let subscriptions = overview["zoneInsight"]["subscriptions"].as_array().cloned().unwrap_or_default();
    subscriptions.iter().map(|one| one["connectTime"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn five_zones_renew_and_open_their_streams_once() {
    five_renew(&World::new(&[NO_LEEWAY]));
}

#[test]
fn five_zones_renew_and_open_their_streams_once_on_postgres() {
    if let Some(world) = World::on_postgres(&[NO_LEEWAY]) {
        five_renew(&world);
    }
}

fn five_renew(world: &World) {
    let names = ["east", "north", "south", "west", "centre"];
    let files = names.map(|name| world.file(&format!("{name}.token"), &short_token(world, name)));
    for (file, mode) in files.iter().zip([0o600, 0o640, 0o644, 0o400, 0o440]) {
        std::fs::set_permissions(file, std::fs::Permissions::from_mode(mode)).unwrap();
    }
    let given: Vec<_> = files.iter().map(|file| std::fs::read_to_string(file).unwrap()).collect();
    let zones: Vec<_> = names.iter().zip(&files).map(|(name, file)| world.zone(name, &[(TOKEN_PATH, file)])).collect();
    names.iter().for_each(|name| world.wait_online(name));
    let began: Vec<_> = names.iter().map(|name| connect_times(world, name)).collect();
    zones.iter().for_each(|zone| wait_renewed(zone, 3));
    for (index, zone) in zones.iter().enumerate() {
        let now = std::fs::read_to_string(&files[index]).unwrap();
        let (former, next) = (claims(&given[index]), claims(&now));
        let life = |claims: &Value| claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap();
        assert_eq!((life(&former), &former["Zone"]), (life(&next), &next["Zone"]));
        assert_ne!(former["jti"], next["jti"]);
        assert_eq!(connect_times(world, names[index]), began[index]);
        assert!(!zone.logged_after(0, &["not connected"]), "{}", zone.text());
        assert!(!zone.text().contains(now.trim()), "no token is logged");
    }
    let modes = files.each_ref().map(|file| std::fs::metadata(file).unwrap().permissions().mode() & 0o7777);
    assert_eq!(modes, [0o600, 0o640, 0o644, 0o400, 0o440]);
    assert!(!world.global.logged_after(0, &["closed live streams"]), "{}", world.global.text());
    let (_, metrics) = client::ask(world.global.address("diagnostics"), "GET", "/metrics", None);
    for method in ["GlobalToZoneSync", "ZoneToGlobalSync", "StreamXDSConfigs", "StreamStats", "StreamClusters"] {
        let line = metrics.lines().find(|line| line.starts_with("grpc_server_started_total") && line.contains(method));
        assert!(line.is_some_and(|line| line.ends_with(" 5")), "{line:?}");
    }
    // What changes goes on reaching them.
    world.apply("type: Mesh\nname: later\n");
    for zone in &zones {
        let mesh = || client::ask(zone.address("http"), "GET", "/meshes/later", None).0;
        eventually("the mesh is there", mesh, |status| *status == 200);
    }
}

#[test]
fn a_token_that_cannot_be_written_is_renewed_in_memory() {
    let world = World::new(&[NO_LEEWAY]);
    let inline = short_token(&world, "east");
    let east = world.zone("east", &[("KUMA_MULTIZONE_ZONE_KDS_AUTH_TOKEN_INLINE", &inline)]);
    // No file can be made beside one with a name of this length, whoever tries.
    let given = short_token(&world, "west");
    let file = world.file(&"t".repeat(250), &given);
    let mut west = world.zone("west", &[(TOKEN_PATH, &file)]);
    east.line(&["the token was given inline", "in memory alone"]);
    for zone in [&east, &west] {
        wait_renewed(zone, 3);
        zone.line(&["the token was renewed", r#""kept": "memory""#]);
        assert!(!zone.logged_after(0, &["not connected"]), "{}", zone.text());
    }
    let told = |zone: &ControlPlane| {
        zone.text().lines().filter(|line| line.contains("the file of the token cannot be written")).count()
    };
    assert_eq!((told(&west), told(&east)), (1, 0), "it is said once");
    west.line(&["the file of the token cannot be written", "auth.renew", "and renew the token yourself"]);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), given);
    // After a restart the file counts again: what it says ended long ago.
    west.restart();
    west.line(&["refused this zone", "expired"]);
    std::fs::write(&file, short_token(&world, "west")).unwrap();
    world.wait_online("west");
}

#[test]
fn what_a_human_writes_into_the_file_counts_more() {
    let world = World::new(&[NO_LEEWAY]);
    let file = world.file("west.token", &short_token(&world, "west"));
    let west = world.zone("west", &[(TOKEN_PATH, &file)]);
    wait_renewed(&west, 1);
    let mark = world.global.mark();
    let by_hand = token_for(&world, "west", "720h");
    std::fs::write(&file, &by_hand).unwrap();
    west.line(&["the new token was accepted, the old connection is dropped"]);
    world.global.line_after(mark, &["successfully authenticated", r#""zone": "west""#]);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), by_hand);
    // One that is refused is not written over, and the connection stays on what is renewed.
    std::fs::write(&file, "no token").unwrap();
    west.line(&["the new token was not accepted, keeping the connection with the old one"]);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "no token");
    assert!(world.online("west"));
}

#[test]
fn a_zone_that_shall_not_renew_leaves_the_file_alone_and_warns() {
    let world = World::new(&[NO_LEEWAY]);
    let given = short_token(&world, "west");
    let file = world.file("west.token", &given);
    let settings = [(TOKEN_PATH, file.as_str()), ("KUMA_MULTIZONE_ZONE_KDS_AUTH_RENEW", "false")];
    let west = world.zone("west", &settings);
    west.line(&["the token ends soon and was not renewed", &id(&given), "multizone.zone.kds.auth.renew"]);
    west.line(&["refused this zone", "expired"]);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), given);
    assert!(!world.global.logged_after(0, &["zone shows its new token"]));
}

#[test]
fn a_global_that_renews_nothing_says_so_and_the_zone_warns() {
    let world = World::new(&[NO_LEEWAY, ("KUMA_MULTIZONE_GLOBAL_KDS_AUTH_RENEWAL_ENABLED", "false")]);
    let file = world.file("west.token", &short_token(&world, "west"));
    let west = world.zone("west", &[(TOKEN_PATH, &file)]);
    west.line(&["the token is not renewed", "multizone.global.kds.auth.renewal.enabled"]);
    west.line(&["the token ends soon and was not renewed", "multizone.global.kds.auth.renewal.enabled"]);
}

/// Makes the steps of a rotation of control plane keys until its phase is this one.
fn rotate_until(world: &World, phase: &str) {
    const ROTATION: &str = "/rotations/control-plane-signing-key";
    let stepped = || {
        let status = client::get(world.http(), ROTATION);
        if status["phase"] == phase {
            return (status, String::new());
        }
        let expect = json!({"phase": status["phase"], "from": status["from"], "to": status["to"]});
        let body = json!({"expect": expect});
        (status, client::ask(world.http(), "POST", &format!("{ROTATION}/advance"), Some(&body)).1)
    };
    eventually(&format!("the rotation is {phase}"), stepped, |(status, _)| status["phase"] == phase);
}

#[test]
fn a_zone_that_has_its_newer_token_in_memory_alone_is_in_the_way_until_it_may_start_again() {
    let world = World::new(&[]);
    let inline = world.token("east");
    let _east = world.zone("east", &[("KUMA_MULTIZONE_ZONE_KDS_AUTH_TOKEN_INLINE", &inline)]);
    world.wait_online("east");
    world.kumactl.ok(&["rotate", "start", "control-plane-signing-key"], "");
    rotate_until(&world, "draining");
    let status = || client::get(world.http(), "/rotations/control-plane-signing-key");
    let in_memory = |status: &Value| status["blockers"].to_string().contains("in memory alone");
    let status = eventually("the zone stands on the new key", status, in_memory);
    assert_eq!(status["zonesByKey"], json!({"1": 1, "2": 1}), "{status}");
    let refused = world.kumactl.run(&["rotate", "advance", "control-plane-signing-key"], "");
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    // What it could come back with is taken away; it stays.
    let (_, ledger) = client::ask(world.http(), "GET", "/tokens?zone=east&key=1", None);
    let ledger: Value = serde_json::from_str(&ledger).unwrap();
    let old = ledger["items"][0]["id"].as_str().unwrap();
    world.kumactl.ok(&["revoke", "token", "--family", "control-plane-token", "--id", old], "");
    world.kumactl.ok(&["rotate", "advance", "control-plane-signing-key"], "");
    assert!(world.online("east"));
}

#[test]
fn zones_follow_a_rotation_to_its_end_and_keep_their_connections() {
    let world = World::new(&[
        ("KUMA_MULTIZONE_GLOBAL_KDS_ZONE_HEALTH_CHECK_POLL_INTERVAL", "200ms"),
        ("KUMA_MULTIZONE_GLOBAL_KDS_ZONE_HEALTH_CHECK_TIMEOUT", "1m"),
    ]);
    let (without_end, with_end) = (world.token("west"), token_for(&world, "east", "720h"));
    let files = [world.file("west.token", &without_end), world.file("east.token", &with_end)];
    let zones = ["west", "east"].map(|name| {
        let file = &files[usize::from(name == "east")];
        let zone = world.zone(name, &[(TOKEN_PATH, file)]);
        world.wait_online(name);
        zone
    });
    let (status, body) = client::ask(world.http(), "POST", "/rotations/control-plane-signing-key/start", None);
    assert!(status < 300, "{status} {body}");
    rotate_until(&world, "signing");
    // Before the key drains nobody has a reason; afterwards everybody moves, and the old key can go.
    rotate_until(&world, "idle");
    zones.iter().for_each(|zone| wait_renewed(zone, 1));
    let said = files.each_ref().map(|file| claims(&std::fs::read_to_string(file).unwrap()));
    assert_eq!(said.each_ref().map(|claims| claims["TokenSerialNumber"].as_u64()), [Some(2), Some(2)]);
    assert_eq!(said.each_ref().map(|claims| claims.get("exp").is_some()), [false, true], "of the same kind");
    let keys = client::get(world.http(), "/global-secrets");
    assert!(!keys.to_string().contains("control-plane-signing-key-0001"), "the old key is deleted");
    for (name, zone) in ["west", "east"].iter().zip(&zones) {
        assert!(world.online(name) && !zone.logged_after(0, &["not connected"]), "{}", zone.text());
        assert_eq!(connect_times(&world, name).len(), 1);
    }
}

/// One call with one message; the answer, or the code of the refusal.
async fn call<A: prost::Message + Default>(
    peer: &Peer,
    path: &str,
    token: &str,
    message: impl prost::Message,
) -> Result<A, u32> {
    let mut call: Call = open(peer, path, "west", token);
    call.send(&message.encode_to_vec());
    call.half_close();
    match call.next().await {
        Some(answer) => Ok(A::decode(answer).unwrap()),
        None => Err(call.ended().await.code),
    }
}

async fn renew(peer: &Peer, token: &str) -> Result<String, u32> {
    call::<RenewResponse>(peer, RENEW, token, RenewRequest {}).await.map(|answer| answer.token)
}

async fn present(peer: &Peer, token: &str, former: &str) -> Result<(u32, u32), u32> {
    let answer = call::<PresentResponse>(peer, PRESENT, token, PresentRequest { former: id(former) }).await;
    answer.map(|answer| (answer.moved, answer.left))
}

#[test]
fn streams_stand_on_the_token_that_was_shown_on_their_connection() {
    let world = plain_world();
    let given = token_for(&world, "west", "720h");
    run(async {
        let (here, elsewhere) = (peer(&world).await, peer(&world).await);
        let mut down = open(&here, DOWN, "west", &given);
        down.send(&first("west", "Mesh"));
        assert!(down.next().await.is_some());
        let mut up = open(&elsewhere, UP, "west", &given);
        assert!(up.next().await.is_some());
        let next = renew(&here, &given).await.unwrap();
        assert!(renew(&elsewhere, &given).await.unwrap() == next, "the answer was lost");
        assert_eq!(present(&here, &next, &given).await, Ok((1, 0)), "a balancer has put the other one elsewhere");
        world.global.line(&["zone shows its new token", &id(&next)]);
        revoke(&world, &given);
        assert_eq!(up.ended().await.code, 16);
        assert_eq!(renew(&here, &given).await, Err(16), "what is revoked is not renewed");
        assert_eq!(present(&here, &given, &given).await, Err(16));
        down.send(&first("west", "MeshTimeout"));
        assert!(down.next().await.is_some(), "the stream goes on");
    });
    assert!(!world.global.logged_after(0, &["GlobalToZoneSync ended", "revoked"]), "{}", world.global.text());
}

#[test]
fn a_token_that_ended_is_not_renewed() {
    let world = World::new(&[NO_LEEWAY, ("KUMA_MULTIZONE_GLOBAL_KDS_TLS_ENABLED", "false")]);
    let given = token_for(&world, "west", "1s");
    run(async {
        // Good or not, sooner or later it is not; a connection whose token ended goes, too.
        while renew(&peer(&world).await, &given).await != Err(16) {}
        // That one may have ended while it was answered.
        assert_eq!(renew(&peer(&world).await, &given).await, Err(16));
    });
    world.global.line(&["Zone CP refused", "expired"]);
}

#[test]
fn a_token_without_end_is_not_renewed_without_a_reason() {
    let world = plain_world();
    let given = world.token("west");
    run(async {
        let peer = peer(&world).await;
        assert_eq!(renew(&peer, &given).await, Err(9));
    });
}
