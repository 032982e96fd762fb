//! Any requests on one stream: each is answered or refused, with at most one response of a kind in flight.

use std::{collections::BTreeSet, sync::Arc};

use model::Kind;
use prost::Message as _;
use sync::{Audience, Entry, Features, Outgoing, Receiver, Sender, Snapshot, WireName};
use testkit::fuzz::{Form, Inputs};
use wire::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse};

use super::{ZONE, answer, decoded, encoded, first_request, recorded_requests};
use crate::{
    kds::messages::{convert, node, request::Request},
    zones::insight::Instance,
};

/// Small enough that a change comes in parts and a first response may not fit.
const LIMIT: usize = 4096;

fn made() -> Vec<Vec<u8>> {
    let many = |from: usize, to: usize| {
        let mut request = first_request("MeshTimeout", &[]);
        request.resource_names_subscribe = (from..to).map(|index| format!("t{index}.default")).collect();
        request
    };
    let mut versions = first_request("MeshService", &["*"]);
    versions.initial_resource_versions =
        [("east.default", "1"), ("gone.default", "2"), ("", "")].map(|(k, v)| (k.to_owned(), v.to_owned())).into();
    let mut without_node = first_request("Mesh", &["*"]);
    without_node.node = None;
    vec![
        encoded(&[first_request("Mesh", &["*"]), answer("Mesh", "0.1", None), answer("Mesh", "x", Some("spec: bad"))]),
        encoded(&[
            first_request("MeshTimeout", &["*"]),
            answer("MeshTimeout", "", None),
            answer("MeshTimeout", "1", None),
        ]),
        encoded(&[first_request("MeshTimeout", &["t1.default"]), first_request("MeshTimeout", &["t2.default", "*"])]),
        encoded(&[first_request("MeshService", &["*"]), versions.clone()]),
        encoded(&[versions, answer("MeshService", "1", None)]),
        encoded(&[
            first_request("HostnameGenerator", &[]),
            first_request("NoSuchKind", &["*"]),
            first_request("", &["*"]),
        ]),
        // More names than one stream may list: at once, and one by one.
        encoded(&[first_request("MeshTimeout", &["t1.default"]), many(0, 10_001)]),
        encoded(&[many(0, 9_000), many(9_000, 10_001)]),
        encoded(&[without_node]),
    ]
}

#[test]
fn any_requests_are_answered_or_refused() {
    let global = Audience { zone: ZONE.to_owned(), features: Features::HASH_SUFFIX, drops_rejected_batches: false };
    let zone = Audience { zone: String::new(), features: Features::ALL | Features::OURS, drops_rejected_batches: true };
    let provided = Provided::new();
    testkit::fuzz!(Inputs::new(Form::Messages).recorded(recorded_requests()).made(made()).runs(1_500), |input| {
        let requests: Vec<DeltaDiscoveryRequest> = decoded(input);
        for audience in [&global, &zone] {
            converse(&provided, audience, &requests);
        }
    });
}

#[test]
fn any_node_is_read_within_bounds() {
    let metadata = |request: DeltaDiscoveryRequest| Some(request.node?.metadata?.encode_to_vec());
    let recorded = recorded_requests().into_iter().flat_map(|input| decoded(&input)).filter_map(metadata);
    let recorded: BTreeSet<Vec<u8>> = recorded.take(64).collect();
    let long = Instance { id: "ü".repeat(300), ..Instance::default() };
    let made = [metadata(first_request("Mesh", &[])), Some(node::first(ZONE, &long).metadata.unwrap().encode_to_vec())];
    let words = ["version", "kumaCp", "config", "control-plane-id", "features", "gitTag"];
    let inputs = Inputs::new(Form::Message).recorded(recorded).made(made.into_iter().flatten());
    testkit::fuzz!(inputs.words(words).runs(4_000), |input| {
        let Ok(metadata) = prost_types::Struct::decode(input) else { return };
        let said = node::instance(&metadata);
        let version = &said.version;
        for text in [&said.id, &version.version, &version.git_tag, &version.git_commit, &version.build_date] {
            assert!(text.chars().count() <= 256, "{text}");
        }
    });
}

/// The request as it comes off the wire.
fn received(message: &DeltaDiscoveryRequest) -> Request {
    Request::decode(message.encode_to_vec().as_slice()).unwrap()
}

/// One stream, with something changing behind each request.
fn converse(provided: &Provided, audience: &Audience, requests: &[DeltaDiscoveryRequest]) {
    let mut world = World::new(provided, audience.clone());
    for (index, message) in requests.iter().enumerate() {
        let Ok((request, from)) = convert::request(received(message), ZONE) else { return };
        assert_eq!(from.id, ZONE);
        let _malformed_or_not = from.instance();
        let kind = request.kind.clone();
        if world.sender.on_request(request).is_err() {
            assert_eq!(world.sender.next_within(LIMIT), None, "a refused request changes nothing");
            return;
        }
        world.asked.insert(kind.clone());
        world.in_flight.remove(&kind);
        world.drain();
        world.change(index);
        world.drain();
    }
}

