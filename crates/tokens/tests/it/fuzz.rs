//! Fuzz targets of everything that a token, a key or a list of revoked ids can be.

use std::str;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use testkit::fuzz::{Form, Inputs};
use tokens::{KeyRing, Scope, SecretEntry};

use crate::fixture::*;

/// Tokens that let zone `west` in.
fn good(ring: &KeyRing) -> [String; 2] {
    let tokens = [
        tokens::issue_control_plane(ring, &west(), Some(HOUR), now(), jti()),
        tokens::issue_zone(ring, &west(), Some(&[Scope::Cp]), HOUR, now(), jti()),
    ];
    tokens.map(|token| token.unwrap().reveal().to_owned())
}

#[test]
fn any_text_is_a_token_that_was_issued_or_none() {
    let ring = ring(&usual());
    let good = good(&ring);
    let user = tokens::issue_user(&ring, "admin", None, HOUR, now(), jti()).unwrap().reveal().to_owned();
    let mut made = vec![user.clone(), forge(RS256, &payload(""), &By::Nothing), forge("{}", "{}", &By::Hmac(b"x"))];
    made.push(forge(HS256, &payload(r#","TokenSerialNumber":1"#), &By::Hmac(pem(0).as_bytes())));
    let forged = made.clone();
    made.extend(good.clone());
    testkit::fuzz!(Inputs::new(Form::Text).made(made).words(["Bearer ", ".", "=", "e30"]).runs(30_000), |input| {
        let Ok(text) = str::from_utf8(input) else { return };
        let issued = |text: &str| good.iter().chain(&forged[3..]).any(|token| token == text);
        if verify(text, &ring).is_ok() {
            assert!(issued(text), "{text}");
        }
        if tokens::verify_user(text, &ring, now(), LEEWAY).is_ok() {
            assert_eq!(text, user);
        }
        let values: Vec<&str> = text.split('\n').collect();
        if let Ok(token) = tokens::bearer(&values) {
            assert!(values.len() == 1 && !token.is_empty() && text.ends_with(token));
        }
    });
}

#[test]
fn any_claims_with_a_good_signature_say_what_they_must() {
    let ring = ring(&usual());
    let made = [
        payload(""),
        payload(r#","jti":"a","nbf":0,"iat":1"#),
        payload(r#","Zone":"east""#),
        payload(r#","\u005aone":"east""#),
        payload(r#","Zone":"west""#),
        payload(r#","x":[{"a":1,"\u0061":2}]"#),
        r#"{"Zone":"west","Scope":null,"exp":1e99}"#.to_owned(),
        r#"{"Zone":"west","Scope":["cp","ingress"],"exp":-1}"#.to_owned(),
        "[]".to_owned(),
    ];
    let words = ["Zone", "Scope", "exp", "nbf", "jti", "cp", "west", "TokenSerialNumber", "\\u0063p", "1795478834"];
    testkit::fuzz!(Inputs::new(Form::Text).made(made).words(words).runs(2_000), |input| {
        let Ok(claims) = str::from_utf8(input) else { return };
        let Ok(verified) = verify(&forge(RS256, claims, &By::Rs256(pem(1))), &ring) else { return };
        assert_eq!(verified.zone(), &west());
        let members: serde_json::Map<_, _> = serde_json::from_str(claims).expect("claims are an object");
        assert_eq!(members["Zone"], "west");
        assert!(members["Scope"].as_array().unwrap().iter().any(|scope| scope == "cp"));
        assert!(members["exp"].as_f64().unwrap() > NOW as f64 - 30.0, "it has not expired");
        assert!(members.get("nbf").and_then(serde_json::Value::as_f64).is_none_or(|start| start <= NOW as f64 + 30.0));
        let Names(mut names) = serde_json::from_str(claims).unwrap();
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count, "a member stands twice: {claims}");
    });
}

#[test]
fn any_list_of_revoked_ids_revokes_what_stands_in_it() {
    let usual = usual();
    let without = ring(&usual);
    let [_, token] = good(&without);
    let id = jti().to_string();
    let made = [id.clone(), format!("a,{id}\r\nb"), format!(" {id} ,"), format!("\u{feff}{id}"), "x y".to_owned()];
    testkit::fuzz!(Inputs::new(Form::Text).made(made).words([",", "\n", " ", &id]).runs(4_000), |list| {
        let mut entries: Vec<SecretEntry<'_>> =
            usual.iter().map(|(name, data)| SecretEntry { mesh: "", name, data: Some(data.as_bytes()) }).collect();
        entries.push(SecretEntry { mesh: "", name: "zone-token-revocations", data: Some(list) });
        let (ring, problems) = KeyRing::build(1, &entries);
        let verdict = verify(&token, &ring).map_err(|rejection| rejection.reason());
        let stands_in_it = |text: &str| {
            text.trim_start_matches('\u{feff}').split(|c: char| c == ',' || c.is_whitespace()).any(|entry| entry == id)
        };
        match str::from_utf8(list) {
            Ok(text) if problems.is_empty() && stands_in_it(text) => assert!(verdict.is_err(), "{text:?}"),
            Ok(text) if problems.is_empty() && !text.to_ascii_lowercase().contains(&id) => {
                assert!(verdict.is_ok(), "{text:?}")
            }
            Ok(_) => {}
            Err(_) => assert_eq!(problems.len(), 1, "what is no text is no list"),
        }
        // A list that cannot be read accepts nothing of its family, and nothing else is touched.
        assert!(problems.is_empty() || verdict.is_err());
        assert!(good(&without).first().is_some_and(|other| verify(other, &ring).is_ok()));
    });
}

#[test]
fn any_secret_is_a_key_or_a_problem() {
    let names = ["control-plane-signing-key-0001", "zone-token-signing-key-2", "zone-token-signing-public-key-3"];
    let public = tokens::public_half(pem(1).as_bytes()).unwrap();
    let mut made: Vec<String> =
        names.iter().flat_map(|name| [format!("{name}\n{}", pem(1)), format!("{name}\n{public}")]).collect();
    made.push("user-token-signing-key\nx".to_owned());
    made.push("dataplane-token-signing-key-default-1\n0123456789abcdef0123456789abcdef".to_owned());
    let words =
        ["-1", "-0", "-18446744073709551616", "-99999", "-----BEGIN RSA PRIVATE KEY-----", "zone-token-revocations"];
    testkit::fuzz!(Inputs::new(Form::Text).made(made).words(words).runs(2_500), |input| {
        let end = input.iter().position(|byte| *byte == b'\n').unwrap_or(input.len());
        let (name, data) = input.split_at(end);
        let (Ok(name), data) = (str::from_utf8(name), data.get(1..).unwrap_or_default()) else { return };
        for mesh in ["", "default"] {
            let (ring, problems) = KeyRing::build(1, &[SecretEntry { mesh, name, data: Some(data) }]);
            assert!(problems.len() <= 1);
            for problem in &problems {
                assert!(!problem.to_string().is_empty());
            }
            // What somebody writes as a list is looked at more closely than what is stored.
            let (checked, is_list) = (tokens::check_key(mesh, name, data).is_ok(), name.contains("-revocations"));
            assert!(checked == problems.is_empty() || (!checked && is_list), "{mesh}/{name}");
            assert!(verify(&forge(HS256, &payload(""), &By::Hmac(data)), &ring).is_err(), "it names no serial");
        }
        if let Ok(half) = tokens::public_half(data) {
            assert!(!half.contains("PRIVATE"));
        }
    });
}

/// The names of the members of an object, also those that stand twice.
struct Names(Vec<String>);

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Read).map(Self)
    }
}

struct Read;

impl<'de> Visitor<'de> for Read {
    type Value = Vec<String>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Vec<String>, A::Error> {
        let mut names = Vec::new();
        while let Some((name, IgnoredAny)) = members.next_entry::<String, IgnoredAny>()? {
            names.push(name);
        }
        Ok(names)
    }
}
