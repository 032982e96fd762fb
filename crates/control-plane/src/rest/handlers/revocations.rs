//! Revocations as requests and answers. What they do is in `revoking`.

use axum::response::Response;
use http::StatusCode;
use jiff::Timestamp;
use model::{ZoneName, document::Violation};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokens::{Family, Revoked};

use super::Call;
use crate::{
    records::revocation::Revocation,
    rest::{
        answer,
        error::{ApiError, REVOCATION},
    },
    revoking::{NoOrder, Note, Order, Which},
};

/// `POST /tokens/revocations`
pub(super) async fn revoke(call: &Call<'_>) -> Result<Response, ApiError> {
    let done = call.handles.revoker.revoke(&call.permit, order(&call.body)?).await?;
    let mut shown = shown(&done.revocation);
    shown.insert("affected".to_owned(), done.affected.into());
    shown.insert("inLedger".to_owned(), done.in_ledger.into());
    shown.insert("notes".to_owned(), texts(&done.notes));
    Ok(answer::json(StatusCode::OK, &Value::Object(shown)))
}

/// `GET /tokens/revocations`
pub(super) async fn list(call: &Call<'_>) -> Result<Response, ApiError> {
    let (readable, unreadable) = call.handles.revoker.all(&call.permit).await?;
    let mut items: Vec<Value> = readable.iter().map(|revocation| Value::Object(shown(revocation))).collect();
    let damaged = |name: String| {
        let id = name.rsplit('.').next().unwrap_or_default().to_owned();
        json!({"id": id, "what": format!("what the record {name:?} says cannot be read"), "unreadable": true})
    };
    items.extend(unreadable.into_iter().map(damaged));
    Ok(answer::list(items.len(), &items, None))
}

/// `DELETE /tokens/revocations/{id}`
pub(super) async fn take_back(call: &Call<'_>, id: &str) -> Result<Response, ApiError> {
    let notes = call.handles.revoker.take_back(&call.permit, id).await?;
    Ok(answer::json(StatusCode::OK, &json!({"notes": texts(&notes)})))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Request {
    family: String,
    mesh: Option<String>,
    id: Option<String>,
    zone: Option<String>,
    key: Option<u64>,
    issued_before: Option<String>,
    reason: Option<String>,
}

const ONE_OF: &str = "say which tokens with exactly one of id, zone, key and issuedBefore";

fn order(body: &[u8]) -> Result<Order, ApiError> {
    let request: Request =
        serde_json::from_slice(body).map_err(|problem| ApiError::BadRequest { text: problem.to_string() })?;
    let family = Family::of_word(&request.family, request.mesh.as_deref()).map_err(|none| {
        let is_of_mesh = !matches!(none, tokens::NoFamily::Unknown { .. });
        wrong(if is_of_mesh { "mesh" } else { "family" }, none.to_string())
    })?;
    let which = match (request.id, request.zone, request.key, request.issued_before) {
        (Some(id), None, None, None) => Which::Id(id),
        (None, Some(zone), None, None) => {
            Which::Zone(ZoneName::parse(&zone).map_err(|problem| wrong("zone", problem.to_string()))?)
        }
        (None, None, Some(serial), None) => Which::Key(serial),
        (None, None, None, Some(time)) => Which::IssuedBefore(time.parse::<Timestamp>().map_err(|_no_time| {
            wrong("issuedBefore", format!("{time:?} is no time with its zone, as in 2026-11-28T12:00:00Z"))
        })?),
        _ => return Err(ApiError::BadRequest { text: ONE_OF.to_owned() }),
    };
    Order::new(family, which, request.reason).map_err(|none| {
        let field = match &none {
            NoOrder::NoId { .. } => "id",
            NoOrder::OfNoZone { .. } => "zone",
            NoOrder::LongReason => "reason",
        };
        wrong(field, none.to_string())
    })
}

fn wrong(field: &str, reason: String) -> ApiError {
    ApiError::Invalid { title: REVOCATION, violations: vec![Violation::new(field, reason)] }
}

fn texts(notes: &[Note]) -> Value {
    notes.iter().map(ToString::to_string).collect()
}

/// A revocation as it is shown; `id` is its own, and `token` that of the token.
fn shown(revocation: &Revocation) -> Map<String, Value> {
    let rule = &revocation.rule;
    let mut shown = Map::new();
    let mut put = |name: &str, value: Value| drop(shown.insert(name.to_owned(), value));
    let time = |time: Option<Timestamp>| time.map_or(Value::Null, |time| time.to_string().into());
    put("id", revocation.id.to_string().into());
    put("family", rule.family.token_word().into());
    if let Some(mesh) = rule.family.mesh() {
        put("mesh", mesh.into());
    }
    match &rule.what {
        Revoked::Id(id) => put("token", id.as_str().into()),
        Revoked::Zone(zone) => put("zone", zone.as_str().into()),
        Revoked::Key(serial) => put("key", (*serial).into()),
        Revoked::All => {}
    }
    if !matches!(rule.what, Revoked::Id(_)) {
        put("issuedBefore", time(rule.before));
    }
    put("what", revocation.to_string().into());
    put("reason", revocation.reason.clone().into());
    put("by", revocation.by.as_str().into());
    put("at", time(Some(revocation.at)));
    put("until", time(revocation.until));
    shown
}
