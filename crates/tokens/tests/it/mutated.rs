//! Ten thousand changed tokens of every generation and algorithm: none is accepted, and none makes the verifier panic.

use std::{cell::RefCell, collections::BTreeMap};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use tokens::{Accept, Algorithm, KeyRing, Scope, SecretEntry, SignedZone, Verdicts, generate_key};

use crate::fixture::*;

/// What is done to a token.
#[derive(Clone, Debug)]
enum Change {
    /// A byte of the text is another one.
    Text { at: usize, byte: u8 },
    /// A byte is put into the text.
    Longer { at: usize, byte: u8 },
    /// A part of the text is gone.
    Shorter { from: usize, to: usize },
    /// Bits of what a segment stands for are turned over, and it is written anew.
    Bits { segment: usize, at: usize, bits: u8 },
    /// What a segment stands for has a text in the place of another one.
    Words { was: &'static str, is: &'static str },
    /// A segment is that of another token.
    Segment { segment: usize, of: usize },
}

/// What stands in tokens and means something, and what might.
const WORDS: [&str; 22] = [
    "HS256",
    "RS256",
    "ES256",
    "EdDSA",
    "none",
    "PS256",
    "\"1\"",
    "1",
    "2",
    "west",
    "east",
    "cp",
    "ingress",
    "Zone",
    "Scope",
    "exp",
    "nbf",
    "jti",
    "TokenSerialNumber",
    "kid",
    "crit",
    "Name",
];

fn change() -> impl Strategy<Value = Change> {
    let any_byte = || prop_oneof![3 => 0x2du8..0x7b, 1 => 0u8..0x80];
    let word = || proptest::sample::select(&WORDS[..]);
    prop_oneof![
        2 => (any::<usize>(), any_byte()).prop_map(|(at, byte)| Change::Text { at, byte }),
        1 => (any::<usize>(), any_byte()).prop_map(|(at, byte)| Change::Longer { at, byte }),
        1 => (any::<usize>(), any::<usize>()).prop_map(|(from, to)| Change::Shorter { from, to }),
        4 => (0usize..3, any::<usize>(), 1u8..).prop_map(|(segment, at, bits)| Change::Bits { segment, at, bits }),
        4 => (word(), word()).prop_map(|(was, is)| Change::Words { was, is }),
        2 => (0usize..3, any::<usize>()).prop_map(|(segment, of)| Change::Segment { segment, of }),
    ]
}

fn changed(raw: &str, change: &Change, others: &[String]) -> String {
    let mut text = raw.as_bytes().to_vec();
    let mut segments: Vec<Vec<u8>> =
        raw.split('.').map(|part| URL_SAFE_NO_PAD.decode(part).unwrap_or_default()).collect();
    match *change {
        Change::Text { at, byte } => {
            let at = at % text.len();
            text[at] = byte;
        }
        Change::Longer { at, byte } => text.insert(at % (text.len() + 1), byte),
        Change::Shorter { from, to } => {
            let (from, to) = (from % text.len(), to % text.len());
            text.drain(from.min(to)..from.max(to));
        }
        Change::Bits { segment, at, bits } => {
            if let Some(bytes) = segments.get_mut(segment).filter(|bytes| !bytes.is_empty()) {
                let at = at % bytes.len();
                bytes[at] ^= bits;
                return joined(&segments);
            }
        }
        Change::Words { was, is } => {
            for bytes in segments.iter_mut().take(2) {
                if let Ok(text) = std::str::from_utf8(bytes) {
                    *bytes = text.replace(was, is).into_bytes();
                }
            }
            return joined(&segments);
        }
        Change::Segment { segment, of } => {
            let other = &others[of % others.len()];
            let mut parts: Vec<&str> = raw.split('.').collect();
            if let (Some(part), Some(other)) = (parts.get_mut(segment), other.split('.').nth(segment)) {
                *part = other;
            }
            return parts.join(".");
        }
    }
    String::from_utf8_lossy(&text).into_owned()
}

fn joined(segments: &[Vec<u8>]) -> String {
    segments.iter().map(|bytes| URL_SAFE_NO_PAD.encode(bytes)).collect::<Vec<_>>().join(".")
}

/// The generations of tokens, by the algorithm that signs them.
#[derive(Clone, Copy, Debug)]
enum Generation {
    /// HS256, named by its serial, without end.
    Page,
    /// The same with an end and an id.
    PageWithEnd,
    /// RS256 with the key of control planes.
    ControlPlane,
    /// With the key of zones.
    Zone(Algorithm),
    /// With the key of users.
    User(Algorithm),
}

const GENERATIONS: [Generation; 9] = [
    Generation::Page,
    Generation::PageWithEnd,
    Generation::ControlPlane,
    Generation::Zone(Algorithm::Rs256),
    Generation::Zone(Algorithm::Es256),
    Generation::Zone(Algorithm::EdDsa),
    Generation::User(Algorithm::Rs256),
    Generation::User(Algorithm::Es256),
    Generation::User(Algorithm::EdDsa),
];

