//! Keys and tokens that real peers made.

use std::path::PathBuf;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use model::ZoneName;
use serde_json::Value;
use std::time::Duration;
use tokens::Claims;
use uuid::Uuid;

use crate::fixture::{LEEWAY, decoded, ring};

/// The lines of a recording, or nothing if there are no recordings here.
fn lines(file: &str) -> Option<Vec<Value>> {
    let folder = std::env::var_os("ARCTOS_CAPTURES")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/captures")), PathBuf::from);
    let path = folder.join("rest/3.0-preview").join(file);
    let Ok(text) = std::fs::read_to_string(&path) else {
        println!("SKIPPED, no recordings: {} cannot be read", path.display());
        return None;
    };
    Some(text.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

fn text(line: &Value, name: &str) -> String {
    line[name].as_str().unwrap_or_default().to_owned()
}

/// Makes the token again with the key that it was made with: RS256 always gives the same bytes.
fn check_made_again(token: &str, pem: &str) {
    let (header, payload) = decoded(token);
    let (header, payload): (Value, Value) =
        (serde_json::from_str(&header).unwrap(), serde_json::from_str(&payload).unwrap());
    let (exp, iat) = (payload["exp"].as_i64().unwrap(), payload["iat"].as_i64().unwrap());
    let now = Timestamp::from_second(iat + 5).unwrap();
    let valid_for = Duration::from_secs(u64::try_from(exp - iat - 5).unwrap());
    let jti: Uuid = payload["jti"].as_str().unwrap().parse().unwrap();
    let kid = header["kid"].as_str().unwrap();
    let groups: Option<Vec<String>> = serde_json::from_value(payload["Groups"].clone()).unwrap();
    let name = payload["Name"].as_str();
    let zone = payload["Zone"].as_str().map(|zone| ZoneName::parse(zone).unwrap());
    let claims = match (name, &zone) {
        (Some(name), None) => Claims::User { name, groups: groups.as_deref() },
        (None, Some(zone)) => Claims::Zone { zone, scope: None },
        _ => panic!("{payload}"),
    };
    let made = tokens::sign_offline(pem.as_bytes(), kid, &claims, valid_for, now, jti).unwrap();
    assert_eq!(*made, token);
    if name.is_some() {
        let ring = ring(&[(&format!("user-token-signing-key-{kid}"), pem)]);
        assert!(tokens::verify_user(token, &ring, now, LEEWAY).is_ok());
    }
}

#[test]
fn tokens_of_a_peer_are_made_again_byte_for_byte() {
    let Some(lines) = lines("global-access.jsonl") else { return };
    let mut key: Option<String> = None;
    let mut compared = 0;
    for line in &lines {
        let name = text(line, "name");
        if line["method"] == "PUT" && text(line, "path").starts_with("/global-secrets/user-token-signing-key-") {
            let body: Value = serde_json::from_str(&text(line, "requestBody")).unwrap();
            key = STANDARD.decode(text(&body, "data")).ok().and_then(|key| String::from_utf8(key).ok());
        } else if name.starts_with("user token with signing key") && text(line, "path") == "/tokens/user" {
            // The second one is signed with a key named `-0003`, which the peer itself cannot verify.
            check_made_again(&text(line, "responseBody"), key.as_ref().unwrap());
            compared += 1;
        }
    }
    assert_eq!(compared, 2);
}

#[test]
fn tokens_that_kumactl_signed_are_made_again_byte_for_byte() {
    let Some(lines) = lines("kumactl.jsonl") else { return };
    let args = |line: &Value| -> Vec<String> { serde_json::from_value(line["args"].clone()).unwrap_or_default() };
    let mut pem = String::new();
    let (mut compared, mut halves) = (0, 0);
    for line in lines.iter().filter(|line| line["exit"] == 0) {
        let args = args(line);
        if line["saves"]["pem"] == "stdout" {
            pem = text(line, "stdout");
        } else if args.contains(&"public-key".to_owned()) {
            assert_eq!(tokens::public_half(pem.as_bytes()).unwrap(), text(line, "stdout"));
            halves += 1;
        } else if args.contains(&"--signing-key-path".to_owned()) {
            check_made_again(&text(line, "stdout"), &pem);
            compared += 1;
        }
    }
    assert_eq!((compared, halves), (2, 1));
}

#[test]
fn secrets_of_peers_are_keys_by_their_names() {
    let mut checked = 0;
    for file in ["global-secrets.jsonl", "zone.jsonl"] {
        let Some(lines) = lines(file) else { return };
        for line in lines.iter().filter(|line| line["method"] == "GET") {
            let Ok(body) = serde_json::from_str::<Value>(&text(line, "responseBody")) else { continue };
            let items = body["items"].as_array().cloned().unwrap_or_else(|| vec![body.clone()]);
            for item in items {
                let (name, data) = (text(&item, "name"), text(&item, "data"));
                let Ok(data) = STANDARD.decode(&data) else { continue };
                if name.contains("signing-") && data.starts_with(b"-----BEGIN") {
                    assert_eq!(tokens::check_key(&text(&item, "mesh"), &name, &data), Ok(()), "{name}");
                    checked += 1;
                }
            }
        }
    }
    assert!(checked > 0);
}
