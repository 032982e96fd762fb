//! Vectors that every verifier of these tokens has to judge as is said here, one after the other; the modules beside this one
//! look at more of each kind.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use tokens::{Accept, Family, KeyId, KeyRing, Rejection, RingProblem, Scope, SecretEntry, TokenFacts};

use crate::fixture::*;

/// The word for why it is refused, for each of both ways to configure a global.
fn verdicts(raw: &str) -> [Result<(), &'static str>; 2] {
    [Accept::CpToken, Accept::ZoneToken].map(|accept| {
        let verdict = tokens::verify(raw, &ring(&usual()), now(), &want(accept));
        verdict.map(|_| ()).map_err(|rejection| rejection.reason())
    })
}

/// Checks a token that both kinds of global must judge alike.
fn check(raw: &str, expected: Result<(), &'static str>) {
    assert_eq!(verdicts(raw), [expected; 2], "{raw}");
}

/// A zone token with this header, signed with the right key.
fn with_header(header: &str) -> String {
    forge(header, &payload(""), &By::Rs256(pem(1)))
}

/// A zone token with these members added, signed with the right key.
fn with_claims(more: &str) -> String {
    forge(RS256, &payload(more), &By::Rs256(pem(1)))
}

/// A zone token in which one text of the payload is another.
fn with(was: &str, is: &str) -> String {
    let payload = payload("");
    assert!(payload.contains(was));
    forge(RS256, &payload.replace(was, is), &By::Rs256(pem(1)))
}

fn with_end(second: i64) -> String {
    with(&(NOW + 3600).to_string(), &second.to_string())
}

// 1

