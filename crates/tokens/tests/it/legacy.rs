//! Tokens without an end, and the day on which they are not accepted any more.

use jiff::Timestamp;
use tokens::{Accept, Rejection, Want};

use crate::fixture::*;

/// A day in the life of the tests.
const END: i64 = NOW + 86_400;

/// Checks a token at a second: a new verification, and the session that it opened at the moment of all tests.
fn check(raw: &str, legacy_until: Option<Timestamp>, second: i64, expected: Result<(), &str>) {
    let ring = ring(&usual());
    let want = Want { legacy_until, ..want(Accept::CpToken) };
    let session = tokens::verify(raw, &ring, now(), &want).unwrap();
    let anew = tokens::verify(raw, &ring, at(second), &want).map(|_| ());
    assert_eq!(session.still_good(&ring, at(second), LEEWAY), anew);
    assert_eq!(anew.map_err(|rejection| rejection.reason()), expected, "{second}");
}

/// The token of the oldest releases.
fn endless() -> String {
    forge(HS256, r#"{"Zone":"west","TokenSerialNumber":1}"#, &By::Hmac(pem(0).as_bytes()))
}

fn ending() -> String {
    let end = END + 7 * 86_400;
    forge(HS256, &format!(r#"{{"Zone":"west","TokenSerialNumber":1,"exp":{end}}}"#), &By::Hmac(pem(0).as_bytes()))
}

#[test]
fn without_a_day_tokens_without_end_are_accepted_for_ever() {
    check(&endless(), None, 253_402_207_000, Ok(()));
}

#[test]
fn from_that_day_on_tokens_without_end_are_refused() {
    let until = Some(at(END));
    check(&endless(), until, END, Ok(()));
    check(&endless(), until, END + 29, Ok(()));
    check(&endless(), until, END + 30, Err("expired"));
}

#[test]
fn tokens_with_an_end_live_as_long_as_they_say() {
    check(&ending(), Some(at(END)), END + 30, Ok(()));
    check(&ending(), Some(at(END)), END + 7 * 86_400 + 30, Err("expired"));
}

#[test]
fn a_session_ends_when_its_token_does_and_no_later_than_that_day() {
    let until = Some(at(END));
    let ends = |raw: &str, legacy_until| {
        let want = Want { legacy_until, ..want(Accept::CpToken) };
        let session = tokens::verify(raw, &ring(&usual()), now(), &want).unwrap();
        (session.expires_at(), session.token_expires_at())
    };
    assert_eq!(ends(&endless(), until), (until, None));
    assert_eq!(ends(&endless(), None), (None, None));
    let own = Some(at(END + 7 * 86_400));
    assert_eq!(ends(&ending(), until), (own, own));
}

#[test]
fn who_is_refused_hears_of_the_day_and_what_to_do() {
    let want = Want { legacy_until: Some(at(NOW - 86_400)), ..want(Accept::CpToken) };
    let rejection = tokens::verify(&endless(), &ring(&usual()), now(), &want).unwrap_err();
    assert_eq!(rejection, Rejection::LegacyEnded { until: at(NOW - 86_400) });
    assert_eq!(
        rejection.to_string(),
        "invalid zone token: token has no end (claim exp), and tokens without one are accepted until \
         2026-11-22T23:07:14Z only. Generate one that has an end (--valid-for) and give it to the zone control plane"
    );
    assert!(!rejection.is_permission_denied());
}

#[test]
fn newer_forms_without_end_are_refused_on_every_day() {
    for payload in [r#"{"Zone":"west","Scope":["cp"]}"#, r#"{"Zone":"west"}"#] {
        for (key, legacy_until) in [(0, None), (0, Some(at(END))), (1, None), (1, Some(at(END)))] {
            let want = Want { legacy_until, ..want(Accept::CpToken) };
            let verdict = tokens::verify(&forge(RS256, payload, &By::Rs256(pem(key))), &ring(&usual()), now(), &want);
            assert!(verdict.is_err(), "{payload}");
        }
    }
}
