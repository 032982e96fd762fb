//! What names say, and that each name of a key is found.

use proptest::prelude::*;

use super::*;

/// Names as they are allowed for resources.
const LONGEST: usize = 253;

fn of_mesh(mesh: &str) -> Family {
    Family::Dataplane { mesh: mesh.to_owned() }
}

fn check(name: &str, expected: Option<(Family, Option<u64>)>) {
    let found = KeyName::parse("", name);
    let expected = expected.map(|(family, serial)| KeyName { family, half: Half::Private, serial });
    assert_eq!((name, found), (name, expected));
}

fn check_in(mesh: &str, name: &str, expected: Option<Option<u64>>) {
    let found = KeyName::parse(mesh, name);
    let expected = expected.map(|serial| KeyName { family: of_mesh(mesh), half: Half::Private, serial });
    assert_eq!((mesh, name, found), (mesh, name, expected));
}

#[test]
fn leading_zeros_do_not_change_the_serial() {
    check("control-plane-signing-key-0002", Some((Family::ControlPlane, Some(2))));
    check("control-plane-signing-key-2", Some((Family::ControlPlane, Some(2))));
    check("zone-token-signing-key-10", Some((Family::Zone, Some(10))));
    check("zone-token-signing-key-0010", Some((Family::Zone, Some(10))));
    check("user-token-signing-key-1", Some((Family::User, Some(1))));
}

#[test]
fn a_name_without_number_is_serial_zero() {
    check("zone-token-signing-key", Some((Family::Zone, Some(0))));
    check_in("default", "dataplane-token-signing-key-default", Some(Some(0)));
}

#[test]
fn what_is_no_number_is_no_serial() {
    for bad in ["-foo", "--1", "-+1", "- 1", "-1 ", "-2026q1", "-", "-18446744073709551616", "-٢", "-1.0"] {
        check(&format!("zone-token-signing-key{bad}"), Some((Family::Zone, None)));
        check_in("m", &format!("dataplane-token-signing-key-m{bad}"), Some(None));
    }
    for other in ["zone-token-signing-keys-1", "xzone-token-signing-key-1", "admin-user-token", ""] {
        check(other, None);
    }
    check_in("m", "dataplane-token-signing-key-", None);
    check_in("m", "dataplane-token-signing-key-mesh-1", None);
}

#[test]
fn the_public_half_has_a_name_of_its_own() {
    let half = |serial| Some(KeyName { family: Family::Zone, half: Half::Public, serial });
    assert_eq!(KeyName::parse("", "zone-token-signing-public-key-0001"), half(Some(1)));
    assert_eq!(KeyName::parse("", "zone-token-signing-public-key-x"), half(None));
}

#[test]
fn a_mesh_may_have_dashes_and_numbers_in_its_name() {
    check_in("a-b", "dataplane-token-signing-key-a-b-3", Some(Some(3)));
    check_in("m-1", "dataplane-token-signing-key-m-1", Some(Some(0)));
    check_in("m-1", "dataplane-token-signing-key-m-1-2", Some(Some(2)));
}

#[test]
fn a_mesh_holds_no_keys_but_its_own() {
    for name in [
        "control-plane-signing-key-1",
        "zone-token-signing-key-1",
        "zone-token-signing-public-key-1",
        "user-token-signing-key-1",
        "zone-token-revocations",
        "dataplane-token-signing-key-other-1",
        "dataplane-token-revocations-other",
    ] {
        assert_eq!(SecretName::parse("default", name), None, "{name}");
    }
    assert_eq!(SecretName::parse("", "dataplane-token-signing-key-default-1"), None);
}

#[test]
fn lists_are_read_under_their_names_and_in_their_place_only() {
    let check = |mesh: &str, name: &str, read: bool| {
        let found = matches!(SecretName::parse(mesh, name), Some(SecretName::Revocations(_)));
        assert_eq!(found, read, "{mesh}/{name}");
        assert!(looks_like_revocation_list(name), "{name}");
    };
    check("", "control-plane-token-revocations", true);
    check("", "dataplane-token-revocations-default", true);
    check("default", "dataplane-token-revocations-default", true);
    check("default", "control-plane-token-revocations", false);
    check("default", "dataplane-token-revocations-other", false);
    for near in [
        "control-plane-token-revocations-2",
        "control-plane-token-revocation",
        "control-plane-revocations",
        "cp-token-revocations",
        "zonetoken-revocations",
    ] {
        check("", near, false);
    }
    assert!(!looks_like_revocation_list("certificate-revocations"));
}

