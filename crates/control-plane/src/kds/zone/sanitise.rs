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

/// Members whose data are secret although their names do not end with one of the words.
const SECRET_MEMBERS: [&str; 3] = ["private_key", "session_ticket_keys", "pkcs12"];
/// A text, and the data in an object or list, are secret if the name of the member ends with one of these words, however
/// the words are joined.
const SECRET_WORDS: [&str; 6] = ["token", "password", "passphrase", "secret", "credential", "credentials"];
/// Words that say the same of objects and lists only: the text `max_tokens` is a number.
const SECRET_PLURALS: [&str; 3] = ["tokens", "passwords", "secrets"];
/// Texts that are secret although their names do not say so: the key file of a service account, a cloud's key.
const SECRET_TEXTS: [&str; 4] = ["json_key", "private_key", "secret_access_key", "api_key"];
/// What is public also in a member that is secret, such as the lists of secrets of a configuration dump: certificates,
/// how peers are verified, and where secrets come from. Keys in it are blanked by their own names.
const PUBLIC_MEMBERS: [&str; 8] = [
    "tls_certificate",
    "certificate_chain",
    "validation_context",
    "trusted_ca",
    "ocsp_staple",
    "root_certs",
    "cert_chain",
    "sds_config",
];
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
    /// Directly in a member named `credentials`, where API keys stand in a member named `key`.
    Credentials,
}

impl Place {
    /// Where the data of an object or a list stand whose member has this name.
    fn of_member(self, name: &str, member: &Value) -> Self {
        if PUBLIC_MEMBERS.contains(&name) {
            return Self::Open;
        }
        if name == "credentials" {
            return Self::Credentials;
        }
        // The user list of basic authentication has the hashes of passwords.
        let secret = SECRET_MEMBERS.contains(&name)
            || SECRET_WORDS.iter().chain(&SECRET_PLURALS).any(|word| ends_with_word(name, word))
            || (name == "users" && member.is_object());
        if secret || self != Self::Open { Self::Secret } else { Self::Open }
    }
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
            (Place::Secret | Place::Credentials, Value::String(text)) => blank(text, BLANK, blanked),
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
                "inline_string" if place != Place::Open => blank(text, BLANK, blanked),
                "inline_bytes" if place != Place::Open => blank(text, BLANK_BYTES, blanked),
                "key" if place == Place::Credentials => blank(text, BLANK, blanked),
                "value" if proves => blank(text, BLANK, blanked),
                "raw_value" if proves => blank(text, BLANK_BYTES, blanked),
                name if is_secret_text(name) => blank(text, BLANK, blanked),
                _ => {}
            },
            member => {
                let place = place.of_member(name, member);
                walk(member, place, blanked);
            }
        }
    }
}

fn is_secret_header(name: &str) -> bool {
    SECRET_HEADERS.iter().any(|secret| name.eq_ignore_ascii_case(secret))
}

fn is_secret_text(name: &str) -> bool {
    SECRET_TEXTS.contains(&name) || SECRET_WORDS.iter().any(|word| ends_with_word(name, word))
}

/// Whether this is the last word of a name: `access_token`, `dataplaneToken`, `kuma.token`.
fn ends_with_word(name: &str, word: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    let Some(before) = lower.strip_suffix(word) else { return false };
    let joined_by_case = name.as_bytes().get(before.len()).is_some_and(u8::is_ascii_uppercase);
    joined_by_case || !before.ends_with(|last: char| last.is_ascii_alphanumeric())
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
    fn objects_and_lists_are_secret_by_the_last_word_of_their_name() {
        let data = || json!({"inline_string": "s", "filename": "/f"});
        let blank = || json!({"inline_string": "[redacted]", "filename": "/f"});
        for name in [
            "auth_password",
            "client_secret",
            "accessToken",
            "hmac_secret",
            "token_secret",
            "session_ticket_keys",
            "pkcs12",
            "downstream_auth_passwords",
            "tokens",
            "users",
        ] {
            assert_eq!(clean(&json!({name: data()})), json!({name: blank()}), "{name}");
        }
        for name in ["downstream_auth_passwords", "bearer_tokens", "secrets"] {
            let expected = json!({name: [blank(), "[redacted]"]});
            assert_eq!(clean(&json!({name: [data(), "s"]})), expected, "{name}");
        }
        for name in ["token_bucket", "secret_name", "password_file_path", "mytokens", "local_jwks"] {
            assert_eq!(clean(&json!({name: data()})), json!({name: data()}), "{name}");
        }
        let bytes = json!({"users": {"inline_bytes": "aw=="}});
        assert_eq!(clean(&bytes), json!({"users": {"inline_bytes": "W3JlZGFjdGVkXQ=="}}));
    }

    #[test]
    fn keys_of_apis_and_clouds_are_blanked() {
        let config = json!({
            "api": {"credentials": [{"key": "k", "client": "one"}], "key_sources": [{"header": "x-api-key"}]},
            "cloud": {"inline_credential": {"access_key_id": "id", "secret_access_key": "k", "session_token": "t"}},
            "oauth": {"credentials": {"client_id": "id", "token_secret": {"name": "n", "sds_config": {"clusters": ["c"]}}}},
            "metadata": [{"key": "k", "value": "v"}], "secret_name": "n", "token_type": "t", "max_tokens": "10",
        });
        let expected = json!({
            "api": {"credentials": [{"key": "[redacted]", "client": "one"}], "key_sources": [{"header": "x-api-key"}]},
            "cloud": {"inline_credential": {"access_key_id": "id", "secret_access_key": "[redacted]", "session_token": "[redacted]"}},
            "oauth": {"credentials": {"client_id": "id", "token_secret": {"name": "n", "sds_config": {"clusters": ["c"]}}}},
            "metadata": [{"key": "k", "value": "v"}], "secret_name": "n", "token_type": "t", "max_tokens": "10",
        });
        assert_eq!(clean(&config), expected);
    }

    #[test]
    fn certificates_stay_readable_among_secrets() {
        let certificate = |key: &str| json!({"certificate_chain": {"inline_string": "PEM"}, "private_key": {"inline_string": key}, "password": {"inline_string": key}});
        let context = json!({"trusted_ca": {"inline_string": "PEM"}, "verify_certificate_hash": ["h"]});
        let dump = |key: &str| {
            json!({
                "static_secrets": [{"name": "a", "secret": {"@type": "t", "name": "a", "tls_certificate": certificate(key)}}],
                "dynamic_active_secrets": [{"name": "b", "secret": {"name": "b", "validation_context": context}}],
                "dynamic_warming_secrets": [{"secret": {"name": "c", "generic_secret": {"secrets": {"x": {"inline_string": key}}}}}],
                "channel_credentials": {"ssl_credentials": {"root_certs": {"inline_string": "PEM"},
                    "cert_chain": {"inline_string": "PEM"}, "private_key": {"inline_string": key}}},
            })
        };
        assert_eq!(clean(&dump("k")), dump("[redacted]"));
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
