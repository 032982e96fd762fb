//! Compares messages of our global with recorded ones.
//!
//! A version is the hash of the content, so equal versions mean equal content, byte for byte. Where the content is key
//! material that every run makes anew, everything but the key is compared.

use std::collections::BTreeMap;

use prost::Message as _;
use sha2::{Digest as _, Sha256};
use wire::{
    envoy::service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse, Resource},
    kuma::mesh::v1alpha1::KumaResource,
};

/// What may differ in the content of resources.
#[derive(Clone, Copy)]
pub(crate) struct Masks {
    /// The signing keys of meshes are our own.
    pub(crate) mesh_keys: bool,
    /// The recording left bytes out.
    pub(crate) rebuilt: bool,
}

/// Returns what differs between two responses of one type, if anything.
pub(crate) fn response(
    recorded: &DeltaDiscoveryResponse,
    ours: &DeltaDiscoveryResponse,
    masks: Masks,
) -> Option<String> {
    let mut found = Vec::new();
    assert_eq!(recorded.type_url, ours.type_url);
    if ours.control_plane != recorded.control_plane {
        found.push(format!("control plane {:?}", ours.control_plane));
    }
    if ours.nonce.is_empty() {
        found.push("no nonce".to_owned());
    }
    let (theirs, own) = (by_name(recorded), by_name(ours));
    if own.len() != ours.resources.len() {
        found.push("a name twice".to_owned());
    }
    for (name, resource) in &theirs {
        match own.get(name) {
            None => found.push(format!("without {name}")),
            Some(ours) => found.extend(content(resource, ours, masks).map(|what| format!("{name}: {what}"))),
        }
    }
    found.extend(own.keys().filter(|name| !theirs.contains_key(*name)).map(|name| format!("with {name}")));
    let sorted = |response: &DeltaDiscoveryResponse| {
        let mut names = response.removed_resources.clone();
        names.sort();
        names
    };
    if sorted(recorded) != sorted(ours) {
        found.push(format!("removes {}", sorted(ours).join(" ")));
    }
    (!found.is_empty()).then(|| found.join(", "))
}

fn by_name(response: &DeltaDiscoveryResponse) -> BTreeMap<&str, &Resource> {
    response.resources.iter().map(|resource| (resource.name.as_str(), resource)).collect()
}

fn content(recorded: &Resource, ours: &Resource, masks: Masks) -> Option<String> {
    let (Some(theirs), Some(own)) = (&recorded.resource, &ours.resource) else { return Some("no content".to_owned()) };
    let hash = Sha256::digest(&own.value).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    if hash != ours.version {
        return Some("a version that is not the hash of the content".to_owned());
    }
    if own.type_url != theirs.type_url {
        return Some(format!("type {}", own.type_url));
    }
    if ours.version == recorded.version {
        return None;
    }
    let decoded = |any: &prost_types::Any| KumaResource::decode(any.value.as_slice()).expect("a resource");
    let (theirs, own) = (decoded(theirs), decoded(own));
    if theirs.meta != own.meta {
        return Some(format!("meta {:?}", own.meta));
    }
    if theirs.status != own.status {
        return Some(format!("status {:?}", own.status));
    }
    let type_of = |kuma: &KumaResource| kuma.spec.as_ref().map(|spec| spec.type_url.clone());
    if type_of(&theirs) != type_of(&own) {
        return Some(format!("a spec of type {:?}", type_of(&own)));
    }
    let is_key = recorded.name.starts_with("zone-token-signing-public-key-")
        || (masks.mesh_keys && recorded.name.starts_with("dataplane-token-signing-key-"));
    if is_key {
        return key(&theirs, &own);
    }
    let size = |kuma: &KumaResource| kuma.spec.as_ref().map(|spec| spec.value.len());
    let same = if masks.rebuilt { size(&theirs) == size(&own) } else { theirs.spec == own.spec };
    (!same).then(|| "another spec".to_owned())
}

/// Two keys of the same kind: the first line of their PEM form is the same.
fn key(theirs: &KumaResource, own: &KumaResource) -> Option<String> {
    let kind = |kuma: &KumaResource| {
        let value = kuma.spec.as_ref().map(|spec| spec.value.clone()).unwrap_or_default();
        let secret = wire::kuma::system::v1alpha1::Secret::decode(value.as_slice()).unwrap_or_default();
        String::from_utf8(secret.data.unwrap_or_default()).ok()?.lines().next().map(str::to_owned)
    };
    let (theirs, own) = (kind(theirs), kind(own));
    (own.is_none() || theirs != own).then(|| format!("a key {own:?}"))
}

/// Returns what differs between two answers to a response of the zone, if anything.
pub(crate) fn answer(recorded: &DeltaDiscoveryRequest, ours: &DeltaDiscoveryRequest) -> Option<String> {
    let shown = |request: &DeltaDiscoveryRequest| {
        let verdict = match &request.error_detail {
            None => "ACK".to_owned(),
            Some(status) => format!("NACK `{}`", status.message.replace('\n', "\\n")),
        };
        format!("{verdict} of {} {}", request.type_url, request.response_nonce)
    };
    if shown(recorded) != shown(ours) {
        return Some(shown(ours));
    }
    (recorded != ours).then(|| format!("{ours:?}"))
}

/// The kinds and features that a first request of our global has to have, those of the recorded one.
pub(crate) fn first_request(recorded: &DeltaDiscoveryRequest, ours: &DeltaDiscoveryRequest) -> Option<String> {
    let parts = |request: &DeltaDiscoveryRequest| {
        let metadata = request.node.clone().and_then(|node| node.metadata).unwrap_or_default();
        let keys: Vec<String> = metadata.fields.keys().cloned().collect();
        let features: Vec<String> = match metadata.fields.get("features").and_then(|value| value.kind.clone()) {
            Some(prost_types::value::Kind::ListValue(list)) => list
                .values
                .into_iter()
                .filter_map(|value| match value.kind {
                    Some(prost_types::value::Kind::StringValue(text)) => Some(text),
                    _ => None,
                })
                .collect(),
            _ => Vec::new(),
        };
        (keys, features, metadata.fields.get("config").cloned())
    };
    let ((keys, features, config), own) = (parts(recorded), parts(ours));
    let mut plain = DeltaDiscoveryRequest { type_url: recorded.type_url.clone(), ..ours.clone() };
    plain.node.as_mut().expect("a node").metadata = recorded.node.clone().and_then(|node| node.metadata);
    if plain != *recorded {
        return Some(format!("{plain:?}"));
    }
    if keys != own.0 || config != own.2 {
        return Some(format!("metadata {:?}", own.0));
    }
    let missing: Vec<_> = features.iter().filter(|feature| !own.1.contains(feature)).collect();
    (!missing.is_empty()).then(|| format!("without the features {missing:?}"))
}
