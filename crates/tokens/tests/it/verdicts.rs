//! Verdicts on tokens that were shown before are those of a verification of the same text.

use std::{collections::BTreeSet, fmt::Debug};

use jiff::Timestamp;
use proptest::prelude::*;
use tokens::{
    Accept, Family, KeyRing, Rejection, RevocationRule, Revoked, RingSources, Scope, SecretEntry, SignedUser,
    SignedZone, Verdicts, Want,
};

use crate::fixture::*;

/// What a control plane does with the token of a zone.
fn zone(
    verdicts: &mut Verdicts<SignedZone>,
    raw: &str,
    ring: &KeyRing,
    now: Timestamp,
    want: &Want<'_>,
) -> Result<String, Rejection> {
    let verdict = match verdicts.zone(raw, ring, now, want) {
        Some(verdict) => verdict,
        None => SignedZone::check(raw, ring, want).and_then(|signed| {
            verdicts.remember(raw, ring, signed.clone());
            signed.judge(ring, now, want)
        }),
    };
    verdict.map(|zone| shown(&zone, zone.expires_at()))
}

/// What a control plane does with the token of a user.
fn user(verdicts: &mut Verdicts<SignedUser>, raw: &str, ring: &KeyRing, now: Timestamp) -> Result<String, Rejection> {
    let verdict = match verdicts.user(raw, ring, now, LEEWAY) {
        Some(verdict) => verdict,
        None => SignedUser::check(raw, ring).and_then(|signed| {
            verdicts.remember(raw, ring, signed.clone());
            signed.judge(ring, now, LEEWAY)
        }),
    };
    verdict.map(|user| shown(&user, user.expires_at()))
}

/// All that somebody who is let in is known by.
fn shown(verified: &impl Debug, expires_at: Option<Timestamp>) -> String {
    format!("{verified:?} {expires_at:?}")
}

/// Names and data of secrets, and rules.
type Stored<'a> = (Vec<(&'a str, &'a str)>, Vec<RevocationRule>);

/// The states of the store, by generation: each with another set of keys and of what is revoked.
fn rings() -> Vec<KeyRing> {
    let public = tokens::public_half(pem(1).as_bytes()).unwrap();
    let id = jti().to_string();
    let without = |place: usize| {
        let mut secrets = usual();
        secrets.remove(place);
        secrets
    };
    let with = |name, data| {
        let mut secrets: Vec<(&str, &str)> = usual();
        secrets.push((name, data));
        secrets
    };
    let replaced = |place: usize, data: &'static str| {
        let mut secrets = usual();
        secrets[place].1 = data;
        secrets
    };
    let rule = |family, what, before| {
        vec![RevocationRule { family, what, before: Some(at(before)), spared: BTreeSet::new(), keys: None }]
    };
    let states: Vec<Stored<'_>> = vec![
        (usual(), vec![]),
        (without(0), vec![]),
        (without(1), vec![]),
        (without(2), vec![]),
        (replaced(0, pem(3)), vec![]),
        (replaced(1, pem(3)), vec![]),
        // One key under two families: a token that one of them signed may be read as one of the other.
        (replaced(1, pem(0)), vec![]),
        (vec![("zone-token-signing-public-key-1", &public)], vec![]),
        (with("zone-token-signing-key-01", pem(1)), vec![]),
        (with("zone-token-revocations", &id), vec![]),
        (with("control-plane-token-revocations", &id), vec![]),
        (with("user-token-revocations", "\0"), vec![]),
        (usual(), rule(Family::Zone, Revoked::Zone("west".to_owned()), NOW)),
        (usual(), rule(Family::ControlPlane, Revoked::Key(1), NOW)),
        (usual(), rule(Family::User, Revoked::All, NOW)),
    ];
    let build = |(index, (secrets, rules)): (usize, Stored<'_>)| {
        let secrets: Vec<SecretEntry<'_>> =
            secrets.iter().map(|&(name, data)| SecretEntry { mesh: "", name, data: Some(data.as_bytes()) }).collect();
        let sources = RingSources { secrets: &secrets, rules, ..RingSources::default() };
        KeyRing::build_of(1 + index as u64, sources).0
    };
    states.into_iter().enumerate().map(build).collect()
}

