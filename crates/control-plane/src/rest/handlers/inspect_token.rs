//! `POST /tokens/inspect`: what a token says, and whether it would be accepted here.
//!
//! The body is the token, so it is taken over TLS or from this machine alone. Nothing of its signature is answered.

use axum::response::Response;
use http::StatusCode;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};
use tokens::{Decoded, Inspected, Verdict};

use super::Call;
use crate::{
    access::Transport,
    ledger::Known,
    rest::{answer, error::ApiError},
};

const IN_THE_CLEAR: &str = "a token is looked at over TLS, or from the machine of the control plane, and not in the clear \
                            over a network: use the https address of the control plane (port 5682), or decode the token \
                            with `kumactl inspect token --offline`. If it was sent from elsewhere, take it for stolen: \
                            revoke it, or rotate its key";

/// Answers with the verdict.
pub(super) fn inspect(call: &Call<'_>) -> Result<Response, ApiError> {
    call.permit.inspect()?;
    let is_private = call.remote.transport == Transport::Https || call.remote.address.ip().to_canonical().is_loopback();
    if !is_private {
        return Err(ApiError::BadRequest { text: IN_THE_CLEAR.to_owned() });
    }
    let raw = String::from_utf8_lossy(&call.body);
    // As zones may send it.
    let raw = raw.trim();
    let Inspected { decoded, verdict } = call.inspected(tokens::bearer(&[raw]).unwrap_or(raw))?;
    let known = call.known_token(&decoded);
    let (holder, refusal) = match &verdict {
        Verdict::Accepted { holder, .. } => (Some(holder.to_string()), None),
        Verdict::Refused(why) => (None, Some(why)),
    };
    let reason = refusal.map(tokens::NotTaken::reason);
    // Whoever reads the secrets that sign may know what the ledger says; others hear what the token itself says.
    let entry = call.ledger().ok().and(known.as_ref());
    let shown = Shown {
        accepted: refusal.is_none(),
        holder,
        reason,
        why: refusal.map(ToString::to_string),
        id: &decoded.id,
        header: &decoded.header,
        claims: &decoded.claims,
        issued_at: said(entry.map(|known| known.entry.issued_at).or(decoded.issued_at)),
        expires_at: said(decoded.expires_at),
        revoked: reason == Some("revoked"),
        in_ledger: known.is_some(),
        by: entry.map(|known| known.entry.by.as_str()),
        how: entry.map(|known| known.entry.how.as_str()),
    };
    // What is in it was read from JSON.
    Ok(answer::json(StatusCode::OK, &serde_json::to_value(shown).unwrap_or_default()))
}

fn said(time: Option<Timestamp>) -> Option<String> {
    time.map(|time| time.to_string())
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown<'a> {
    accepted: bool,
    #[serde(rename = "as")]
    holder: Option<String>,
    reason: Option<&'static str>,
    why: Option<String>,
    id: &'a str,
    header: &'a Map<String, Value>,
    claims: &'a Map<String, Value>,
    issued_at: Option<String>,
    expires_at: Option<String>,
    revoked: bool,
    in_ledger: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    how: Option<&'a str>,
}

impl Call<'_> {
    /// What the ledger knows of a token that looks like this.
    fn known_token(&self, decoded: &Decoded) -> Option<Known> {
        decoded.families().iter().find_map(|family| self.in_ledger(family, &decoded.id))
    }
}
