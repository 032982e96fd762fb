//! Which fields of a document are secret, and how they are shown to those who may not know them.
//!
//! Secrecy goes by field and not by kind: a Mesh is public, and the private key of its CA is not. What is secret is
//! declared once, by the names that fields have in all kinds, because most secrets stand in parts that have no schema
//! (`conf` of a Mesh, extensions, patches of Envoy):
//!
//! * a value that a document carries in itself ([`CARRIERS`]), unless it is that of a certificate ([`PUBLIC`]);
//! * a text under a name that says so ([`SECRETS`]), and whatever stands below such a name but for references;
//! * the value of a header that proves who is calling ([`HEADERS`]);
//! * user and password in an address;
//! * wherever it stands, a private key in PEM, also in base64 or inside of a longer text.
//!
//! A mask that comes back is refused ([`masks`]): it would take the place of the secret.

use serde_json::{Map, Value};

use crate::validate::Violation;

/// For whom a document is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// Who may read secrets.
    Administrator,
    /// Anybody else: secret fields are masked.
    Everybody,
}

/// What stands in the place of a secret, as in configuration dumps.
pub const MASK: &str = "[redacted]";
/// The same where base64 is expected.
const MASK_IN_BASE64: &str = "W3JlZGFjdGVkXQ==";

/// Members that hold a value itself, and not where it is found; lower case, without `_` and `-`, as all names below.
const CARRIERS: [&str; 4] = ["inline", "inlinestring", "inlinebytes", "insecureinline"];
/// What is no secret although a document carries it: certificates.
const PUBLIC: [&str; 8] =
    ["cert", "cacert", "clientcert", "certificate", "certificatechain", "trustedca", "publickey", "pem"];
/// Members that are secret.
const SECRETS: [&str; 29] = [
    "accesskey",
    "accesskeysecret",
    "accesstoken",
    "accountkey",
    "apikey",
    "apitoken",
    "authorization",
    "bearertoken",
    "clientkey",
    "clientsecret",
    "cptokeninline",
    "credential",
    "credentials",
    "hmackey",
    "passphrase",
    "passwd",
    "password",
    "privatekey",
    "pwd",
    "sastoken",
    "secretaccesskey",
    "secretid",
    "secretkey",
    "secretstring",
    "secretvalue",
    "sharedsecret",
    "signingkey",
    "token",
    "tokeninline",
];
/// Members below a secret one that say where the secret is found.
const REFERENCES: [&str; 11] =
    ["envvar", "file", "filename", "kind", "mesh", "name", "namespace", "path", "secret", "secretref", "type"];
/// Headers that prove who is calling.
const HEADERS: [&str; 10] = [
    "apikey",
    "authorization",
    "cookie",
    "proxyauthorization",
    "setcookie",
    "xaccesstoken",
    "xamzsecuritytoken",
    "xapikey",
    "xauthtoken",
    "xvaulttoken",
];
/// What tells that a text which holds a whole configuration holds a secret of it.
const IN_TEXT: [&str; 8] = [
    "private_key",
    "privatekey",
    "password",
    "session_ticket_keys",
    "secret_key",
    "access_key",
    "authorization",
    "bearer ",
];

/// Masks what is secret in a value.
pub(crate) fn mask(value: &mut Value) {
    below("", value);
}

/// Returns the text of an error without what it quotes, if that is a private key or names a user with a password.
pub(crate) fn without_secrets(mut text: String) -> String {
    mask_text(&mut text);
    text
}

/// Returns where in a value a mask stands instead of a secret.
pub(crate) fn masks(value: &Value, path: &str) -> Vec<Violation> {
    let mut found = Vec::new();
    find(value, path, &mut found);
    found
}