#[test]
fn new_keys_get_their_documented_names() {
    for (family, serial, expected) in [
        (Family::ControlPlane, 1, "control-plane-signing-key-0001"),
        (Family::ControlPlane, 12345, "control-plane-signing-key-12345"),
        (Family::Zone, 1, "zone-token-signing-key-1"),
        (Family::User, 0, "user-token-signing-key"),
        (of_mesh("default"), 1, "dataplane-token-signing-key-default-1"),
    ] {
        assert_eq!(signing_key_name(&family, serial), expected);
        let mesh = if matches!(family, Family::Dataplane { .. }) { "default" } else { "" };
        let id = KeyName::parse(mesh, expected).and_then(|name| name.id());
        assert_eq!(id, Some(KeyId { family, serial }));
    }
}

#[test]
fn serials_go_up_to_the_numbers_of_the_settings() {
    let last = FIRST_OF_SETTINGS - 1;
    check(&format!("zone-token-signing-key-{last}"), Some((Family::Zone, Some(last))));
    check(&format!("zone-token-signing-key-{FIRST_OF_SETTINGS}"), Some((Family::Zone, None)));
    assert!(last > u64::MAX - 0x1_0000 - 1, "they take few");
}

#[test]
fn a_family_is_named_by_the_word_for_its_keys_or_for_its_tokens() {
    let check = |word: &str, mesh: Option<&str>, expected: Result<Family, NoFamily>| {
        assert_eq!(Family::of_word(word, mesh), expected, "{word} {mesh:?}");
    };
    for family in [Family::ControlPlane, Family::Zone, Family::User] {
        for word in [family.key_word(), family.token_word()] {
            check(word, None, Ok(family.clone()));
            check(word, Some("default"), Err(NoFamily::OfNoMesh { word: word.to_owned() }));
        }
    }
    for word in [of_mesh("").key_word(), of_mesh("").token_word()] {
        check(word, Some("default"), Ok(of_mesh("default")));
        check(word, Some(""), Err(NoFamily::WithoutMesh));
        check(word, None, Err(NoFamily::WithoutMesh));
    }
    for mesh in [None, Some("default")] {
        check("zone", mesh, Err(NoFamily::Unknown { word: "zone".to_owned() }));
    }
}

#[test]
fn what_has_no_serial_is_spelled_in_no_way() {
    let name = KeyName::parse("", "zone-token-signing-key-x").unwrap();
    assert_eq!(name.spellings(LONGEST).count(), 0);
}

/// A place and the start of the names of keys there.
fn place() -> impl Strategy<Value = (String, String)> {
    let global = prop_oneof![
        Just("control-plane-signing-key".to_owned()),
        Just("zone-token-signing-key".to_owned()),
        Just("zone-token-signing-public-key".to_owned()),
        Just("user-token-signing-key".to_owned()),
    ];
    let of_mesh = "[a-z]([a-z0-9-]{0,8}[0-9a-z])?";
    prop_oneof![
        global.prop_map(|front| (String::new(), front)),
        of_mesh.prop_map(|mesh| (mesh.clone(), format!("dataplane-token-signing-key-{mesh}"))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn all_names_of_a_key_are_known_and_no_others(
        (mesh, front) in place(), digits in "(-0{0,30}[0-9]{1,20})?", other in "(-0{0,3}[0-9]{1,2})?",
    ) {
        let (name, other) = (format!("{front}{digits}"), format!("{front}{other}"));
        let key = KeyName::parse(&mesh, &name).unwrap();
        let spellings: Vec<String> = key.spellings(LONGEST).collect();
        prop_assert_eq!(spellings.contains(&name), key.serial.is_some());
        let is_same = KeyName::parse(&mesh, &other).as_ref() == Some(&key);
        prop_assert_eq!(spellings.contains(&other), is_same && key.serial.is_some());
        for spelling in &spellings {
            prop_assert!(spelling.len() <= LONGEST);
            let parsed = KeyName::parse(&mesh, spelling);
            prop_assert_eq!(parsed.as_ref(), Some(&key));
        }
        let distinct: std::collections::BTreeSet<&String> = spellings.iter().collect();
        prop_assert_eq!(distinct.len(), spellings.len());
    }
}