#[test]
fn v1_published_control_plane_tokens_can_be_decoded_and_are_refused() {
    for (zone, digest) in [("west", [0x90, 0x8a, 0xd2, 0xe5]), ("remote-1", [1, 2, 3, 4])] {
        let signature = [&digest[..], &[0; 28]].concat();
        let payload = format!(r#"{{"Zone":"{zone}","TokenSerialNumber":1}}"#);
        let raw = forge(HS256, &payload, &By::Nothing) + &URL_SAFE_NO_PAD.encode(signature);
        assert_eq!(decoded(&raw), (HS256.to_owned(), payload));
        assert_eq!(verdicts(&raw), [Err("bad-signature"), Err("malformed")], "outright where zone tokens are wanted");
        let nobody = tokens::verify(&raw, &KeyRing::empty(), now(), &want(Accept::CpToken)).unwrap_err();
        assert_eq!(nobody.reason(), "unknown-key");
    }
}

// 2

#[test]
fn v2_a_published_zone_token_is_refused_for_its_key_and_has_ended() {
    let payload = r#"{"Zone":"west","Scope":["cp"],"exp":1669546939,"nbf":1666954639,"iat":1666954939,"jti":"x"}"#;
    let unknown = forge(RS256, payload, &By::Rs256(pem(3)));
    check(&unknown, Err("bad-signature"));
    let verdict = tokens::verify(&unknown, &KeyRing::empty(), now(), &want(Accept::ZoneToken));
    assert_eq!(verdict.unwrap_err().reason(), "unknown-key");
    check(&forge(RS256, payload, &By::Rs256(pem(1))), Err("expired"));
}

// 3: algorithms

#[test]
fn v3_alg_none_is_refused() {
    for alg in ["none", "None", "NONE", ""] {
        check(&forge(&RS256.replace("RS256", alg), &payload(""), &By::Nothing), Err("malformed"));
    }
}

#[test]
fn v3_hs256_with_the_public_key_is_refused() {
    let public = tokens::public_half(pem(1).as_bytes()).unwrap();
    let body: String = public.lines().filter(|line| !line.starts_with('-')).collect();
    for key in [public.as_bytes(), public.trim_end().as_bytes(), body.as_bytes()] {
        check(&forge(&RS256.replace("RS256", "HS256"), &payload(""), &By::Hmac(key)), Err("malformed"));
        check(&forge(RS256, &payload(""), &By::Hmac(key)), Err("bad-signature"));
        let as_page = forge(HS256, r#"{"Zone":"west","TokenSerialNumber":1}"#, &By::Hmac(key));
        assert_eq!(verdicts(&as_page), [Err("bad-signature"), Err("malformed")]);
    }
}

#[test]
fn v3_ps256_and_rs512_are_refused() {
    check(&forge(&RS256.replace("RS256", "PS256"), &payload(""), &By::Ps256(pem(1))), Err("malformed"));
    check(&forge(&RS256.replace("RS256", "RS512"), &payload(""), &By::Rs512(pem(1))), Err("malformed"));
    check(&forge(RS256, &payload(""), &By::Ps256(pem(1))), Err("bad-signature"));
    check(&forge(RS256, &payload(""), &By::Rs512(pem(1))), Err("bad-signature"));
}

// 3: kid

#[test]
fn v3_kid_that_is_no_name_is_refused() {
    for kid in ["1", "[\"1\"]", "{}", "null", "true", "\"../\"", "\"a/b\"", "\"\\u0000\""] {
        check(&with_header(&RS256.replace("\"1\"", kid)), Err("malformed"));
    }
    check(&with_header(&RS256.replace("\"1\"", &format!("\"{}\"", "1".repeat(4096)))), Err("malformed"));
}

#[test]
fn v3_kid_that_is_not_there_is_refused() {
    check(&with_header(r#"{"alg":"RS256","typ":"JWT"}"#), Err("malformed"));
}

// 3: shape

#[test]
fn v3_two_zones_are_refused() {
    check(&with_claims(r#","Zone":"west""#), Err("malformed"));
    check(&with_claims(r#","Zone":"east""#), Err("malformed"));
}

#[test]
fn v3_crit_is_refused() {
    check(&with_header(&RS256.replace('}', r#","crit":["x"],"x":1}"#)), Err("malformed"));
}

// 3: times

#[test]
fn v3_exp_that_is_not_there_is_refused() {
    check(&forge(RS256, r#"{"Zone":"west","Scope":["cp"]}"#, &By::Rs256(pem(1))), Err("malformed"));
}

#[test]
fn v3_exp_of_a_second_ago_counts_within_the_leeway_alone() {
    check(&with_end(NOW - 1), Ok(()));
    let exact = tokens::Want { leeway: std::time::Duration::ZERO, ..want(Accept::ZoneToken) };
    let verdict = tokens::verify(&with_end(NOW - 1), &ring(&usual()), now(), &exact);
    assert_eq!(verdict.unwrap_err(), Rejection::Expired { by: jiff::SignedDuration::from_secs(1) });
}

#[test]
fn v3_nbf_counts_with_the_leeway() {
    check(&with_claims(&format!(r#","nbf":{}"#, NOW + 1)), Ok(()));
    check(&with_claims(&format!(r#","nbf":{}"#, NOW + 61)), Err("not-yet-valid"));
}

#[test]
fn v3_iat_of_the_next_hour_refuses_nothing() {
    check(&with_claims(&format!(r#","iat":{}"#, NOW + 3600)), Ok(()));
}

// 3: zone and scope

#[test]
fn v3_another_zone_is_refused() {
    check(&with("west", "east"), Err("wrong-zone"));
}

#[test]
fn v3_an_empty_zone_is_refused() {
    check(&with("west", ""), Err("wrong-zone"));
    let nobody = tokens::Want { zone: "", ..want(Accept::ZoneToken) };
    let verdict = tokens::verify(&with("west", ""), &ring(&usual()), now(), &nobody);
    assert_eq!(verdict.unwrap_err().reason(), "malformed", "whoever says it too");
}

#[test]
fn v3_scope_of_an_ingress_alone_is_refused() {
    check(&with("cp", "ingress"), Err("wrong-scope"));
}

#[test]
fn v3_scope_that_is_a_string_is_refused() {
    check(&with(r#"["cp"]"#, r#""cp""#), Err("malformed"));
}

// 3: the header of the request

#[test]
fn v3_two_authorization_values_are_refused() {
    let good = with_claims("");
    for values in [[good.as_str(), good.as_str()], [good.as_str(), ""]] {
        assert_eq!(tokens::bearer(&values), Err(Rejection::TooManyValues { count: 2 }));
    }
}

#[test]
fn v3_a_token_comes_bare_or_after_bearer() {
    let good = with_claims("");
    for front in ["", "Bearer ", "bearer "] {
        check(tokens::bearer(&[&format!("{front}{good}")]).unwrap(), Ok(()));
    }
    for front in ["BEARER ", "Bearer  ", "Bearer\t", "Basic ", "Bearer Bearer "] {
        check(tokens::bearer(&[&format!("{front}{good}")]).unwrap(), Err("malformed"));
    }
}

#[test]
fn v3_line_ends_are_no_part_of_a_token() {
    for end in ["\n", "\r\n", "\r", " ", "\0"] {
        check(&(with_claims("") + end), Err("malformed"));
    }
}

// 4 (contract: tokens 2.6)

/// The nine ways of the peers to write a list in which `ID` is revoked: four that their parser reads, five that it does not.
const LISTS: [&str; 9] = ["ID", "ID\n", "x,ID", "x,ID,", "x, ID", "x\nID", "ID\r\n", "ID\n\n", " ID"];

/// Checks one of the lists with tokens of all families.
fn check_list(list: &str) {
    let id = jti().to_string();
    let list = list.replace("ID", &id);
    let mut entries: Vec<(&str, &str, &str)> = usual().into_iter().map(|(name, data)| ("", name, data)).collect();
    entries.push(("", "control-plane-token-revocations", &list));
    entries.push(("", "zone-token-revocations", &list));
    entries.push(("", "user-token-revocations", &list));
    entries.push(("default", "dataplane-token-revocations-default", &list));
    let entries: Vec<SecretEntry<'_>> =
        entries.iter().map(|&(mesh, name, data)| SecretEntry { mesh, name, data: Some(data.as_bytes()) }).collect();
    let (revoking, problems) = KeyRing::build(2, &entries);
    assert_eq!(problems, []);
    let unrevoked = ring(&usual());
    let without_scope = payload(&format!(r#","jti":"{id}""#)).replace(r#","Scope":["cp"]"#, "");
    for raw in [
        tokens::issue_control_plane(&unrevoked, &west(), Some(HOUR), now(), jti()).unwrap().reveal().to_owned(),
        tokens::issue_zone(&unrevoked, &west(), Some(&[Scope::Cp]), HOUR, now(), jti()).unwrap().reveal().to_owned(),
        forge(RS256, &without_scope, &By::Rs256(pem(0))),
    ] {
        let session = verify(&raw, &unrevoked).unwrap();
        assert_eq!(verify(&raw, &revoking).unwrap_err(), Rejection::Revoked, "{list:?}");
        assert_eq!(session.still_good(&revoking, now(), LEEWAY), Err(Rejection::Revoked), "{list:?}");
    }
    let user = tokens::issue_user(&unrevoked, "john", None, HOUR, now(), jti()).unwrap();
    let verdict = tokens::verify_user(user.reveal(), &revoking, now(), LEEWAY);
    assert_eq!(verdict.unwrap_err(), Rejection::Revoked, "{list:?}");
    let key = KeyId { family: Family::Dataplane { mesh: "default".to_owned() }, serial: 1 };
    let dataplane = TokenFacts { key: &key, id: &id, zone: None, issued_at: Some(now()) };
    assert!(revoking.revokes(&dataplane) && !unrevoked.revokes(&dataplane), "{list:?}");
    let another = with_claims(r#","jti":"another""#);
    assert!(verify(&another, &revoking).is_ok(), "{list:?} revokes what is not in it");
    // An empty entry is not the id of what has none.
    assert!(verify(&with_claims(""), &revoking).is_ok(), "{list:?}");
}

macro_rules! lists {
    ($($name:ident: $index:literal),+ $(,)?) => {
        $(#[test]
        fn $name() {
            check_list(LISTS[$index]);
        })+
    };
}

lists! {
    v4_an_id_alone_revokes: 0,
    v4_an_id_with_a_line_end_revokes: 1,
    v4_an_id_behind_another_revokes: 2,
    v4_an_id_before_an_empty_entry_revokes: 3,
    v4_an_id_behind_a_blank_revokes: 4,
    v4_an_id_on_a_line_of_its_own_revokes: 5,
    v4_an_id_with_a_line_end_of_windows_revokes: 6,
    v4_an_id_before_an_empty_line_revokes: 7,
    v4_an_id_behind_a_leading_blank_revokes: 8,
}

// 5

#[test]
fn v5_the_highest_number_signs_whatever_else_is_called_a_key() {
    let names = ["-1", "-2", "-10", "-foo", ""].map(|end| format!("zone-token-signing-key{end}"));
    let mut secrets: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), pem(1))).collect();
    let (ring, problems) = ring_with_problems(&secrets);
    assert!(matches!(&problems[..], [RingProblem::BadKey { name, .. }] if name == "zone-token-signing-key-foo"));
    let token = tokens::issue_zone(&ring, &west(), Some(&[Scope::Cp]), HOUR, now(), jti()).unwrap();
    assert_eq!(token.key().serial, 10);
    assert!(verify(token.reveal(), &ring).is_ok());
    secrets.push(("zone-token-signing-key-0002", pem(1)));
    let (ring, problems) = ring_with_problems(&secrets);
    assert!(problems.iter().any(|problem| matches!(problem, RingProblem::SharedSerial { id, .. } if id.serial == 2)));
    let second = with_header(&RS256.replace("\"1\"", "\"2\""));
    assert_eq!(verify(&second, &ring).unwrap_err().reason(), "unknown-key");
}

#[test]
fn v5_a_name_with_zeros_is_that_of_its_number() {
    let ring = ring(&[("zone-token-signing-key-0002", pem(1))]);
    let token = tokens::issue_zone(&ring, &west(), Some(&[Scope::Cp]), HOUR, now(), jti()).unwrap();
    assert_eq!(token.key().serial, 2);
    assert!(verify(token.reveal(), &ring).is_ok());
}

// 6 is a drill with whole programs. What it rests on:

#[test]
fn v6_after_its_key_went_a_token_is_refused_and_its_session_ends() {
    let token = with_claims("");
    let session = verify(&token, &ring(&usual())).unwrap();
    let mut secrets = usual();
    secrets.push(("zone-token-signing-key-2", pem(3)));
    assert!(session.still_good(&ring(&secrets), now(), LEEWAY).is_ok(), "while both are there");
    secrets.retain(|(name, _)| *name != "zone-token-signing-key-1");
    assert_eq!(session.still_good(&ring(&secrets), now(), LEEWAY).unwrap_err().reason(), "unknown-key");
    assert_eq!(verify(&token, &ring(&secrets)).unwrap_err().reason(), "unknown-key");
}
