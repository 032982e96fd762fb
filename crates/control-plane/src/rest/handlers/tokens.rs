//! Orders of tokens as requests (contract: rest 1.14; decisions 4 to 6). They are filled in `issuing`.
//!
//! Stricter than the peer: a zone must be a name, a scope one of three, a validity longer than nothing.

use std::{collections::BTreeMap, time::Duration};

use axum::response::Response;
use http::StatusCode;
use model::{
    ZoneName,
    document::Violation,
    duration::{self, TEN_YEARS},
};
use serde::{Deserialize, de::DeserializeOwned};
use tokens::Scope;

use super::Call;
use crate::{
    access::TokenKind,
    issuing::Order,
    rest::{
        answer,
        error::{ApiError, TOKEN_REQUEST},
    },
};

/// `POST /tokens/…`
pub(super) async fn issue(call: &Call<'_>, kind: TokenKind) -> Result<Response, ApiError> {
    let order = match kind {
        TokenKind::Dataplane => dataplane(call),
        TokenKind::Zone => zone(call),
        TokenKind::ControlPlane => control_plane(call),
        TokenKind::User => user(call),
    };
    let token = call.handles.issuer.issue(&call.permit, &order?).await?;
    Ok(answer::with_type(StatusCode::OK, "text/plain", token.reveal().to_owned()))
}

