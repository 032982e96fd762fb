//! What a resource becomes on its way (contract: kds 7.2 to 7.4).

use bytes::Bytes;
use model::{
    Kind, Labels, Resource, labels,
    reserved::{ZONE_KEY, ZONE_PUBLIC_KEY},
};
use serde_json::Value;

use crate::{
    feature::Features, forms::reading, message::Received, naming::hashed_name, scope::origin_zone, wire_name::WireName,
};

/// A resource as it leaves, and who may see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// Its name on the wire.
    pub name: WireName,
    /// Its labels on the wire.
    pub labels: Labels,
    /// Its spec.
    pub spec: Bytes,
    /// Its status, for kinds that have one.
    pub status: Option<Bytes>,
    /// The zone that made it: that zone does not get it back.
    pub origin_zone: Option<String>,
    /// The features a zone needs to get it.
    pub needs: Features,
    /// The features a zone needs to read all of it.
    pub needs_for_all: Features,
}

/// Maps for the way from global to zones.
pub fn to_zone(resource: &Resource, hashed: bool, skip_prefixes: &[String]) -> Outgoing {
    let kind = resource.key.kind;
    let mut labels = without(&resource.labels, skip_prefixes);
    labels.insert(labels::ORIGIN.to_owned(), labels::ORIGIN_GLOBAL.to_owned());
    let mut name = resource.key.name.clone();
    if kind == Kind::GLOBAL_SECRET && name.starts_with(ZONE_KEY) {
        labels.entry(labels::DISPLAY_NAME.to_owned()).or_insert_with(|| name.clone());
        name = name.replacen(ZONE_KEY, ZONE_PUBLIC_KEY, 1);
    }
    if hashed && kind.hashed {
        name = rename(&resource.key.mesh, name, &mut labels);
    }
    let reading = reading(kind, &resource.spec);
    Outgoing {
        name: WireName { mesh: resource.key.mesh.clone(), name },
        labels,
        spec: resource.spec.clone(),
        status: kind.empty_status.map(Bytes::from_static_text),
        origin_zone: origin_zone(resource).map(str::to_owned),
        needs: needs(resource) | reading.any,
        needs_for_all: reading.all,
    }
}

/// Maps for the way from a zone to global.
pub fn to_global(resource: &Resource, zone: &str, skip_prefixes: &[String]) -> Outgoing {
    let mut labels = without(&resource.labels, skip_prefixes);
    labels.insert(labels::ORIGIN.to_owned(), labels::ORIGIN_ZONE.to_owned());
    labels.insert(labels::ZONE.to_owned(), zone.to_owned());
    labels.remove(labels::DELETION_GRACE_PERIOD_STARTED_AT);
    let name = rename(&resource.key.mesh, resource.key.name.clone(), &mut labels);
    let kind = resource.key.kind;
    let empty = || kind.empty_status.map(Bytes::from_static_text);
    Outgoing {
        name: WireName { mesh: resource.key.mesh.clone(), name },
        labels,
        spec: resource.spec.clone(),
        // The status is the zone's to report.
        status: if kind.empty_status.is_some() { resource.status.clone().or_else(empty) } else { None },
        origin_zone: None,
        needs: Features::NONE,
        needs_for_all: Features::NONE,
    }
}

/// What global makes of a resource of a zone: nothing that says where it comes from is believed.
pub fn received_by_global(received: &mut Received, zone: &str, prefix_name: bool) {
    if prefix_name {
        received.name.name = format!("{zone}.{}", received.name.name);
    }
    received.labels.insert(labels::ORIGIN.to_owned(), labels::ORIGIN_ZONE.to_owned());
    received.labels.insert(labels::ZONE.to_owned(), zone.to_owned());
}

/// Gives the hash suffix; the name before it becomes the display name if there is none.
fn rename(mesh: &str, name: String, labels: &mut Labels) -> String {
    let display = labels.get(labels::DISPLAY_NAME).filter(|display| !display.is_empty()).cloned();
    let zone = labels.get(labels::ZONE).map(String::as_str);
    let namespace = labels.get(labels::NAMESPACE).map(String::as_str);
    let hashed = hashed_name(mesh, display.as_deref().unwrap_or(&name), zone, namespace);
    labels.entry(labels::DISPLAY_NAME.to_owned()).or_insert(name);
    hashed
}

