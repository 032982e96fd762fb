//! A zone of any version, played by hand: it says of itself what a test wants, asks, answers and reports.

use std::collections::{BTreeMap, VecDeque};

use prost::Message as _;
use prost_types::{Any, ListValue, Struct, Value, value::Kind};
use testkit::{
    kds::{Call, Ended, Peer},
    rpcs::{DOWN, UP},
};
use wire::{
    envoy::{
        config::core::v3::Node,
        service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse, Resource},
    },
    google::rpc,
    kuma::mesh::v1alpha1::{
        Dataplane, KumaResource,
        dataplane::{Networking, networking::Inbound},
        kuma_resource::Meta,
    },
};

use super::{plain_port::peer, world::World};

/// A global that takes every zone for what it says it is, as a real one does.
pub(crate) fn open_world() -> World {
    open_world_with(&[])
}

pub(crate) fn open_world_with(settings: &[(&str, &str)]) -> World {
    World::new(&[OPEN, settings].concat())
}

/// The same as a program, which can crash.
pub(crate) fn open_program() -> World {
    World::of_programs(OPEN)
}

const OPEN: &[(&str, &str)] =
    &[("KUMA_MULTIZONE_GLOBAL_KDS_AUTH_TYPE", "none"), ("KUMA_MULTIZONE_GLOBAL_KDS_TLS_ENABLED", "false")];

/// What a zone says of itself.
#[derive(Clone)]
pub(crate) struct Played {
    pub(crate) name: String,
    pub(crate) version: &'static str,
    /// The entries of the header `features`.
    pub(crate) header: Vec<&'static str>,
    /// The list `features` of the metadata.
    pub(crate) features: Vec<&'static str>,
    pub(crate) config: &'static str,
    pub(crate) instance: &'static str,
}

impl Played {
    /// A zone of 2.14.3 on universal.
    pub(crate) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            version: "2.14.3",
            header: vec!["zone-ping-health", "hash-suffix"],
            features: vec![
                "zone-token",
                "hash-suffix",
                "hg-mz-selector",
                "producer-policy-flow",
                "optional-top-level-target-ref",
            ],
            config: r#"{"store":{"type":"memory"}}"#,
            instance: "host-1a2b",
        }
    }

    pub(crate) fn without(mut self, feature: &str) -> Self {
        self.header.retain(|known| *known != feature);
        self.features.retain(|known| *known != feature);
        self
    }

    pub(crate) fn call(&self, peer: &Peer, path: &str) -> Call {
        let mut headers = vec![("client-id", self.name.as_str()), ("kds-version", "v3"), ("version", self.version)];
        headers.extend(self.header.iter().map(|feature| ("features", *feature)));
        peer.open(path, &headers)
    }

    pub(crate) fn first_request(&self, kind: &str) -> DeltaDiscoveryRequest {
        let build = object([("version", text(self.version))]);
        let version = object([("kumaCp", value(Kind::StructValue(build)))]);
        let features = self.features.iter().map(|feature| text(feature)).collect();
        let metadata = object([
            ("version", value(Kind::StructValue(version))),
            ("config", text(self.config)),
            ("control-plane-id", text(self.instance)),
            ("features", value(Kind::ListValue(ListValue { values: features }))),
        ]);
        DeltaDiscoveryRequest {
            node: Some(Node { id: self.name.clone(), metadata: Some(metadata) }),
            type_url: kind.to_owned(),
            resource_names_subscribe: vec!["*".to_owned()],
            ..Default::default()
        }
    }

    /// Opens GlobalToZoneSync on a connection of its own.
    pub(crate) async fn down(&self, world: &World) -> Down {
        let peer = peer(world).await;
        let call = self.call(&peer, DOWN);
        Down { zone: self.clone(), call, _peer: peer }
    }

    /// Opens ZoneToGlobalSync on a connection of its own and takes the first requests.
    pub(crate) async fn up(&self, world: &World) -> Up {
        let peer = peer(world).await;
        let mut up =
            Up { call: self.call(&peer, UP), asked: BTreeMap::new(), answers: VecDeque::new(), nonce: 0, _peer: peer };
        while up.asked.len() < 31 {
            let message = up.call.next().await.expect("a first request");
            let request = DeltaDiscoveryRequest::decode(message).unwrap();
            up.asked.insert(request.type_url.clone(), request);
        }
        up
    }
}

/// GlobalToZoneSync of a played zone.
pub(crate) struct Down {
    zone: Played,
    pub(crate) call: Call,
    _peer: Peer,
}

impl Down {
    /// Sends a first request.
    pub(crate) fn ask(&self, kind: &str) {
        self.call.send(&self.zone.first_request(kind).encode_to_vec());
    }

    /// The next response, not answered.
    pub(crate) async fn next(&mut self) -> DeltaDiscoveryResponse {
        DeltaDiscoveryResponse::decode(self.call.next().await.expect("a response")).unwrap()
    }

    pub(crate) fn ack(&self, response: &DeltaDiscoveryResponse) {
        self.answer(response, None);
    }

    pub(crate) fn nack(&self, response: &DeltaDiscoveryResponse, reason: &str) {
        self.answer(response, Some(reason));
    }

    fn answer(&self, response: &DeltaDiscoveryResponse, reason: Option<&str>) {
        let request = DeltaDiscoveryRequest {
            node: Some(Node { id: self.zone.name.clone(), metadata: None }),
            type_url: response.type_url.clone(),
            response_nonce: response.nonce.clone(),
            resource_names_subscribe: reason.iter().map(|_| "*".to_owned()).collect(),
            error_detail: reason.map(|text| rpc::Status { message: text.to_owned(), ..Default::default() }),
            ..Default::default()
        };
        self.call.send(&request.encode_to_vec());
    }

