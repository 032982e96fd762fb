//! What is said of a token to who asks before it is used.

use jiff::Timestamp;
use tokens::{Accept, Family, Holder, Inspected, NotTaken, Rejection, Scope, Verdict, ZoneTerms};

use crate::fixture::{By, HOUR, LEEWAY, NOW, RS256, at, forge, jti, now, payload, pem, ring, usual, west};

fn terms() -> ZoneTerms {
    ZoneTerms { accept: Accept::CpToken, leeway: LEEWAY, legacy_until: None }
}

fn inspected_at(raw: &str, time: Timestamp) -> Inspected {
    tokens::inspect(raw, &ring(&usual()), time, Some(&terms())).unwrap()
}

fn refused(raw: &str) -> NotTaken {
    match inspected_at(raw, now()).verdict {
        Verdict::Refused(why) => why,
        Verdict::Accepted { .. } => panic!("accepted"),
    }
}

#[test]
fn who_a_token_lets_in_is_told_with_its_key() {
    let ring = ring(&usual());
    let check = |raw: &str, holder: &str, family: &Family| {
        let Verdict::Accepted { holder: found, key } = inspected_at(raw, now()).verdict else { panic!("{holder}") };
        assert_eq!((found.to_string().as_str(), &key.family, key.serial), (holder, family, 1));
    };
    let zone = tokens::issue_zone(&ring, &west(), Some(&[Scope::Cp]), HOUR, now(), jti()).unwrap();
    check(zone.reveal(), "zone control plane west", &Family::Zone);
    let control_plane = tokens::issue_control_plane(&ring, &west(), None, now(), jti()).unwrap();
    check(control_plane.reveal(), "zone control plane west", &Family::ControlPlane);
    let user = tokens::issue_user(&ring, "john", None, HOUR, now(), jti()).unwrap();
    check(user.reveal(), "user john", &Family::User);
    assert_eq!(inspected_at(control_plane.reveal(), now()).decoded.id, control_plane.id());
}

#[test]
fn why_a_token_is_refused_is_what_its_owner_would_hear() {
    let ring = ring(&usual());
    let ingress = tokens::issue_zone(&ring, &west(), Some(&[Scope::Ingress]), HOUR, now(), jti()).unwrap();
    assert_eq!(refused(ingress.reveal()).reason(), "wrong-scope");
    assert_eq!(refused(&forge(RS256, &payload(""), &By::Rs256(pem(3)))), NotTaken::Rejected(Rejection::BadSignature));
    let zone = tokens::issue_zone(&ring, &west(), Some(&[Scope::Cp]), HOUR, now(), jti()).unwrap();
    let late = inspected_at(zone.reveal(), at(NOW + 3600 + 31)).verdict;
    assert!(matches!(late, Verdict::Refused(NotTaken::Rejected(Rejection::Expired { .. }))), "{late:?}");
    let on_a_zone = tokens::inspect(zone.reveal(), &ring, now(), None).unwrap().verdict;
    assert_eq!(on_a_zone, Verdict::Refused(NotTaken::NoZonesHere));
    assert!(NotTaken::NoZonesHere.to_string().starts_with("it is the token of a zone"));
    assert!(NotTaken::NoProxiesHere.to_string().starts_with("it is the token of a data plane proxy"));
    assert_eq!(NotTaken::Rejected(Rejection::BadSignature).to_string(), Rejection::BadSignature.validator_text());
    let proxy = forge(RS256, r#"{"Name":"dp","Mesh":"default"}"#, &By::Rs256(pem(2)));
    assert_eq!(refused(&proxy), NotTaken::NoProxiesHere);
    let nobody = forge(RS256, "{}", &By::Rs256(pem(2)));
    assert_eq!(refused(&nobody).reason(), "malformed");
    let elsewhere = forge(r#"{"alg":"RS256","kid":"9"}"#, r#"{"Name":"john"}"#, &By::Rs256(pem(2)));
    assert_eq!(refused(&elsewhere).reason(), "unknown-key");
}

#[test]
fn what_is_decoded_is_no_token() {
    let raw = forge(RS256, &payload(r#","iat":1795475229,"jti":"an-id""#), &By::Rs256(pem(1)));
    let decoded = tokens::decode(&raw).unwrap();
    assert_eq!((decoded.id.as_str(), decoded.issued_at), ("an-id", Some(at(1_795_475_229))));
    assert_eq!(decoded.expires_at, Some(at(NOW + 3600)));
    assert_eq!(decoded.header.get("kid").and_then(|kid| kid.as_str()), Some("1"));
    assert_eq!(decoded.families(), [Family::ControlPlane, Family::Zone]);
    let signature = raw.rsplit('.').next().unwrap();
    let shown = format!("{decoded:?} {:?}", inspected_at(&raw, now()));
    assert!(!shown.contains(signature), "{shown}");
    assert!(matches!(inspected_at(&raw, now()).verdict, Verdict::Accepted { holder: Holder::ZoneControlPlane(_), .. }));
}

#[test]
fn what_nobody_would_take_is_decoded_all_the_same() {
    let odd = forge(r#"{"alg":"none","crit":["x"],"kid":7}"#, r#"{"jti":"","Mesh":"m"}"#, &By::Nothing);
    let decoded = tokens::decode(&odd).unwrap();
    assert!(decoded.id.starts_with("sha256:"));
    assert_eq!(decoded.families(), [Family::Dataplane { mesh: "m".to_owned() }]);
    for unreadable in ["", "x", "a.b.c", "..", "eyJ9.e30.", &format!("{odd}.x"), &"a".repeat(9000)] {
        assert!(tokens::decode(unreadable).is_err(), "{unreadable}");
    }
}
