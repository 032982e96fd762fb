//! A live session is judged again without its token, and as a new verification would judge it.

use tokens::{Family, KeyId, KeyRing, Rejection, Scope, VerifiedZone};

use crate::fixture::*;

fn admitted() -> Vec<(String, VerifiedZone)> {
    let ring = ring(&usual());
    let zone = tokens::issue_zone(&ring, &west(), Some(&[Scope::Cp]), HOUR, now(), jti()).unwrap();
    let old = tokens::issue_control_plane(&ring, &west(), None, now(), jti()).unwrap();
    let ending = tokens::issue_control_plane(&ring, &west(), Some(HOUR), now(), jti()).unwrap();
    let newer = forge(RS256, &payload("").replace(r#","Scope":["cp"]"#, ""), &By::Rs256(pem(0)));
    let tokens = [zone.reveal(), old.reveal(), ending.reveal(), &newer].map(str::to_owned);
    tokens.into_iter().map(|raw| (raw.clone(), verify(&raw, &ring).unwrap())).collect()
}

/// Checks all sessions against a ring: the second judgement is that of a new verification.
fn check(changed: &KeyRing, second: i64, expected: [Result<(), &'static str>; 4]) {
    for ((raw, zone), expected) in admitted().iter().zip(expected) {
        let again = zone.still_good(changed, at(second), LEEWAY);
        let want = want(tokens::Accept::CpToken);
        let anew = tokens::verify(raw, changed, at(second), &want).map(|_| ());
        assert_eq!(again.is_ok(), anew.is_ok(), "{zone:?}: {again:?} {anew:?}");
        assert_eq!(again.map_err(|rejection| rejection.reason()), expected, "{zone:?}");
    }
}

#[test]
fn unchanged_ring_keeps_sessions() {
    check(&ring(&usual()), NOW, [Ok(()); 4]);
}

#[test]
fn deleted_key_closes_its_sessions() {
    let mut secrets = usual();
    secrets.remove(1);
    check(&ring(&secrets), NOW, [Err("unknown-key"), Ok(()), Ok(()), Ok(())]);
    let mut secrets = usual();
    secrets.remove(0);
    let gone = Err("unknown-key");
    check(&ring(&secrets), NOW, [Ok(()), gone, gone, gone]);
}

#[test]
fn newer_key_keeps_sessions_of_the_older() {
    let mut secrets = usual();
    secrets.push(("zone-token-signing-key-2", pem(3)));
    secrets.push(("control-plane-signing-key-0002", pem(3)));
    check(&ring(&secrets), NOW, [Ok(()); 4]);
}

#[test]
fn replaced_key_closes_its_sessions() {
    let mut secrets = usual();
    secrets[0].1 = pem(3);
    secrets[1].1 = pem(3);
    check(&ring(&secrets), NOW, [Err("bad-signature"); 4]);
}

#[test]
fn renamed_key_of_one_serial_keeps_sessions() {
    let mut secrets = usual();
    secrets[0].0 = "control-plane-signing-key-1";
    secrets[1].0 = "zone-token-signing-key-0001";
    check(&ring(&secrets), NOW, [Ok(()); 4]);
}

#[test]
fn key_of_other_bytes_keeps_rs256_sessions_and_closes_hs256_sessions() {
    let mut secrets = usual();
    let crlf = pem(0).replace('\n', "\r\n");
    secrets[0].1 = &crlf;
    check(&ring(&secrets), NOW, [Ok(()), Err("bad-signature"), Err("bad-signature"), Ok(())]);
    let mut secrets = usual();
    let bytes = "WJYYLYHNpsTlUPj5aSwUu0TkXSXS5FaFEDmZL9fLZ2E=".to_owned();
    secrets[0].1 = &bytes;
    check(&ring(&secrets), NOW, [Ok(()), Err("bad-signature"), Err("bad-signature"), Err("unknown-key")]);
}

#[test]
fn shared_serial_closes_sessions() {
    let mut secrets = usual();
    secrets.push(("zone-token-signing-key-01", pem(1)));
    let (ring, _) = ring_with_problems(&secrets);
    check(&ring, NOW, [Err("unknown-key"), Ok(()), Ok(()), Ok(())]);
}

#[test]
fn revocation_closes_sessions() {
    let id = jti().to_string();
    let mut secrets = usual();
    secrets.push(("zone-token-revocations", &id));
    secrets.push(("control-plane-token-revocations", &id));
    // Two of them have no id.
    check(&ring(&secrets), NOW, [Err("revoked"), Ok(()), Err("revoked"), Ok(())]);
}

#[test]
fn unreadable_list_closes_sessions() {
    let mut secrets = usual();
    secrets.push(("zone-token-revocations", "\0"));
    secrets.push(("control-plane-token-revocations", "\0"));
    check(&ring_with_problems(&secrets).0, NOW, [Err("revoked"); 4]);
}

#[test]
fn expiry_closes_sessions_when_it_would_refuse_new_ones() {
    let ring = ring(&usual());
    check(&ring, NOW + 3600, [Ok(()); 4]);
    check(&ring, NOW + 3629, [Ok(()); 4]);
    let over = Err("expired");
    check(&ring, NOW + 3630, [over, Ok(()), over, over]);
}

#[test]
fn start_counts_for_sessions_too() {
    check(&ring(&usual()), NOW - 35, [Ok(()); 4]);
    let early = Err("not-yet-valid");
    // The first and third begin five seconds before they were issued; the others have no beginning.
    check(&ring(&usual()), NOW - 36, [early, Ok(()), early, Ok(())]);
}

#[test]
fn empty_ring_closes_everything() {
    check(&KeyRing::empty(), NOW, [Err("unknown-key"); 4]);
    let zone = &admitted()[0].1;
    let rejection = zone.still_good(&KeyRing::empty(), now(), LEEWAY).unwrap_err();
    assert!(matches!(rejection, Rejection::UnknownKey { .. }));
}

#[test]
fn who_comes_with_a_token_of_a_key_that_a_rotation_took_away_hears_that() {
    let mut secrets = usual();
    secrets.remove(1);
    let gone = KeyId { family: Family::Zone, serial: 1 };
    let retired = ring(&secrets).with_retired([gone.clone()].into());
    check(&retired, NOW, [Err("key-retired"), Ok(()), Ok(()), Ok(())]);
    let text = verify(&admitted()[0].0, &retired).unwrap_err().to_string();
    assert!(text.starts_with("invalid zone token: key retired by a rotation: there is no signing key"), "{text}");
    check(&ring(&usual()).with_retired([gone].into()), NOW, [Ok(()); 4]);
}
