//! What claims of all families have in common: times, ids, lists.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};

/// `exp`, `nbf` and `jti` of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Registered {
    pub(crate) expires: Option<Timestamp>,
    pub(crate) not_before: Option<Timestamp>,
    pub(crate) id: Option<String>,
}

/// Why the registered claims say no.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Untimely {
    Expired,
    NotYet,
}

impl Registered {
    /// Reads the claims; a claim of the wrong type is an error and not an absent claim.
    pub(crate) fn read(claims: &Map<String, Value>) -> Result<Self, String> {
        let id = match claims.get("jti") {
            None | Some(Value::Null) => None,
            Some(Value::String(id)) => Some(id.clone()),
            Some(_) => return Err("jti is no text".to_owned()),
        };
        Ok(Self { expires: time(claims, "exp")?, not_before: time(claims, "nbf")?, id })
    }

    /// Checks the times: good until `exp` + leeway, from `nbf` - leeway on.
    pub(crate) fn timely(&self, now: Timestamp, leeway: Duration) -> Result<(), Untimely> {
        if self.expires.is_some_and(|expires| is_expired(expires, now, leeway)) {
            return Err(Untimely::Expired);
        }
        let soon = now.saturating_add(signed(leeway)).unwrap_or(Timestamp::MAX);
        if self.not_before.is_some_and(|from| from > soon) {
            return Err(Untimely::NotYet);
        }
        Ok(())
    }
}

/// One rule for admission and for closing, so that no zone loops between them.
pub(crate) fn is_expired(expires: Timestamp, now: Timestamp, leeway: Duration) -> bool {
    now >= expires.saturating_add(signed(leeway)).unwrap_or(Timestamp::MAX)
}

fn signed(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}

/// A NumericDate (RFC 7519 section 2): seconds, whole or not.
fn time(claims: &Map<String, Value>, name: &str) -> Result<Option<Timestamp>, String> {
    let odd = || format!("{name} is no time");
    match claims.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Number(number)) => {
            let seconds = number.as_i64().or_else(|| number.as_f64().map(|seconds| seconds.trunc() as i64)).ok_or_else(odd)?;
            Timestamp::from_second(seconds).map(Some).map_err(|_out_of_range| odd())
        }
        Some(_) => Err(odd()),
    }
}

/// A text claim.
pub(crate) fn text<'a>(claims: &'a Map<String, Value>, name: &str) -> Result<&'a str, String> {
    claims.get(name).and_then(Value::as_str).ok_or_else(|| format!("{name} is missing or no text"))
}

/// A list of texts; absent and `null` are an empty list.
pub(crate) fn texts(claims: &Map<String, Value>, name: &str) -> Result<Vec<String>, String> {
    let odd = || format!("{name} is no list of texts");
    match claims.get(name) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(items)) => {
            items.iter().map(|item| item.as_str().map(str::to_owned).ok_or_else(odd)).collect()
        }
        Some(_) => Err(odd()),
    }
}
