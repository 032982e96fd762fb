//! Which tokens let which zone in.

use tokens::{Accept, Family, IssuedAs, Rejection, Scope};

use crate::fixture::*;

fn reason(raw: &str, accept: Accept) -> Result<(), &'static str> {
    let verdict = tokens::verify(raw, &ring(&usual()), now(), &want(accept));
    verdict.map(|_| ()).map_err(|rejection| rejection.reason())
}

/// Checks a payload that is signed with the zone key.
fn check(payload: &str, expected: Result<(), &'static str>) {
    let token = forge(RS256, payload, &By::Rs256(pem(1)));
    for accept in [Accept::CpToken, Accept::ZoneToken] {
        assert_eq!(reason(&token, accept), expected, "{payload} {accept:?}");
    }
}

#[test]
fn control_plane_token_lets_its_zone_in() {
    let ring = ring(&usual());
    let token = tokens::issue_control_plane(&ring, &west(), None, now(), jti()).unwrap();
    let zone = verify(token.reveal(), &ring).unwrap();
    assert_eq!(zone.zone(), &west());
    assert_eq!(zone.issued_as(), IssuedAs::ControlPlaneToken { serial: 1 });
    assert_eq!((zone.token_id(), zone.expires_at(), zone.scope()), (None, None, None));
}

#[test]
fn zone_token_lets_its_zone_in() {
    let ring = ring(&usual());
    let scope = [Scope::Ingress, Scope::Cp];
    let token = tokens::issue_zone(&ring, &west(), Some(&scope), HOUR, now(), jti()).unwrap();
    for accept in [Accept::CpToken, Accept::ZoneToken] {
        let zone = tokens::verify(token.reveal(), &ring, now(), &want(accept)).unwrap();
        assert_eq!(zone.zone(), &west());
        assert_eq!(zone.issued_as(), IssuedAs::ZoneToken);
        assert_eq!(zone.token_id(), Some(jti().to_string().as_str()));
        assert_eq!(zone.expires_at(), Some(at(NOW + 3600)));
        assert_eq!(zone.key().family, Family::Zone);
        assert_eq!(zone.scope(), Some(&["ingress".to_owned(), "cp".to_owned()][..]));
    }
}

