//! The bytes of issued tokens, and what is not issued.

use std::{collections::BTreeMap, error::Error, time::Duration};

use jiff::SignedDuration;
use tokens::{Claims, Family, IssueError, KeyId, KeyRing, Scope, SecretEntry};

use crate::fixture::*;

/// A ring whose control plane key is these bytes.
fn bytes_ring(name: &str, data: &[u8]) -> KeyRing {
    let (ring, problems) = KeyRing::build(1, &[SecretEntry { mesh: "", name, data: Some(data) }]);
    assert_eq!(problems, []);
    ring
}

#[test]
fn control_plane_tokens_are_these_bytes() {
    // Computed with Python's hmac over these bytes (SHA-256 of "the key of a test"), and the same with a newline after them.
    let key: [u8; 32] = [
        0x02, 0xb7, 0x41, 0x71, 0xc4, 0xf1, 0xb5, 0x6c, 0x3d, 0x99, 0x17, 0xc6, 0x6c, 0x08, 0xb5, 0xe4, 0x42, 0x61,
        0xe2, 0x33, 0xcf, 0xbf, 0x04, 0x82, 0x90, 0x06, 0xa2, 0x3b, 0x2a, 0xa0, 0xdd, 0x14,
    ];
    let check = |key: &[u8], expected: &str| {
        let ring = bytes_ring("control-plane-signing-key-0001", key);
        let token = tokens::issue_control_plane(&ring, &west(), None, now(), jti()).unwrap();
        assert_eq!(token.reveal(), expected);
        assert_eq!((token.token_id(), token.expires_at()), (None, None));
        assert_eq!(token.key(), &KeyId { family: Family::ControlPlane, serial: 1 });
    };
    check(
        &key,
        "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJab25lIjoid2VzdCIsIlRva2VuU2VyaWFsTnVtYmV\
         yIjoxfQ.YRUyD4F-mlSFN75AAT8gc288Bt9KxD8DLG1BYcG7nkE",
    );
    check(
        &[&key[..], b"\n"].concat(),
        "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJab25lIjoid2VzdCIsIlRva2VuU2VyaWFsTnVtYmV\
         yIjoxfQ.Jksch9v9da6DdaJ27EN_wt89VY-r0hcujbq-PqtXavw",
    );
}

