//! Shows resources in the shapes of REST.

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::{Document, sni};
use crate::{Audience, Kind, Labels, Resource, SpecForm, kri, proto, secrecy};

/// The members that are no spec, in the order in which they are shown.
pub const META: [&str; 7] = ["type", "mesh", "name", "creationTime", "modificationTime", "labels", "kri"];

/// Whether a member is no spec: what every document has, and what answers show beside it.
pub fn is_meta(name: &str) -> bool {
    META.contains(&name) || matches!(name, "snis" | "status")
}

/// An unset time.
pub const ZERO_TIME: &str = "0001-01-01T00:00:00Z";

/// Returns a time as REST shows it: RFC 3339 in UTC, trailing zeros of the fraction dropped.
pub fn time(at: Timestamp) -> String {
    at.to_string()
}

/// Shows a resource to somebody. `zone_local` is the name of the zone that shows it, for destinations without a zone
/// label.
pub fn to_rest(resource: &Resource, zone_local: Option<&str>, audience: Audience) -> Value {
    let times = (time(resource.created), time(resource.modified));
    let key = &resource.key;
    shape(
        key.kind,
        (&key.mesh, &key.name),
        &resource.labels,
        times,
        (&resource.spec, resource.status.as_deref()),
        zone_local,
        audience,
    )
}

pub(super) fn of_document(document: &Document) -> Value {
    let times = (ZERO_TIME.to_owned(), ZERO_TIME.to_owned());
    let what = (document.spec.as_ref(), document.status.as_deref());
    shape(document.kind, (&document.mesh, &document.name), &document.labels, times, what, None, Audience::Administrator)
}

fn shape(
    kind: Kind,
    (mesh, name): (&str, &str),
    labels: &Labels,
    (created, modified): (String, String),
    (spec, status): (&[u8], Option<&[u8]>),
    zone_local: Option<&str>,
    audience: Audience,
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
        SpecForm::Proto(_) => {
            let mut fields = Value::Object(proto::spec_to_json(kind, spec).unwrap_or_default());
            for_audience(kind, audience, &mut fields);
            if let Value::Object(fields) = fields {
                shown.extend(fields);
            }
        }
        SpecForm::Json => {
            let mut spec = serde_json::from_slice(spec).unwrap_or_else(|_| Value::Object(Map::new()));
            let snis = sni::of(kind, mesh, name, labels, &spec, zone_local);
            if !snis.is_empty() {
                shown.insert("snis".to_owned(), Value::Array(snis));
            }
            for_audience(kind, audience, &mut spec);
            shown.insert("spec".to_owned(), spec);
            if let Some(empty) = kind.empty_status {
                let status = status.and_then(|status| serde_json::from_slice(status).ok());
                let mut status = status.or_else(|| serde_json::from_str(empty).ok()).unwrap_or(Value::Null);
                for_audience(kind, audience, &mut status);
                shown.insert("status".to_owned(), status);
            }
        }
    }
    Value::Object(shown)
}