#[test]
fn control_plane_tokens_are_refused_where_zone_tokens_are_wanted() {
    let ring = ring(&usual());
    let token = tokens::issue_control_plane(&ring, &west(), None, now(), jti()).unwrap();
    let rejection = tokens::verify(token.reveal(), &ring, now(), &want(Accept::ZoneToken)).unwrap_err();
    assert_eq!(rejection.to_string(), "invalid zone token: JWT token must have kid header");
    let newer = forge(RS256, &payload("").replace(r#","Scope":["cp"]"#, ""), &By::Rs256(pem(0)));
    assert_eq!(reason(&newer, Accept::ZoneToken), Err("bad-signature"));
}

#[test]
fn control_plane_tokens_with_kid_are_verified_with_the_key_in_pem() {
    let without_scope = payload("").replace(r#","Scope":["cp"]"#, "");
    let token = forge(RS256, &without_scope, &By::Rs256(pem(0)));
    let zone = verify(&token, &ring(&usual())).unwrap();
    assert_eq!(zone.issued_as(), IssuedAs::ControlPlaneToken { serial: 1 });
    let only_key = ring(&[("control-plane-signing-key-1", pem(0))]);
    assert!(verify(&token, &only_key).is_ok());
    // A key that is bytes has no public half.
    let bytes = ring(&[("control-plane-signing-key-1", "WJYYLYHNpsTlUPj5aSwUu0TkXSXS5FaFEDmZL9fLZ2E=")]);
    assert_eq!(verify(&token, &bytes).unwrap_err().reason(), "unknown-key");
}

#[test]
fn control_plane_key_signs_no_scopes() {
    check_signed_by(0, &payload(""), Err("bad-signature"));
}

#[test]
fn keys_of_other_families_let_no_zone_in() {
    check_signed_by(2, &payload(""), Err("bad-signature"));
    check_signed_by(3, &payload(""), Err("bad-signature"));
}

fn check_signed_by(key: usize, payload: &str, expected: Result<(), &'static str>) {
    let token = forge(RS256, payload, &By::Rs256(pem(key)));
    assert_eq!(reason(&token, Accept::CpToken), expected);
}

#[test]
fn zone_token_without_scope_is_good_for_nothing() {
    check(&payload("").replace(r#"["cp"]"#, "null"), Err("wrong-scope"));
    check(&payload("").replace(r#"["cp"]"#, "[]"), Err("wrong-scope"));
    check(&payload("").replace(r#","Scope":["cp"]"#, ""), Err("wrong-scope"));
}

#[test]
fn scope_must_have_cp() {
    check(&payload("").replace("cp", "ingress"), Err("wrong-scope"));
    check(&payload("").replace(r#"["cp"]"#, r#"["ingress","ratelimit","cp"]"#), Ok(()));
    check(&payload("").replace("cp", "CP"), Err("wrong-scope"));
    check(&payload("").replace(r#"["cp"]"#, r#""cp""#), Err("malformed"));
    check(&payload("").replace(r#"["cp"]"#, r#"["cp",1]"#), Err("malformed"));
    check(&payload("").replace(r#"["cp"]"#, r#"{"cp":true}"#), Err("malformed"));
}

#[test]
fn zone_must_be_that_of_the_peer() {
    check(&payload("").replace("west", "east"), Err("wrong-zone"));
    check(&payload("").replace("west", "West"), Err("wrong-zone"));
    check(&payload("").replace("west", ""), Err("wrong-zone"));
    check(&payload("").replace("Zone", "zone"), Err("malformed"));
    check(&payload("").replace(r#""west""#, "1"), Err("malformed"));
    // The same wrong name on both sides is no zone either.
    let token = forge(RS256, &payload("").replace("west", "Not A Zone"), &By::Rs256(pem(1)));
    let want = tokens::Want { zone: "Not A Zone", ..want(Accept::ZoneToken) };
    assert_eq!(tokens::verify(&token, &ring(&usual()), now(), &want).unwrap_err().reason(), "malformed");
}

#[test]
fn signature_is_checked_before_zone_and_scope_and_time() {
    let wrong = payload("").replace("west", "east").replace("cp", "x").replace(&(NOW + 3600).to_string(), "1");
    check_signed_by(3, &wrong, Err("bad-signature"));
}

#[test]
fn wrong_zone_and_scope_are_denied_and_the_rest_is_not_authenticated() {
    let zone = Rejection::WrongZone { token: "a".into(), peer: "b".into() };
    let scope = Rejection::WrongScope { scope: vec![] };
    assert!(zone.is_permission_denied() && scope.is_permission_denied());
    for other in [Rejection::Missing, Rejection::Revoked, Rejection::BadSignature, Rejection::NotYetValid] {
        assert!(!other.is_permission_denied());
    }
}

#[test]
fn expiry_counts_with_leeway() {
    let exp = |second: i64| payload("").replace(&(NOW + 3600).to_string(), &second.to_string());
    check(&exp(NOW + 1), Ok(()));
    check(&exp(NOW), Ok(()));
    check(&exp(NOW - 29), Ok(()));
    check(&exp(NOW - 30), Err("expired"));
    check(&exp(NOW - 3600), Err("expired"));
    check(&exp(0), Err("expired"));
    check(&exp(-1), Err("expired"));
}

#[test]
fn start_counts_with_leeway() {
    check(&payload(&format!(r#","nbf":{}"#, NOW + 1)), Ok(()));
    check(&payload(&format!(r#","nbf":{}"#, NOW + 30)), Ok(()));
    check(&payload(&format!(r#","nbf":{}"#, NOW + 31)), Err("not-yet-valid"));
    check(&payload(&format!(r#","nbf":{}"#, NOW + 61)), Err("not-yet-valid"));
}

#[test]
fn a_future_iat_alone_refuses_nothing() {
    check(&payload(&format!(r#","iat":{}"#, NOW + 3600)), Ok(()));
}

#[test]
fn tokens_with_kid_need_an_end() {
    check(r#"{"Zone":"west","Scope":["cp"]}"#, Err("malformed"));
    check(r#"{"Zone":"west","Scope":["cp"],"exp":null}"#, Err("malformed"));
}

#[test]
fn serials_are_compared_as_numbers() {
    for (name, kid) in [("-0002", "2"), ("-2", "2"), ("-2", "0002"), ("-10", "10"), ("", "0")] {
        let name = format!("zone-token-signing-key{name}");
        let ring = ring(&[(&name, pem(1))]);
        let header = format!(r#"{{"alg":"RS256","kid":"{kid}","typ":"JWT"}}"#);
        assert!(verify(&forge(&header, &payload(""), &By::Rs256(pem(1))), &ring).is_ok(), "{name} {kid}");
    }
}

#[test]
fn key_with_leading_zeros_signs_and_verifies() {
    let ring = ring(&[("zone-token-signing-key-1", pem(0)), ("zone-token-signing-key-0002", pem(1))]);
    let token = tokens::issue_zone(&ring, &west(), Some(&[Scope::Cp]), HOUR, now(), jti()).unwrap();
    assert_eq!(decoded(token.reveal()).0, RS256.replace(r#""1""#, r#""2""#));
    assert_eq!(verify(token.reveal(), &ring).unwrap().key().serial, 2);
}

#[test]
fn unknown_keys_are_named() {
    let check = |kid: &str, expected: &str| {
        let header = format!(r#"{{"alg":"RS256","kid":"{kid}","typ":"JWT"}}"#);
        let token = forge(&header, &payload(""), &By::Rs256(pem(1)));
        let rejection = verify(&token, &ring(&usual())).unwrap_err();
        assert_eq!((rejection.reason(), rejection.to_string().as_str()), ("unknown-key", expected));
    };
    check(
        "2",
        "invalid zone token: there is no signing key with KID 2. GlobalSecret of name \"zone-token-signing-key-2\" is \
         not found. If signing key was rotated, regenerate the token",
    );
    check(
        "foo",
        "invalid zone token: there is no signing key with KID foo. GlobalSecret of name \"zone-token-signing-key-foo\" \
         is not found. If signing key was rotated, regenerate the token",
    );
    let token = forge(HS256, r#"{"Zone":"west","TokenSerialNumber":7}"#, &By::Hmac(pem(0).as_bytes()));
    let rejection = verify(&token, &ring(&usual())).unwrap_err();
    assert!(rejection.to_string().contains("GlobalSecret of name \"control-plane-signing-key-0007\" is not found"));
}

#[test]
fn keys_that_cannot_be_used_verify_nothing() {
    let token = forge(RS256, &payload(""), &By::Rs256(pem(1)));
    let shared = [("zone-token-signing-key-1", pem(1)), ("zone-token-signing-key-01", pem(1))];
    let (ring, problems) = ring_with_problems(&shared);
    assert_eq!(problems.len(), 1);
    assert_eq!(verify(&token, &ring).unwrap_err().reason(), "unknown-key");
    let (ring, problems) = ring_with_problems(&[("zone-token-signing-key-1", "no key")]);
    assert_eq!(problems.len(), 1);
    assert_eq!(verify(&token, &ring).unwrap_err().reason(), "unknown-key");
    assert_eq!(verify(&token, &tokens::KeyRing::empty()).unwrap_err().reason(), "unknown-key");
}

#[test]
fn public_half_verifies_and_does_not_sign() {
    let public = tokens::public_half(pem(1).as_bytes()).unwrap();
    let ring = ring(&[("zone-token-signing-public-key-1", &public)]);
    let token = forge(RS256, &payload(""), &By::Rs256(pem(1)));
    assert!(verify(&token, &ring).is_ok());
    let error = tokens::issue_zone(&ring, &west(), None, HOUR, now(), jti()).unwrap_err();
    assert!(error.to_string().starts_with("there is no signing key with KID 1. GlobalSecret of name"), "{error}");
}

#[test]
fn user_tokens_are_for_users() {
    let ring = ring(&usual());
    let groups = ["dev".to_owned()];
    let token = tokens::issue_user(&ring, "john", Some(&groups), HOUR, now(), jti()).unwrap();
    let user = tokens::verify_user(token.reveal(), &ring, now(), LEEWAY).unwrap();
    assert_eq!((user.name(), user.groups()), ("john", &groups[..]));
    assert!(verify(token.reveal(), &ring).is_err());
    let zone = tokens::issue_zone(&ring, &west(), Some(&[Scope::Cp]), HOUR, now(), jti()).unwrap();
    assert_eq!(tokens::verify_user(zone.reveal(), &ring, now(), LEEWAY).unwrap_err(), Rejection::BadSignature);
    for bad in
        [r#"{"Name":"","exp":9999999999}"#, r#"{"exp":9999999999}"#, r#"{"Name":"a","Groups":"b","exp":9999999999}"#]
    {
        let token = forge(RS256, bad, &By::Rs256(pem(2)));
        assert_eq!(tokens::verify_user(&token, &ring, now(), LEEWAY).unwrap_err().reason(), "malformed", "{bad}");
    }
    let control_plane = tokens::issue_control_plane(&ring, &west(), None, now(), jti()).unwrap();
    let rejection = tokens::verify_user(control_plane.reveal(), &ring, now(), LEEWAY).unwrap_err();
    assert_eq!(rejection.validator_text(), "JWT token must have kid header");
}