#[test]
fn control_plane_token_says_zone_and_serial_and_nothing_else() {
    let ring = ring(&usual());
    let token = tokens::issue_control_plane(&ring, &west(), None, now(), jti()).unwrap();
    let (header, payload) = decoded(token.reveal());
    assert_eq!(header, r#"{"alg":"HS256","typ":"JWT"}"#);
    assert_eq!(payload, r#"{"Zone":"west","TokenSerialNumber":1}"#);
}

#[test]
fn control_plane_token_with_an_end_says_when_and_who() {
    let ring = ring(&usual());
    let token = tokens::issue_control_plane(&ring, &west(), Some(HOUR), now(), jti()).unwrap();
    let (header, payload) = decoded(token.reveal());
    assert_eq!(header, r#"{"alg":"HS256","typ":"JWT"}"#);
    let (exp, start, id) = (NOW + 3600, NOW - 5, jti());
    let expected =
        format!(r#"{{"Zone":"west","TokenSerialNumber":1,"exp":{exp},"nbf":{start},"iat":{start},"jti":"{id}"}}"#);
    assert_eq!(payload, expected);
    assert_eq!((token.token_id(), token.expires_at()), (Some(id.to_string().as_str()), Some(at(exp))));
}

#[test]
fn zone_token_has_the_members_of_peers_in_their_order() {
    let ring = ring(&usual());
    let token = tokens::issue_zone(&ring, &west(), Some(&[Scope::Cp]), HOUR, now(), jti()).unwrap();
    let (header, payload) = decoded(token.reveal());
    assert_eq!(header, RS256);
    let (exp, start, id) = (NOW + 3600, NOW - 5, jti());
    let expected = format!(r#"{{"Zone":"west","Scope":["cp"],"exp":{exp},"nbf":{start},"iat":{start},"jti":"{id}"}}"#);
    assert_eq!(payload, expected);
}

#[test]
fn highest_serial_signs() {
    let names = ["-0001", "-2", "-0010"].map(|serial| format!("control-plane-signing-key{serial}"));
    let secrets: Vec<(&str, &str)> = names.iter().enumerate().map(|(n, name)| (name.as_str(), pem(n))).collect();
    let token = tokens::issue_control_plane(&ring(&secrets), &west(), None, now(), jti()).unwrap();
    assert_eq!(token.key().serial, 10);
    assert!(decoded(token.reveal()).1.contains(r#""TokenSerialNumber":10"#));
    assert!(verify(token.reveal(), &ring(&secrets)).is_ok());
}

#[test]
fn missing_keys_are_named() {
    let empty = KeyRing::empty();
    let check = |error: IssueError, secret: &str| {
        let expected = format!(
            "there is no signing key with KID 1. {secret} is not found. If signing key was rotated, regenerate the token"
        );
        assert_eq!(error.to_string(), expected);
        assert!(matches!(error, IssueError::NoKey { .. }));
    };
    check(
        tokens::issue_control_plane(&empty, &west(), None, now(), jti()).unwrap_err(),
        r#"GlobalSecret of name "control-plane-signing-key-0001""#,
    );
    check(
        tokens::issue_zone(&empty, &west(), None, HOUR, now(), jti()).unwrap_err(),
        r#"GlobalSecret of name "zone-token-signing-key-1""#,
    );
    check(
        tokens::issue_user(&empty, "john", None, HOUR, now(), jti()).unwrap_err(),
        r#"GlobalSecret of name "user-token-signing-key-1""#,
    );
    let tags = BTreeMap::new();
    let claims = Claims::Dataplane { name: "dp-1", mesh: "nope", tags: &tags, proxy_type: "", workload: "" };
    check(
        tokens::issue(&empty, &claims, HOUR, now(), jti()).unwrap_err(),
        r#"Secret of name "dataplane-token-signing-key-nope-1" in mesh "nope""#,
    );
}

#[test]
fn broken_newest_key_stops_issuing() {
    let secrets = [("zone-token-signing-key-1", pem(1)), ("zone-token-signing-key-2", "no key")];
    let (ring, _) = ring_with_problems(&secrets);
    let error = tokens::issue_zone(&ring, &west(), None, HOUR, now(), jti()).unwrap_err();
    assert_eq!(error.to_string(), r#"newest signing key "zone-token-signing-key-2" cannot be used"#);
    assert!(error.source().unwrap().to_string().starts_with("not a private key"));
}

#[test]
fn validity_is_at_least_a_second_and_ends_before_the_calendar() {
    let ring = ring(&usual());
    let check = |valid_for: Duration, expected: Result<(), &str>| {
        let zone = tokens::issue_zone(&ring, &west(), None, valid_for, now(), jti()).map(|_| ());
        let control_plane = tokens::issue_control_plane(&ring, &west(), Some(valid_for), now(), jti()).map(|_| ());
        assert_eq!(zone, control_plane);
        assert_eq!(zone.map_err(|error| error.to_string()), expected.map_err(str::to_owned), "{valid_for:?}");
    };
    check(Duration::ZERO, Err("must be at least 1s"));
    check(Duration::from_millis(999), Err("must be at least 1s"));
    check(Duration::from_secs(1), Ok(()));
    check(Duration::from_secs(10 * 365 * 86400), Ok(()));
    check(Duration::from_secs(9000 * 365 * 86400), Err("is too long"));
    check(Duration::MAX, Err("is too long"));
    assert!(tokens::validity(SignedDuration::from_secs(-1)).is_err());
    assert!(tokens::validity(SignedDuration::ZERO).is_err());
    assert_eq!(tokens::validity(SignedDuration::from_hours(1)), Ok(HOUR));
}

#[test]
fn what_would_be_refused_is_not_issued() {
    let ring = ring(&usual());
    let error = tokens::issue_user(&ring, "", None, HOUR, now(), jti()).unwrap_err();
    assert_eq!(error, IssueError::NoName);
    let groups = vec!["g".repeat(100); 100];
    let error = tokens::issue_user(&ring, "john", Some(&groups), HOUR, now(), jti()).unwrap_err();
    assert_eq!(error, IssueError::TooLong);
}

#[test]
fn the_longest_token_that_is_issued_is_the_longest_that_is_read() {
    let ring = ring(&usual());
    let lengths: Vec<usize> = (5650..5780)
        .filter_map(|length| {
            let token = tokens::issue_user(&ring, &"x".repeat(length), None, HOUR, now(), jti()).ok()?;
            assert!(tokens::verify_user(token.reveal(), &ring, now(), LEEWAY).is_ok(), "{length}");
            Some(token.reveal().len())
        })
        .collect();
    assert_eq!(lengths.last(), Some(&8192));
    assert!(lengths.len() < 130, "longer ones were tried");
}

#[test]
fn offline_tokens_are_those_of_the_control_plane() {
    let ring = ring(&usual());
    let (zone, scope) = (west(), [Scope::Cp]);
    let claims = Claims::Zone { zone: &zone, scope: Some(&scope) };
    let online = tokens::issue(&ring, &claims, HOUR, now(), jti()).unwrap();
    let offline = tokens::sign_offline(pem(1).as_bytes(), "1", &claims, HOUR, now(), jti()).unwrap();
    assert_eq!(*offline, online.reveal());
    let odd = tokens::sign_offline(pem(1).as_bytes(), "my \"key\"", &claims, HOUR, now(), jti()).unwrap();
    assert_eq!(decoded(&odd).0, r#"{"alg":"RS256","kid":"my \"key\"","typ":"JWT"}"#);
    let error = tokens::sign_offline(b"junk", "1", &claims, HOUR, now(), jti()).unwrap_err();
    assert!(matches!(error, IssueError::BadKeyFile { .. }));
}

#[test]
fn tokens_are_not_shown() {
    let token = tokens::issue_zone(&ring(&usual()), &west(), None, HOUR, now(), jti()).unwrap();
    let text = format!("{token:?}");
    assert!(text.contains(&jti().to_string()) && !text.contains("eyJ"), "{text}");
    let zone = verify(&forge(RS256, &payload(""), &By::Rs256(pem(1))), &ring(&usual())).unwrap();
    assert!(!format!("{zone:?}").contains("ingerprint"));
}
