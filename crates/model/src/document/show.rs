//! Shows resources in the shapes of REST.

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::{Document, sni};
use crate::{Kind, Labels, Resource, SpecForm, kri, proto};

/// The members that are no spec, in the order in which they are shown.
pub const META: [&str; 7] = ["type", "mesh", "name", "creationTime", "modificationTime", "labels", "kri"];

/// An unset time.
pub const ZERO_TIME: &str = "0001-01-01T00:00:00Z";

/// Returns a time as REST shows it: RFC 3339 in UTC, trailing zeros of the fraction dropped.
pub fn time(at: Timestamp) -> String {
    at.to_string()
}

/// Shows a resource. `zone_local` is the name of the zone that shows it, for destinations without a zone label.
pub fn to_rest(resource: &Resource, zone_local: Option<&str>) -> Value {
    let times = (time(resource.created), time(resource.modified));
    let key = &resource.key;
    shape(
        key.kind,
        (&key.mesh, &key.name),
        &resource.labels,
        times,
        (&resource.spec, resource.status.as_deref()),
        zone_local,
    )
}

pub(super) fn of_document(document: &Document) -> Value {
    let times = (ZERO_TIME.to_owned(), ZERO_TIME.to_owned());
    let what = (document.spec.as_ref(), document.status.as_deref());
    shape(document.kind, (&document.mesh, &document.name), &document.labels, times, what, None)
}

fn shape(
    kind: Kind,
    (mesh, name): (&str, &str),
    labels: &Labels,
    (created, modified): (String, String),
    (spec, status): (&[u8], Option<&[u8]>),
    zone_local: Option<&str>,
) -> Value {
    let mut shown = Map::new();
    shown.insert("type".to_owned(), Value::from(kind.name));
    if !mesh.is_empty() {
        shown.insert("mesh".to_owned(), Value::from(mesh));
    }
    shown.insert("name".to_owned(), Value::from(name));
    shown.insert("creationTime".to_owned(), Value::from(created));
    shown.insert("modificationTime".to_owned(), Value::from(modified));
    if !labels.is_empty() {
        let labels = labels.iter().map(|(key, value)| (key.clone(), Value::from(value.as_str())));
        shown.insert("labels".to_owned(), Value::Object(labels.collect()));
    }
    if let Some(kri) = kri::of(kind, mesh, labels, name) {
        shown.insert("kri".to_owned(), Value::from(kri));
    }
    match kind.spec {
        // A spec that cannot be read is shown as empty: it came over the wire, and the rest is still worth showing.
        SpecForm::Proto(_) => shown.extend(proto::spec_to_json(kind, spec).unwrap_or_default()),
        SpecForm::Json => {
            let spec = serde_json::from_slice(spec).unwrap_or_else(|_| Value::Object(Map::new()));
            let snis = sni::of(kind, mesh, name, labels, &spec, zone_local);
            if !snis.is_empty() {
                shown.insert("snis".to_owned(), Value::Array(snis));
            }
            shown.insert("spec".to_owned(), spec);
            if let Some(empty) = kind.empty_status {
                let status = status.and_then(|status| serde_json::from_slice(status).ok());
                let status = status.or_else(|| serde_json::from_str(empty).ok()).unwrap_or(Value::Null);
                shown.insert("status".to_owned(), status);
            }
        }
    }
    Value::Object(shown)
}
