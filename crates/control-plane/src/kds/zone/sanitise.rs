//! Blanks what is secret in Envoy's configuration before it leaves the zone (contract: kds 8.5). Pure.
//!
//! Keys, passwords and tokens are replaced by the word that Envoy itself uses; everything else keeps its value and its
//! place. Certificates are public and stay. What is no JSON could hide anything, so it is refused.

use bytes::Bytes;
use serde_json::{Map, Value};
use thiserror::Error;

/// What Envoy writes in the place of a secret text.
const BLANK: &str = "[redacted]";
/// The same in the place of bytes, which are base64 in JSON.
const BLANK_BYTES: &str = "W3JlZGFjdGVkXQ==";

/// Members whose data are secret, also those of the objects and lists in them.
const SECRET_MEMBERS: [&str; 8] = [
    "private_key",
    "password",
    "session_ticket_keys",
    "generic_secret",
    "token_secret",
    "hmac_secret",
    "pkcs12",
    "token",
];
/// A text is secret if the name of its member ends with one of these words, however the words are joined.
const SECRET_WORDS: [&str; 6] = ["token", "password", "passphrase", "secret", "credential", "credentials"];
/// Texts that are secret although their names do not say so: the key file of a service account.
const SECRET_TEXTS: [&str; 2] = ["json_key", "private_key"];
/// Headers and gRPC metadata that prove who is calling.
const SECRET_HEADERS: [&str; 2] = ["authorization", "proxy-authorization"];

/// What came is no JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the proxy's configuration is no JSON and cannot be cleaned of secrets")]
pub(super) struct NotJson;

/// Whether data stand in a member that is secret.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Open,
    Secret,
}

/// Returns a configuration without secrets; the very bytes that came if there are none in it.
pub(super) fn sanitise(config: &Bytes) -> Result<Bytes, NotJson> {
    if config.is_empty() {
        return Ok(config.clone());
    }
    let mut value: Value = serde_json::from_slice(config).map_err(|_broken| NotJson)?;
    let mut blanked = 0;
    walk(&mut value, Place::Open, &mut blanked);
    if blanked == 0 {
        return Ok(config.clone());
    }
    serde_json::to_vec(&value).map(Bytes::from).map_err(|_broken| NotJson)
}

fn walk(value: &mut Value, place: Place, blanked: &mut usize) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| match (place, item) {
            (Place::Secret, Value::String(text)) => blank(text, BLANK, blanked),
            (_, item) => walk(item, place, blanked),
        }),
        Value::Object(members) => object(members, place, blanked),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn object(members: &mut Map<String, Value>, place: Place, blanked: &mut usize) {
    let proves = members.get("key").and_then(Value::as_str).is_some_and(is_secret_header);
    for (name, member) in members.iter_mut() {
        match member {
            Value::String(text) => match name.as_str() {
                "inline_string" if place == Place::Secret => blank(text, BLANK, blanked),
                "inline_bytes" if place == Place::Secret => blank(text, BLANK_BYTES, blanked),
                "value" if proves => blank(text, BLANK, blanked),
                "raw_value" if proves => blank(text, BLANK_BYTES, blanked),
                name if is_secret_text(name) => blank(text, BLANK, blanked),
                _ => {}
            },
            member => {
                let secret = place == Place::Secret || SECRET_MEMBERS.contains(&name.as_str());
                walk(member, if secret { Place::Secret } else { Place::Open }, blanked);
            }
        }
    }
}

fn is_secret_header(name: &str) -> bool {
    SECRET_HEADERS.iter().any(|secret| name.eq_ignore_ascii_case(secret))
}

/// Whether the last word of a name is one for secrets: `access_token`, `dataplaneToken`, `kuma.token`.
fn is_secret_text(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    let at_word = |word: &str| {
        let Some(before) = lower.strip_suffix(word) else { return false };
        let joined_by_case = name.as_bytes().get(before.len()).is_some_and(u8::is_ascii_uppercase);
        joined_by_case || !before.ends_with(|last: char| last.is_ascii_alphanumeric())
    };
    SECRET_TEXTS.contains(&name) || SECRET_WORDS.iter().any(|word| at_word(word))
}

