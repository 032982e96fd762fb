//! A resource by its identifier (contract: rest 1.4).

use axum::response::Response;
use model::{Key, Kind, Resource, Scope, document, kri, kri::Kri, labels};
use store::{Query, Stored};
use sync::hashed_name;

use super::{
    Call, audience, config_of_zones,
    items::{self, Format},
    k8s,
};
use crate::rest::{answer, error::ApiError};

/// `GET /_kri/{kri}`
pub(super) async fn get(call: &Call<'_>, text: &str) -> Result<Response, ApiError> {
    let kri = kri::parse(text)?;
    call.permit.read(kri.kind)?;
    let format = items::format(call)?;
    let zone = call.handles.writes.rules().side.zone();
    let stored = find(call, &kri, zone).await?.ok_or(ApiError::NotFound { title: items::TITLE })?;
    let audience = audience(call);
    let namespace = call.parameters.first("namespace").unwrap_or_default();
    let shown = match format {
        Format::Universal => document::to_rest(&stored.resource, zone, audience),
        Format::Kubernetes => k8s::object(&stored.resource, namespace, audience),
    };
    Ok(answer::resource(&config_of_zones::hide_in(call, kri.kind, shown)))
}

/// Finds the resource that has an identifier: by the name under which it should be stored, and else by its labels, as
/// what came from zones of 2.x has names of another form. What has another identifier is not it, whatever its name.
async fn find(call: &Call<'_>, wanted: &Kri, zone: Option<&str>) -> Result<Option<Stored>, ApiError> {
    let name = stored_name(wanted, zone);
    let key = Key::of(wanted.kind, &wanted.mesh, name);
    let stored = call.get(&key, items::TITLE).await?;
    if let Some(stored) = stored.filter(|stored| has(&stored.resource, wanted)) {
        return Ok(Some(stored));
    }
    let mut query = Query::all(wanted.kind);
    query.mesh = (wanted.kind.scope == Scope::Mesh).then(|| wanted.mesh.clone());
    query.labels = [(labels::ZONE, &wanted.zone), (labels::NAMESPACE, &wanted.namespace)]
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(key, value)| (key.to_owned(), value.clone()))
        .collect();
    let all = call.list(&query, items::TITLE).await?;
    match all.items.into_iter().find(|stored| has(&stored.resource, wanted)) {
        // A list leaves out what one asked for by name is refused.
        Some(found) => call.get(&found.resource.key, items::TITLE).await,
        None => Ok(None),
    }
}

/// Returns whether an identifier is that of a resource; the section names a part of it.
fn has(resource: &Resource, wanted: &Kri) -> bool {
    let key = &resource.key;
    let own = kri::of(key.kind, &key.mesh, &resource.labels, &key.name).and_then(|own| kri::parse(&own).ok());
    own.is_some_and(|own| own == Kri { section: String::new(), ..wanted.clone() })
}

/// What was made here has its own name, what was synced has a name with a hash.
fn stored_name(kri: &Kri, zone: Option<&str>) -> String {
    let here = kri.zone == zone.unwrap_or_default();
    if here || !kri.kind.hashed || kri.kind == Kind::ZONE {
        return kri.name.clone();
    }
    let some = |text: &'_ str| (!text.is_empty()).then_some(text.to_owned());
    hashed_name(&kri.mesh, &kri.name, some(&kri.zone).as_deref(), some(&kri.namespace).as_deref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_made_here_keeps_its_name() {
        let check = |kri: &str, zone: Option<&str>, expected: &str| {
            assert_eq!(stored_name(&kri::parse(kri).expect("kri"), zone), expected, "{kri}");
        };
        check("kri_mt_default___t1_", None, "t1");
        check("kri_dp_default_zone-1__dp-1_", None, "dp-1-dff6z597w47d46xx");
        check("kri_mt_default_zone-1__l2_", Some("zone-1"), "l2");
        check("kri_mt_default___gt_", Some("zone-1"), "gt-b52844xx59vcfd4z");
        check("kri_m____default_", Some("zone-1"), "default");
    }
}
