//! Keys that the settings name verify beside the secrets, before them, or alone.

use std::sync::Arc;

use tokens::{
    Accept, Algorithm, Claims, Family, IssueError, KeyProblem, KeyRing, Rejection, RingProblem, Scope, StaticKeys,
    generate_key,
};

use crate::fixture::*;

fn public(pem: &str) -> String {
    tokens::public_half(pem.as_bytes()).unwrap()
}

/// The usual secrets, and `pem(3)` as a key of the settings.
fn ring_with(family: Family, kid: &str) -> KeyRing {
    let mut keys = StaticKeys::default();
    keys.add(family, kid, public(pem(3)).as_bytes()).unwrap();
    ring(&usual()).with_static_keys(Arc::new(keys))
}

/// Signs without the control plane.
fn offline(key: &str, kid: &str) -> String {
    let (zone, scope) = (west(), [Scope::Cp]);
    let claims = Claims::Zone { zone: &zone, scope: Some(&scope) };
    tokens::sign_offline(key.as_bytes(), kid, &claims, HOUR, now(), jti()).unwrap().to_string()
}

#[test]
fn a_key_of_the_settings_has_any_name_and_verifies_beside_the_secrets() {
    for kid in ["offline-2026", "1.a_b", "2", "0", "007", &"9".repeat(64)] {
        let ring = ring_with(Family::Zone, kid);
        let verified = verify(&offline(pem(3), kid), &ring).unwrap();
        assert_eq!((verified.kid(), verified.key().is_of_settings()), (kid, true));
        assert!(verified.still_good(&ring, now(), LEEWAY).is_ok());
        assert!(verified.still_good(&self::ring(&usual()), now(), LEEWAY).is_err(), "where there is no such key");
        let of_secret = verify(&offline(pem(1), "1"), &ring).unwrap();
        assert_eq!((of_secret.kid(), of_secret.key().is_of_settings()), ("1", false));
        assert_eq!(verify(&offline(pem(3), "other"), &ring).unwrap_err().reason(), "unknown-key");
        assert_eq!(verify(&offline(pem(1), kid), &ring).unwrap_err().reason(), "bad-signature");
    }
}

#[test]
fn keys_of_the_settings_are_searched_first() {
    let ring = ring_with(Family::Zone, "1");
    assert!(verify(&offline(pem(3), "1"), &ring).unwrap().key().is_of_settings());
    assert_eq!(verify(&offline(pem(1), "1"), &ring).unwrap_err().reason(), "bad-signature");
}

#[test]
fn nothing_is_signed_with_a_secret_whose_tokens_a_key_of_the_settings_would_judge() {
    let ring = ring_with(Family::Zone, "1");
    let issue = |ring: &KeyRing| tokens::issue_zone(ring, &west(), Some(&[Scope::Cp]), HOUR, now(), jti());
    let refused = issue(&ring).map(drop).unwrap_err();
    let problem = KeyProblem::NamedInSettings { kid: "1".to_owned() };
    assert!(matches!(&refused, IssueError::BadKey { problem: found, .. } if *found == problem), "{refused:?}");
    let unusable: Vec<_> = ring.unusable().collect();
    assert_eq!(unusable, [("zone-token-signing-key-1".to_owned(), &problem)], "doctor says so");
    assert!(ring.serials(&Family::Zone).is_empty() && ring.signs(&Family::Zone).is_none());
    assert!(ring.is_of_settings(&Family::Zone, "1") && !ring.is_of_settings(&Family::User, "1"));
    // Of another family, of another name, and the public half of the very key.
    for other in [ring_with(Family::User, "1"), ring_with(Family::Zone, "2")] {
        assert!(issue(&other).is_ok());
    }
    let mut same = StaticKeys::default();
    same.add(Family::Zone, "1", public(pem(1)).as_bytes()).unwrap();
    let same = self::ring(&usual()).with_static_keys(Arc::new(same));
    assert!(verify(issue(&same).unwrap().reveal(), &same).is_ok());
}

#[test]
fn a_key_of_the_settings_is_of_one_family() {
    let ring = ring_with(Family::User, "offline");
    assert_eq!(verify(&offline(pem(3), "offline"), &ring).unwrap_err().reason(), "unknown-key");
    let claims = Claims::User { name: "john", groups: None };
    let token = tokens::sign_offline(pem(3).as_bytes(), "offline", &claims, HOUR, now(), jti()).unwrap();
    let user = tokens::verify_user(&token, &ring, now(), LEEWAY).unwrap();
    assert_eq!((user.name(), user.kid()), ("john", "offline"));
    let zones = ring_with(Family::Zone, "offline");
    assert!(tokens::verify_user(&token, &zones, now(), LEEWAY).is_err());
}

