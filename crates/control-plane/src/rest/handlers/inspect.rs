//! What belongs to a proxy, a service or a policy (contract: rest 1.15).
//!
//! This control plane federates: it makes no configuration for proxies. Routes that need the rules of policies say so
//! when the proxy is there, and answer as the peer does when it is not.

use axum::response::Response;
use http::StatusCode;
use model::{Key, Kind, ProxyView, Resource, document::Violation, labels, proto};
use serde_json::{Value, json};
use store::{Query, Stored};

use super::Call;
use crate::{
    rest::{
        AdminRequest, answer,
        error::ApiError,
        routes::{Matched, ProxyPage, SelectedShape},
    },
    writes::Side,
};

/// `…/dataplanes/{name}/…`
pub(super) async fn proxy(call: &Call<'_>, matched: &Matched<'_>, page: ProxyPage) -> Result<Response, ApiError> {
    let title = match page {
        ProxyPage::Rules | ProxyPage::Policies => "Could not retrieve Dataplane",
        ProxyPage::Layout => "Failed to retrieve Dataplane",
        ProxyPage::Legacy => "Could not get MatchedPolicies",
        ProxyPage::Config if call.handles.writes.rules().side == Side::Global => return Err(ApiError::NotOnGlobal),
        ProxyPage::Config => "Could not retrieve Dataplane",
        ProxyPage::Admin => return admin(call, matched).await,
    };
    find(call, matched, Kind::DATAPLANE, title).await?;
    Err(ApiError::NotImplemented { what: "matching policies to proxies" })
}

/// `xds`, `stats`, `clusters`: asked of the zone that runs the proxy.
async fn admin(call: &Call<'_>, matched: &Matched<'_>) -> Result<Response, ApiError> {
    let flag = |name: &str| call.parameters.first(name).is_some_and(|value| value == "true");
    let json = call.parameters.first("format") == Some("json");
    let view = ProxyView::by_path(matched.parameter("operation"));
    let view = view.ok_or(ApiError::NotFound { title: "Could not execute admin operation" })?;
    let request = match view {
        ProxyView::ConfigDump => AdminRequest { view, json: true, with_endpoints: flag("include_eds") },
        ProxyView::Stats | ProxyView::Clusters => AdminRequest { view, json, with_endpoints: false },
    };
    call.permit.view(request.view)?;
    let found = find(call, matched, Kind::DATAPLANE, "Could not get dataplane resource").await?;
    let media_type = if request.json { "application/json" } else { "text/plain" };
    // Zones of 2.x wrote their name into those of their proxies (contract: kds 8.5).
    let by_name = || found.resource.key.name.split_once('.').map_or("", |(zone, _)| zone);
    let zone = found.resource.labels.get(labels::ZONE).map_or_else(by_name, String::as_str);
    let said = call.look_into(zone, &found.resource, request).await?;
    Ok(answer::with_type(StatusCode::OK, media_type, said))
}

/// The proxies that a policy selects.
pub(super) async fn selected(
    call: &Call<'_>,
    matched: &Matched<'_>,
    kind: Kind,
    shape: SelectedShape,
) -> Result<Response, ApiError> {
    let policy = find(call, matched, kind, "Could not retrieve policy").await?;
    if !kind.policy.is_some_and(|policy| policy.target_ref) {
        return Err(ApiError::NotImplemented { what: "matching gateways and policies of 2.x to proxies" });
    }
    let spec: Value = serde_json::from_slice(&policy.resource.spec).unwrap_or_default();
    let target = spec.get("targetRef").cloned().unwrap_or_default();
    let proxies = proxies(call, matched.mesh()).await?;
    let proxies = proxies.iter().filter(|proxy| selects(&target, &proxy.resource));
    match shape {
        SelectedShape::Metas => {
            let metas = proxies.map(|proxy| meta(&proxy.resource)).collect();
            metas_page(call, metas)
        }
        SelectedShape::Legacy => {
            let items: Vec<Value> = proxies
                .map(|proxy| {
                    let key = &proxy.resource.key;
                    json!({
                        "kind": "SidecarDataplane",
                        "dataplane": {"mesh": key.mesh, "name": key.name},
                        "attachments": [{"type": "dataplane"}],
                    })
                })
                .collect();
            Ok(answer::json(StatusCode::OK, &json!({"total": items.len(), "items": items})))
        }
    }
}

