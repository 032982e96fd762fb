//! Issuing tokens (contract: rest 1.14; decisions 4 to 6).
//!
//! Stricter than the peer: a zone must be a name, a scope one of three, a validity longer than nothing. What is
//! logged of a token is its id and its key, never the token.

use std::{collections::BTreeMap, time::Duration};

use axum::response::Response;
use http::StatusCode;
use jiff::SignedDuration;
use model::{ZoneName, document::Violation, duration};
use serde::{Deserialize, de::DeserializeOwned};
use tokens::{Claims, IssueError, Scope, Token};
use tracing::info;
use uuid::Uuid;

use super::Call;
use crate::{
    access::TokenKind,
    observe::shown,
    rest::{answer, api::issues, error::ApiError},
};

const TITLE: &str = "Invalid request";
/// How long tokens of proxies and zones are good if the request does not say.
const TEN_YEARS: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// `POST /tokens/…`
pub(super) async fn issue(call: &Call<'_>, kind: TokenKind) -> Result<Response, ApiError> {
    let token = match kind {
        TokenKind::Dataplane => dataplane(call),
        TokenKind::Zone => zone(call),
        TokenKind::ControlPlane => control_plane(call),
        TokenKind::User => user(call),
    };
    let (token, what) = token?;
    let (kid, expires) = (token.key().to_string(), token.expires_at());
    let expires = expires.map_or_else(|| "never".to_owned(), |expires| expires.to_string());
    let id = token.id().unwrap_or("none");
    let caller = call.permit.caller().to_string();
    info!(
        caller = %shown::name(&caller), token = ?kind, zone = what.zone, scope = what.scope,
        name = &*shown::name(&what.name), token_id = id, key = kid, expires, "token issued"
    );
    Ok(answer::with_type(StatusCode::OK, "text/plain", token.reveal().to_owned()))
}

/// The zone that the body of a request names, if it is one.
pub(crate) fn zone_named(body: &[u8]) -> String {
    read::<ZoneRequest>(body).ok().and_then(|request| request.zone).unwrap_or_default()
}

/// Whom a token is for.
#[derive(Default)]
struct Subject {
    zone: String,
    scope: String,
    name: String,
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

fn dataplane(call: &Call<'_>) -> Result<(Token, Subject), ApiError> {
    let ring = call.keys_to_issue(TokenKind::Dataplane, "")?;
    enabled(call, TokenKind::Dataplane)?;
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
    let (name, tags, workload) =
        (request.name.unwrap_or_default(), tags.collect(), request.workload.unwrap_or_default());
    let claims =
        Claims::Dataplane { name: &name, mesh: &mesh, tags: &tags, proxy_type: &proxy_type, workload: &workload };
    let token = tokens::issue(&ring, &claims, valid_for, call.handles.clock.now(), Uuid::new_v4());
    Ok((token.map_err(no_token)?, Subject { name, ..Subject::default() }))
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ZoneRequest {
    zone: Option<String>,
    scope: Option<Vec<String>>,
    valid_for: Option<String>,
}

fn zone(call: &Call<'_>) -> Result<(Token, Subject), ApiError> {
    let request: Result<ZoneRequest, ApiError> = read(&call.body);
    let named = request.as_ref().ok().and_then(|request| request.zone.as_deref()).unwrap_or_default();
    let ring = call.keys_to_issue(TokenKind::Zone, named)?;
    enabled(call, TokenKind::Zone)?;
    let request = request?;
    let mut wrong = Vec::new();
    let zone = zone_name(request.zone.as_deref(), &mut wrong);
    let scope = request.scope.map(|scope| scopes(&scope, &mut wrong));
    let valid_for = validity(request.valid_for.as_deref(), &mut wrong).unwrap_or(TEN_YEARS);
    refuse(wrong)?;
    // With this scope it lets a control plane in, as a control plane token does.
    if scope.iter().flatten().any(|scope| *scope == Scope::Cp) {
        enabled(call, TokenKind::ControlPlane)?;
    }
    let zone = zone.ok_or(ApiError::Unreadable)?;
    let now = call.handles.clock.now();
    let token = tokens::issue_zone(&ring, &zone, scope.as_deref(), valid_for, now, Uuid::new_v4());
    let scope = scope.unwrap_or_default().into_iter().map(Scope::as_str).collect::<Vec<_>>().join(",");
    Ok((token.map_err(no_token)?, Subject { zone: zone.to_string(), scope, ..Subject::default() }))
}

fn control_plane(call: &Call<'_>) -> Result<(Token, Subject), ApiError> {
    let request: Result<ZoneRequest, ApiError> = read(&call.body);
    let named = request.as_ref().ok().and_then(|request| request.zone.as_deref()).unwrap_or_default();
    let ring = call.keys_to_issue(TokenKind::ControlPlane, named)?;
    enabled(call, TokenKind::ControlPlane)?;
    let request = request?;
    let mut wrong = Vec::new();
    let zone = zone_name(request.zone.as_deref(), &mut wrong);
    let valid_for = validity(request.valid_for.as_deref(), &mut wrong);
    refuse(wrong)?;
    let zone = zone.ok_or(ApiError::Unreadable)?;
    let token = tokens::issue_control_plane(&ring, &zone, valid_for, call.handles.clock.now(), Uuid::new_v4());
    let subject = Subject { zone: zone.to_string(), scope: "cp".to_owned(), ..Subject::default() };
    Ok((token.map_err(no_token)?, subject))
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct UserRequest {
    name: Option<String>,
    groups: Option<Vec<String>>,
    valid_for: Option<String>,
}

fn user(call: &Call<'_>) -> Result<(Token, Subject), ApiError> {
    let ring = call.keys_to_issue(TokenKind::User, "")?;
    enabled(call, TokenKind::User)?;
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
    let now = call.handles.clock.now();
    let token = tokens::issue_user(&ring, &name, request.groups.as_deref(), valid_for, now, Uuid::new_v4());
    Ok((token.map_err(no_token)?, Subject { name, ..Subject::default() }))
}

fn enabled(call: &Call<'_>, kind: TokenKind) -> Result<(), ApiError> {
    if issues(&call.handles.settings, kind) { Ok(()) } else { Err(ApiError::IssuerOff) }
}

/// Reads a request; `null` is an empty one.
fn read<T: DeserializeOwned + Default>(body: &[u8]) -> Result<T, ApiError> {
    let read: Option<T> = serde_json::from_slice(body).map_err(|_no_request| ApiError::Unreadable)?;
    Ok(read.unwrap_or_default())
}

fn refuse(violations: Vec<Violation>) -> Result<(), ApiError> {
    if violations.is_empty() { Ok(()) } else { Err(ApiError::Invalid { title: TITLE, violations }) }
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
        Ok(given) if given >= SignedDuration::from_secs(1) => match Duration::try_from(given) {
            Ok(given) => return Some(given),
            Err(_) => "must be positive".to_owned(),
        },
        Ok(_) => "must be at least one second".to_owned(),
        Err(error) => format!("is invalid: {error}"),
    };
    wrong.push(Violation::new("validFor", reason));
    None
}

/// A validity that ends beyond all calendars is the caller's fault; a missing or broken key is not.
fn no_token(error: IssueError) -> ApiError {
    match error {
        IssueError::BadValidity { .. } | IssueError::NoName | IssueError::TooLong => {
            let violations = vec![Violation::new("validFor", error.to_string())];
            ApiError::Invalid { title: TITLE, violations }
        }
        _ => ApiError::Issue(error),
    }
}