fn without(labels: &Labels, prefixes: &[String]) -> Labels {
    let kept = labels.iter().filter(|(key, _)| !prefixes.iter().any(|prefix| key.starts_with(prefix.as_str())));
    kept.map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// The features without which a zone would misread the resource (contract: kds 3.2).
fn needs(resource: &Resource) -> Features {
    let kind = resource.key.kind;
    if kind == Kind::HOSTNAME_GENERATOR {
        let spec: Value = serde_json::from_slice(&resource.spec).unwrap_or(Value::Null);
        let selects = spec
            .get("selector")
            .and_then(|selector| selector.get("meshMultiZoneService"))
            .is_some_and(|selected| !selected.is_null());
        return if selects { Features::HG_MZ_SELECTOR } else { Features::NONE };
    }
    if kind.policy.is_some() && resource.labels.get(labels::ORIGIN).map(String::as_str) == Some(labels::ORIGIN_ZONE) {
        return Features::PRODUCER_POLICY_FLOW;
    }
    Features::NONE
}

/// `Bytes` of a text that is part of the program.
trait StaticText {
    fn from_static_text(text: &'static str) -> Self;
}

impl StaticText for Bytes {
    fn from_static_text(text: &'static str) -> Self {
        Self::from_static(text.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use model::Key;

    use super::*;

    fn resource(kind: &str, mesh: &str, name: &str, labels: &[(&str, &str)]) -> Resource {
        Resource {
            key: Key::in_mesh(Kind::by_name(kind).unwrap(), mesh, name),
            labels: labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
            spec: "{}".into(),
            status: Some("{\"a\":1}".into()),
            owner: None,
            created: Timestamp::UNIX_EPOCH,
            modified: Timestamp::UNIX_EPOCH,
        }
    }

    fn label<'a>(outgoing: &'a Outgoing, key: &str) -> Option<&'a str> {
        outgoing.labels.get(key).map(String::as_str)
    }

    #[test]
    fn everything_that_global_sends_says_so() {
        for kind in ["Mesh", "Secret", "MeshTimeout", "MeshService"] {
            let sent = to_zone(
                &resource(kind, "default", "a", &[("kuma.io/origin", "zone"), ("kuma.io/zone", "west")]),
                true,
                &[],
            );
            assert_eq!(label(&sent, "kuma.io/origin"), Some("global"), "{kind}");
            assert_eq!(label(&sent, "kuma.io/zone"), Some("west"), "{kind}");
        }
    }

    #[test]
    fn a_hashed_name_keeps_its_display_name() {
        let sent = to_zone(&resource("MeshTimeout", "default", "mt-1", &[]), true, &[]);
        assert_eq!(sent.name.name, "mt-1-xz8287465c2624wz");
        assert_eq!(label(&sent, "kuma.io/display-name"), Some("mt-1"));
        let plain = to_zone(&resource("MeshTimeout", "default", "mt-1", &[]), false, &[]);
        assert_eq!(plain.name.name, "mt-1");
        let mesh = to_zone(&resource("Mesh", "", "default", &[]), true, &[]);
        assert_eq!((mesh.name.to_string().as_str(), label(&mesh, "kuma.io/display-name")), ("default.", None));
    }

    #[test]
    fn hashing_again_gives_the_same_name() {
        let up = to_global(&resource("MeshService", "default", "backend", &[]), "zone-1", &[]);
        assert_eq!(up.name.name, "backend-d8466458x7574b7b");
        let mut stored = resource("MeshService", "default", &up.name.name, &[]);
        stored.labels = up.labels;
        assert_eq!(to_zone(&stored, true, &[]).name, up.name);
    }

    #[test]
    fn a_name_made_from_a_hashed_one_is_hashed_again() {
        // A MeshTrust that a zone makes for the MeshIdentity it got from global.
        let identity = to_zone(&resource("MeshIdentity", "default", "identity", &[]), true, &[]);
        assert_eq!(identity.name.name, "identity-fx89fx8cww447z7x");
        let trust = to_global(&resource("MeshTrust", "default", &identity.name.name, &[]), "zone-1", &[]);
        assert_eq!(trust.name.name, "identity-fx89fx8cww447z7x-c2vf5f8bw7w79zvz");
        assert_eq!(label(&trust, "kuma.io/display-name"), Some("identity-fx89fx8cww447z7x"));
    }

    #[test]
    fn a_zone_token_key_leaves_under_its_public_name() {
        let sent = to_zone(&resource("GlobalSecret", "", "zone-token-signing-key-1", &[]), true, &[]);
        assert_eq!(sent.name.to_string(), "zone-token-signing-public-key-1.");
        assert_eq!(label(&sent, "kuma.io/display-name"), Some("zone-token-signing-key-1"));
    }

    #[test]
    fn the_status_goes_up_and_not_down() {
        let service = resource("MeshService", "default", "a", &[]);
        assert_eq!(to_zone(&service, true, &[]).status.as_deref(), Some(&br#"{"tls":{},"dataplaneProxies":{}}"#[..]));
        assert_eq!(to_global(&service, "west", &[]).status.as_deref(), Some(&br#"{"a":1}"#[..]));
        assert_eq!(to_zone(&resource("MeshTimeout", "default", "a", &[]), true, &[]).status, None);
    }

    #[test]
    fn skipped_and_local_labels_stay() {
        let labels = [("argocd.io/x", "1"), ("team", "a"), ("kuma.io/deletion-grace-period-started-at", "now")];
        let skip = ["argocd.io/".to_owned()];
        let up = to_global(&resource("Dataplane", "default", "a", &labels), "west", &skip);
        assert_eq!(
            up.labels.keys().map(String::as_str).collect::<Vec<_>>(),
            ["kuma.io/display-name", "kuma.io/origin", "kuma.io/zone", "team"]
        );
        let down = to_zone(&resource("MeshTimeout", "default", "a", &labels), true, &skip);
        assert_eq!(label(&down, "argocd.io/x"), None);
    }

    #[test]
    fn what_an_older_zone_would_misread_needs_a_feature() {
        let generator =
            |spec: &str| Resource { spec: spec.to_owned().into(), ..resource("HostnameGenerator", "", "a", &[]) };
        let needs = |resource: &Resource| to_zone(resource, true, &[]).needs;
        assert_eq!(needs(&generator(r#"{"selector":{"meshMultiZoneService":{}}}"#)), Features::HG_MZ_SELECTOR);
        assert_eq!(needs(&generator(r#"{"selector":{"meshService":{}}}"#)), Features::NONE);
        assert_eq!(needs(&generator(r#"{"selector":{"meshMultiZoneService":null}}"#)), Features::NONE);
        let zone = [("kuma.io/origin", "zone"), ("kuma.io/zone", "west")];
        assert_eq!(needs(&resource("MeshTimeout", "default", "a", &zone)), Features::PRODUCER_POLICY_FLOW);
        assert_eq!(
            needs(&resource("MeshTimeout", "default", "a", &zone[..1])),
            Features::PRODUCER_POLICY_FLOW,
            "of an unknown zone"
        );
        assert_eq!(needs(&resource("MeshTimeout", "default", "a", &[])), Features::NONE);
        assert_eq!(needs(&resource("MeshService", "default", "a", &zone)), Features::NONE);
    }

    #[test]
    fn the_zone_of_origin_is_its_label_or_the_start_of_the_name() {
        let of = |name: &str, labels: &[(&str, &str)]| {
            to_zone(&resource("MeshService", "default", name, labels), true, &[]).origin_zone
        };
        let origin = ("kuma.io/origin", "zone");
        assert_eq!(of("east.a", &[origin, ("kuma.io/zone", "west")]).as_deref(), Some("west"));
        assert_eq!(of("east.a", &[origin]).as_deref(), Some("east"));
        assert_eq!(of("east.a", &[]), None);
    }

    #[test]
    fn global_believes_the_connection_and_not_the_payload() {
        let mut received = Received {
            name: WireName { mesh: "default".to_owned(), name: "a".to_owned() },
            labels: [("kuma.io/origin", "global"), ("kuma.io/zone", "other")]
                .map(|(k, v)| (k.to_owned(), v.to_owned()))
                .into(),
            spec: Bytes::new(),
            status: None,
        };
        received_by_global(&mut received, "west", true);
        assert_eq!(received.name.name, "west.a");
        assert_eq!(received.labels["kuma.io/origin"], "zone");
        assert_eq!(received.labels["kuma.io/zone"], "west");
    }
}
