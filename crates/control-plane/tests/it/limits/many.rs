//! Very many resources of one kind, in both directions.
//!
//! `ARCTOS_MANY=1000000 cargo test --release -p control-plane --test it limits::many` tries a million by hand. Measured
//! once on two busy cores, not quite a release build: the test passes in 60 s, of which global starts in 18 s. It then
//! holds 2.1 GiB, some 2 KiB for each resource, and 3.5 GiB when a zone without the hash suffix wants all names plain too.

use std::collections::BTreeSet;

use bytes::Bytes;
use jiff::Timestamp;
use model::{Key, Kind, Labels, Resource};
use prost::Message as _;
use serde_json::json;
use store::{Batch, Precondition, ResourceStore as _, Write, sqlite::SqliteStore};
use testkit::{
    client,
    kds::Call,
    rpcs::{DOWN, UP},
    runtime::run,
};
use wire::{
    envoy::service::discovery::v3::{self, DeltaDiscoveryRequest, DeltaDiscoveryResponse},
    kuma::mesh::v1alpha1::{KumaResource, kuma_resource::Meta},
};

use super::zone::{FEATURES_OF_2_14, GoodZone, ack, first_with, kinds};
use crate::stage::{
    plain_port::{open, peer},
    world::World,
};

const MANY: usize = 50_000;
const MESSAGE: usize = 10 * 1024 * 1024;
const PLAIN: &[(&str, &str)] = &[("KUMA_MULTIZONE_GLOBAL_KDS_TLS_ENABLED", "false")];

/// How many resources of a kind that is to be too large.
fn many() -> usize {
    let given = std::env::var_os("ARCTOS_MANY").and_then(|value| value.to_str()?.parse().ok());
    given.unwrap_or(MANY)
}

