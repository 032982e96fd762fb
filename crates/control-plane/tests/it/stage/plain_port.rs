//! A global whose KDS port has no TLS, and calls to it with the token of a zone: what a test sends is bytes of its own.

use std::net::SocketAddr;

use prost::Message as _;
use testkit::kds::{Call, Peer};
use tokio::net::TcpStream;
use wire::{
    envoy::{
        config::core::v3::Node,
        service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse, Resource},
    },
    kuma::mesh::v1alpha1::{KumaResource, kuma_resource::Meta},
};

use super::world::World;

const PLAIN: &[(&str, &str)] = &[("KUMA_MULTIZONE_GLOBAL_KDS_TLS_ENABLED", "false")];

pub(crate) fn plain_world() -> World {
    World::new(PLAIN)
}

/// The same as a program: its memory can be looked at.
pub(crate) fn plain_program() -> World {
    World::of_programs(PLAIN)
}

pub(crate) async fn peer(world: &World) -> Peer {
    peer_at(world.global.address("kds")).await
}

/// A connection to any port without TLS.
pub(crate) async fn peer_at(address: SocketAddr) -> Peer {
    let stream = TcpStream::connect(address).await.unwrap();
    // As every real peer has it: the end of a window does not wait for an acknowledgement that is held back for 40 ms.
    stream.set_nodelay(true).unwrap();
    Peer::over(stream).await
}

pub(crate) fn open(peer: &Peer, path: &str, zone: &str, token: &str) -> Call {
    peer.open(path, &[("client-id", zone), ("authorization", token), ("features", "hash-suffix,zone-ping-health")])
}

pub(crate) fn node(zone: &str) -> Option<Node> {
    Some(Node { id: zone.to_owned(), metadata: None })
}

pub(crate) fn first(zone: &str, kind: &str) -> Vec<u8> {
    let subscribe = vec!["*".to_owned()];
    DeltaDiscoveryRequest {
        node: node(zone),
        type_url: kind.to_owned(),
        resource_names_subscribe: subscribe,
        ..Default::default()
    }
    .encode_to_vec()
}

pub(crate) fn resource(name: &str, spec: Option<prost_types::Any>) -> Resource {
    let kuma = KumaResource {
        meta: Some(Meta { name: name.to_owned(), mesh: "default".to_owned(), ..Default::default() }),
        spec,
        status: None,
    };
    let any = prost_types::Any {
        type_url: "type.googleapis.com/kuma.mesh.v1alpha1.KumaResource".to_owned(),
        value: kuma.encode_to_vec(),
    };
    Resource { name: format!("{name}.default"), version: "1".to_owned(), resource: Some(any) }
}

pub(crate) fn response(kind: &str, resources: Vec<Resource>) -> Vec<u8> {
    DeltaDiscoveryResponse { type_url: kind.to_owned(), nonce: "1".to_owned(), resources, ..Default::default() }
        .encode_to_vec()
}