#[test]
fn settings_may_say_that_secrets_verify_nothing() {
    let mut keys = StaticKeys::default();
    keys.add(Family::Zone, "offline", public(pem(3)).as_bytes()).unwrap();
    keys.without_secrets(&Family::Zone);
    keys.without_secrets(&Family::ControlPlane);
    let before = ring(&usual());
    let ring = ring(&usual()).with_static_keys(Arc::new(keys));
    assert!(verify(&offline(pem(3), "offline"), &ring).is_ok());

    // Secrets sign as before: whoever issues with them has others that verify.
    let zone_token = tokens::issue_zone(&ring, &west(), Some(&[Scope::Cp]), HOUR, now(), jti()).unwrap();
    let expected = "invalid zone token: there is no signing key with KID 1. Public key with kid \"1\" for zone-tokens in the \
                    settings is not found. If signing key was rotated, regenerate the token";
    let refused = |accept| tokens::verify(zone_token.reveal(), &ring, now(), &want(accept)).unwrap_err();
    assert_eq!(refused(Accept::ZoneToken).to_string(), expected);
    assert_eq!(refused(Accept::CpToken).to_string(), expected);
    for ring in [&ring, &before] {
        let text = verify(&offline(pem(1), "x"), ring).unwrap_err().to_string();
        assert_eq!(
            text.contains("Public key with kid \"x\" for zone-tokens in the settings"),
            ring.serials(&Family::Zone).is_empty(),
            "{text}"
        );
    }
    let session = verify(zone_token.reveal(), &before).unwrap();
    assert_eq!(session.still_good(&ring, now(), LEEWAY), Err(refused(Accept::ZoneToken)));

    for valid_for in [None, Some(HOUR)] {
        let token = tokens::issue_control_plane(&ring, &west(), valid_for, now(), jti()).unwrap();
        assert_eq!(verify(token.reveal(), &ring).unwrap_err().reason(), "unknown-key");
        assert!(verify(token.reveal(), &before).is_ok());
    }
    // Of the family that nothing was said of.
    let user = tokens::issue_user(&ring, "john", None, HOUR, now(), jti()).unwrap();
    assert!(tokens::verify_user(user.reveal(), &ring, now(), LEEWAY).is_ok());
}

#[test]
fn lists_of_revoked_ids_count_for_keys_of_the_settings() {
    let mut secrets = usual();
    let id = jti().to_string();
    secrets.push(("zone-token-revocations", &id));
    let mut keys = StaticKeys::default();
    keys.add(Family::Zone, "offline", public(pem(3)).as_bytes()).unwrap();
    let ring = ring(&secrets).with_static_keys(Arc::new(keys));
    assert_eq!(verify(&offline(pem(3), "offline"), &ring).unwrap_err(), Rejection::Revoked);
}

#[test]
fn keys_of_the_settings_verify_in_their_algorithm_alone() {
    for algorithm in [Algorithm::Es256, Algorithm::EdDsa] {
        let key = generate_key(algorithm);
        let mut keys = StaticKeys::default();
        keys.add(Family::Zone, "offline", tokens::public_half(key.reveal()).unwrap().as_bytes()).unwrap();
        let ring = KeyRing::empty().with_static_keys(Arc::new(keys));
        assert_eq!(verify(&offline(key.pem().unwrap(), "offline"), &ring).unwrap().algorithm(), algorithm);
        let text = verify(&offline(pem(3), "offline"), &ring).unwrap_err().to_string();
        assert_eq!(text, format!("invalid zone token: unsupported token alg RS256. Allowed algorithm is {algorithm}"));
    }
}

#[test]
fn no_token_and_no_secret_reaches_the_numbers_of_the_settings() {
    let ring = ring_with(Family::ControlPlane, "offline");
    for number in [u64::MAX, u64::MAX - 0xffff, u64::MAX - 0xfffe] {
        let payload = format!(r#"{{"Zone":"west","TokenSerialNumber":{number}}}"#);
        for key in [pem(3), &public(pem(3))] {
            let token = forge(HS256, &payload, &By::Hmac(key.as_bytes()));
            assert_eq!(verify(&token, &ring).unwrap_err().reason(), "unknown-key");
        }
        let kid = number.to_string();
        assert_eq!(verify(&offline(pem(3), &kid), &ring_with(Family::Zone, "x")).unwrap_err().reason(), "unknown-key");
        let (_, problems) = ring_with_problems(&[(&format!("zone-token-signing-key-{number}"), pem(1))]);
        assert!(matches!(problems.as_slice(), [RingProblem::BadKey { .. }]), "{problems:?}");
    }
}
