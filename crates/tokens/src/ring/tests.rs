//! Which key signs, which verify, and what is no key.

use super::*;
use crate::{KeyName, generate_signing_key};

fn build(names: &[(&str, &str)]) -> (KeyRing, Vec<RingProblem>) {
    let key = generate_signing_key();
    let secrets: Vec<SecretEntry<'_>> =
        names.iter().map(|(mesh, name)| SecretEntry { mesh, name, data: Some(key.reveal().as_bytes()) }).collect();
    KeyRing::build(7, &secrets)
}

#[test]
fn highest_number_signs() {
    let (ring, problems) = build(&[
        ("", "zone-token-signing-key-1"),
        ("", "zone-token-signing-key-2"),
        ("", "zone-token-signing-key-10"),
        ("", "zone-token-signing-key-foo"),
        ("", "zone-token-signing-key"),
    ]);
    assert_eq!(ring.signing(&Family::Zone).map(|(id, _)| id.serial), Some(10));
    assert_eq!(ring.generation(), 7);
    assert_eq!(problems.len(), 1);
    assert!(problems[0].to_string().starts_with(r#"secret "zone-token-signing-key-foo" cannot be used: name of"#));
    let serials: Vec<u64> = ring.slots.keys().map(|id| id.serial).collect();
    assert_eq!(serials, [0, 1, 2, 10]);
}

#[test]
fn shared_serial_stops_the_key() {
    let (ring, problems) = build(&[
        ("", "zone-token-signing-key-2"),
        ("", "zone-token-signing-key-0002"),
        ("", "zone-token-signing-key-1"),
    ]);
    let id = KeyId { family: Family::Zone, serial: 2 };
    let names = vec!["zone-token-signing-key-0002".to_owned(), "zone-token-signing-key-2".to_owned()];
    assert_eq!(problems, [RingProblem::SharedSerial { id: id.clone(), names }]);
    assert!(ring.key(&id).is_err());
    assert!(ring.signing_key(&Family::Zone).is_err(), "an older key must not sign instead");
    assert!(ring.key(&KeyId { serial: 1, ..id }).is_ok());
}

#[test]
fn a_public_key_beside_a_private_one_is_no_conflict() {
    let (own, other) = (generate_signing_key(), generate_signing_key());
    let public = |key: &crate::PemKey| crate::public_half(key.reveal().as_bytes()).unwrap();
    let ring = |public: &str| {
        let entry = |name, data| SecretEntry { mesh: "", name, data: Some(data) };
        KeyRing::build(
            1,
            &[
                entry("zone-token-signing-public-key-1", public.as_bytes()),
                entry("zone-token-signing-key-1", own.reveal().as_bytes()),
            ],
        )
    };
    let id = KeyId { family: Family::Zone, serial: 1 };
    let (halves, problems) = ring(&public(&own));
    assert_eq!(problems, []);
    assert!(matches!(halves.key(&id), Ok(Key::Private { .. })));
    assert!(halves.signing_key(&Family::Zone).is_ok());
    let (joined, problems) = ring(&public(&other));
    assert_eq!(problems, []);
    assert!(matches!(joined.key(&id), Ok(Key::Public(_))));
    let name = KeyName { family: Family::Zone, half: Half::Public, serial: Some(1) };
    let theirs = Key::parse(&name, public(&other).as_bytes()).unwrap();
    assert!(joined.key(&id).ok().unwrap().fingerprint().unwrap().is(theirs.fingerprint().unwrap()));
    assert!(joined.signing_key(&Family::Zone).is_err(), "others would not verify it");
    assert_eq!(ring("no key").1.len(), 2, "what cannot be read is no key");
}

#[test]
fn secrets_of_a_mesh_are_keys_of_that_mesh_only() {
    let (ring, problems) = build(&[
        ("default", "zone-token-signing-key-1"),
        ("default", "user-token-signing-key-1"),
        ("default", "control-plane-signing-key-1"),
        ("default", "dataplane-token-signing-key-other-1"),
        ("default", "dataplane-token-signing-key-default-1"),
        ("", "dataplane-token-signing-key-default-2"),
    ]);
    assert_eq!(problems, []);
    let ids: Vec<KeyId> = ring.slots.keys().cloned().collect();
    assert_eq!(ids, [KeyId { family: Family::Dataplane { mesh: "default".into() }, serial: 1 }]);
}

#[test]
fn debug_shows_no_key() {
    let (ring, _) = build(&[("", "control-plane-signing-key-1")]);
    let text = format!("{ring:?}");
    assert_eq!(text, r#"KeyRing { generation: 7, keys: ["control-plane-signing-key-0001"], .. }"#);
}

#[test]
fn lists_of_dataplane_tokens_are_read_in_the_mesh_and_globally() {
    let m = Family::Dataplane { mesh: "m".to_owned() };
    let check = |mesh, name, expected| {
        let (ring, _) = KeyRing::build(1, &[SecretEntry { mesh, name, data: Some(b"an-id") }]);
        assert_eq!(ring.revocations(&m).is_some(), expected, "{mesh}/{name}");
    };
    check("m", "dataplane-token-revocations-m", true);
    check("", "dataplane-token-revocations-m", true);
    check("other", "dataplane-token-revocations-m", false);
    check("", "dataplane-token-revocations-other", false);
    check("m", "zone-token-revocations", false);
}

#[test]
fn a_broken_key_stops_signing_in_the_phase_to_sign_alone() {
    let key = generate_signing_key();
    let secrets = [("zone-token-signing-key-1", key.reveal()), ("zone-token-signing-key-2", "no key")]
        .map(|(name, data)| SecretEntry { mesh: "", name, data: Some(data.as_bytes()) });
    let second = KeyId { family: Family::Zone, serial: 2 };
    let signs_with = |phase: Phase| {
        let phases = Phases::from_iter([(second.clone(), phase)]);
        let (ring, _) = KeyRing::build_of(1, RingSources { secrets: &secrets, phases, ..RingSources::default() });
        ring.signing_key(&Family::Zone).map(|(id, _)| id.serial).ok()
    };
    assert_eq!(signs_with(Phase::Signing), None);
    assert_eq!((signs_with(Phase::Staged), signs_with(Phase::Retiring)), (Some(1), Some(1)));
}

#[test]
fn a_key_drains_while_another_one_signs_in_its_place() {
    let key = generate_signing_key();
    let names = ["zone-token-signing-key-1", "zone-token-signing-key-2"];
    let secrets = names.map(|name| SecretEntry { mesh: "", name, data: Some(key.reveal().as_bytes()) });
    let id = |serial| KeyId { family: Family::Zone, serial };
    let check = |phases: &[(u64, Phase)], drains: [bool; 2], rotates: bool| {
        let phases = Phases::from_iter(phases.iter().map(|(serial, phase)| (id(*serial), *phase)));
        let (ring, _) = KeyRing::build_of(1, RingSources { secrets: &secrets, phases, ..RingSources::default() });
        assert_eq!([1, 2].map(|serial| ring.drains(&id(serial))), drains);
        assert_eq!((ring.rotates(&Family::Zone), ring.rotates(&Family::ControlPlane)), (rotates, false));
        assert!(!ring.drains(&id(3)));
    };
    check(&[], [false, false], false);
    check(&[(2, Phase::Staged)], [false, false], true);
    check(&[(1, Phase::Retiring)], [true, false], true);
    check(&[(2, Phase::Retiring)], [false, true], true);
    check(&[(1, Phase::Retiring), (2, Phase::Staged)], [false, false], true);
    check(&[(3, Phase::Retiring)], [false, false], false);
}

#[test]
fn an_older_key_does_not_sign_for_one_that_others_know_otherwise() {
    let (own, other) = (generate_signing_key(), generate_signing_key());
    let public = crate::public_half(other.reveal().as_bytes()).unwrap();
    let signs = |secrets: &[(&str, &str)]| {
        let secrets: Vec<SecretEntry<'_>> =
            secrets.iter().map(|(name, data)| SecretEntry { mesh: "", name, data: Some(data.as_bytes()) }).collect();
        let (ring, _) = KeyRing::build(1, &secrets);
        (ring.signs(&Family::Zone), ring.signs(&Family::User))
    };
    let [first, second] = ["zone-token-signing-key-1", "zone-token-signing-key-2"].map(|name| (name, own.reveal()));
    let theirs = ("zone-token-signing-public-key-2", public.as_str());
    assert_eq!(signs(&[first, second]), (Some(2), None));
    assert_eq!(signs(&[first, theirs]), (Some(1), None), "a key that is not here at all signs nothing");
    assert_eq!(signs(&[first, second, theirs]), (None, None));
}

#[test]
fn a_ring_tells_which_keys_it_has() {
    let key = generate_signing_key();
    let secrets = [
        ("zone-token-signing-key-2", key.reveal()),
        ("zone-token-signing-key-5", key.reveal()),
        ("zone-token-signing-key-7", "no key"),
        ("user-token-signing-key-3", key.reveal()),
    ]
    .map(|(name, data)| SecretEntry { mesh: "", name, data: Some(data.as_bytes()) });
    let id = |serial| KeyId { family: Family::Zone, serial };
    let phases = Phases::from_iter([(id(2), Phase::Retiring)]);
    let mut settings = StaticKeys::default();
    let public = crate::public_half(key.reveal().as_bytes()).unwrap();
    settings.add(Family::Zone, "offline", public.as_bytes()).unwrap();
    settings.add(Family::User, "offline", public.as_bytes()).unwrap();
    let (ring, _) = KeyRing::build_of(1, RingSources { secrets: &secrets, phases, ..RingSources::default() });
    let ring = ring.with_static_keys(Arc::new(settings));

    assert_eq!(ring.serials(&Family::Zone), BTreeSet::from([2, 5]));
    assert_eq!(ring.serials(&Family::ControlPlane), BTreeSet::new());
    assert_eq!(ring.families(), BTreeSet::from([Family::Zone, Family::User]));
    assert_eq!(KeyRing::empty().families(), BTreeSet::new());
    let unusable: Vec<String> = ring.unusable().map(|(name, _)| name).collect();
    assert_eq!(unusable, ["zone-token-signing-key-7"]);
    let keys: Vec<(KeyId, Phase)> = ring.keys_of(&Family::Zone).collect();
    let of_secrets = [(id(2), Phase::Retiring), (id(5), Phase::Signing), (id(7), Phase::Signing)];
    assert_eq!(keys.get(..3), Some(of_secrets.as_slice()));
    let of_settings: Vec<_> = keys.iter().skip(3).collect();
    assert!(
        matches!(of_settings[..], [(id, Phase::Retiring)] if id.is_of_settings() && id.family == Family::Zone),
        "{of_settings:?}"
    );
}

#[test]
fn a_key_is_retired_once_it_is_gone() {
    let id = |serial| KeyId { family: Family::Zone, serial };
    let (ring, _) = build(&[("", "zone-token-signing-key-2")]);
    let ring = ring.with_retired(BTreeSet::from([id(1), id(2)]));
    assert_eq!([1, 2, 3].map(|serial| ring.is_retired(&id(serial))), [true, false, false]);
}

#[test]
fn of_a_key_that_drains_unsaid_nobody_is_told() {
    let id = |serial| KeyId { family: Family::Zone, serial };
    let key = generate_signing_key();
    let names = ["zone-token-signing-key-1", "zone-token-signing-key-2", "zone-token-signing-key-3"];
    let secrets = names.map(|name| SecretEntry { mesh: "", name, data: Some(key.reveal().as_bytes()) });
    let phases = Phases::from_iter([(id(1), Phase::Retiring), (id(2), Phase::Retiring)]);
    let (ring, _) = KeyRing::build_of(1, RingSources { secrets: &secrets, phases, ..RingSources::default() });
    let ring = ring.with_untold(BTreeSet::from([id(1)]));
    assert_eq!([1, 2, 3].map(|serial| ring.drains(&id(serial))), [false, true, false]);
}