/// Returns whether the `targetRef` at the top of a policy takes a proxy.
fn selects(target: &Value, proxy: &Resource) -> bool {
    let text = |name: &str| target.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    match text("kind") {
        None | Some("Mesh") => true,
        Some("Dataplane") => {
            let display = proxy.labels.get(labels::DISPLAY_NAME).unwrap_or(&proxy.key.name);
            text("name").is_none_or(|name| name == display.as_str() || name == proxy.key.name)
                && has_labels(proxy, target.get("labels"))
        }
        Some(_) => false,
    }
}

fn has_labels(proxy: &Resource, wanted: Option<&Value>) -> bool {
    let wanted = wanted.and_then(Value::as_object).into_iter().flatten();
    let mut wanted = wanted.map(|(key, value)| (key, value.as_str().unwrap_or_default()));
    wanted.all(|(key, value)| proxy.labels.get(key).is_some_and(|label| label == value))
}

/// The proxies behind a service.
pub(super) async fn behind(call: &Call<'_>, matched: &Matched<'_>, kind: Kind) -> Result<Response, ApiError> {
    let service = find(call, matched, kind, "Could not retrieve a resource").await?;
    let spec: Value = serde_json::from_slice(&service.resource.spec).unwrap_or_default();
    let selector = spec.get("selector").cloned().unwrap_or_default();
    let proxies = proxies(call, matched.mesh()).await?;
    let metas = proxies.iter().filter(|proxy| is_behind(&selector, &proxy.resource));
    metas_page(call, metas.map(|proxy| meta(&proxy.resource)).collect())
}

fn is_behind(selector: &Value, proxy: &Resource) -> bool {
    if let Some(labels) = selector.get("dataplaneLabels") {
        return has_labels(proxy, labels.get("matchLabels"));
    }
    if let Some(name) = selector.get("dataplaneRef").and_then(|reference| reference.get("name")).and_then(Value::as_str)
    {
        return proxy.labels.get(labels::DISPLAY_NAME).unwrap_or(&proxy.key.name) == name;
    }
    let Some(tags) = selector.get("dataplaneTags").and_then(Value::as_object) else { return false };
    let spec = proto::spec_to_json(Kind::DATAPLANE, &proxy.spec).unwrap_or_default();
    let inbounds = spec.get("networking").and_then(|networking| networking.get("inbound")).and_then(Value::as_array);
    let has_all = |inbound: &Value| {
        let own = inbound.get("tags");
        tags.iter().all(|(key, value)| own.and_then(|own| own.get(key)) == Some(value))
    };
    inbounds.is_some_and(|inbounds| inbounds.iter().any(has_all))
}

const SERVICES: [&str; 3] = ["meshservices", "meshexternalservices", "meshmultizoneservices"];

/// The host names of a service.
pub(super) async fn hostnames(call: &Call<'_>, matched: &Matched<'_>) -> Result<Response, ApiError> {
    let plural = matched.parameter("plural");
    let kind = Kind::by_path(plural).filter(|_| SERVICES.contains(&plural));
    let Some(kind) = kind else {
        let title = "only \"meshservices,meshexternalservices,meshmultizoneservices\" are available for inspection";
        return Err(ApiError::Invalid { title, violations: Vec::<Violation>::new() });
    };
    find(call, matched, kind, "could not retrieve service").await?;
    Err(ApiError::NotImplemented { what: "generating host names" })
}

async fn find(call: &Call<'_>, matched: &Matched<'_>, kind: Kind, title: &'static str) -> Result<Stored, ApiError> {
    call.mesh_exists(matched.mesh()).await?;
    let key = Key::of(kind, matched.mesh(), matched.name());
    call.get(&key, title).await?.ok_or(ApiError::NotFound { title })
}

async fn proxies(call: &Call<'_>, mesh: &str) -> Result<Vec<Stored>, ApiError> {
    let query = Query::in_mesh(Kind::DATAPLANE, mesh);
    Ok(call.list(&query, "Could not retrieve Dataplane").await?.items)
}

fn meta(resource: &Resource) -> Value {
    let key = &resource.key;
    json!({"labels": resource.labels, "mesh": key.mesh, "name": key.name, "type": key.kind.name})
}

fn metas_page(call: &Call<'_>, metas: Vec<Value>) -> Result<Response, ApiError> {
    let (total, items, next) = super::lists::cut(call, metas)?;
    let page = match next {
        Some(next) => json!({"items": items, "next": next, "total": total}),
        None => json!({"items": items, "total": total}),
    };
    Ok(answer::json(StatusCode::OK, &page))
}
