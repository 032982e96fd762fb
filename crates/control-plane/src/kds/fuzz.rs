//! Fuzz targets of everything that a peer can send: decode, understand, answer or refuse, and never anything else.
//!
//! Seeds are what real peers sent ([`testkit::fuzz::streams`]) and, always, messages encoded here: those reach what no
//! recording shows, and are all there is without recordings.

mod admin;
mod framing;
mod headers;
mod requests;
mod responses;
mod specs;

use std::collections::BTreeSet;

use bytes::Bytes;
use prost::Message;
use prost_types::Any;
use testkit::fuzz::{Direction, protobuf, streams};
use wire::{
    envoy::{
        config::core::v3::Node,
        service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse, Resource},
    },
    google::rpc::Status,
    kuma::mesh::v1alpha1::{
        Dataplane, KumaResource,
        dataplane::{
            Networking,
            networking::{Gateway, Inbound},
        },
        kuma_resource::Meta,
    },
};

use crate::{kds::messages::node, zones::insight::Instance};

/// The zone of most recordings, and of every target.
const ZONE: &str = "zone-1";
/// The two sync methods: who sends requests on it, and who sends responses.
const SYNC: [(&str, Direction, Direction); 2] = [
    ("GlobalToZoneSync", Direction::FromZone, Direction::FromGlobal),
    ("ZoneToGlobalSync", Direction::FromGlobal, Direction::FromZone),
];

/// What stands one after the other on a stream, so that a target sees more than first messages.
const TOGETHER: usize = 6;

/// Recorded requests of both directions: each alone, and those that follow one another.
fn recorded_requests() -> BTreeSet<Vec<u8>> {
    SYNC.iter().flat_map(|(method, requests, _)| windows(method, *requests)).collect()
}

/// Recorded responses of one method, in the same way.
fn recorded_responses(method: &str) -> BTreeSet<Vec<u8>> {
    let (_, _, responses) = SYNC.iter().find(|(name, ..)| *name == method).unwrap();
    windows(method, *responses).collect()
}

fn windows(method: &str, direction: Direction) -> impl Iterator<Item = Vec<u8>> {
    streams(method, direction).iter().flat_map(|stream| {
        let alone = stream.iter().map(|message| protobuf::joined([message.as_slice()]));
        let together = stream.chunks(TOGETHER).map(|some| protobuf::joined(some.iter().map(Vec::as_slice)));
        alone.chain(together)
    })
}

/// The messages of an input that are a `T`, up to the first that is none: there a stream ends.
fn decoded<T: Message + Default>(input: &[u8]) -> Vec<T> {
    protobuf::split(input).into_iter().map_while(|bytes| T::decode(Bytes::copy_from_slice(bytes)).ok()).collect()
}

fn encoded<T: Message>(messages: &[T]) -> Vec<u8> {
    let messages: Vec<Vec<u8>> = messages.iter().map(Message::encode_to_vec).collect();
    protobuf::joined(messages.iter().map(Vec::as_slice))
}

fn first_request(kind: &str, subscribe: &[&str]) -> DeltaDiscoveryRequest {
    let us = Instance {
        id: "host-1a2b".to_owned(),
        config: r#"{"store":{"type":"memory"}}"#.to_owned(),
        features: vec!["hash-suffix".to_owned()],
        ..Instance::default()
    };
    DeltaDiscoveryRequest {
        node: Some(node::first(ZONE, &us)),
        type_url: kind.to_owned(),
        resource_names_subscribe: subscribe.iter().map(|name| (*name).to_owned()).collect(),
        ..Default::default()
    }
}

/// An ACK, or with an error a NACK.
fn answer(kind: &str, nonce: &str, error: Option<&str>) -> DeltaDiscoveryRequest {
    DeltaDiscoveryRequest {
        node: Some(Node { id: ZONE.to_owned(), metadata: None }),
        type_url: kind.to_owned(),
        response_nonce: nonce.to_owned(),
        error_detail: error.map(|message| Status { message: message.to_owned(), ..Default::default() }),
        ..Default::default()
    }
}

/// A resource in JSON, labelled as of `origin`.
fn resource(mesh: &str, name: &str, origin: &str, spec: &str, status: Option<&str>) -> Resource {
    let labels = [("kuma.io/origin", origin), ("kuma.io/zone", ZONE), ("kuma.io/display-name", name)];
    proto_resource(mesh, name, &labels, Any { type_url: String::new(), value: spec.as_bytes().to_vec() }, status)
}

fn proto_resource(mesh: &str, name: &str, labels: &[(&str, &str)], spec: Any, status: Option<&str>) -> Resource {
    let kuma = KumaResource {
        meta: Some(Meta {
            name: name.to_owned(),
            mesh: mesh.to_owned(),
            labels: labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
            ..Default::default()
        }),
        spec: Some(spec),
        status: status.map(|status| Any { type_url: String::new(), value: status.as_bytes().to_vec() }),
    };
    Resource {
        name: format!("{name}.{mesh}"),
        version: "1".to_owned(),
        resource: Some(Any {
            type_url: "type.googleapis.com/kuma.mesh.v1alpha1.KumaResource".to_owned(),
            value: kuma.encode_to_vec(),
        }),
    }
}

fn response(kind: &str, resources: Vec<Resource>, removed: &[&str]) -> DeltaDiscoveryResponse {
    DeltaDiscoveryResponse {
        type_url: kind.to_owned(),
        nonce: "1".to_owned(),
        resources,
        removed_resources: removed.iter().map(|name| (*name).to_owned()).collect(),
        ..Default::default()
    }
}

/// A gateway and an inbound of a proxy, tagged with a zone.
fn dataplane(zone: &str) -> Dataplane {
    let tags = || [("kuma.io/zone".to_owned(), zone.to_owned()), ("app".to_owned(), "web".to_owned())].into();
    let networking = Networking {
        address: "10.0.0.1".to_owned(),
        gateway: Some(Gateway { tags: tags(), ..Default::default() }),
        inbound: vec![Inbound { port: 80, tags: tags(), ..Default::default() }],
        ..Default::default()
    };
    Dataplane { networking: Some(networking), ..Default::default() }
}