/// A ring in which this algorithm signs for zones and users.
fn ring_of(algorithm: Algorithm) -> KeyRing {
    let key = generate_key(algorithm);
    let secrets = [
        ("control-plane-signing-key-0001", pem(0).as_bytes()),
        ("zone-token-signing-key-1", key.reveal()),
        ("user-token-signing-key-1", key.reveal()),
    ];
    let (ring, problems) =
        KeyRing::build(1, &secrets.map(|(name, data)| SecretEntry { mesh: "", name, data: Some(data) }));
    assert_eq!(problems, []);
    ring
}

fn token(ring: &KeyRing, generation: Generation) -> String {
    let token = match generation {
        Generation::Page => tokens::issue_control_plane(ring, &west(), None, now(), jti()),
        Generation::PageWithEnd => tokens::issue_control_plane(ring, &west(), Some(HOUR), now(), jti()),
        Generation::ControlPlane => {
            let payload = payload(r#","jti":"an-id""#).replace(r#","Scope":["cp"]"#, "");
            return forge(RS256, &payload, &By::Rs256(pem(0)));
        }
        Generation::Zone(_) => tokens::issue_zone(ring, &west(), Some(&[Scope::Cp]), HOUR, now(), jti()),
        Generation::User(_) => tokens::issue_user(ring, "john", None, HOUR, now(), jti()),
    };
    token.unwrap().reveal().to_owned()
}

fn check(generation: Generation) {
    let ring = ring_of(match generation {
        Generation::Page | Generation::PageWithEnd | Generation::ControlPlane => Algorithm::Rs256,
        Generation::Zone(algorithm) | Generation::User(algorithm) => algorithm,
    });
    let good = token(&ring, generation);
    // Of other keys: whose signature stands in one of these is good for that one alone.
    let others: Vec<String> = GENERATIONS.map(|other| token(&ring_of(Algorithm::Es256), other)).into();
    let (want, is_user) = (want(Accept::CpToken), matches!(generation, Generation::User(_)));
    let mut known = Verdicts::new(1);
    if is_user {
        assert!(tokens::verify_user(&good, &ring, now(), LEEWAY).is_ok());
    } else {
        known.remember(&good, &ring, SignedZone::check(&good, &ring, &want).unwrap());
        assert!(known.zone(&good, &ring, now(), &want).unwrap().is_ok());
    }
    let reasons = RefCell::new(BTreeMap::<Result<(), &str>, u32>::new());
    let mut runner = TestRunner::new(Config {
        cases: 10_000,
        max_global_rejects: 20_000,
        failure_persistence: None,
        ..Config::default()
    });
    let changes = proptest::collection::vec(change(), 1..4);
    let verdict = runner.run(&changes, |changes| {
        let raw = changes
            .iter()
            .fold(good.clone(), |raw, change| if raw.is_empty() { raw } else { changed(&raw, change, &others) });
        // What was changed back, and the whole of another token whose key is here too.
        prop_assume!(raw != good && !others.contains(&raw));
        let zone = tokens::verify(&raw, &ring, now(), &want).map(|_| ()).map_err(|rejection| rejection.reason());
        let user = tokens::verify_user(&raw, &ring, now(), LEEWAY).map(|_| ()).map_err(|rejection| rejection.reason());
        prop_assert!(zone.is_err() && user.is_err(), "{raw}");
        *reasons.borrow_mut().entry(if is_user { user } else { zone }).or_default() += 1;
        prop_assert!(known.zone(&raw, &ring, now(), &want).is_none(), "{raw}");
        Ok(())
    });
    assert!(verdict.is_ok(), "{generation:?}: {verdict:?}");
    let reasons = reasons.into_inner();
    assert_eq!(reasons.values().sum::<u32>(), 10_000);
    // Enough of them are tokens in all but the signature.
    assert!(reasons.get(&Err("bad-signature")).is_some_and(|count| *count > 1_000), "{generation:?}: {reasons:?}");
    println!("{generation:?}: {reasons:?}");
}

macro_rules! generations {
    ($($name:ident: $index:literal),+ $(,)?) => {
        $(#[test]
        fn $name() {
            check(GENERATIONS[$index]);
        })+
    };
}

generations! {
    changed_tokens_of_the_page_are_refused: 0,
    changed_tokens_of_the_page_with_an_end_are_refused: 1,
    changed_control_plane_tokens_with_kid_are_refused: 2,
    changed_zone_tokens_in_rs256_are_refused: 3,
    changed_zone_tokens_in_es256_are_refused: 4,
    changed_zone_tokens_in_eddsa_are_refused: 5,
    changed_user_tokens_in_rs256_are_refused: 6,
    changed_user_tokens_in_es256_are_refused: 7,
    changed_user_tokens_in_eddsa_are_refused: 8,
}