    /// Asks for a type, takes the first response and acknowledges it.
    pub(crate) async fn first(&mut self, kind: &str) -> Vec<Seen> {
        self.ask(kind);
        let response = self.next().await;
        assert_eq!(response.type_url, kind);
        self.ack(&response);
        seen(&response)
    }

    /// Takes and acknowledges responses until one has what is wanted; returns it.
    pub(crate) async fn until(&mut self, wanted: impl Fn(&DeltaDiscoveryResponse) -> bool) -> DeltaDiscoveryResponse {
        loop {
            let response = self.next().await;
            self.ack(&response);
            if wanted(&response) {
                return response;
            }
        }
    }
}

/// ZoneToGlobalSync of a played zone.
pub(crate) struct Up {
    pub(crate) call: Call,
    /// The first requests of global.
    pub(crate) asked: BTreeMap<String, DeltaDiscoveryRequest>,
    answers: VecDeque<DeltaDiscoveryRequest>,
    nonce: u32,
    _peer: Peer,
}

impl Up {
    /// Reports resources; returns the answer: the text of a NACK, or nothing.
    pub(crate) async fn report(&mut self, kind: &str, resources: Vec<Resource>) -> Option<String> {
        self.send(kind, resources, &[]);
        self.answer(kind).await
    }

    pub(crate) async fn remove(&mut self, kind: &str, removed: &[&str]) -> Option<String> {
        self.send(kind, Vec::new(), removed);
        self.answer(kind).await
    }

    pub(crate) fn send(&mut self, kind: &str, resources: Vec<Resource>, removed: &[&str]) {
        self.nonce += 1;
        let response = DeltaDiscoveryResponse {
            type_url: kind.to_owned(),
            nonce: self.nonce.to_string(),
            resources,
            removed_resources: removed.iter().map(|name| (*name).to_owned()).collect(),
            ..Default::default()
        };
        self.call.send(&response.encode_to_vec());
    }

    /// The next answer to what was sent of this type.
    pub(crate) async fn next_answer(&mut self, kind: &str) -> DeltaDiscoveryRequest {
        loop {
            if let Some(at) = self.answers.iter().position(|answer| answer.type_url == kind) {
                return self.answers.remove(at).expect("it was found");
            }
            let message = self.call.next().await.expect("an answer");
            self.answers.push_back(DeltaDiscoveryRequest::decode(message).unwrap());
        }
    }

    async fn answer(&mut self, kind: &str) -> Option<String> {
        let answer = self.next_answer(kind).await;
        assert_eq!(answer.response_nonce, self.nonce.to_string());
        answer.error_detail.map(|status| status.message)
    }

    pub(crate) async fn ended(&mut self) -> Ended {
        self.call.ended().await
    }
}

/// One resource as the zone read it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) name: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) spec: Any,
    pub(crate) status: Option<String>,
}

pub(crate) fn seen(response: &DeltaDiscoveryResponse) -> Vec<Seen> {
    let one = |resource: &Resource| {
        let kuma = KumaResource::decode(resource.resource.as_ref().unwrap().value.as_slice()).unwrap();
        let meta = kuma.meta.unwrap();
        let status = kuma.status.map(|status| String::from_utf8(status.value).unwrap());
        Seen { name: meta.name, labels: meta.labels, spec: kuma.spec.unwrap(), status }
    };
    response.resources.iter().map(one).collect()
}

pub(crate) fn names(seen: &[Seen]) -> Vec<&str> {
    seen.iter().map(|one| one.name.as_str()).collect()
}

/// A resource as a zone sends it.
pub(crate) fn sent(mesh: &str, name: &str, labels: &[(&str, &str)], spec: Any) -> Resource {
    let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let meta = Meta { name: name.to_owned(), mesh: mesh.to_owned(), version: String::new(), labels };
    let kuma = KumaResource { meta: Some(meta), spec: Some(spec), status: None };
    let any =
        Any { type_url: "type.googleapis.com/kuma.mesh.v1alpha1.KumaResource".to_owned(), value: kuma.encode_to_vec() };
    Resource { name: format!("{name}.{mesh}"), version: "1".to_owned(), resource: Some(any) }
}

pub(crate) fn json(spec: &str) -> Any {
    Any { type_url: String::new(), value: spec.as_bytes().to_vec() }
}

pub(crate) fn proto(kind: &str, bytes: Vec<u8>) -> Any {
    Any { type_url: format!("type.googleapis.com/kuma.mesh.v1alpha1.{kind}"), value: bytes }
}

/// A Dataplane that every version takes.
pub(crate) fn dataplane() -> Any {
    let inbound = Inbound { port: 8080, name: "http".to_owned(), ..Default::default() };
    let networking = Networking { address: "10.0.0.1".to_owned(), inbound: vec![inbound], ..Default::default() };
    proto("Dataplane", Dataplane { networking: Some(networking), ..Default::default() }.encode_to_vec())
}

fn value(kind: Kind) -> Value {
    Value { kind: Some(kind) }
}

fn text(text: &str) -> Value {
    value(Kind::StringValue(text.to_owned()))
}

fn object<'a>(fields: impl IntoIterator<Item = (&'a str, Value)>) -> Struct {
    Struct { fields: fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect() }
}
