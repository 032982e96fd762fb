//! Flow (b): a token is issued.

use crate::stage::{
    way::{Route, Way, through_relays},
    world::decode,
};

through_relays! { exactly_the_documented_one registered_claims key_and_scope_of_a_zone_token nonsense }

#[test]
fn a_control_plane_token_is_exactly_the_documented_one() {
    exactly_the_documented_one(Way::Direct);
}

fn exactly_the_documented_one(way: Way) {
    let route = Route::new(way, &[]);
    let world = route.door();
    let output = world.kumactl.run(&["generate", "control-plane-token", "--zone=west"], "");
    assert!(output.status.success());
    let token = String::from_utf8(output.stdout).unwrap();
    let (header, payload) = decode(&token);
    assert_eq!(header, r#"{"alg":"HS256","typ":"JWT"}"#);
    assert_eq!(payload, r#"{"Zone":"west","TokenSerialNumber":1}"#);
    let line = world.global.line(&["token", "west", "control-plane-signing-key-0001"]);
    assert!(!line.contains(&token), "the audit line must not show the token: {line}");
}

#[test]
fn a_validity_adds_the_registered_claims() {
    registered_claims(Way::Direct);
}

fn registered_claims(way: Way) {
    let route = Route::new(way, &[]);
    let world = route.door();
    let token = world.kumactl.ok(&["generate", "control-plane-token", "--zone=west", "--valid-for", "720h"], "");
    let claims: serde_json::Value = serde_json::from_str(&decode(&token).1).unwrap();
    let time = |name: &str| claims[name].as_i64().unwrap_or_else(|| panic!("no {name} in {claims}"));
    assert_eq!(time("iat"), time("nbf"));
    assert_eq!(time("exp") - time("iat"), 720 * 3600 + 5);
    assert_eq!(claims["jti"].as_str().map(str::len), Some(36));
    assert_eq!(claims["TokenSerialNumber"], 1);
}

#[test]
fn a_zone_token_names_its_key_and_scope() {
    key_and_scope_of_a_zone_token(Way::Direct);
}

fn key_and_scope_of_a_zone_token(way: Way) {
    let route = Route::new(way, &[]);
    let world = route.door();
    let token =
        world.kumactl.ok(&["generate", "zone-token", "--zone", "west", "--scope", "cp", "--valid-for", "720h"], "");
    let (header, payload) = decode(&token);
    assert_eq!(header, r#"{"alg":"RS256","kid":"1","typ":"JWT"}"#);
    assert!(payload.starts_with(r#"{"Zone":"west","Scope":["cp"],"exp":"#), "{payload}");
    let _zone = route.zone("west", &world.file("west.token", &token), &[]);
    route.wait_online("west");
    world.global.line(&["kds.auth", "Zone CP successfully authenticated", r#"{"zone": "west"}"#]);
}

#[test]
fn no_token_is_issued_for_nonsense() {
    nonsense(Way::Direct);
}

fn nonsense(way: Way) {
    let route = Route::new(way, &[]);
    let world = route.door();
    for arguments in [
        &["generate", "control-plane-token", "--zone=Bad_Name"][..],
        &["generate", "control-plane-token", "--zone=west", "--valid-for", "-1h"],
        &["generate", "control-plane-token", "--zone=west", "--valid-for", "0s"],
        &["generate", "zone-token", "--zone", "west", "--scope", "bogus", "--valid-for", "1h"],
        &["generate", "zone-token", "--zone", "", "--scope", "cp", "--valid-for", "1h"],
    ] {
        let output = world.kumactl.run(arguments, "");
        assert!(!output.status.success(), "{arguments:?}");
        assert!(output.stdout.is_empty() || !output.stdout.starts_with(b"eyJ"), "{arguments:?}");
        assert!(!output.stderr.is_empty(), "{arguments:?}");
    }
}