/// Tokens of every form, good ones and others.
fn tokens() -> Vec<String> {
    let ring = ring(&usual());
    let issued = [
        tokens::issue_control_plane(&ring, &west(), None, now(), jti()),
        tokens::issue_control_plane(&ring, &west(), Some(HOUR), now(), jti()),
        tokens::issue_zone(&ring, &west(), Some(&[Scope::Cp]), HOUR, now(), jti()),
        tokens::issue_zone(&ring, &west(), Some(&[Scope::Ingress]), HOUR, now(), jti()),
        tokens::issue_user(&ring, "john", None, HOUR, now(), jti()),
    ];
    let mut tokens: Vec<String> = issued.into_iter().map(|token| token.unwrap().reveal().to_owned()).collect();
    let without_scope = payload(r#","jti":"no-scope""#).replace(r#","Scope":["cp"]"#, "");
    tokens.push(forge(RS256, &without_scope, &By::Rs256(pem(0))));
    tokens.push(forge(RS256, &without_scope, &By::Rs256(pem(1))));
    tokens.push(forge(RS256, &payload("").replace("west", "No Zone"), &By::Rs256(pem(1))));
    tokens.push(forge(RS256, &payload(""), &By::Rs256(pem(2))));
    tokens.push(forge(RS256, "{}", &By::Nothing));
    tokens.push(String::new());
    tokens
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    /// Any tokens, at any time, for any zone, with rings that come in any order: newer ones, older ones, the same again.
    #[test]
    fn a_verdict_from_memory_is_that_of_a_verification(
        shows in proptest::collection::vec(
            (0usize..11, 0usize..15, any::<bool>(), prop_oneof![Just(NOW), Just(NOW + 3629), Just(NOW + 3630), Just(NOW - 40)],
             prop_oneof![3 => Just("west"), 1 => Just("east"), 1 => Just("No Zone")], any::<bool>(), any::<bool>()),
            1..60,
        ),
        most in 0usize..6,
    ) {
        let (rings, tokens) = (rings(), tokens());
        let (mut zones, mut users) = (Verdicts::new(most), Verdicts::new(most));
        let mut newest = 0;
        for (token, ring, stays, second, name, only_zone_tokens, has_legacy_end) in shows {
            // Most of the time the ring of before is asked.
            newest = if stays { newest } else { ring };
            let (ring, raw, now) = (&rings[newest], &tokens[token], at(second));
            let accept = if only_zone_tokens { Accept::ZoneToken } else { Accept::CpToken };
            let legacy_until = has_legacy_end.then(|| at(NOW + 100));
            let want = Want { zone: name, legacy_until, ..want(accept) };
            let fresh = tokens::verify(raw, ring, now, &want).map(|zone| shown(&zone, zone.expires_at()));
            prop_assert_eq!(zone(&mut zones, raw, ring, now, &want), fresh);
            let fresh = tokens::verify_user(raw, ring, now, LEEWAY).map(|user| shown(&user, user.expires_at()));
            prop_assert_eq!(user(&mut users, raw, ring, now), fresh);
            prop_assert!(zones.len() <= most && users.len() <= most);
        }
    }
}

#[test]
fn what_was_shown_last_is_remembered_and_the_oldest_is_forgotten() {
    let (ring, mut zones) = (ring(&usual()), Verdicts::new(2));
    let want = want(Accept::CpToken);
    let tokens: Vec<String> =
        (0..4).map(|n| forge(RS256, &payload(&format!(r#","jti":"{n}""#)), &By::Rs256(pem(1)))).collect();
    for raw in [&tokens[0], &tokens[0], &tokens[1], &tokens[2], &tokens[2]] {
        assert!(zone(&mut zones, raw, &ring, now(), &want).is_ok());
    }
    let known: Vec<bool> = tokens.iter().map(|raw| zones.zone(raw, &ring, now(), &want).is_some()).collect();
    assert_eq!(known, [false, true, true, false]);
}

#[test]
fn users_are_remembered_as_zones_are() {
    let (ring, mut users) = (ring(&usual()), Verdicts::new(9));
    let token = tokens::issue_user(&ring, "john", None, HOUR, now(), jti()).unwrap();
    assert!(users.user(token.reveal(), &ring, now(), LEEWAY).is_none());
    assert!(user(&mut users, token.reveal(), &ring, now()).is_ok());
    let known = users.user(token.reveal(), &ring, now(), LEEWAY).unwrap();
    assert_eq!(known.unwrap().name(), "john");
}

#[test]
fn nothing_that_is_not_good_is_remembered() {
    let (ring, mut zones) = (ring(&usual()), Verdicts::new(9));
    let good = forge(RS256, &payload(""), &By::Rs256(pem(1)));
    assert!(zones.is_empty());
    assert!(zone(&mut zones, &good, &ring, now(), &want(Accept::CpToken)).is_ok());
    for bad in [format!("{good}x"), forge(RS256, &payload(""), &By::Rs256(pem(2))), "x".to_owned(), String::new()] {
        assert!(zone(&mut zones, &bad, &ring, now(), &want(Accept::CpToken)).is_err());
    }
    assert_eq!((zones.len(), zones.is_empty()), (1, false));
}

#[test]
fn an_older_ring_neither_finds_nor_forgets_what_a_newer_one_remembers() {
    let (rings, want) = (rings(), want(Accept::CpToken));
    let good = forge(RS256, &payload(""), &By::Rs256(pem(1)));
    let mut zones = Verdicts::new(9);
    assert!(zone(&mut zones, &good, &rings[3], now(), &want).is_ok());
    assert!(zone(&mut zones, &good, &rings[0], now(), &want).is_ok());
    let is_known = |zones: &Verdicts<SignedZone>, ring| zones.zone(&good, ring, now(), &want).is_some();
    assert_eq!([0, 3, 4].map(|ring| is_known(&zones, &rings[ring])), [false, true, false]);
}

#[test]
fn a_text_that_ends_as_a_known_one_is_another_text() {
    let (ring, mut zones, want) = (ring(&usual()), Verdicts::new(9), want(Accept::CpToken));
    let good = forge(RS256, &payload(""), &By::Rs256(pem(1)));
    assert!(zone(&mut zones, &good, &ring, now(), &want).is_ok());
    let signature = &good[good.rfind('.').unwrap()..];
    let other = forge(RS256, &payload(r#","more":1"#), &By::Nothing);
    for forged in [
        format!("x{good}"),
        good[1..].to_owned(),
        other[..other.len() - 1].to_owned() + signature,
        signature.to_owned(),
    ] {
        assert!(zones.zone(&forged, &ring, now(), &want).is_none(), "{forged}");
        assert!(zone(&mut zones, &forged, &ring, now(), &want).is_err(), "{forged}");
    }
    assert!(zones.zone(&good, &ring, now(), &want).is_some());
}
