//! Lists and rules, and what they revoke.

use super::*;
use crate::name::{Family, KeyId};

const ID: &str = "5766e443-ef30-4916-afbd-a680d244fc16";

fn check(list: &str, revoked: bool) {
    let mut revocations = Revocations::default();
    assert!(revocations.add_list("list", Some(list.as_bytes())), "{list:?}");
    assert_eq!(has(&revocations, ID), revoked, "{list:?}");
    assert!(!has(&revocations, ""), "{list:?} revokes tokens without id");
}

#[test]
fn each_way_to_write_a_list_revokes() {
    for list in [
        "ID",
        "ID\n",
        "x,ID",
        "x,ID,",
        "x, ID",
        "x\nID",
        "ID\r\n",
        "ID\n\n",
        " ID", // the nine ways of the peers (contract: tokens 2.6)
        "x ID",
        "x\tID",
        "ID,ID",
        ",,ID",
        "\u{feff}ID",
        "x;y\r\n\r\nID , z",
        "ID x",
        "\nID",
    ] {
        check(&list.replace("ID", ID), true);
    }
}

#[test]
fn other_entries_do_not_revoke() {
    for list in ["", ",", "\n", " , ", "x", "5766e443", "5766e443-ef30-4916-afbd-a680d244fc16x"] {
        check(list, false);
    }
}

#[test]
fn ids_with_blanks_are_revoked_as_a_whole_too() {
    let mut revocations = Revocations::default();
    revocations.add_list("list", Some(b"a b, c"));
    assert!(["a b", "a", "b", "c"].iter().all(|id| has(&revocations, id)));
}

#[test]
fn what_is_no_text_is_unreadable() {
    for bad in [&b"\xff\xfeI\0D\0"[..], b"I\0D\0", b"\x1f\x8b", b"\xc3"] {
        let mut revocations = Revocations::default();
        assert!(!revocations.add_list("list", Some(bad)));
        assert_eq!(revocations.unreadable.as_deref(), Some("list"));
    }
}

#[test]
fn a_list_without_data_is_unreadable() {
    let mut revocations = Revocations::default();
    assert!(!revocations.add_list("list", None));
    assert_eq!(revocations.unreadable.as_deref(), Some("list"));
}

#[test]
fn an_id_in_upper_case_or_with_something_around_it_revokes() {
    check(&ID.to_uppercase(), true);
    check(&ID.replace('-', ""), true);
    let two = "0a66e443-ef30-4916-afbd-a680d244fc16";
    for around in ["urn:uuid:ID", "jti:ID", "ID.", "a,jti:ID", &format!("{two}/ID"), &format!("{two}+ID")] {
        check(&around.replace("ID", ID), true);
    }
}

/// Tells if a family revokes this id of a token of which nothing else is known.
fn has(revocations: &Revocations, id: &str) -> bool {
    let key = KeyId { family: Family::Zone, serial: 1 };
    revocations.revokes(&TokenFacts { key: &key, id, zone: None, issued_at: None })
}
