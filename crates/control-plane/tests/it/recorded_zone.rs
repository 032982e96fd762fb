//! A recorded 2.14.3 zone gets its first full sync from our global.

use std::collections::{BTreeMap, BTreeSet};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use control_plane::{
    clock::Clock,
    tls::{Alpn, ClientTrust},
};
use prost::Message as _;
use serde_json::Value;
use testkit::{captures, kds::Peer};
use tokio::net::TcpStream;
use wire::{
    envoy::service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse},
    kuma::mesh::v1alpha1::KumaResource,
};

use crate::world::World;

const PATH: &str = "/kuma.mesh.v1alpha1.KDSSyncService/GlobalToZoneSync";
const HEADERS: &[(&str, &str)] = &[
    ("client-id", "zone-1"),
    ("features", "zone-ping-health"),
    ("features", "hash-suffix"),
    ("kds-version", "v3"),
    ("version", "2.14.3"),
];

/// What the zone said on its first connection until its first answer, as bytes, and what global sent it before any change.
struct Recording {
    first_requests: Vec<Vec<u8>>,
    /// Type to what was in its first response: wire name to version.
    first_responses: BTreeMap<String, BTreeMap<String, String>>,
}

fn recording(folder: &str) -> Option<Recording> {
    let lines = captures::kds(folder)?;
    let on_stream =
        lines.iter().filter(|line| line["event"] == "message" && line["conn"] == 1 && line["method"] == PATH);
    let mut recording = Recording { first_requests: Vec::new(), first_responses: BTreeMap::new() };
    for line in on_stream {
        let bytes = STANDARD.decode(line["base64"].as_str().unwrap_or_default()).unwrap();
        if line["dir"] == "zone->global" {
            let request = DeltaDiscoveryRequest::decode(bytes.as_slice()).unwrap();
            if request.response_nonce.is_empty() {
                recording.first_requests.push(bytes);
            }
        } else {
            let response = DeltaDiscoveryResponse::decode(bytes.as_slice()).unwrap();
            let resources = response.resources.iter().map(|one| (one.name.clone(), one.version.clone())).collect();
            recording.first_responses.entry(response.type_url).or_insert(resources);
        }
    }
    Some(recording)
}

/// How the recorded zone reaches our global.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    /// As it was recorded: plain text, nothing to prove.
    Recorded,
    /// Over verified TLS, with a token put into its headers.
    Authenticated,
}

/// Plays the zone against a global; returns the first responses.
fn play(recording: &Recording, way: Way) -> BTreeMap<String, DeltaDiscoveryResponse> {
    let recorded =
        [("KUMA_MULTIZONE_GLOBAL_KDS_AUTH_TYPE", "none"), ("KUMA_MULTIZONE_GLOBAL_KDS_TLS_ENABLED", "false")];
    let world = World::new(if way == Way::Recorded { &recorded } else { &[] });
    // What the recorded global was given before the zone came.
    world.apply("type: Mesh\nname: default\n");
    world.apply("type: MeshTimeout\nmesh: default\nname: t1\nspec:\n  to:\n  - targetRef: {kind: Mesh}\n    default: {idleTimeout: 1h, connectionTimeout: 3s}\n");
    world.apply("type: Secret\nmesh: default\nname: s1\ndata: czEtdmFsdWU=\n");
    world.apply("type: GlobalSecret\nname: gs1\ndata: Z3MxLXZhbHVl\n");
    let address = world.global.address("kds");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (peer, token) = match way {
            Way::Recorded => (Peer::over(TcpStream::connect(address).await.unwrap()).await, None),
            Way::Authenticated => (over_tls(&world).await, Some(world.token("zone-1"))),
        };
        let token = token.as_deref().map(|token| ("authorization", token));
        let headers: Vec<_> = HEADERS.iter().copied().chain(token).collect();
        let mut call = peer.open(PATH, &headers);
        for request in &recording.first_requests {
            call.send(request);
        }
        let mut responses = BTreeMap::new();
        while responses.len() < recording.first_requests.len() {
            let message = call.next().await.expect("the stream stays open");
            let response = DeltaDiscoveryResponse::decode(message).unwrap();
            let ack = DeltaDiscoveryRequest {
                node: Some(wire::envoy::config::core::v3::Node { id: "zone-1".to_owned(), metadata: None }),
                type_url: response.type_url.clone(),
                response_nonce: response.nonce.clone(),
                ..Default::default()
            };
            call.send(&ack.encode_to_vec());
            let kind = response.type_url.clone();
            assert!(responses.insert(kind.clone(), response).is_none(), "two first responses of {kind}");
        }
        responses
    })
}

