//! Flow (c): a signing key is deleted, a token is revoked, a token expires: live sessions end, nothing is restarted.

use testkit::client;

use crate::stage::{
    way::{Route, Way, through_relays},
    world::decode,
};

through_relays! { sessions_of_a_deleted_key session_of_a_revoked_token session_of_an_expired_token }

#[test]
fn deleting_a_key_closes_its_sessions_and_a_new_token_brings_the_zone_back() {
    sessions_of_a_deleted_key(Way::Direct);
}

fn sessions_of_a_deleted_key(way: Way) {
    let route = Route::new(way, &[]);
    let world = route.door();
    let west = route.connected_zone("west");
    let joined = route.connected_zone("east");
    let east = &joined.zone;
    let key = world.kumactl.ok(&["generate", "signing-key"], "");
    world.kumactl.ok(
        &["apply", "--var", &format!("key={key}"), "-f", "-"],
        "type: GlobalSecret\nname: control-plane-signing-key-0002\ndata: {{ key }}\n",
    );
    // West moves to the new key while the old one still verifies: it stays without a gap.
    let mark = world.global.mark();
    world.token_file("west");
    if west.opens_for_a_new_token() {
        world.global.line_after(mark, &["successfully authenticated", r#""tokenSerialNumber": 2, "zone": "west""#]);
    }
    west.stands_on_the_new_token();
    let west = west.zone;

    let mark = world.global.mark();
    let west_mark = west.mark();
    world.kumactl.ok(&["delete", "global-secret", "control-plane-signing-key-0001"], "");
    world.global.line_after(mark, &["closed live streams", r#""zone": "east""#, "unknown-key"]);
    route.wait_offline("east");
    // At once with the reason, not only when it comes back.
    east.line(&["not connected to the global control plane", "keeps serving"]);
    assert!(!east.text().contains("closed by the other side"), "{}", east.text());
    assert!(route.online("west"));
    assert!(!west.logged_after(west_mark, &["not connected"]), "{}", west.text());
    // East goes on serving what it has, and says why it is alone.
    let http = east.address("http");
    assert_eq!(client::ask(http, "GET", "/meshes/default", None).0, 200);
    let (_, ready) = client::ask(east.address("diagnostics"), "GET", "/ready", None);
    assert!(ready.contains("refused"), "/ready says why: {ready}");
    let index = client::get(http, "/");
    assert!(
        index["troubles"]["global"].as_str().is_some_and(|why| why.contains("refused")),
        "the index says why: {index}"
    );

    let mark = world.global.mark();
    world.token_file("east");
    world.global.line_after(mark, &["successfully authenticated", r#""tokenSerialNumber": 2, "zone": "east""#]);
    route.wait_online("east");
}

#[test]
fn revoking_a_token_closes_its_session_only() {
    session_of_a_revoked_token(Way::Direct);
}

fn session_of_a_revoked_token(way: Way) {
    let route = Route::new(way, &[]);
    let world = route.door();
    let issue = || world.kumactl.ok(&["generate", "control-plane-token", "--zone=west", "--valid-for", "720h"], "");
    let (first, second) = (issue(), issue());
    let file = world.file("west.token", &first);
    let west = route.zone("west", &file, &[]);
    route.wait_online("west");
    let _east = route.connected_zone("east");
    let id = serde_json::from_str::<serde_json::Value>(&decode(&first).1).unwrap()["jti"].as_str().unwrap().to_owned();
    // A line end and a blank in the list, as an editor leaves them, must not hide the id.
    let list = base64_of(&format!("some-other-id, {id}\r\n"));
    let mark = world.global.mark();
    world.apply(&format!("type: GlobalSecret\nname: control-plane-token-revocations\ndata: {list}\n"));
    world.global.line_after(mark, &["closed live streams", r#""zone": "west""#, "revoked"]);
    route.wait_offline("west");
    assert!(route.online("east"));
    west.zone.line(&["refused this zone", "revoked"]);
    world.file("west.token", &second);
    route.wait_online("west");
}

#[test]
fn a_token_that_expires_ends_its_session() {
    session_of_an_expired_token(Way::Direct);
}

fn session_of_an_expired_token(way: Way) {
    let route = Route::new(way, &[("KUMA_MULTIZONE_GLOBAL_KDS_AUTH_LEEWAY", "0s")]);
    let world = route.door();
    let token = world.kumactl.ok(&["generate", "control-plane-token", "--zone=west", "--valid-for", "12s"], "");
    let file = world.file("west.token", &token);
    let west = route.zone("west", &file, &[("KUMA_MULTIZONE_ZONE_KDS_AUTH_RENEW", "false")]);
    world.global.line(&["successfully authenticated", r#""zone": "west""#]);
    world.global.line(&["closed live streams", r#""zone": "west""#, "expired"]);
    west.zone.line(&["refused this zone", "expired"]);
    world.token_file("west");
    route.wait_online("west");
}

fn base64_of(text: &str) -> String {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    STANDARD.encode(text)
}
