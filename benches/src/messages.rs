//! What a 2.14.3 zone says, as finished gRPC frames, gzip-compressed as its own are.
//!
//! The shapes are those of recorded zones; the content is made up. Frames are made before anything is measured: the
//! zones share their machine with the global here, and a real zone compresses on its own.

use std::{collections::BTreeMap, io::Write as _};

use flate2::{Compression, write::GzEncoder};
use model::{Kind, Labels, labels};
use prost::Message;
use prost_types::{Any, ListValue, Struct, Value, value};
use sync::hashed_name;
use wire::{
    envoy::{
        config::core::v3::{ControlPlane, Node},
        service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse, Resource},
    },
    kuma::mesh::v1alpha1::{
        Dataplane, KumaResource,
        dataplane::{Networking, networking::Inbound},
        kuma_resource::Meta,
    },
};

/// A real zone reports its configuration with every first request.
const CONFIG: usize = 9_976;
const KUMA_RESOURCE: &str = "type.googleapis.com/kuma.mesh.v1alpha1.KumaResource";

/// The generators that every zone makes for itself: name and spec.
const GENERATORS: [(&str, &str); 2] = [
    (
        "local-mesh-external-service",
        r#"{"selector":{"meshExternalService":{"matchLabels":{"kuma.io/origin":"zone"}}},"template":"{{ .DisplayName }}.extsvc.mesh.local"}"#,
    ),
    (
        "local-universal-mesh-service",
        r#"{"selector":{"meshService":{"matchLabels":{"kuma.io/origin":"zone"}}},"template":"{{ .DisplayName }}.svc.mesh.local"}"#,
    ),
];

/// The first requests of GlobalToZoneSync: one a kind, each with the whole metadata.
pub(crate) fn first_requests(zone: &str) -> anyhow::Result<Vec<Vec<u8>>> {
    let node = Node { id: zone.to_owned(), metadata: Some(metadata(zone)) };
    let kinds = Kind::all().filter(|kind| kind.flow.global_to_zone());
    kinds
        .map(|kind| {
            frame(&DeltaDiscoveryRequest {
                node: Some(node.clone()),
                type_url: kind.name.to_owned(),
                resource_names_subscribe: vec!["*".to_owned()],
                ..Default::default()
            })
        })
        .collect()
}

/// The ACK of a response.
pub(crate) fn ack(zone: &str, response: DeltaDiscoveryResponse) -> anyhow::Result<Vec<u8>> {
    frame(&DeltaDiscoveryRequest {
        node: Some(Node { id: zone.to_owned(), metadata: None }),
        type_url: response.type_url,
        response_nonce: response.nonce,
        ..Default::default()
    })
}

/// The first responses of ZoneToGlobalSync by kind: the generators, the data plane proxies if any, and empty ones.
pub(crate) fn first_responses(zone: &str, dataplanes: usize) -> anyhow::Result<BTreeMap<&'static str, Vec<u8>>> {
    let kinds = Kind::all().filter(|kind| kind.flow.zone_to_global());
    kinds
        .enumerate()
        .map(|(index, kind)| {
            let resources = match kind.name {
                "HostnameGenerator" => GENERATORS.map(|(name, spec)| generator(zone, name, spec)).into(),
                "Dataplane" => (0..dataplanes).map(|index| dataplane(zone, index)).collect(),
                _ => Vec::new(),
            };
            let response = DeltaDiscoveryResponse {
                resources,
                type_url: kind.name.to_owned(),
                nonce: (index + 1).to_string(),
                control_plane: Some(ControlPlane { identifier: zone.to_owned() }),
                ..Default::default()
            };
            Ok((kind.name, frame(&response)?))
        })
        .collect()
}

/// A gRPC frame with the compressed flag.
pub(crate) fn frame(message: &impl Message) -> anyhow::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(vec![1, 0, 0, 0, 0], Compression::default());
    encoder.write_all(&message.encode_to_vec())?;
    let mut frame = encoder.finish()?;
    let length = u32::try_from(frame.len() - 5)?;
    frame.splice(1..5, length.to_be_bytes());
    Ok(frame)
}

fn metadata(zone: &str) -> Struct {
    let config: String = (0..)
        // Compresses to a third, as real ones do.
        .map(|index: u32| format!("\"setting{index}\":\"{:x}\",", index.wrapping_mul(2_654_435_761)))
        .scan(0, |length, part| {
            *length += part.len();
            (*length < CONFIG).then_some(part)
        })
        .collect();
    let features =
        ["zone-token", "hash-suffix", "hg-mz-selector", "producer-policy-flow", "optional-top-level-target-ref"];
    let build =
        [("version", "2.14.3"), ("gitTag", "v2.14.3"), ("gitCommit", "0c7aaec033"), ("buildDate", "2026-08-07")];
    let build = object(build.map(|(key, value)| (key, text(value))));
    object([
        ("version", structure(object([("kumaCp", structure(build))]))),
        ("config", text(&format!("{{{config}\"store\":{{\"type\":\"memory\"}}}}"))),
        ("control-plane-id", text(&format!("{zone}-1a2b"))),
        ("features", Value { kind: Some(value::Kind::ListValue(ListValue { values: features.map(text).to_vec() })) }),
    ])
}

fn text(text: &str) -> Value {
    Value { kind: Some(value::Kind::StringValue(text.to_owned())) }
}

fn structure(fields: Struct) -> Value {
    Value { kind: Some(value::Kind::StructValue(fields)) }
}

fn object<const N: usize>(fields: [(&str, Value); N]) -> Struct {
    Struct { fields: fields.map(|(key, value)| (key.to_owned(), value)).into() }
}

fn generator(zone: &str, display_name: &str, spec: &str) -> Resource {
    let spec = Any { type_url: String::new(), value: spec.as_bytes().to_vec() };
    resource(zone, "", display_name, Labels::new(), spec)
}

fn dataplane(zone: &str, index: usize) -> Resource {
    let tags = [("kuma.io/protocol", "http"), ("kuma.io/service", "web"), ("kuma.io/zone", zone)];
    let tags = tags.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    let inbound = Inbound { port: 8080, service_port: 8081, tags, ..Default::default() };
    let networking = Networking { address: "127.0.0.1".to_owned(), inbound: vec![inbound], ..Default::default() };
    let spec = Dataplane { networking: Some(networking), ..Default::default() };
    let type_url = "type.googleapis.com/kuma.mesh.v1alpha1.Dataplane".to_owned();
    let more = [(labels::ENV, "universal"), (labels::MESH, "default"), ("kuma.io/proxy-type", "sidecar")];
    let more = more.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    resource(zone, "default", &format!("web-{index}"), more, Any { type_url, value: spec.encode_to_vec() })
}

fn resource(zone: &str, mesh: &str, display_name: &str, mut labels: Labels, spec: Any) -> Resource {
    let name = hashed_name(mesh, display_name, Some(zone), None);
    let origin = [(labels::DISPLAY_NAME, display_name), (labels::ORIGIN, labels::ORIGIN_ZONE), (labels::ZONE, zone)];
    labels.extend(origin.map(|(key, value)| (key.to_owned(), value.to_owned())));
    let meta = Meta { name: name.clone(), mesh: mesh.to_owned(), version: String::new(), labels };
    let value = KumaResource { meta: Some(meta), spec: Some(spec), status: None }.encode_to_vec();
    Resource {
        // As long as the hash that stands here; nobody looks at it.
        version: format!("{:064x}", value.len()),
        resource: Some(Any { type_url: KUMA_RESOURCE.to_owned(), value }),
        name: format!("{name}.{mesh}"),
    }
}
