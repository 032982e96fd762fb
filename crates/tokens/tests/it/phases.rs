//! Rules of the phases of keys, for any keys in any phases.

use std::collections::BTreeMap;

use proptest::prelude::*;
use tokens::{Family, IssueError, KeyId, KeyRing, Phase, Phases, RingSources, SecretEntry};

use crate::fixture::*;

type InPhases = BTreeMap<u64, Phase>;

fn phase() -> impl Strategy<Value = Phase> {
    prop_oneof![Just(Phase::Staged), Just(Phase::Signing), Just(Phase::Retiring)]
}

fn keys() -> impl Strategy<Value = InPhases> {
    proptest::collection::btree_map(0u64..40, phase(), 0..6)
}

/// Keys with these serials, in these phases.
fn ring_of(keys: &InPhases) -> KeyRing {
    let id = |serial: &u64| KeyId { family: Family::ControlPlane, serial: *serial };
    let secrets: Vec<(String, String)> = keys
        .keys()
        .map(|serial| (id(serial).to_string(), format!("WJYYLYHNpsTlUPj5aSwUu0TkXSXS5FaFEDmZ{serial:02}fLZ2E=")))
        .collect();
    let entries: Vec<SecretEntry<'_>> =
        secrets.iter().map(|(name, data)| SecretEntry { mesh: "", name, data: Some(data.as_bytes()) }).collect();
    let phases = Phases::from_iter(keys.iter().map(|(serial, phase)| (id(serial), *phase)));
    let (ring, problems) = KeyRing::build_of(1, RingSources { secrets: &entries, phases, ..RingSources::default() });
    assert_eq!(problems, []);
    ring
}

fn issued(keys: &InPhases) -> Result<tokens::Token, IssueError> {
    tokens::issue_control_plane(&ring_of(keys), &west(), Some(HOUR), now(), jti())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_highest_serial_in_the_phase_to_sign_signs(keys in keys()) {
        let signing = keys.iter().filter(|(_, phase)| **phase == Phase::Signing).map(|(serial, _)| *serial).max();
        match issued(&keys) {
            Ok(token) => prop_assert_eq!(Some(token.key().serial), signing),
            Err(IssueError::NoKey { .. }) => prop_assert_eq!(signing, None),
            Err(other) => prop_assert!(false, "{other}"),
        }
    }

    #[test]
    fn what_was_signed_stays_good_in_every_phase(keys in keys(), later in proptest::collection::vec(phase(), 6)) {
        let Ok(token) = issued(&keys) else { return Ok(()) };
        let moved: InPhases = keys.keys().copied().zip(later).collect();
        let verified = verify(token.reveal(), &ring_of(&keys)).unwrap();
        prop_assert!(verify(token.reveal(), &ring_of(&moved)).is_ok());
        prop_assert!(verified.still_good(&ring_of(&moved), now(), LEEWAY).is_ok());
        let mut without = moved;
        without.remove(&token.key().serial);
        prop_assert!(verify(token.reveal(), &ring_of(&without)).is_err(), "its key is gone");
    }

    #[test]
    fn a_phase_of_a_key_that_is_not_there_changes_nothing(keys in keys(), other in 40u64..50, phase in phase()) {
        let id = |serial: u64| KeyId { family: Family::Zone, serial };
        let secrets = [SecretEntry { mesh: "", name: "zone-token-signing-key-1", data: Some(pem(1).as_bytes()) }];
        let phases = Phases::from_iter(keys.keys().map(|serial| (id(serial + 2), Phase::Staged)).chain([(id(other), phase)]));
        let (ring, _) = KeyRing::build_of(1, RingSources { secrets: &secrets, phases, ..RingSources::default() });
        let token = tokens::issue_zone(&ring, &west(), None, HOUR, now(), jti()).unwrap();
        prop_assert_eq!(token.key().serial, 1);
    }
}

#[test]
fn keys_that_nobody_put_into_a_phase_sign() {
    let all = |phase| (1..4).map(|serial| (serial, phase)).collect::<InPhases>();
    assert_eq!(issued(&all(Phase::default())).unwrap().key().serial, 3);
    assert!(matches!(issued(&all(Phase::Staged)), Err(IssueError::NoKey { .. })));
    assert!(matches!(issued(&all(Phase::Retiring)), Err(IssueError::NoKey { .. })));
}