#[test]
fn a_recorded_2_14_zone_gets_its_first_full_sync() {
    let Some(recording) = recording("global-2.14.3+zone-2.14.3") else { return };
    assert_eq!(recording.first_requests.len(), 45);
    let responses = play(&recording, Way::Recorded);
    let asked: BTreeSet<_> = recording.first_responses.keys().cloned().collect();
    assert_eq!(responses.keys().cloned().collect::<BTreeSet<_>>(), asked, "every type is answered, empty ones too");
    for (kind, response) in &responses {
        assert_eq!(response.control_plane.as_ref().map(|plane| plane.identifier.as_str()), Some("global"), "{kind}");
        for resource in &response.resources {
            let any = resource.resource.as_ref().unwrap();
            assert_eq!(any.type_url, "type.googleapis.com/kuma.mesh.v1alpha1.KumaResource");
            let kuma = KumaResource::decode(any.value.as_slice()).unwrap();
            let meta = kuma.meta.unwrap();
            assert_eq!(resource.name, format!("{}.{}", meta.name, meta.mesh));
            assert_eq!(meta.labels.get("kuma.io/origin").map(String::as_str), Some("global"), "{}", resource.name);
            assert!(kuma.spec.is_some(), "{}", resource.name);
        }
    }
    // The names that follow from the store are the recorded ones.
    let names = |kind: &str| responses[kind].resources.iter().map(|one| one.name.clone()).collect::<BTreeSet<_>>();
    let recorded = |kind: &str| recording.first_responses[kind].keys().cloned().collect::<BTreeSet<_>>();
    for kind in ["Mesh", "HostnameGenerator", "MeshCircuitBreaker", "MeshRetry", "Config", "Secret", "GlobalSecret"] {
        assert_eq!(names(kind), recorded(kind), "{kind}");
    }
}

#[test]
fn a_recorded_3_0_zone_gets_the_recorded_versions() {
    let Some(recording) = recording("global-3.0-preview+zone-3.0-preview") else { return };
    assert_eq!(recording.first_requests.len(), 29);
    let responses = play(&recording, Way::Recorded);
    for kind in ["Mesh", "HostnameGenerator", "MeshCircuitBreaker", "MeshRetry"] {
        let ours: BTreeMap<_, _> =
            responses[kind].resources.iter().map(|one| (one.name.clone(), one.version.clone())).collect();
        assert_eq!(ours, recording.first_responses[kind], "{kind}: same content, so the same bytes and the same hash");
    }
}

async fn over_tls(world: &World) -> Peer {
    let trust = ClientTrust::from_file(world.ca(), Clock::system()).unwrap();
    let config = trust.client_config(Alpn::H2).unwrap();
    let tcp = TcpStream::connect(world.global.address("kds")).await.unwrap();
    let tls = tokio_rustls::TlsConnector::from(config).connect("localhost".try_into().unwrap(), tcp).await.unwrap();
    Peer::over(tls).await
}

#[test]
fn a_recorded_zone_gets_the_same_over_tls_with_a_token() {
    let Some(recording) = recording("global-2.14.3+zone-2.14.3") else { return };
    let plain = play(&recording, Way::Recorded);
    let proven = play(&recording, Way::Authenticated);
    let names = |responses: &BTreeMap<String, DeltaDiscoveryResponse>| {
        let of = |response: &DeltaDiscoveryResponse| {
            response.resources.iter().map(|one| one.name.clone()).collect::<BTreeSet<_>>()
        };
        responses.iter().map(|(kind, response)| (kind.clone(), of(response))).collect::<BTreeMap<_, _>>()
    };
    assert_eq!(names(&plain), names(&proven));
}

#[test]
fn the_recorded_first_requests_are_what_the_readme_says() {
    let Some(lines) = captures::kds("global-2.14.3+zone-2.14.3") else { return };
    let opened: Vec<&Value> = lines.iter().filter(|line| line["event"] == "stream-open" && line["conn"] == 1).collect();
    assert_eq!(opened.len(), 6);
}
