//! What our zone says beside what the recorded zone said in its place. Masked are nonces, versions of programs and of
//! changed content, instance ids, and the order inside a message; every other difference is noted, or fails at once.

use std::collections::{BTreeMap, BTreeSet};

use model::{Kind, labels};
use prost::Message as _;
use prost_types::{Struct, value};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use wire::{
    envoy::{
        config::core::v3::Node,
        service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse, Resource},
    },
    google::rpc::Status,
    kuma::mesh::v1alpha1::KumaResource,
};

use super::{
    link::Link,
    listed::Found,
    recording::{Headers, METHODS},
    zone::{kuma, spec, with_admin_port},
};

/// Features that a recorded peer has; others are of later versions and mean nothing to it.
const KNOWN_FEATURES: [&str; 6] = [
    "zone-ping-health",
    "hash-suffix",
    "zone-token",
    "hg-mz-selector",
    "producer-policy-flow",
    "optional-top-level-target-ref",
];

/// Headers that say what a program is and what its gRPC library does.
const MASKED_HEADERS: [&str; 4] = ["user-agent", "version", "grpc-accept-encoding", "te"];

/// Returns a node with nothing but its id.
pub(crate) fn node(zone: &str) -> Node {
    Node { id: zone.to_owned(), metadata: None }
}

/// Compares the headers of all RPCs of a connection.
pub(crate) async fn headers(link: &mut Link, recorded: &BTreeMap<&'static str, Headers>, found: &mut Found) {
    let token = link.token.clone().map(|token| vec![token]);
    for method in METHODS {
        let call = link.call(method).await;
        let mut ours = Headers::new();
        for (name, value) in &call.headers {
            ours.entry(name.to_string()).or_default().push(value.to_str().unwrap().to_owned());
        }
        assert_eq!(ours.remove("authorization"), token, "{method}");
        let compression = ours.remove("grpc-encoding").unwrap_or_else(|| vec![String::new()]);
        ours.insert("compression".to_owned(), compression);
        assert!(!ours["version"][0].is_empty(), "{method}: {ours:?}");
        if !ours.contains_key("user-agent") {
            found.note("header user-agent", "none");
        }
        ours.get_mut("features").unwrap().retain(|feature| KNOWN_FEATURES.contains(&feature.as_str()));
        let mut theirs = recorded[method].clone();
        for headers in [&mut ours, &mut theirs] {
            headers.retain(|name, _| !MASKED_HEADERS.contains(&name.as_str()));
        }
        let names: BTreeSet<_> = ours.keys().chain(theirs.keys()).cloned().collect();
        for name in names {
            let [our, their] = [&ours, &theirs].map(|headers| headers.get(&name).map(|values| values.join(", ")));
            if our != their {
                let ours = our.filter(|text| !text.is_empty()).unwrap_or_else(|| "none".to_owned());
                found.note(format!("header {name}"), ours);
            }
        }
    }
}

/// Compares a first request: its fields, and what the node says.
pub(crate) fn first_request(ours: &[u8], recorded: &DeltaDiscoveryRequest, found: &mut Found) {
    let mut ours = DeltaDiscoveryRequest::decode(ours).unwrap();
    let mut recorded = recorded.clone();
    let [our, their] = [&mut ours, &mut recorded].map(|request| request.node.as_mut().unwrap().metadata.take());
    assert_eq!(ours, recorded);
    let (our, their) = (our.expect("metadata"), their.expect("recorded metadata"));
    let keys = |metadata: &Struct| metadata.fields.keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&our), keys(&their), "members of node.metadata");
    let config: Value = serde_json::from_str(&string(&our, "config")).unwrap();
    assert_eq!(config["store"]["type"], "memory", "the configuration that a global looks into");
    assert!(!string(&our, "control-plane-id").is_empty());
    let [our_features, their_features] = [&our, &their].map(features);
    assert!(their_features.is_subset(&our_features), "features {our_features:?} and recorded {their_features:?}");
    let more: Vec<_> = our_features.difference(&their_features).cloned().collect();
    if !more.is_empty() {
        found.note("features in node.metadata", format!("also {}", more.join(", ")));
    }
    let version = |metadata: &Struct| match &metadata.fields["version"].kind {
        Some(value::Kind::StructValue(version)) => match &version.fields["kumaCp"].kind {
            Some(value::Kind::StructValue(build)) => string(build, "version"),
            other => panic!("no kumaCp: {other:?}"),
        },
        other => panic!("no version: {other:?}"),
    };
    assert!(!version(&our).is_empty() && !version(&their).is_empty());
}

fn string(metadata: &Struct, key: &str) -> String {
    match &metadata.fields[key].kind {
        Some(value::Kind::StringValue(text)) => text.clone(),
        other => panic!("{key} is no text: {other:?}"),
    }
}

fn features(metadata: &Struct) -> BTreeSet<String> {
    let Some(value::Kind::ListValue(list)) = &metadata.fields["features"].kind else { panic!("no list of features") };
    let names = list.values.iter().map(|value| match &value.kind {
        Some(value::Kind::StringValue(feature)) => feature.clone(),
        other => panic!("a feature is no text: {other:?}"),
    });
    names.filter(|feature| KNOWN_FEATURES.contains(&feature.as_str())).collect()
}

/// Compares the kinds that were asked for. Ours asks for those of both versions.
pub(crate) fn asked_kinds(ours: &BTreeMap<String, Vec<u8>>, recorded: &BTreeSet<String>, found: &mut Found) {
    let ours: BTreeSet<String> = ours.keys().cloned().collect();
    assert!(recorded.is_subset(&ours), "kinds that are not asked for: {:?}", recorded.difference(&ours));
    let more: BTreeSet<_> = ours.difference(recorded).cloned().collect();
    if !more.is_empty() {
        let only_in_2x = Kind::all().filter(|kind| kind.only_in_2x && kind.flow.global_to_zone());
        assert_eq!(more, only_in_2x.map(|kind| kind.name.to_owned()).collect());
        found.note("first requests", format!("also for the {} kinds that only 2.14.3 has", more.len()));
    }
}

