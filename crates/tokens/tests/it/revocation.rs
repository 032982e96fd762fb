//! Revoked tokens, and lists that cannot be read.

use tokens::{KeyRing, Rejection, RingProblem, Scope, SecretEntry};

use crate::fixture::*;

fn zone_token(secrets: &[(&str, &str)]) -> String {
    let token = tokens::issue_zone(&ring(secrets), &west(), Some(&[Scope::Cp]), HOUR, now(), jti()).unwrap();
    token.reveal().to_owned()
}

fn with_list<'a>(name: &'a str, list: &'a str) -> Vec<(&'a str, &'a str)> {
    let mut secrets: Vec<(&str, &str)> = usual();
    secrets.push((name, list));
    secrets
}

#[test]
fn each_way_to_write_a_list_revokes() {
    let token = zone_token(&usual());
    for list in ["ID", "ID\n", "x,ID", "x,ID,", "x, ID", "x\nID", "ID\r\n", "ID\n\n", " ID"] {
        let list = list.replace("ID", &jti().to_string());
        let rejection = verify(&token, &ring(&with_list("zone-token-revocations", &list))).unwrap_err();
        assert_eq!(rejection.to_string(), "invalid zone token: token is revoked", "{list:?}");
    }
    assert!(verify(&token, &ring(&with_list("zone-token-revocations", "other"))).is_ok());
}

#[test]
fn empty_entries_do_not_revoke_tokens_without_id() {
    let token = forge(RS256, &payload(""), &By::Rs256(pem(1)));
    let empty = forge(RS256, &payload(r#","jti":"""#), &By::Rs256(pem(1)));
    for list in ["", ",", "x,", "\n", " "] {
        let ring = ring(&with_list("zone-token-revocations", list));
        assert!(verify(&token, &ring).is_ok(), "{list:?}");
        assert!(verify(&empty, &ring).is_ok(), "{list:?}");
    }
}

#[test]
fn lists_count_for_their_family() {
    let id = jti().to_string();
    let valid_for = Some(HOUR);
    let control_plane = tokens::issue_control_plane(&ring(&usual()), &west(), valid_for, now(), jti()).unwrap();
    let zone = zone_token(&usual());
    let user = tokens::issue_user(&ring(&usual()), "john", None, HOUR, now(), jti()).unwrap();
    let refused = |list: &str| {
        let ring = ring(&with_list(list, &id));
        [
            verify(control_plane.reveal(), &ring).is_err(),
            verify(&zone, &ring).is_err(),
            tokens::verify_user(user.reveal(), &ring, now(), LEEWAY).is_err(),
        ]
    };
    assert_eq!(refused("control-plane-token-revocations"), [true, false, false]);
    assert_eq!(refused("zone-token-revocations"), [false, true, false]);
    assert_eq!(refused("user-token-revocations"), [false, false, true]);
}

#[test]
fn unreadable_list_refuses_its_whole_family() {
    let mut entries: Vec<SecretEntry<'_>> =
        usual().iter().map(|&(name, data)| SecretEntry { mesh: "", name, data: Some(data.as_bytes()) }).collect();
    let name = "zone-token-revocations";
    entries.push(SecretEntry { mesh: "", name, data: Some(b"\xff\xfe") });
    let (ring, problems) = KeyRing::build(1, &entries);
    assert!(matches!(&problems[..], [RingProblem::UnreadableRevocations { name: found, .. }] if found == name));
    let expected = Rejection::UnreadableRevocations { name: name.to_owned() };
    assert_eq!(verify(&zone_token(&usual()), &ring).unwrap_err(), expected);
    let without_id = forge(RS256, &payload(""), &By::Rs256(pem(1)));
    assert_eq!(verify(&without_id, &ring).unwrap_err(), expected);
    let control_plane = tokens::issue_control_plane(&ring, &west(), None, now(), jti()).unwrap();
    assert!(verify(control_plane.reveal(), &ring).is_ok(), "other families go on");
}
