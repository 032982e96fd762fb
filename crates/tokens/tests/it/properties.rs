//! Rules that hold for any input.

use std::time::Duration;

use model::ZoneName;
use proptest::prelude::*;
use tokens::{Accept, Family, IssueError, Scope, Want};
use uuid::Uuid;

use crate::fixture::*;

fn token_of(control_plane: bool) -> String {
    let ring = ring(&usual());
    let token = if control_plane {
        tokens::issue_control_plane(&ring, &west(), Some(HOUR), now(), jti())
    } else {
        tokens::issue_zone(&ring, &west(), Some(&[Scope::Cp]), HOUR, now(), jti())
    };
    token.unwrap().reveal().to_owned()
}

#[test]
fn any_changed_byte_is_refused() {
    let ring = ring(&usual());
    for token in [token_of(true), token_of(false)] {
        assert!(verify(&token, &ring).is_ok());
        for index in 0..token.len() {
            let mut bytes = token.clone().into_bytes();
            // The neighbours in the alphabet: in the last character they differ in bits that stand for nothing.
            for change in [1u8, 2, 3, 8] {
                bytes[index] ^= change;
                let changed = String::from_utf8_lossy(&bytes).into_owned();
                assert!(verify(&changed, &ring).is_err(), "byte {index} of {token}");
                bytes[index] ^= change;
            }
        }
        for index in 0..token.len() {
            assert!(verify(&token[..index], &ring).is_err(), "{index}");
            let more = format!("{}A{}", &token[..index], &token[index..]);
            assert!(verify(&more, &ring).is_err(), "{index}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_issued_is_verified(
        zone in "[a-z]([a-z0-9-]{0,20}[a-z0-9])?", seconds in 1u64..1_000_000_000, id: u128, start in 0i64..4_000_000_000,
    ) {
        let ring = ring(&usual());
        let (zone, id) = (ZoneName::parse(&zone).unwrap(), Uuid::from_u128(id));
        let (valid_for, start) = (Duration::from_secs(seconds), at(start));
        let want = Want { zone: zone.as_str(), accept: Accept::CpToken, leeway: Duration::ZERO, legacy_until: None };
        let issued = [
            tokens::issue_control_plane(&ring, &zone, Some(valid_for), start, id).unwrap(),
            tokens::issue_zone(&ring, &zone, Some(&[Scope::Egress, Scope::Cp]), valid_for, start, id).unwrap(),
        ];
        for token in issued {
            let verified = tokens::verify(token.reveal(), &ring, start, &want).unwrap();
            prop_assert_eq!(verified.zone(), &zone);
            prop_assert_eq!(verified.id(), token.id());
            prop_assert_eq!(verified.key(), token.key());
            prop_assert_eq!(verified.expires_at(), token.expires_at());
            let end = token.expires_at().unwrap();
            prop_assert_eq!(tokens::verify(token.reveal(), &ring, end, &want).unwrap_err().reason(), "expired");
        }
    }

    #[test]
    fn users_come_back_as_they_were(name in "\\PC{1,40}", groups in proptest::option::of(proptest::collection::vec("\\PC{0,20}", 0..5))) {
        let ring = ring(&usual());
        let token = tokens::issue_user(&ring, &name, groups.as_deref(), HOUR, now(), jti()).unwrap();
        let user = tokens::verify_user(token.reveal(), &ring, now(), LEEWAY).unwrap();
        prop_assert_eq!(user.name(), name);
        prop_assert_eq!(user.groups(), groups.unwrap_or_default());
    }

    #[test]
    fn any_text_is_refused(text in "\\PC*") {
        prop_assert!(verify(&text, &ring(&usual())).is_err());
    }

    #[test]
    fn any_segments_are_refused(text in "[A-Za-z0-9_-]{0,80}\\.[A-Za-z0-9_-]{0,80}\\.[A-Za-z0-9_=-]{0,80}") {
        prop_assert!(verify(&text, &ring(&usual())).is_err());
    }

    #[test]
    fn any_header_and_payload_without_a_key_are_refused(header in json(), payload in json(), signature in "[A-Za-z0-9_-]{0,86}") {
        let token = forge(&header, &payload, &By::Nothing) + &signature;
        prop_assert!(verify(&token, &ring(&usual())).is_err());
        prop_assert!(tokens::verify_user(&token, &ring(&usual()), now(), LEEWAY).is_err());
    }

    #[test]
    fn any_payload_that_is_signed_does_not_panic(payload in json()) {
        let token = forge(RS256, &payload, &By::Rs256(pem(1)));
        prop_assert!(verify(&token, &ring(&usual())).is_err());
    }

    #[test]
    fn any_name_and_data_make_a_ring(name in "(control-plane|zone-token|user-token)-(signing-key|revocations)-?[0-9a-z-]{0,22}", data: Vec<u8>) {
        let entry = tokens::SecretEntry { mesh: "", name: &name, data: Some(&data) };
        let (ring, problems) = tokens::KeyRing::build(1, &[entry]);
        let checked = tokens::check_key("", &name, &data);
        prop_assert_eq!(checked.is_ok(), problems.is_empty());
        let issued = tokens::issue_zone(&ring, &west(), None, HOUR, now(), jti());
        let is_there = !matches!(issued, Err(IssueError::NoKey { .. }));
        let is_named = tokens::KeyName::parse("", &name).and_then(|name| name.id()).is_some_and(|id| id.family == Family::Zone);
        prop_assert_eq!(is_there, is_named);
    }
}

/// JSON with the names that matter, and broken JSON.
fn json() -> impl Strategy<Value = String> {
    let name = prop_oneof![
        Just("alg"),
        Just("kid"),
        Just("typ"),
        Just("crit"),
        Just("Zone"),
        Just("Scope"),
        Just("TokenSerialNumber"),
        Just("exp"),
        Just("nbf"),
        Just("jti"),
        Just("x"),
    ];
    let value = prop_oneof![
        Just(r#""RS256""#.to_owned()),
        Just(r#""HS256""#.to_owned()),
        Just(r#""none""#.to_owned()),
        Just(r#""1""#.to_owned()),
        Just("1".to_owned()),
        Just("null".to_owned()),
        Just("1e400".to_owned()),
        Just("-9223372036854775808".to_owned()),
        Just("9007199254740993".to_owned()),
        Just(r#"["cp"]"#.to_owned()),
        Just("[[[[]]]]".to_owned()),
        Just(r#""\ud800""#.to_owned()),
        Just("{".to_owned()),
        any::<f64>().prop_map(|number| number.to_string()),
        any::<i64>().prop_map(|number| number.to_string()),
        "\"[a-z]{0,8}\"",
    ];
    proptest::collection::vec((name, value), 0..6).prop_map(|members| {
        let members: Vec<String> = members.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
        format!("{{{}}}", members.join(","))
    })
}
