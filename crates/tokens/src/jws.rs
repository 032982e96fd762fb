//! The compact form of a signed token (RFC 7515): taken apart, checked for shape, and put together.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value};

use crate::{Rejection, strict_json};

/// The longest token that is looked at.
pub(crate) const LONGEST: usize = 8 * 1024;
const LONGEST_KID: usize = 64;
const LONGEST_ALGORITHM: usize = 16;

/// A token taken apart. Nothing in it is proven.
pub(crate) struct Unverified<'a> {
    pub(crate) algorithm: String,
    pub(crate) kid: Option<String>,
    pub(crate) claims: Map<String, Value>,
    /// What the signature is over.
    pub(crate) signed: &'a [u8],
    pub(crate) signature: Vec<u8>,
}

/// What stands in a token, whether anybody would take it or not.
pub(crate) struct Parts<'a> {
    pub(crate) header: Map<String, Value>,
    pub(crate) claims: Map<String, Value>,
    signed: &'a [u8],
    signature: Vec<u8>,
}

/// Takes a token apart, or says what is wrong with its shape.
pub(crate) fn parse(raw: &str) -> Result<Unverified<'_>, Rejection> {
    let Parts { header, claims, signed, signature } = parts(raw)?;
    // RFC 7515, 4.1.11: what must be understood and is not makes the token invalid; nothing is understood here.
    if header.contains_key("crit") {
        return Err(malformed("could not parse token: token is malformed: crit header is not supported"));
    }
    Ok(Unverified { kid: kid(&header)?, algorithm: algorithm(&header)?, claims, signed, signature })
}

/// Reads what stands in a token.
pub(crate) fn parts(raw: &str) -> Result<Parts<'_>, Rejection> {
    if raw.is_empty() {
        return Err(Rejection::Missing);
    }
    if raw.len() > LONGEST {
        return Err(malformed("could not parse token: token is malformed: token is longer than 8 KiB"));
    }
    let mut segments = raw.split('.');
    let (Some(header), Some(payload), Some(signature), None) =
        (segments.next(), segments.next(), segments.next(), segments.next())
    else {
        let text = "could not parse token: token is malformed: token contains an invalid number of segments";
        return Err(malformed(text));
    };
    let signed = raw.as_bytes().get(..header.len() + 1 + payload.len()).unwrap_or_default();
    let header = strict_json::object(&bytes(header)?).ok_or_else(|| {
        malformed("could not parse token: token is malformed: header is not a JSON object with unique members")
    })?;
    let claims = strict_json::object(&bytes(payload)?).ok_or_else(|| {
        malformed("could not parse token: token is malformed: payload is not a JSON object with unique members")
    })?;
    Ok(Parts { header, claims, signed, signature: bytes(signature)? })
}

fn malformed(text: &'static str) -> Rejection {
    Rejection::Malformed { text }
}

fn bytes(segment: &str) -> Result<Vec<u8>, Rejection> {
    let decoded = URL_SAFE_NO_PAD.decode(segment);
    decoded.ok().ok_or_else(|| malformed("could not parse token: token is malformed: illegal base64url data"))
}

/// Whether a text can be the `kid` of a token: it is text that anyone may have written and that errors repeat, so it is short,
/// and of harmless characters.
pub(crate) fn is_kid(kid: &str) -> bool {
    (1..=LONGEST_KID).contains(&kid.len())
        && kid.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'_' | b'-'))
}

fn kid(header: &Map<String, Value>) -> Result<Option<String>, Rejection> {
    match header.get("kid") {
        None => Ok(None),
        Some(Value::String(kid)) if kid.is_empty() => Err(malformed("JWT token must have kid header")),
        Some(Value::String(kid)) if is_kid(kid) => Ok(Some(kid.clone())),
        Some(Value::String(_)) => {
            Err(malformed("JWT token kid header must be at most 64 letters, digits, dots, dashes and underscores"))
        }
        Some(_) => Err(malformed("JWT token kid header must be a string")),
    }
}

fn algorithm(header: &Map<String, Value>) -> Result<String, Rejection> {
    match header.get("alg").and_then(Value::as_str) {
        Some(name)
            if (1..=LONGEST_ALGORITHM).contains(&name.len())
                && name.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-') =>
        {
            Ok(name.to_owned())
        }
        _ => Err(malformed("could not parse token: token is unverifiable: signing method (alg) is unspecified")),
    }
}

/// Returns header and payload as they are signed.
pub(crate) fn to_sign(header: &str, payload: &str) -> String {
    let mut text = URL_SAFE_NO_PAD.encode(header);
    text.push('.');
    URL_SAFE_NO_PAD.encode_string(payload, &mut text);
    text
}

/// Adds the signature to what was signed.
pub(crate) fn with_signature(mut signed: String, signature: &[u8]) -> String {
    signed.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut signed);
    signed
}