/// The zone that the body of a request names, if it is one.
pub(crate) fn zone_named(body: &[u8]) -> String {
    read::<ZoneRequest>(body).ok().and_then(|request| request.zone).unwrap_or_default()
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct DataplaneRequest {
    name: Option<String>,
    mesh: Option<String>,
    tags: Option<BTreeMap<String, Option<Vec<String>>>>,
    #[serde(rename = "type")]
    proxy_type: Option<String>,
    workload: Option<String>,
    valid_for: Option<String>,
}

fn dataplane(call: &Call<'_>) -> Result<Order, ApiError> {
    may_issue(call, TokenKind::Dataplane, "")?;
    let request: DataplaneRequest = read(&call.body)?;
    let mut wrong = Vec::new();
    let mesh = request.mesh.unwrap_or_default();
    if mesh.is_empty() {
        wrong.push(Violation::new("mesh", "cannot be empty"));
    }
    let proxy_type = request.proxy_type.unwrap_or_default();
    if !matches!(proxy_type.as_str(), "" | "dataplane") {
        wrong.push(Violation::new("type", format!("{proxy_type} is not a valid proxy type")));
    }
    let valid_for = validity(request.valid_for.as_deref(), &mut wrong).unwrap_or(TEN_YEARS);
    refuse(wrong)?;
    let sorted = |values: Option<Vec<String>>| {
        let mut values = values.unwrap_or_default();
        values.sort();
        values
    };
    let tags = request.tags.unwrap_or_default().into_iter().map(|(key, values)| (key, sorted(values)));
    Ok(Order::Dataplane {
        mesh,
        name: request.name.unwrap_or_default(),
        tags: tags.collect(),
        proxy_type,
        workload: request.workload.unwrap_or_default(),
        valid_for,
    })
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ZoneRequest {
    zone: Option<String>,
    scope: Option<Vec<String>>,
    valid_for: Option<String>,
}

fn zone(call: &Call<'_>) -> Result<Order, ApiError> {
    let request: Result<ZoneRequest, ApiError> = read(&call.body);
    let named = request.as_ref().ok().and_then(|request| request.zone.as_deref()).unwrap_or_default();
    may_issue(call, TokenKind::Zone, named)?;
    let request = request?;
    let mut wrong = Vec::new();
    let zone = zone_name(request.zone.as_deref(), &mut wrong);
    let scope = request.scope.map(|scope| scopes(&scope, &mut wrong));
    let valid_for = validity(request.valid_for.as_deref(), &mut wrong).unwrap_or(TEN_YEARS);
    refuse(wrong)?;
    let zone = zone.ok_or(ApiError::Unreadable)?;
    Ok(Order::Zone { zone, scope, valid_for })
}

fn control_plane(call: &Call<'_>) -> Result<Order, ApiError> {
    let request: Result<ZoneRequest, ApiError> = read(&call.body);
    let named = request.as_ref().ok().and_then(|request| request.zone.as_deref()).unwrap_or_default();
    may_issue(call, TokenKind::ControlPlane, named)?;
    let request = request?;
    let mut wrong = Vec::new();
    let zone = zone_name(request.zone.as_deref(), &mut wrong);
    let valid_for = validity(request.valid_for.as_deref(), &mut wrong);
    refuse(wrong)?;
    let zone = zone.ok_or(ApiError::Unreadable)?;
    Ok(Order::ControlPlane { zone, valid_for })
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct UserRequest {
    name: Option<String>,
    groups: Option<Vec<String>>,
    valid_for: Option<String>,
}

fn user(call: &Call<'_>) -> Result<Order, ApiError> {
    may_issue(call, TokenKind::User, "")?;
    let request: UserRequest = read(&call.body)?;
    let mut wrong = Vec::new();
    let name = request.name.unwrap_or_default();
    if name.is_empty() {
        wrong.push(Violation::new("name", "cannot be empty"));
    }
    let text = request.valid_for.unwrap_or_default();
    let valid_for = if text.is_empty() {
        wrong.push(Violation::new("validFor", "cannot be empty"));
        None
    } else {
        match duration::parse(&text) {
            Ok(given) if given.is_zero() => {
                wrong.push(Violation::new("validFor", "cannot be empty or nil"));
                None
            }
            Ok(_) => validity(Some(&text), &mut wrong),
            Err(_) => {
                let found = validity(Some(&text), &mut wrong);
                wrong.push(Violation::new("validFor", "cannot be empty or nil"));
                found
            }
        }
    };
    refuse(wrong)?;
    let valid_for = valid_for.ok_or(ApiError::Unreadable)?;
    Ok(Order::User { name, groups: request.groups, valid_for })
}

/// Asks before the request is looked at: who may not have a token is not told what is wrong with it.
fn may_issue(call: &Call<'_>, kind: TokenKind, zone: &str) -> Result<(), ApiError> {
    Ok(call.handles.issuer.may_issue(&call.permit, kind, zone)?)
}

/// Reads a request; `null` is an empty one.
fn read<T: DeserializeOwned + Default>(body: &[u8]) -> Result<T, ApiError> {
    let read: Option<T> = serde_json::from_slice(body).map_err(|_no_request| ApiError::Unreadable)?;
    Ok(read.unwrap_or_default())
}

fn refuse(violations: Vec<Violation>) -> Result<(), ApiError> {
    if violations.is_empty() { Ok(()) } else { Err(ApiError::Invalid { title: TOKEN_REQUEST, violations }) }
}

fn zone_name(zone: Option<&str>, wrong: &mut Vec<Violation>) -> Option<ZoneName> {
    match ZoneName::parse(zone.unwrap_or_default()) {
        Ok(zone) => Some(zone),
        Err(error) => {
            wrong.push(Violation::new("zone", error.to_string()));
            None
        }
    }
}

fn scopes(names: &[String], wrong: &mut Vec<Violation>) -> Vec<Scope> {
    let mut scopes = Vec::new();
    for name in names {
        match name.parse::<Scope>() {
            Ok(scope) => scopes.push(scope),
            Err(_unknown) => {
                let all = Scope::ALL.map(Scope::as_str).join(", ");
                wrong.push(Violation::new("scope", format!("{name:?} is not one of: {all}")));
            }
        }
    }
    scopes
}

/// Reads a validity. Less than a second would be over before anybody could use the token.
fn validity(text: Option<&str>, wrong: &mut Vec<Violation>) -> Option<Duration> {
    let text = text.filter(|text| !text.is_empty())?;
    let reason = match duration::parse(text) {
        Ok(given) => match tokens::validity(given) {
            Ok(given) => return Some(given),
            Err(_too_short) => "must be at least one second".to_owned(),
        },
        Err(error) => format!("is invalid: {error}"),
    };
    wrong.push(Violation::new("validFor", reason));
    None
}
