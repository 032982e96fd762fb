//! Lists of resources (contract: rest 1.6).

use axum::response::Response;
use model::{Kind, Resource, Scope, document, document::Violation, proto};
use serde_json::{Map, Value};
use store::{Page, Query, Stored};

use super::{Call, audience, config_of_zones, signing_keys};
use crate::rest::{
    answer,
    error::ApiError,
    query::{Parameters, TITLE},
    routes::Matched,
};

/// `GET` of a list.
pub(super) async fn list(call: &Call<'_>, matched: &Matched<'_>, kind: Kind) -> Result<Response, ApiError> {
    let (page, next) = page(call, matched, kind).await?;
    let zone = call.handles.writes.rules().side.zone();
    let audience = audience(call);
    let shown = |stored: &Stored| {
        signing_keys::said(call, &stored.resource, document::to_rest(&stored.resource, zone, audience))
    };
    let items = page.items.iter().map(|stored| config_of_zones::hide_in(call, kind, shown(stored)));
    let items: Vec<Value> = items.collect();
    Ok(answer::list(page.total, &items, next))
}

/// Returns one page of what a caller may see, and the link to the next.
pub(super) async fn page(
    call: &Call<'_>,
    matched: &Matched<'_>,
    kind: Kind,
) -> Result<(Page, Option<String>), ApiError> {
    let parameters = &call.parameters;
    let size = parameters.size()?;
    let labels = parameters.label_filters(&matched.route.template)?;
    let proxies = ProxyFilter::of(kind, parameters, &matched.route.template)?;
    let mesh = Some(matched.mesh()).filter(|mesh| kind.scope == Scope::Mesh && !mesh.is_empty());
    call.mesh_exists(mesh.unwrap_or_default()).await?;
    let offset = parameters.offset(size)?;
    let mut query = Query {
        mesh: mesh.map(str::to_owned),
        name_contains: parameters.first("name").filter(|name| !name.is_empty()).map(str::to_owned),
        labels,
        offset,
        limit: Some(size),
        ..Query::all(kind)
    };
    let page = match proxies {
        None => call.list(&query, TITLE).await?,
        Some(filter) => {
            (query.offset, query.limit) = (0, None);
            let all = call.list(&query, TITLE).await?;
            let kept: Vec<Stored> = all.items.into_iter().filter(|stored| filter.keeps(&stored.resource)).collect();
            Page { total: kept.len(), items: kept.into_iter().skip(offset).take(size).collect() }
        }
    };
    let after = offset.saturating_add(size);
    let next = (after < page.total).then(|| parameters.link(&call.origin, call.path, after));
    Ok((page, next))
}

/// Returns one page of something that is not stored.
pub(super) fn cut(call: &Call<'_>, items: Vec<Value>) -> Result<(usize, Vec<Value>, Option<String>), ApiError> {
    let size = call.parameters.size()?;
    let offset = call.parameters.offset(size)?;
    let wanted = call.parameters.first("name").unwrap_or_default();
    let named = |item: &Value| item.get("name").and_then(Value::as_str).is_some_and(|name| name.contains(wanted));
    let items: Vec<Value> = items.into_iter().filter(named).collect();
    let (total, after) = (items.len(), offset.saturating_add(size));
    let next = (after < total).then(|| call.parameters.link(&call.origin, call.path, after));
    Ok((total, items.into_iter().skip(offset).take(size).collect(), next))
}

/// What only lists of proxies can be filtered by.
struct ProxyFilter {
    tags: Vec<(String, String)>,
    gateway: Option<Gateway>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Gateway {
    Any,
    None,
    Delegated,
}

impl ProxyFilter {
    fn of(kind: Kind, parameters: &Parameters, template: &str) -> Result<Option<Self>, ApiError> {
        if kind != Kind::DATAPLANE {
            return Ok(None);
        }
        let tags = parameters.all("tag").filter_map(|tag| tag.split_once(':'));
        let tags: Vec<_> = tags.map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        let text = parameters.first("gateway").unwrap_or_default();
        let gateway = match text.to_ascii_lowercase().as_str() {
            "" => None,
            "true" => Some(Gateway::Any),
            "false" => Some(Gateway::None),
            "delegated" => Some(Gateway::Delegated),
            _ => {
                let reason = format!("should use `true`, `false` or `delegated` instead of {text}");
                let violations = vec![Violation::new(format!("{template}.gateway"), reason)];
                return Err(ApiError::Invalid { title: TITLE, violations });
            }
        };
        Ok((!tags.is_empty() || gateway.is_some()).then_some(Self { tags, gateway }))
    }

    fn keeps(&self, proxy: &Resource) -> bool {
        let spec = proto::spec_to_json(Kind::DATAPLANE, &proxy.spec).unwrap_or_default();
        self.gateway.is_none_or(|wanted| gateway_of(&spec, wanted))
            && self.tags.iter().all(|(key, value)| {
                let label = proxy.labels.get(key).into_iter().map(String::as_str);
                label.chain(tag_values(&spec, key)).any(|found| found.contains(value))
            })
    }
}

fn networking(spec: &Map<String, Value>) -> Option<&Value> {
    spec.get("networking")
}

fn gateway_of(spec: &Map<String, Value>, wanted: Gateway) -> bool {
    let gateway = networking(spec).and_then(|networking| networking.get("gateway")).filter(|found| !found.is_null());
    let builtin = gateway.is_some_and(|gateway| gateway.get("type").and_then(Value::as_str) == Some("BUILTIN"));
    match wanted {
        Gateway::Any => gateway.is_some(),
        Gateway::None => gateway.is_none(),
        Gateway::Delegated => gateway.is_some() && !builtin,
    }
}

fn tag_values<'a>(spec: &'a Map<String, Value>, key: &'a str) -> impl Iterator<Item = &'a str> {
    let networking = networking(spec);
    let inbounds = networking.and_then(|networking| networking.get("inbound")).and_then(Value::as_array);
    let gateway = networking.and_then(|networking| networking.get("gateway"));
    let places = inbounds.into_iter().flatten().chain(gateway);
    places.filter_map(move |place| place.get("tags")?.get(key)?.as_str())
}