/// Masks what is secret. A kind that is secret as a whole is shown to nobody who may not read it.
fn for_audience(kind: Kind, audience: Audience, value: &mut Value) {
    if audience == Audience::Everybody && !kind.admin_only {
        secrecy::mask(value);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use serde_json::json;

    use super::*;
    use crate::{Key, document::to_rest_text};

    fn resource(kind: &str, labels: &[(&str, &str)], spec: &str) -> Resource {
        let kind = Kind::by_name(kind).expect("kind");
        Resource {
            key: Key { kind, mesh: "default".to_owned(), name: "x".to_owned() },
            labels: labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
            spec: Bytes::copy_from_slice(spec.as_bytes()),
            status: None,
            owner: None,
            created: Timestamp::UNIX_EPOCH,
            modified: Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn members_stand_in_the_order_of_peers() {
        let shown =
            to_rest(&resource("MeshExternalService", &[], r#"{"match":{"port":80}}"#), None, Audience::Administrator);
        let names: Vec<&String> = shown.as_object().expect("object").keys().collect();
        assert_eq!(
            names,
            ["type", "mesh", "name", "creationTime", "modificationTime", "kri", "snis", "spec", "status"]
        );
        assert_eq!(shown["status"], json!({"vip": {}}));
    }

    #[test]
    fn a_status_is_shown_where_there_is_one() {
        let mut service = resource("MeshService", &[], "{}");
        service.status = Some(Bytes::from_static(br#"{"tls":{"status":"Ready"}}"#));
        assert_eq!(to_rest(&service, None, Audience::Administrator)["status"], json!({"tls": {"status": "Ready"}}));
        assert_eq!(to_rest(&resource("MeshTimeout", &[], "{}"), None, Audience::Administrator).get("status"), None);
    }

    #[test]
    fn server_names_say_zone_namespace_name_and_port() {
        let check = |kind: &str, labels: &[(&str, &str)], spec: &str, zone: Option<&str>, expected: Value| {
            assert_eq!(to_rest(&resource(kind, labels, spec), zone, Audience::Administrator)["snis"], expected);
        };
        let ports = r#"{"ports":[{"port":90},{"port":80,"name":"main"}]}"#;
        check(
            "MeshService",
            &[("kuma.io/zone", "east"), ("kuma.io/display-name", "web")],
            ports,
            Some("west"),
            json!([{"port": 80, "sni": "sni.msvc.default.east.web.main"}, {"port": 90, "sni": "sni.msvc.default.east.web.90"}]),
        );
        check(
            "MeshMultiZoneService",
            &[("k8s.kuma.io/namespace", "ns")],
            ports,
            None,
            json!([{"port": 80, "sni": "sni.mzsvc.default.ns.x.main"}, {"port": 90, "sni": "sni.mzsvc.default.ns.x.90"}]),
        );
        check(
            "MeshExternalService",
            &[],
            r#"{"match":{"port":443}}"#,
            Some("west"),
            json!([{"port": 443, "sni": "sni.extsvc.default.west.x.443"}]),
        );
        check(
            "MeshMultiZoneService",
            &[],
            r#"{"ports":[{"port":6379}]}"#,
            Some("solo"),
            json!([{"port": 6379, "sni": "sni.mzsvc.default.x.6379"}]),
        );
        check(
            "MeshExternalService",
            &[("k8s.kuma.io/namespace", "ns")],
            r#"{"match":{"port":443}}"#,
            None,
            json!([{"port": 443, "sni": "sni.extsvc.default.x.443"}]),
        );
        check("MeshTimeout", &[], ports, None, Value::Null);
    }

    #[test]
    fn times_are_utc_without_trailing_zeros() {
        let at = |text: &str| time(text.parse().expect("time"));
        assert_eq!(at("2026-11-23T23:06:54.4835324Z"), "2026-11-23T23:06:54.4835324Z");
        assert_eq!(at("2026-11-23T23:06:54.500000000+01:00"), "2026-11-23T22:06:54.5Z");
        assert_eq!(at("2026-11-23T23:06:54Z"), "2026-11-23T23:06:54Z");
    }

    #[test]
    fn html_is_escaped_in_resources() {
        let shown = to_rest(&resource("MeshRetry", &[], r#"{"a":"<b>&\u2028\u00e9"}"#), None, Audience::Administrator);
        let text = to_rest_text(&shown);
        assert!(text.contains(r#""a": "\u003cb\u003e\u0026\u2028é""#), "{text}");
        assert!(text.starts_with("{\n \"type\"") && text.ends_with("}\n"), "{text}");
    }

    #[test]
    fn a_spec_that_cannot_be_read_is_shown_empty() {
        assert_eq!(to_rest(&resource("MeshRetry", &[], "{"), None, Audience::Administrator)["spec"], json!({}));
        let zone = to_rest(&resource("Zone", &[], "\u{ff}\u{ff}"), None, Audience::Administrator);
        assert_eq!(zone.get("enabled"), None);
    }
}
