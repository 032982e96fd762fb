//! A hand-driven zone that behaves: takes what comes, answers at once, and can be asked what it has.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use model::Kind;
use prost::Message as _;
use prost_types::{ListValue, Struct, Value, value::Kind as ValueKind};
use testkit::{kds::Call, rpcs::DOWN};
use tokio::runtime::{Builder, Runtime};
use wire::{
    envoy::{
        config::core::v3::Node,
        service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse},
    },
    kuma::mesh::v1alpha1::KumaResource,
};

use crate::stage::{
    plain_port::{node, peer_at},
    world::World,
};

/// The kinds that a zone asks for.
pub(super) fn kinds() -> Vec<&'static str> {
    Kind::all().filter(|kind| kind.flow.global_to_zone()).map(|kind| kind.name).collect()
}

/// A first request of a zone with these features: those of 2.14, or none, as the oldest ones have it.
pub(super) fn first_with(zone: &str, kind: &str, features: &[&str]) -> Vec<u8> {
    let text = |text: &str| Value { kind: Some(ValueKind::StringValue(text.to_owned())) };
    let features = ListValue { values: features.iter().map(|feature| text(feature)).collect() };
    let features = Value { kind: Some(ValueKind::ListValue(features)) };
    let metadata = Struct { fields: [("features".to_owned(), features)].into() };
    DeltaDiscoveryRequest {
        node: Some(Node { id: zone.to_owned(), metadata: Some(metadata) }),
        type_url: kind.to_owned(),
        resource_names_subscribe: vec!["*".to_owned()],
        ..Default::default()
    }
    .encode_to_vec()
}

pub(super) const FEATURES_OF_2_14: &[&str] =
    &["zone-token", "hash-suffix", "hg-mz-selector", "producer-policy-flow", "optional-top-level-target-ref"];

/// The ACK of a response.
pub(super) fn ack(zone: &str, response: &DeltaDiscoveryResponse) -> Vec<u8> {
    DeltaDiscoveryRequest {
        node: node(zone),
        type_url: response.type_url.clone(),
        response_nonce: response.nonce.clone(),
        ..Default::default()
    }
    .encode_to_vec()
}

/// What a good zone has: kind and display name to the spec.
type Content = BTreeMap<(String, String), Vec<u8>>;

pub(super) struct GoodZone {
    content: Arc<Mutex<Content>>,
    /// Its own, so that a test may wait without holding it up.
    _runtime: Runtime,
}

impl GoodZone {
    /// Connects and subscribes to everything.
    pub(super) fn start(world: &World, name: &'static str) -> Self {
        let (token, address) = (world.token(name), world.global.address("kds"));
        Self::at(address, name, &[("authorization", &token), ("features", "hash-suffix,zone-ping-health")])
    }

    /// The same at this address, with these headers beside its name.
    pub(super) fn at(address: SocketAddr, name: &'static str, headers: &[(&str, &str)]) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let content = Arc::<Mutex<Content>>::default();
        let taking = Arc::clone(&content);
        let call = runtime.block_on(async {
            let connection = peer_at(address).await;
            let call = connection.open(DOWN, &[&[("client-id", name)], headers].concat());
            for kind in kinds() {
                call.send(&first_with(name, kind, FEATURES_OF_2_14));
            }
            (connection, call)
        });
        runtime.spawn(async move {
            let (_connection, mut call) = call;
            take(&mut call, name, &taking).await;
        });
        Self { content, _runtime: runtime }
    }

    /// The spec of a resource, by its display name.
    pub(super) fn has(&self, kind: &str, name: &str) -> Option<Vec<u8>> {
        let content = self.content.lock().unwrap_or_else(PoisonError::into_inner);
        content.get(&(kind.to_owned(), name.to_owned())).cloned()
    }
}

/// Takes responses until the stream ends, which it does with the test.
async fn take(call: &mut Call, zone: &str, content: &Mutex<Content>) {
    loop {
        // A quiet stream is no failure here: a test waits for what it wants to see.
        let message: Bytes = match call.message().await {
            Some(message) => message,
            None => return,
        };
        let response = DeltaDiscoveryResponse::decode(message).unwrap();
        {
            let mut content = content.lock().unwrap_or_else(PoisonError::into_inner);
            for resource in &response.resources {
                let kuma = KumaResource::decode(resource.resource.as_ref().unwrap().value.as_slice()).unwrap();
                let meta = kuma.meta.unwrap();
                let name = meta.labels.get(model::labels::DISPLAY_NAME).unwrap_or(&meta.name).clone();
                content.insert((response.type_url.clone(), name), kuma.spec.unwrap().value);
            }
        }
        call.send(&ack(zone, &response));
    }
}