/// Masks a value that stands under `holder`; items of a list stand under the name of the list.
fn below(holder: &str, value: &mut Value) {
    match value {
        Value::Object(map) => {
            let proof = is_proof(map);
            for (name, inner) in map.iter_mut() {
                let name = folded(name);
                if CARRIERS.contains(&name.as_str()) && !PUBLIC.contains(&holder) {
                    all(&name, inner);
                } else if SECRETS.contains(&name.as_str()) || (name == "key" && inner.is_object()) {
                    all_but_references(&name, inner);
                } else if inner.is_string() && (HEADERS.contains(&name.as_str()) || (proof && name == "value")) {
                    all(&name, inner);
                } else if CARRIERS.contains(&name.as_str()) {
                    below(holder, inner);
                } else {
                    below(&name, inner);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| below(holder, item)),
        Value::String(text) => mask_text(text),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Masks each text in a value.
fn all(name: &str, value: &mut Value) {
    match value {
        Value::String(text) if is_shown_anyway(text) => {}
        Value::String(text) => {
            let base64 = name == "inline" || name == "inlinebytes";
            *text = if base64 { MASK_IN_BASE64 } else { MASK }.to_owned();
        }
        Value::Array(items) => items.iter_mut().for_each(|item| all(name, item)),
        Value::Object(map) => map.iter_mut().for_each(|(inner_name, inner)| all(&folded(inner_name), inner)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Masks each text in a value but those that say where a secret is found.
fn all_but_references(name: &str, value: &mut Value) {
    match value {
        Value::Object(map) => {
            for (inner_name, inner) in map.iter_mut() {
                let inner_name = folded(inner_name);
                if REFERENCES.contains(&inner_name.as_str()) {
                    below(&inner_name, inner);
                } else {
                    all_but_references(&inner_name, inner);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| all_but_references(name, item)),
        other => all(name, other),
    }
}

/// Whether a text tells nothing: it is empty, or masked by whoever made it.
fn is_shown_anyway(text: &str) -> bool {
    text.bytes().all(|c| c == b'*')
}

/// Whether an object is a header that proves who is calling: it has a `name` and a `value`.
fn is_proof(map: &Map<String, Value>) -> bool {
    let named = |member: &str| map.get(member).and_then(Value::as_str).map(folded);
    ["name", "key"].into_iter().filter_map(named).any(|name| HEADERS.contains(&name.as_str()))
}

fn mask_text(text: &mut String) {
    if holds_private_key(text) {
        *text = MASK.to_owned();
    } else if text.trim_start().starts_with(['{', '[']) || text.contains('\n') {
        mask_configuration(text);
    } else if let Some((start, end)) = user_of(text) {
        text.replace_range(start..end, MASK);
    }
}

/// Masks what is secret in a text that is a document itself: in JSON by field, in anything else as a whole.
fn mask_configuration(text: &mut String) {
    if let Ok(mut inner @ (Value::Object(_) | Value::Array(_))) = serde_json::from_str::<Value>(text) {
        let before = inner.clone();
        mask(&mut inner);
        if inner != before {
            *text = inner.to_string();
        }
        return;
    }
    let lower = text.to_ascii_lowercase();
    if IN_TEXT.iter().any(|word| lower.contains(word)) {
        *text = MASK.to_owned();
    }
}

/// Where user and password stand in an address `scheme://user:password@host`.
fn user_of(text: &str) -> Option<(usize, usize)> {
    let (scheme, rest) = text.split_once("://")?;
    let is_scheme = !scheme.is_empty() && scheme.bytes().all(|c| c.is_ascii_alphanumeric() || b"+-.".contains(&c));
    let authority = rest.split(['/', '?', '#']).next().filter(|_| is_scheme)?;
    let length = authority.rfind('@').filter(|length| *length > 0)?;
    let start = scheme.len() + "://".len();
    Some((start, start + length))
}

fn holds_private_key(text: &str) -> bool {
    const LABEL: &str = "PRIVATE KEY-----";
    /// `-----BEGIN` in base64, as far as it does not depend on what follows.
    const BEGIN: &str = "LS0tLS1CRUdJT";
    text.contains(LABEL)
        || text.match_indices(BEGIN).any(|(at, _)| {
            let encoded = text.get(at..).unwrap_or_default().bytes();
            let encoded = encoded.filter(|c| !c.is_ascii_whitespace());
            // The label is at the start, and a whole number of groups decodes alone.
            let encoded: Vec<u8> =
                encoded.take_while(|c| c.is_ascii_alphanumeric() || b"+/".contains(c)).take(64).collect();
            let groups = encoded.get(..encoded.len() / 4 * 4).unwrap_or_default();
            let decoded = std::str::from_utf8(groups).ok().and_then(|groups| crate::base64::decode(groups).ok());
            decoded.is_none_or(|decoded| String::from_utf8_lossy(&decoded).contains(LABEL))
        })
}

fn find(value: &Value, path: &str, found: &mut Vec<Violation>) {
    const REASON: &str = "is the mask that stands in the place of a secret, and not the secret: send the value itself, \
         or read the resource as an administrator, who is shown it";
    match value {
        Value::Object(map) => {
            for (name, inner) in map {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                find(inner, &path, found);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                find(item, &format!("{path}[{index}]"), found);
            }
        }
        Value::String(text) if is_masked(text) => found.push(Violation::new(path, REASON)),
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn is_masked(text: &str) -> bool {
    let user = || user_of(text).and_then(|(start, end)| text.get(start..end)) == Some(MASK);
    let inside = || text.trim_start().starts_with(['{', '[']) && text.contains(&format!("\"{MASK}\""));
    text == MASK || text == MASK_IN_BASE64 || user() || inside()
}

/// A name in lower case, without `_` and `-`: `inlineString` and `inline_string` are one name.
fn folded(name: &str) -> String {
    name.chars().filter(|c| !matches!(c, '_' | '-')).map(|c| c.to_ascii_lowercase()).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const PEM: &str = "-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----\n";

    #[expect(clippy::needless_pass_by_value, reason = "the cases read better")]
    fn check(value: Value, expected: Value) {
        let mut masked = value.clone();
        mask(&mut masked);
        assert_eq!(masked, expected, "{value}");
        // What is masked is found, and nothing else is.
        assert_eq!(masks(&value, ""), [], "{value}");
        assert_eq!(masks(&masked, "").is_empty(), masked == value, "{masked}");
    }

    fn unchanged(value: Value) {
        check(value.clone(), value);
    }

    #[test]
    fn what_a_document_carries_is_secret_unless_it_is_a_certificate() {
        check(
            json!({"backends": [{"conf": {"cert": {"inline": "AAAA"}, "key": {"inline": "AAAA"}}}]}),
            json!({"backends": [{"conf": {"cert": {"inline": "AAAA"}, "key": {"inline": MASK_IN_BASE64}}}]}),
        );
        check(
            json!({"ca": {"certificate": {"type": "InsecureInline", "insecureInline": {"value": "c"}},
                          "privateKey": {"type": "InsecureInline", "insecureInline": {"value": "k"}}}}),
            json!({"ca": {"certificate": {"type": "InsecureInline", "insecureInline": {"value": "c"}},
                          "privateKey": {"type": "InsecureInline", "insecureInline": {"value": MASK}}}}),
        );
        check(json!({"clientKey": {"inlineString": "k"}}), json!({"clientKey": {"inlineString": MASK}}));
        check(json!({"certificates": [{"inlineString": "both"}]}), json!({"certificates": [{"inlineString": MASK}]}));
        check(json!({"new": {"inline_string": "k"}}), json!({"new": {"inline_string": MASK}}));
    }

    #[test]
    fn references_stay() {
        unchanged(json!({"key": {"secret": "name-of-a-secret"}, "clientKey": {"file": "/tmp/key"}}));
        unchanged(json!({"privateKey": {"type": "Secret", "secretRef": {"kind": "Secret", "name": "x"}}}));
        unchanged(json!({"privateKey": {"type": "EnvVar", "envVar": {"name": "KEY"}}, "tags": {"key": "v"}}));
        unchanged(json!({"key": "x-limit", "value": "10", "password": "", "tokens": 5, "other": "*****"}));
        check(json!({"clientKey": {"other": "k"}}), json!({"clientKey": {"other": MASK}}));
    }

    #[test]
    fn names_tell_what_is_secret() {
        check(
            json!({"auth": {"Token": "t", "secret_key": "k", "awsCredentials": {"accessKeySecret": {"inlineString": "s"}}}}),
            json!({"auth": {"Token": MASK, "secret_key": MASK, "awsCredentials": {"accessKeySecret": {"inlineString": MASK}}}}),
        );
        check(
            json!({"set": [{"name": "Authorization", "value": "Bearer x"}, {"name": "x-team", "value": "a"}]}),
            json!({"set": [{"name": "Authorization", "value": MASK}, {"name": "x-team", "value": "a"}]}),
        );
    }

    #[test]
    fn headers_may_be_a_map() {
        check(
            json!({"headers": {"X-Api-Key": "k", "x-team": "a"}}),
            json!({"headers": {"X-Api-Key": MASK, "x-team": "a"}}),
        );
        unchanged(json!({"cookie": {"name": "session", "ttl": "1h"}}));
    }

    #[test]
    fn private_keys_are_found_wherever_they_stand() {
        let encoded = crate::base64::encode(PEM.as_bytes());
        let certificate = crate::base64::encode(b"-----BEGIN CERTIFICATE-----\nMIIE\n");
        check(json!({"cert": {"inline": encoded}}), json!({"cert": {"inline": MASK}}));
        check(json!({"any": [PEM]}), json!({"any": [MASK]}));
        check(json!({"value": format!("a:\n  inline_bytes: {encoded}\n")}), json!({"value": MASK}));
        check(json!({"value": "tls:\n  private_key:\n    filename: x\n"}), json!({"value": MASK}));
        unchanged(json!({"cert": {"inline": certificate}, "value": "name: a\nport: 80\n"}));
    }

    #[test]
    fn addresses_lose_their_user() {
        let url = |user: &str| json!({"url": format!("https://{user}zipkin.example:9411/api?x=a@b")});
        check(url("me:secret@"), url("[redacted]@"));
        check(url("me@"), url("[redacted]@"));
        unchanged(url(""));
        unchanged(json!({"value": "spiffe://mesh/ns/a@b"}));
    }

    #[test]
    fn a_configuration_in_json_is_masked_by_field() {
        check(
            json!({"config": r#"{"store":{"password":"x","user":"u"}}"#}),
            json!({"config": r#"{"store":{"password":"[redacted]","user":"u"}}"#}),
        );
        unchanged(json!({"config": r#"{ "store": {"password": "*****"} }"#}));
    }

    #[test]
    fn a_mask_is_named_with_its_place() {
        let found = masks(&json!({"mtls": {"backends": [{"conf": {"key": {"inline": MASK_IN_BASE64}}}]}}), "");
        assert_eq!(found.len(), 1);
        assert_eq!(found.first().map(|found| found.field.as_str()), Some("mtls.backends[0].conf.key.inline"));
        unchanged(json!({"format": "%REQ(A)% [redacted] by us"}));
    }
}