/// Compares an answer. Its nonce is global's, so an ACK is the same byte for byte. Returns the text of our NACK.
pub(crate) fn answer(ours: &[u8], recorded: &DeltaDiscoveryRequest, found: &mut Found) -> String {
    let mut ours = DeltaDiscoveryRequest::decode(ours).unwrap();
    let nack = |answer: &DeltaDiscoveryRequest| answer.error_detail.clone().map(|status| status.message);
    let text = nack(&ours);
    if text != nack(recorded) {
        let ours_is = text.as_ref().map_or_else(|| "ACK".to_owned(), |text| format!("NACK: {text}"));
        found.note(format!("answer to {}", recorded.type_url), ours_is);
        // Whatever it says, it has the form of one.
        if let Some(message) = &text {
            assert_eq!(ours.error_detail, Some(Status { message: message.clone(), ..Status::default() }));
            assert_eq!(ours.resource_names_subscribe, ["*"]);
        } else {
            assert!(ours.resource_names_subscribe.is_empty());
        }
        ours.error_detail.clone_from(&recorded.error_detail);
        ours.resource_names_subscribe.clone_from(&recorded.resource_names_subscribe);
    }
    assert_eq!(ours.encode_to_vec(), recorded.encode_to_vec(), "{ours:?}, recorded {recorded:?}");
    text.unwrap_or_default()
}

/// Compares a response of the zone. Where a proxy says its admin port, ours has `port`.
pub(crate) fn response(
    ours: &DeltaDiscoveryResponse,
    recorded: &DeltaDiscoveryResponse,
    zone: &str,
    port: u16,
    found: &mut Found,
) {
    let place = format!("{} nonce {}", recorded.type_url, recorded.nonce);
    let identifier = ours.control_plane.as_ref().map(|plane| plane.identifier.as_str());
    assert_eq!(identifier, Some(zone), "{place}");
    assert_eq!(ours.control_plane, recorded.control_plane, "{place}");
    assert!(ours.system_version_info.is_empty() && !ours.nonce.is_empty(), "{place}");
    let removed = |response: &DeltaDiscoveryResponse| {
        let mut removed = response.removed_resources.clone();
        removed.sort();
        removed
    };
    assert_eq!(removed(ours), removed(recorded), "{place}: removed");
    let by_name = |response: &DeltaDiscoveryResponse| {
        let by_name: BTreeMap<_, _> =
            response.resources.iter().map(|resource| (resource.name.clone(), resource.clone())).collect();
        assert_eq!(by_name.len(), response.resources.len(), "{place}: one resource under one name");
        by_name
    };
    let (ours, recorded) = (by_name(ours), by_name(recorded));
    assert_eq!(ours.keys().collect::<Vec<_>>(), recorded.keys().collect::<Vec<_>>(), "{place}: names");
    for (name, resource) in &ours {
        compare_resource(resource, &recorded[name], &place, port, found);
    }
}

/// The name that a user gave.
pub(crate) fn display_name(resource: &Resource) -> String {
    kuma(resource).meta.unwrap().labels.get(labels::DISPLAY_NAME).unwrap().clone()
}

fn compare_resource(ours: &Resource, recorded: &Resource, place: &str, port: u16, found: &mut Found) {
    let bytes = |resource: &Resource| resource.resource.clone().unwrap().value;
    assert_eq!(ours.version, sha256(&bytes(ours)), "{place}: a version is the hash of the content");
    if ours == recorded {
        return;
    }
    let (our, their) = (kuma(ours), kuma(recorded));
    let any = |resource: &Resource| resource.resource.clone().unwrap().type_url;
    assert_eq!(any(ours), any(recorded), "{place}");
    let [our_meta, their_meta] = [&our, &their].map(|kuma| kuma.meta.clone().unwrap());
    assert_eq!((&our_meta.name, &our_meta.mesh), (&their_meta.name, &their_meta.mesh), "{place}");
    let kind = place.split(' ').next().unwrap_or_default();
    let mut note = |what: &str, ours: String| found.note(format!("{kind}: {what}"), ours);
    for key in our_meta.labels.keys().chain(their_meta.labels.keys()).collect::<BTreeSet<_>>() {
        let value = our_meta.labels.get(key);
        if value != their_meta.labels.get(key) {
            note(&format!("label {key}"), value.cloned().unwrap_or_else(|| "none".to_owned()));
        }
    }
    compare_spec((&our, &their), kind, place, port);
    if our.status != their.status {
        let text = |kuma: &KumaResource| kuma.status.clone().map(|status| String::from_utf8(status.value).unwrap());
        note("status", text(&our).unwrap_or_else(|| "none".to_owned()));
    }
}

/// Compares specs: the same bytes, but for the port of the small Envoy.
fn compare_spec((our, their): (&KumaResource, &KumaResource), kind: &str, place: &str, port: u16) {
    let parts = |kuma: &KumaResource| kuma.spec.clone().unwrap();
    if parts(our) == parts(their) {
        return;
    }
    assert_eq!(parts(our).type_url, parts(their).type_url, "{place}");
    let kind = Kind::by_name(kind).unwrap();
    let recorded = spec(kind, their);
    let masked = with_admin_port(recorded.clone(), port);
    assert_ne!(masked, recorded, "{place}: the same spec has the same bytes");
    assert_eq!(spec(kind, our), masked, "{place}");
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
