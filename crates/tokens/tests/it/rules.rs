//! Rules that revoke, and issuers that know of them.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use model::ZoneName;
use proptest::prelude::*;
use tokens::{
    Family, IssueError, KeyId, KeyRing, Phase, Phases, Rejection, RevocationRule, Revoked, RingSources, Scope,
    SecretEntry, TokenFacts,
};
use uuid::Uuid;

use crate::fixture::*;

fn rule(family: Family, what: Revoked, before: i64) -> RevocationRule {
    RevocationRule { family, what, before: Some(at(before)), spared: BTreeSet::new(), keys: None }
}

fn ring_with(rules: Vec<RevocationRule>) -> KeyRing {
    let usual = usual();
    let secrets: Vec<SecretEntry<'_>> =
        usual.iter().map(|&(name, data)| SecretEntry { mesh: "", name, data: Some(data.as_bytes()) }).collect();
    KeyRing::build_of(1, RingSources { secrets: &secrets, rules, ..RingSources::default() }).0
}

/// A zone token of `west` that says that it was issued at this second.
fn issued_at(second: i64) -> String {
    forge(RS256, &payload(&format!(r#","iat":{second},"jti":"{}""#, jti())), &By::Rs256(pem(1)))
}

/// The token that the oldest releases issue.
fn page_token(ring: &KeyRing) -> String {
    tokens::issue_control_plane(ring, &west(), None, now(), jti()).unwrap().reveal().to_owned()
}

/// Checks a token against one rule: a new verification, the session it opened before, and the rule itself say the same.
fn check(raw: &str, rule: &RevocationRule, revoked: bool) {
    let session = verify(raw, &ring(&usual())).unwrap();
    let ring = ring_with(vec![rule.clone()]);
    let expected = if revoked { Err(Rejection::Revoked) } else { Ok(()) };
    assert_eq!(verify(raw, &ring).map(|_| ()), expected, "{rule:?}");
    assert_eq!(session.still_good(&ring, now(), LEEWAY), expected, "{rule:?}");
    let (zone, issued_at) = (Some(session.zone().as_str()), session.issued_at());
    let facts = TokenFacts { key: session.key(), id: session.id(), zone, issued_at };
    assert_eq!((rule.revokes(&facts), ring.revokes(&facts)), (revoked, revoked), "{rule:?}");
}

#[test]
fn a_rule_for_an_id_revokes_that_token_alone() {
    let token = issued_at(NOW);
    for (id, revoked) in [
        (jti().to_string(), true),
        (jti().to_string().to_uppercase(), true),
        ("another".to_owned(), false),
        (String::new(), false),
    ] {
        for before in [0, NOW + 1] {
            check(&token, &rule(Family::Zone, Revoked::Id(id.clone()), before), revoked);
        }
        check(&token, &rule(Family::ControlPlane, Revoked::Id(id.clone()), NOW + 1), false);
    }
}

#[test]
fn a_token_without_jti_is_revoked_by_the_id_of_its_text() {
    let token = page_token(&ring(&usual()));
    let id = verify(&token, &ring(&usual())).unwrap().id().to_owned();
    assert!(id.starts_with("sha256:") && id.len() == 23, "{id}");
    check(&token, &rule(Family::ControlPlane, Revoked::Id(id.clone()), 0), true);
    check(&token, &rule(Family::ControlPlane, Revoked::Id(format!("{id}0")), 0), false);
    check(&token, &rule(Family::Zone, Revoked::Id(id.clone()), 0), false);
    let mut secrets = usual();
    secrets.push(("control-plane-token-revocations", &id));
    assert_eq!(verify(&token, &ring(&secrets)).unwrap_err(), Rejection::Revoked, "in a list too");
}

#[test]
fn rules_for_zone_key_and_family_revoke_what_was_issued_before() {
    let whats = [
        (Revoked::Zone("west".to_owned()), true),
        (Revoked::Zone("east".to_owned()), false),
        (Revoked::Zone(String::new()), false),
        (Revoked::Key(1), true),
        (Revoked::Key(2), false),
        (Revoked::All, true),
    ];
    for (what, names) in whats {
        let rule = |before| rule(Family::Zone, what.clone(), before);
        check(&issued_at(NOW - 1), &rule(NOW), names);
        check(&issued_at(NOW), &rule(NOW), false);
        check(&issued_at(NOW), &rule(NOW - 1), false);
        let other = RevocationRule { family: Family::ControlPlane, ..rule(NOW) };
        check(&issued_at(NOW - 1), &other, false);
        let for_ever = RevocationRule { before: None, ..rule(NOW) };
        check(&issued_at(NOW + 1000), &for_ever, names);
        let before_half = RevocationRule { before: Some(now() + SignedDuration::from_millis(500)), ..rule(NOW) };
        check(&issued_at(NOW), &before_half, names);
        check(&issued_at(NOW + 1), &before_half, false);
    }
}

#[test]
fn what_does_not_say_when_it_was_issued_is_older_than_any_rule() {
    for token in [
        forge(RS256, &payload(r#","jti":"an-id""#), &By::Rs256(pem(1))),
        forge(RS256, &payload(r#","jti":"an-id","iat":"yesterday""#), &By::Rs256(pem(1))),
    ] {
        check(&token, &rule(Family::Zone, Revoked::Zone("west".to_owned()), 0), true);
    }
    check(&page_token(&ring(&usual())), &rule(Family::ControlPlane, Revoked::Key(1), 0), true);
    check(&page_token(&ring(&usual())), &rule(Family::ControlPlane, Revoked::Key(2), 0), false);
}

#[test]
fn what_does_not_say_when_it_was_issued_is_as_old_as_its_key() {
    let west = || Revoked::Zone("west".to_owned());
    let of_keys = |what, keys: &[u64]| {
        let keys = Some(keys.iter().copied().collect());
        RevocationRule { keys, ..rule(Family::ControlPlane, what, NOW) }
    };
    let page = page_token(&ring(&usual()));
    for (what, keys, revoked) in
        [(west(), &[1, 2][..], true), (west(), &[2], false), (Revoked::All, &[1], true), (Revoked::All, &[], false)]
    {
        check(&page, &of_keys(what, keys), revoked);
    }
    check(&page, &RevocationRule { before: None, ..of_keys(west(), &[2]) }, true);
    let dated =
        tokens::issue_control_plane(&ring(&usual()), &crate::fixture::west(), Some(HOUR), now(), jti()).unwrap();
    check(dated.reveal(), &of_keys(west(), &[2]), true);
    let of_settings = KeyId { family: Family::ControlPlane, serial: u64::MAX };
    let facts = TokenFacts { key: &of_settings, id: "x", zone: Some("west"), issued_at: None };
    assert!(of_keys(west(), &[1]).revokes(&facts), "its number says nothing of its age");
}

#[test]
fn a_family_that_is_closed_accepts_nothing() {
    let usual = usual();
    let secrets: Vec<SecretEntry<'_>> =
        usual.iter().map(|&(name, data)| SecretEntry { mesh: "", name, data: Some(data.as_bytes()) }).collect();
    let closed = vec![(Family::Zone, "revocation.x".to_owned())];
    let (ring, problems) = KeyRing::build_of(1, RingSources { secrets: &secrets, closed, ..RingSources::default() });
    assert_eq!(problems, []);
    let unreadable = Rejection::UnreadableRevocations { name: "revocation.x".to_owned() };
    assert_eq!(verify(&issued_at(NOW), &ring).unwrap_err(), unreadable);
    assert!(verify(&page_token(&ring), &ring).is_ok(), "the others are not");
}

#[test]
fn the_keys_of_a_family_are_told_with_their_phases() {
    let usual = usual();
    let secrets: Vec<SecretEntry<'_>> =
        usual.iter().map(|&(name, data)| SecretEntry { mesh: "", name, data: Some(data.as_bytes()) }).collect();
    let first = KeyId { family: Family::ControlPlane, serial: 1 };
    let phases = Phases::from_iter([(first.clone(), Phase::Staged)]);
    let (ring, _) = KeyRing::build_of(1, RingSources { secrets: &secrets, phases, ..RingSources::default() });
    assert_eq!(ring.keys_of(&Family::ControlPlane).collect::<Vec<_>>(), [(first, Phase::Staged)]);
    assert_eq!(ring.keys_of(&Family::Dataplane { mesh: "m".to_owned() }).count(), 0);
}

#[test]
fn an_id_is_named_alone() {
    for good in ["5766e443-ef30-4916-afbd-a680d244fc16", "sha256:ba7816bf8f01cfea", "my-issuer/42"] {
        assert_eq!(tokens::no_token_id(good), None, "{good}");
    }
    for bad in ["", "a,b", "a b", "a\n", "eyJhbGciOiJIUzI1NiJ9.eyJ9.xx", "5766e443-ef30-4916"] {
        assert!(tokens::no_token_id(bad).is_some(), "{bad:?}");
    }
}

#[test]
fn spared_tokens_stay_good_unless_they_are_named() {
    let spared = BTreeSet::from([jti().to_string()]);
    for what in [Revoked::Zone("west".to_owned()), Revoked::Key(1), Revoked::All] {
        check(&issued_at(NOW - 3), &RevocationRule { spared: spared.clone(), ..rule(Family::Zone, what, NOW) }, false);
    }
    let named = rule(Family::Zone, Revoked::Id(jti().to_string()), NOW);
    check(&issued_at(NOW - 3), &RevocationRule { spared, ..named }, true);
}

#[test]
fn rules_and_lists_both_count() {
    let usual = usual();
    let id = jti().to_string();
    let mut secrets: Vec<SecretEntry<'_>> =
        usual.iter().map(|&(name, data)| SecretEntry { mesh: "", name, data: Some(data.as_bytes()) }).collect();
    secrets.push(SecretEntry { mesh: "", name: "zone-token-revocations", data: Some(id.as_bytes()) });
    let other = rule(Family::Zone, Revoked::Id("another".to_owned()), NOW);
    let rules = vec![other];
    let (ring, problems) =
        KeyRing::build_of(1, RingSources { secrets: &secrets, rules: rules.clone(), ..RingSources::default() });
    assert_eq!(problems, []);
    let another = forge(RS256, &payload(r#","jti":"another""#), &By::Rs256(pem(1)));
    let third = forge(RS256, &payload(r#","jti":"third""#), &By::Rs256(pem(1)));
    assert_eq!(verify(&issued_at(NOW), &ring).unwrap_err(), Rejection::Revoked);
    assert_eq!(verify(&another, &ring).unwrap_err(), Rejection::Revoked);
    assert!(verify(&third, &ring).is_ok());
    secrets.push(SecretEntry { mesh: "", name: "zone-token-revocations", data: None });
    let (ring, _) = KeyRing::build_of(1, RingSources { secrets: &secrets, rules, ..RingSources::default() });
    assert_eq!(
        verify(&third, &ring).unwrap_err().reason(),
        "revoked",
        "a rule does not stand in for an unreadable list"
    );
}

#[test]
fn users_have_rules_too() {
    let user = tokens::issue_user(&ring(&usual()), "john", None, HOUR, now(), jti()).unwrap();
    let verdict = |what| {
        let ring = ring_with(vec![rule(Family::User, what, NOW)]);
        tokens::verify_user(user.reveal(), &ring, now(), LEEWAY).map(|_| ())
    };
    assert_eq!(verdict(Revoked::Key(1)), Err(Rejection::Revoked));
    assert_eq!(verdict(Revoked::Id(jti().to_string())), Err(Rejection::Revoked));
    assert_eq!((verdict(Revoked::Key(2)), verdict(Revoked::Zone("west".to_owned()))), (Ok(()), Ok(())));
}

#[test]
fn an_issuer_dates_a_token_forward_to_where_the_rules_end() {
    for what in [Revoked::Zone("west".to_owned()), Revoked::Key(1), Revoked::All] {
        let ring = ring_with(vec![
            rule(Family::Zone, what.clone(), NOW),
            rule(Family::ControlPlane, what.clone(), NOW - 1),
            rule(Family::User, what.clone(), NOW - 100),
        ]);
        let zone = tokens::issue_zone(&ring, &west(), Some(&[Scope::Cp]), HOUR, now(), jti()).unwrap();
        let control_plane = tokens::issue_control_plane(&ring, &west(), Some(HOUR), now(), jti()).unwrap();
        let user = tokens::issue_user(&ring, "john", None, HOUR, now(), jti()).unwrap();
        let issued = [&zone, &control_plane, &user].map(tokens::Token::issued_at);
        assert_eq!(issued, [Some(now()), Some(at(NOW - 1)), Some(at(NOW - 5))], "{what:?}");
        for token in [&zone, &control_plane] {
            assert_eq!(verify(token.reveal(), &ring).unwrap().issued_at(), token.issued_at());
        }
        let (_, payload) = decoded(zone.reveal());
        assert!(payload.contains(&format!(r#""exp":{},"nbf":{},"iat":{NOW},"#, NOW + 3600, NOW - 5)), "{payload}");
    }
    let other = ring_with(vec![rule(Family::Zone, Revoked::Zone("east".to_owned()), NOW)]);
    let token = tokens::issue_zone(&other, &west(), None, HOUR, now(), jti()).unwrap();
    assert_eq!(token.issued_at(), Some(at(NOW - 5)), "rules for others change nothing");
}

#[test]
fn an_issuer_hands_out_nothing_that_is_revoked() {
    let page = |ring: &KeyRing| tokens::issue_control_plane(ring, &west(), None, now(), jti()).map(|_| ());
    let id = verify(&page_token(&ring(&usual())), &ring(&usual())).unwrap().id().to_owned();
    for what in [Revoked::Zone("west".to_owned()), Revoked::Key(1), Revoked::All, Revoked::Id(id.clone())] {
        let rules = ring_with(vec![rule(Family::ControlPlane, what.clone(), NOW - 1000)]);
        let error = page(&rules).unwrap_err();
        let IssueError::RevokedWithoutEnd { id: named, by_age_alone } = &error else { panic!("{what:?}: {error}") };
        assert_eq!((named, *by_age_alone), (&id, what == Revoked::All), "{what:?}");
        assert!(error.to_string().contains("--valid-for") && error.to_string().contains("rotate"), "{error}");
        let token = tokens::issue_control_plane(&rules, &west(), Some(HOUR), now(), jti()).unwrap();
        assert!(verify(token.reveal(), &rules).is_ok(), "the way out");
    }
    let others = [Revoked::Zone("east".to_owned()), Revoked::Key(2), Revoked::Id("x".to_owned())];
    let others = others.map(|what| rule(Family::ControlPlane, what, NOW)).into_iter();
    assert_eq!(page(&ring_with(others.chain([rule(Family::Zone, Revoked::All, NOW)]).collect())), Ok(()));
    let for_ever = RevocationRule { before: None, ..rule(Family::Zone, Revoked::All, NOW) };
    let refused = tokens::issue_zone(&ring_with(vec![for_ever]), &west(), None, HOUR, now(), jti());
    assert_eq!(refused.unwrap_err(), IssueError::Revoked);
    let named = rule(Family::Zone, Revoked::Id(jti().to_string()), NOW);
    let refused = tokens::issue_zone(&ring_with(vec![named]), &west(), None, HOUR, now(), jti());
    assert_eq!(refused.unwrap_err(), IssueError::Revoked);
}

/// What an operator does some time after the step before.
#[derive(Clone, Debug)]
enum Step {
    Issue { zone: &'static str },
    Revoke { what: Revoked },
}

fn steps() -> impl Strategy<Value = Vec<(u16, Step)>> {
    let zone = || prop_oneof![Just("west"), Just("east")];
    let what = prop_oneof![
        zone().prop_map(|zone| Revoked::Zone(zone.to_owned())),
        (1u64..3).prop_map(Revoked::Key),
        Just(Revoked::All)
    ];
    let step = prop_oneof![
        3 => zone().prop_map(|zone| Step::Issue { zone }),
        2 => what.prop_map(|what| Step::Revoke { what })
    ];
    proptest::collection::vec((0u16..700, step), 1..30)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// Within one second too: a rule revokes what was issued before it was made, and nothing that is issued afterwards.
    #[test]
    fn a_rule_parts_before_from_after(steps in steps()) {
        const SECRETS: [SecretEntry<'_>; 1] = [SecretEntry {
            mesh: "",
            name: "control-plane-signing-key-0001",
            data: Some(b"WJYYLYHNpsTlUPj5aSwUu0TkXSXS5FaFEDmZL9fLZ2E="),
        }];
        let (mut now, mut rules, mut issued) = (now(), Vec::new(), Vec::new());
        let ring = |rules: &[RevocationRule]| {
            let rules = rules.to_vec();
            KeyRing::build_of(1, RingSources { secrets: &SECRETS, rules, ..RingSources::default() }).0
        };
        for (index, (millis, step)) in steps.into_iter().enumerate() {
            now += SignedDuration::from_millis(i64::from(millis));
            let current = ring(&rules);
            match step {
                Step::Issue { zone } => {
                    let (zone, id) = (ZoneName::parse(zone).unwrap(), Uuid::from_u128(index as u128));
                    let token = tokens::issue_control_plane(&current, &zone, Some(HOUR), now, id).unwrap();
                    issued.push((token, zone, rules.len()));
                }
                Step::Revoke { what } => {
                    let before = current.next_before(&Family::ControlPlane, now);
                    prop_assert!(before >= now && before <= now + SignedDuration::from_secs(1 + rules.len() as i64));
                    let before = Some(before);
                    rules.push(RevocationRule { before, ..rule(Family::ControlPlane, what, NOW) });
                }
            }
        }
        let ring = ring(&rules);
        for (token, zone, rules_before) in &issued {
            let named = |rule: &RevocationRule| match &rule.what {
                Revoked::Zone(name) => name == zone.as_str(),
                Revoked::Key(serial) => *serial == 1,
                Revoked::All => true,
                Revoked::Id(_) => false,
            };
            let want = tokens::Want { zone: zone.as_str(), ..want(tokens::Accept::CpToken) };
            let verdict = tokens::verify(token.reveal(), &ring, now, &want).map(|_| ());
            let expected = if rules[*rules_before..].iter().any(named) { Err(Rejection::Revoked) } else { Ok(()) };
            prop_assert_eq!(verdict, expected, "{:?}", token.issued_at());
        }
    }
}

#[test]
fn the_next_rule_ends_behind_all_others_of_its_family() {
    let of = |rules, now: Timestamp| ring_with(rules).next_before(&Family::Zone, now);
    let half = now() + SignedDuration::from_millis(500);
    assert_eq!((of(vec![], now()), of(vec![], half)), (now(), at(NOW + 1)));
    assert_eq!(of(vec![rule(Family::Zone, Revoked::Key(7), NOW + 1)], half), at(NOW + 2));
    assert_eq!(of(vec![rule(Family::Zone, Revoked::Zone("east".to_owned()), NOW + 1)], half), at(NOW + 2));
    assert_eq!(of(vec![rule(Family::Zone, Revoked::All, NOW + 1)], half), at(NOW + 2));
    assert_eq!(of(vec![rule(Family::Zone, Revoked::All, NOW - 9)], now()), now());
    assert_eq!(of(vec![rule(Family::User, Revoked::All, NOW + 9)], now()), now());
}