/// What is provided at first, and what changes. Encoded once.
struct Provided {
    snapshots: Vec<Snapshot>,
    /// For each snapshot: what a change of it may bring.
    changes: Vec<[Vec<Entry>; 2]>,
}

impl Provided {
    fn new() -> Self {
        let generator = r#"{"selector":{"meshMultiZoneService":{}}}"#;
        let hidden = entry("HostnameGenerator", "", "hidden", generator, None);
        let many = |kind: &str, spec: &str| {
            (0..6).map(|index| entry(kind, "default", &format!("t{index}"), spec, None)).collect()
        };
        let filled = [
            ("Mesh", vec![entry("Mesh", "", "default", "", None)]),
            ("MeshTimeout", many("MeshTimeout", "{}")),
            // Together they do not fit into one message.
            ("MeshRetry", many("MeshRetry", &long(900))),
            (
                "MeshService",
                vec![
                    entry("MeshService", "default", "own", "{}", Some(ZONE)),
                    entry("MeshService", "default", "east", "{}", Some("east")),
                ],
            ),
            ("HostnameGenerator", vec![Entry { needs: Features::HG_MZ_SELECTOR, ..hidden }]),
        ];
        // Some that come in parts, and one that never fits.
        let changes = filled.each_ref().map(|(kind, _)| {
            let sized = |bytes: usize| entry(kind, "default", &format!("n{bytes}"), &long(bytes), None);
            [vec![sized(1_500), sized(1_501), sized(1_502), sized(5_000)], vec![sized(10)]]
        });
        let snapshots = filled.map(|(kind, entries)| Snapshot::empty(kind).with_changes(entries, &[]));
        Self { snapshots: snapshots.into(), changes: changes.into() }
    }
}

struct World<'a> {
    provided: &'a Provided,
    audience: Audience,
    sender: Sender,
    snapshots: Vec<Snapshot>,
    asked: BTreeSet<String>,
    /// The kinds of the responses that wait for an answer.
    in_flight: BTreeSet<String>,
}

impl<'a> World<'a> {
    fn new(provided: &'a Provided, audience: Audience) -> Self {
        let mut sender = Sender::new(audience.clone());
        let snapshots = provided.snapshots.clone();
        for snapshot in &snapshots {
            sender.on_snapshot(Arc::new(snapshot.clone()));
        }
        Self { provided, audience, sender, snapshots, asked: BTreeSet::new(), in_flight: BTreeSet::new() }
    }

    fn change(&mut self, step: usize) {
        let index = step % self.snapshots.len();
        let snapshot = &self.snapshots[index];
        let gone: Vec<WireName> = snapshot.entries().keys().take(step % 3).cloned().collect();
        let changed = snapshot.with_changes(self.provided.changes[index][step % 2].clone(), &gone);
        self.sender.on_snapshot(Arc::new(changed.clone()));
        self.snapshots[index] = changed;
    }

    /// Takes all that is sent now, as the peer would.
    fn drain(&mut self) {
        while let Some(response) = self.sender.next_within(LIMIT) {
            let kind = response.kind.clone();
            assert!(self.asked.contains(&kind), "{kind} was not asked for");
            assert!(self.in_flight.insert(kind.clone()), "a second response of {kind} before the answer to the first");
            for entry in &response.changed {
                assert!(
                    entry.origin_zone.as_deref() != Some(ZONE) || self.audience.zone != ZONE,
                    "its own {}",
                    entry.name
                );
                assert!(self.audience.features.contains(entry.needs), "{} would be misread", entry.name);
            }
            let frame = convert::response_frame(&response, "global");
            assert!(frame.len() <= LIMIT, "{} bytes of {kind}", frame.len());
            let message = DeltaDiscoveryResponse::decode(frame).unwrap();
            assert_eq!((message.type_url.as_str(), message.nonce.as_str()), (kind.as_str(), response.nonce.as_str()));
            let incoming = convert::incoming(message).unwrap();
            let names: Vec<_> = incoming.resources.iter().map(|one| one.name.clone()).collect();
            let sent: Vec<_> = response.changed.iter().map(|entry| entry.name.clone()).collect();
            assert_eq!((names, &incoming.removed), (sent, &response.removed), "what is sent can be read");
            if let Some(kind) = Kind::by_name(&kind) {
                assert!(Receiver::new(vec![kind]).on_response(incoming).is_ok());
            }
        }
    }
}

fn entry(kind: &str, mesh: &str, name: &str, spec: &str, zone: Option<&str>) -> Entry {
    let outgoing = Outgoing {
        name: WireName { mesh: mesh.to_owned(), name: name.to_owned() },
        labels: model::Labels::new(),
        spec: spec.to_owned().into(),
        status: None,
        origin_zone: zone.map(str::to_owned),
        needs: Features::NONE,
        needs_for_all: Features::NONE,
    };
    let kind = Kind::by_name(kind).unwrap();
    let spec = if matches!(kind.spec, model::SpecForm::Json) { outgoing.spec.clone() } else { bytes::Bytes::new() };
    convert::entry(kind, Outgoing { spec, ..outgoing })
}

/// A spec of about this many bytes.
fn long(bytes: usize) -> String {
    format!(r#"{{"a":"{}"}}"#, "x".repeat(bytes))
}