/// A global that has many resources before it starts.
fn world_with(kinds: &[(&str, usize, &'static str)]) -> World {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&folder.path().join("global/global.db")).unwrap();
    run(async {
        for (kind, count, spec) in kinds {
            let kind = Kind::by_name(kind).unwrap();
            let numbers: Vec<usize> = (0..*count).collect();
            for numbers in numbers.chunks(5_000) {
                let put = |number: &usize| Write::Put {
                    resource: Resource {
                        key: Key::in_mesh(kind, "default", format!("n{number}")),
                        labels: Labels::new(),
                        spec: Bytes::from_static(spec.as_bytes()),
                        status: None,
                        owner: None,
                        created: Timestamp::UNIX_EPOCH,
                        modified: Timestamp::UNIX_EPOCH,
                    },
                    expect: Precondition::Absent,
                };
                store.apply(Batch::of(numbers.iter().map(put).collect())).await.unwrap();
            }
        }
    });
    drop(store);
    World::in_folder(folder, PLAIN)
}

/// Asks for everything, and takes first responses until all kinds but `without` were answered.
async fn first_responses(
    call: &mut Call,
    zone: &str,
    features: &[&str],
    without: &[&str],
) -> Vec<(usize, DeltaDiscoveryResponse)> {
    for kind in kinds() {
        call.send(&first_with(zone, kind, features));
    }
    let mut expected: BTreeSet<&str> = kinds().into_iter().filter(|kind| !without.contains(kind)).collect();
    let mut responses = Vec::new();
    while !expected.is_empty() {
        let message = call.next().await.expect("the stream lives");
        let size = message.len();
        let response = DeltaDiscoveryResponse::decode(message).unwrap();
        assert!(expected.remove(response.type_url.as_str()), "{} was not expected", response.type_url);
        call.send(&ack(zone, &response));
        responses.push((size, response));
    }
    responses
}

#[test]
fn a_kind_that_does_not_fit_is_not_sent_and_the_others_are() {
    let timeout = r#"{"to":[{"targetRef":{"kind":"Mesh"},"default":{"connectionTimeout":"5s"}}]}"#;
    let world = world_with(&[("MeshTimeout", many(), timeout), ("MeshRetry", MANY, "{}")]);
    let (wide, narrow) = (world.token("wide"), world.token("narrow"));
    run(async {
        // With its hashes and display names no kind of 50,000 fits into one message: 250 bytes are the least.
        let connection = peer(&world).await;
        let mut call = open(&connection, DOWN, "wide", &wide);
        first_responses(&mut call, "wide", FEATURES_OF_2_14, &["MeshTimeout", "MeshRetry"]).await;
        // A zone without the hash suffix gets short names, and 50,000 small resources fit.
        let mut old = open(&connection, DOWN, "narrow", &narrow);
        let responses = first_responses(&mut old, "narrow", &[], &["MeshTimeout"]).await;
        let (size, retries) = responses.iter().find(|(_, response)| response.type_url == "MeshRetry").unwrap();
        eprintln!("{} resources fit into {size} bytes", retries.resources.len());
        assert!(retries.resources.len() >= MANY && *size <= MESSAGE, "all in one message");
        // The streams live: what changes later comes, and still nothing of the large kinds.
        world.apply("type: Mesh\nname: later\n");
        for call in [&mut call, &mut old] {
            loop {
                let response = DeltaDiscoveryResponse::decode(call.next().await.expect("the stream lives")).unwrap();
                assert_ne!(response.type_url, "MeshTimeout");
                if response.resources.iter().any(|resource| resource.name == "later.") {
                    break;
                }
            }
        }
    });
    let metrics = client::ask(world.global.address("diagnostics"), "GET", "/metrics", None).1;
    for (zone, kind) in [("wide", "MeshTimeout"), ("wide", "MeshRetry"), ("narrow", "MeshTimeout")] {
        let (zone_field, kind_field) = (format!("\"zone\": \"{zone}\""), format!("\"kind\": \"{kind}\""));
        let line = world.global.line(&["a type does not fit into one message", &zone_field, &kind_field]);
        let bytes = line.split_once("\"bytes\": ").unwrap().1.split_once(',').unwrap().0.parse::<usize>().unwrap();
        assert!(bytes > MESSAGE, "{line}");
        let mut counted = metrics.lines().filter(|line| line.starts_with("kds_type_too_large_total{"));
        let labels = [format!("zone_name=\"{zone}\""), format!("resource_type=\"{kind}\"")];
        assert!(counted.any(|line| labels.iter().all(|label| line.contains(label))), "{zone} {kind} in {metrics}");
    }
    eprintln!("global with {} and {MANY} resources: {} KiB", many(), world.global.resident_kib());
}

#[test]
fn a_zone_may_report_many_resources_in_one_message() {
    let world = World::of_programs(PLAIN);
    let good = GoodZone::start(&world, "good");
    let token = world.token("large");
    let proxy = json!({"networking": {"address": "10.0.0.1", "inbound": [{"port": 80}]}});
    let spec = model::proto::spec_from_json(Kind::DATAPLANE, proxy.as_object().unwrap()).unwrap();
    let resources = (0..MANY).map(|number| tiny(&format!("d{number}"), spec.to_vec())).collect();
    let report = DeltaDiscoveryResponse {
        type_url: "Dataplane".to_owned(),
        nonce: "1".to_owned(),
        resources,
        ..Default::default()
    }
    .encode_to_vec();
    assert!(report.len() < MESSAGE, "{MANY} proxies are {} bytes", report.len());
    // With a thread of its own, so that the report is on its way while this one waits for others.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        let connection = peer(&world).await;
        let mut call = open(&connection, UP, "large", &token);
        assert!(call.next().await.is_some());
        call.send(&report);
        // Others go on while that is taken in.
        super::changes_reach(&good, &world, 10);
        loop {
            let request = DeltaDiscoveryRequest::decode(call.next().await.expect("the stream lives")).unwrap();
            if request.type_url == "Dataplane" && request.response_nonce == "1" {
                assert!(request.error_detail.is_none(), "{request:?}");
                break;
            }
        }
    });
    let list = client::get(world.http(), "/meshes/default/dataplanes?size=1");
    assert_eq!(list["total"], MANY);
    super::changes_reach(&good, &world, 10);
    eprintln!(
        "global with {MANY} proxies of one zone: {} KiB, peak {}",
        world.global.resident_kib(),
        world.global.peak_kib()
    );
}

/// A resource with nothing that a receiver does not need.
fn tiny(name: &str, spec: Vec<u8>) -> v3::Resource {
    let kuma = KumaResource {
        meta: Some(Meta { name: name.to_owned(), mesh: "default".to_owned(), ..Default::default() }),
        spec: Some(prost_types::Any {
            type_url: "type.googleapis.com/kuma.mesh.v1alpha1.Dataplane".to_owned(),
            value: spec,
        }),
        status: None,
    };
    let any = prost_types::Any {
        type_url: "type.googleapis.com/kuma.mesh.v1alpha1.KumaResource".to_owned(),
        value: kuma.encode_to_vec(),
    };
    v3::Resource { resource: Some(any), ..Default::default() }
}
