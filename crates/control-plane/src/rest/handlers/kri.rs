//! A resource by its identifier (contract: rest 1.4).

use axum::response::Response;
use model::{Key, Kind, Resource, Scope, document, kri, kri::Kri};
use sync::{hashed_name, origin_zone};

use super::{
    Call,
    items::{self, Format},
    k8s, titled,
};
use crate::{
    access::Caller,
    rest::{answer, error::ApiError},
};

/// `GET /_kri/{kri}`
pub(super) async fn get(call: &Call<'_>, caller: &Caller, text: &str) -> Result<Response, ApiError> {
    let kri = kri::parse(text)?;
    call.handles.access.read(caller, kri.kind)?;
    let format = items::format(call)?;
    let zone = call.handles.resources.rules().side.zone();
    let name = stored_name(&kri, zone);
    let key = match kri.kind.scope {
        Scope::Global => Key::global(kri.kind, name),
        Scope::Mesh => Key::in_mesh(kri.kind, &kri.mesh, name),
    };
    let stored = call.handles.store.get(&key).await.map_err(titled(items::TITLE))?;
    let named = stored.filter(|stored| is_meant(&stored.resource, &kri, zone));
    let stored = named.ok_or(ApiError::NotFound { title: items::TITLE })?;
    Ok(answer::resource(&match format {
        Format::Universal => document::to_rest(&stored.resource, zone),
        Format::Kubernetes => k8s::object(&stored.resource, call.parameters.first("namespace").unwrap_or_default()),
    }))
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

/// Whether a resource is of the zone that the KRI names: on global a name alone does not say so.
fn is_meant(resource: &Resource, kri: &Kri, here: Option<&str>) -> bool {
    here.is_some() || origin_zone(resource).is_none_or(|zone| zone == kri.zone)
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
