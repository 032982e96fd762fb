//! Resources with what is known of their connections: `_overview` (contract: rest 1.7).

use axum::response::Response;
use model::{Audience, Key, Kind, Resource, document, document::Violation};
use serde_json::{Map, Value};

use super::{
    Call, audience, config_of_zones,
    items::{self, Format},
    lists,
};
use crate::rest::{answer, error::ApiError, query, routes::Matched};

/// `GET` of a list with insights.
pub(super) async fn list(call: &Call<'_>, matched: &Matched<'_>, kind: Kind) -> Result<Response, ApiError> {
    let (page, next) = lists::page(call, matched, kind).await?;
    let mut items = Vec::with_capacity(page.items.len());
    for stored in &page.items {
        let insight = insight(call, &stored.resource, query::TITLE).await?;
        items.push(overview(&stored.resource, insight, audience(call)));
    }
    Ok(answer::list(page.total, &items, next))
}

/// `GET` of one resource with its insight; without one the member is there, and empty.
pub(super) async fn get(call: &Call<'_>, matched: &Matched<'_>, kind: Kind) -> Result<Response, ApiError> {
    if items::format(call)? == Format::Kubernetes {
        let reason = "an overview has the format \"universal\" only";
        return Err(ApiError::Invalid { title: items::TITLE, violations: vec![Violation::new("format", reason)] });
    }
    call.mesh_exists(matched.mesh()).await?;
    let stored = call.get(&Key::of(kind, matched.mesh(), matched.name()), items::TITLE).await?;
    let stored = stored.ok_or(ApiError::NotFound { title: items::TITLE })?;
    let insight = insight(call, &stored.resource, items::TITLE).await?.unwrap_or_default();
    Ok(answer::resource(&overview(&stored.resource, Some(insight), audience(call))))
}

async fn insight(
    call: &Call<'_>,
    resource: &Resource,
    title: &'static str,
) -> Result<Option<Map<String, Value>>, ApiError> {
    let Some(kind) = Kind::by_name(&format!("{}Insight", resource.key.kind.name)) else { return Ok(None) };
    let key = Key::of(kind, &resource.key.mesh, &resource.key.name);
    let stored = call.get(&key, title).await?;
    Ok(stored.map(|stored| {
        let mut insight = split(document::to_rest(&stored.resource, None, audience(call))).1;
        config_of_zones::hide(call, kind, &mut insight);
        insight
    }))
}

fn overview(resource: &Resource, insight: Option<Map<String, Value>>, audience: Audience) -> Value {
    let kind = resource.key.kind;
    let (meta, spec) = split(document::to_rest(resource, None, audience));
    let mut shown = meta;
    shown.insert("type".to_owned(), Value::from(format!("{kind}Overview")));
    let member = lower_first(kind.name);
    if let Some(insight) = insight {
        shown.insert(member.clone(), Value::Object(spec));
        shown.insert(format!("{member}Insight"), Value::Object(insight));
    } else {
        shown.insert(member, Value::Object(spec));
    }
    Value::Object(shown)
}

/// Splits what is shown into the members that are no spec and those that are.
fn split(shown: Value) -> (Map<String, Value>, Map<String, Value>) {
    let Value::Object(shown) = shown else { return Default::default() };
    shown.into_iter().partition(|(name, _)| document::META.contains(&name.as_str()))
}

/// `ZoneIngress` as a member: `zoneIngress`.
fn lower_first(name: &str) -> String {
    let mut chars = name.chars();
    chars.next().map_or_else(String::new, |first| first.to_ascii_lowercase().to_string() + chars.as_str())
}