fn blank(text: &mut String, with: &str, blanked: &mut usize) {
    if !text.is_empty() && text != with {
        with.clone_into(text);
        *blanked += 1;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn clean(config: &Value) -> Value {
        let cleaned = sanitise(&Bytes::from(config.to_string())).unwrap();
        serde_json::from_slice(&cleaned).unwrap()
    }

    #[test]
    fn what_is_secret_is_blanked_and_the_rest_stays() {
        for (member, expected) in [
            (json!({"private_key": {"inline_string": "k"}}), json!({"private_key": {"inline_string": "[redacted]"}})),
            (
                json!({"private_key": {"inline_bytes": "aw=="}}),
                json!({"private_key": {"inline_bytes": "W3JlZGFjdGVkXQ=="}}),
            ),
            (json!({"password": {"inline_string": "p"}}), json!({"password": {"inline_string": "[redacted]"}})),
            (
                json!({"session_ticket_keys": {"keys": [{"inline_bytes": "aw=="}, {"filename": "/k"}]}}),
                json!({"session_ticket_keys": {"keys": [{"inline_bytes": "W3JlZGFjdGVkXQ=="}, {"filename": "/k"}]}}),
            ),
            (
                json!({"generic_secret": {"secret": {"inline_string": "s"}}}),
                json!({"generic_secret": {"secret": {"inline_string": "[redacted]"}}}),
            ),
            (
                json!({"initial_metadata": [{"key": "Authorization", "value": "t"}, {"key": "a", "value": "b"}]}),
                json!({"initial_metadata": [{"key": "Authorization", "value": "[redacted]"}, {"key": "a", "value": "b"}]}),
            ),
            (
                json!({"google_grpc": {"call_credentials": [{"access_token": "t"}, {"service_account_jwt_access": {"json_key": "k", "token_lifetime_seconds": "9"}}]}}),
                json!({"google_grpc": {"call_credentials": [{"access_token": "[redacted]"}, {"service_account_jwt_access": {"json_key": "[redacted]", "token_lifetime_seconds": "9"}}]}}),
            ),
            (
                json!({"metadata": {"dataplaneToken": "t", "kuma.token": "t"}}),
                json!({"metadata": {"dataplaneToken": "[redacted]", "kuma.token": "[redacted]"}}),
            ),
            (json!({"token": ["a", {"b": 1}]}), json!({"token": ["[redacted]", {"b": 1}]})),
        ] {
            let around =
                |member: Value| json!({"configs": [{"@type": "x", "deep": [[member]], "port": 80, "on": true}]});
            assert_eq!(clean(&around(member)), around(expected));
        }
    }

    #[test]
    fn what_is_public_keeps_its_very_bytes() {
        let config = Bytes::from_static(
            br#"{
 "configs": [
  {"name": "identity_cert:secret:default", "secret": {"tls_certificate": {"certificate_chain": {"inline_bytes": "LS0t"},
   "private_key": {"inline_bytes": "W3JlZGFjdGVkXQ=="}}}, "validation_context": {"trusted_ca": {"inline_string": "PEM"}},
   "token_bucket": {"max_tokens": 10, "fill": 1.50}, "broken": "a token", "secretary": "x", "untoken": "y",
   "private_key": {"filename": "/etc/key.pem"}, "hosts": [{"key": "host", "value": "v"}], "empty_token": ""}
 ]
}"#,
        );
        assert_eq!(sanitise(&config), Ok(config));
        assert_eq!(sanitise(&Bytes::new()), Ok(Bytes::new()));
    }

    #[test]
    fn members_keep_their_order() {
        let cleaned =
            sanitise(&Bytes::from_static(br#"{"z": 1, "password": "p", "a": [2.5, "18446744073709551615"]}"#));
        assert_eq!(cleaned.unwrap(), br#"{"z":1,"password":"[redacted]","a":[2.5,"18446744073709551615"]}"#[..]);
    }

    #[test]
    fn what_is_no_json_is_refused() {
        for text in ["private_key: abc", "{", "<html>", "{} {}"] {
            assert_eq!(sanitise(&Bytes::from(text.to_owned())), Err(NotJson), "{text}");
        }
        let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
        assert_eq!(sanitise(&Bytes::from(deep)), Err(NotJson), "deeper than anything that Envoy says");
    }
}
