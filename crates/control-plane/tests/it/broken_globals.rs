//! Globals that are broken, silent or slow, against our zone (contract: kds 13).

use std::collections::BTreeSet;

use prost::Message as _;
use serde_json::json as value;
use testkit::{
    client,
    rpcs::{ADMIN, DOWN, UP},
    runtime::run_in_threads,
};
use wire::{
    envoy::service::discovery::v3::{DeltaDiscoveryRequest, Resource},
    kuma::mesh::v1alpha1::{
        ClustersRequest, ClustersResponse, XdsConfigRequest, XdsConfigResponse, xds_config_response,
    },
};

use crate::stage::{
    played_global::{Link, Played, default_mesh, of_global, timeout},
    played_zone::{dataplane, json, proto},
    world::{wait_for, wait_gone},
};

/// Breaks the connection in a way that the zone must notice: it says why, and comes back.
async fn comes_back_after(played: &Played, why: &str, breaks: impl FnOnce(&mut Link)) {
    let mark = played.zone.mark();
    let mut link = played.accept().await;
    link.first_requests().await;
    breaks(&mut link);
    link.gone().await;
    played.zone.line_after(mark, &["not connected to the global control plane", "keeps serving", why]);
}

#[test]
fn a_broken_message_of_global_ends_the_connection_and_the_zone_comes_back() {
    run_in_threads(async {
        let played = Played::start(&[]).await;
        let request = |node: bool| {
            let node = node.then(|| wire::envoy::config::core::v3::Node { id: "east".to_owned(), metadata: None });
            DeltaDiscoveryRequest { node, type_url: "Dataplane".to_owned(), ..Default::default() }.encode_to_vec()
        };
        let mut no_spec = timeout("a", "{}");
        let kuma = wire::kuma::mesh::v1alpha1::KumaResource {
            meta: Some(wire::kuma::mesh::v1alpha1::kuma_resource::Meta { name: "a".to_owned(), ..Default::default() }),
            ..Default::default()
        };
        no_spec.resource.as_mut().unwrap().value = kuma.encode_to_vec();
        comes_back_after(&played, "the request has no `node`", |link| link.call(UP).send(&request(false))).await;
        comes_back_after(&played, "but the connection belongs to zone", |link| link.call(UP).send(&request(true)))
            .await;
        comes_back_after(&played, "the message cannot be decoded", |link| link.call(DOWN).send(&[0xff; 16])).await;
        comes_back_after(&played, "its spec is no JSON", |link| link.send("MeshTimeout", "1", vec![timeout("a", "{")]))
            .await;
        comes_back_after(&played, "it has no `spec`", |link| link.send("MeshTimeout", "1", vec![no_spec])).await;
        comes_back_after(&played, "it has no content", |link| link.send("MeshTimeout", "1", vec![Resource::default()]))
            .await;
        comes_back_after(&played, "type NoSuchKind was not asked for", |link| link.send("NoSuchKind", "1", Vec::new()))
            .await;
        comes_back_after(&played, "GlobalKDSService ended with", |link| link.admin(0).send(&[0xff; 16])).await;
        let mut link = played.accept().await;
        assert_eq!(link.provide("Mesh", default_mesh()).await, None, "the same process goes on");
    });
}

#[test]
fn what_a_zone_did_not_ask_for_is_not_stored() {
    run_in_threads(async {
        let played = Played::start(&[]).await;
        // Each of them is good enough to be stored.
        let mut zone = proto("", Vec::new());
        "type.googleapis.com/kuma.system.v1alpha1.Zone".clone_into(&mut zone.type_url);
        for (kind, mesh, spec) in
            [("Dataplane", "default", dataplane()), ("Workload", "default", json("{}")), ("Zone", "", zone)]
        {
            let why = format!("type {kind} was not asked for");
            comes_back_after(&played, &why, |link| link.send(kind, "1", vec![of_global(mesh, "planted", spec)])).await;
        }
        let mut link = played.accept().await;
        assert_eq!(link.provide("Mesh", default_mesh()).await, None);
        assert_eq!(client::get(played.http(), "/dataplanes")["total"], 0);
        assert_eq!(client::ask(played.http(), "GET", "/zones/planted", None).0, 404);
        assert_eq!(client::ask(played.http(), "GET", "/meshes/default/workloads/planted", None).0, 404);
    });
}

#[test]
fn a_stream_that_ends_with_ok_is_opened_again() {
    run_in_threads(async {
        let played = Played::start(&[]).await;
        for path in [DOWN, UP].iter().chain(&ADMIN) {
            comes_back_after(&played, "the global control plane ended the stream", |link| link.call(path).end(0, ""))
                .await;
        }
        for code in [1, 13, 14] {
            comes_back_after(&played, "stream failed", |link| link.call(DOWN).end(code, "stream failed")).await;
        }
        let mut link = played.accept().await;
        assert_eq!(link.provide("Mesh", default_mesh()).await, None);
    });
}

#[test]
fn a_question_that_cannot_be_answered_is_answered_in_the_words_of_real_zones() {
    run_in_threads(async {
        let played = Played::start(&[]).await;
        let mut link = played.accept().await;
        link.provide("Mesh", default_mesh()).await;
        let dataplane = value!({
            "type": "Dataplane", "mesh": "default", "name": "d", "labels": {"kuma.io/origin": "zone"},
            "networking": {"address": "127.0.0.1", "inbound": [{"port": 80}], "admin": {"port": 1}},
        });
        assert_eq!(client::ask(played.http(), "PUT", "/meshes/default/dataplanes/d", Some(&dataplane)).0, 201);
        for (id, kind, name, said) in [
            ("one", "Dataplane", "nobody", "resource not found: type=\"Dataplane\" name=\"nobody\" mesh=\"default\""),
            ("two", "NoSuchKind", "d", "invalid resource type \"NoSuchKind\""),
            ("", "MeshTimeout", "d", "invalid type <nil>"),
            ("four", "Dataplane", "d", "unable to send GET to config_dump: "),
        ] {
            let request = XdsConfigRequest {
                request_id: id.to_owned(),
                resource_type: kind.to_owned(),
                resource_name: name.to_owned(),
                resource_mesh: "default".to_owned(),
                include_eds: false,
            };
            link.admin(0).send(&request.encode_to_vec());
            let answer = XdsConfigResponse::decode(link.admin(0).next().await.unwrap()).unwrap();
            let Some(xds_config_response::Result::Error(text)) = answer.result else { panic!("{answer:?}") };
            assert_eq!(answer.request_id, id);
            assert!(text.starts_with(said), "{text}");
        }
        // The word is the same for clusters.
        let request = ClustersRequest {
            request_id: "five".to_owned(),
            resource_type: "Dataplane".to_owned(),
            resource_name: "d".to_owned(),
            resource_mesh: "default".to_owned(),
            format: 0,
        };
        link.admin(2).send(&request.encode_to_vec());
        let answer = ClustersResponse::decode(link.admin(2).next().await.unwrap()).unwrap();
        assert!(format!("{answer:?}").contains("unable to send GET to config_dump: "), "{answer:?}");
    });
}

#[test]
fn a_silent_global_is_asked_again_and_then_left() {
    run_in_threads(async {
        let played = Played::start(&[("KUMA_MULTIZONE_ZONE_KDS_MSG_SEND_TIMEOUT", "4s")]).await;
        let mut link = played.accept().await;
        link.first_requests().await;
        assert_eq!(link.provide("Mesh", default_mesh()).await, None);
        // What it asks again after a while: the last ACK of what was answered, the first request of everything else, and
        // one first request that every provider answers.
        let mut again = Vec::new();
        while again.len() < 46 {
            again.push(link.request().await);
        }
        let acks: Vec<_> = again.iter().filter(|request| !request.response_nonce.is_empty()).collect();
        assert_eq!(acks.len(), 1);
        assert_eq!((acks[0].type_url.as_str(), acks[0].response_nonce.as_str()), ("Mesh", "7"));
        assert!(acks[0].resource_names_subscribe.is_empty());
        let firsts = again.iter().filter(|request| request.response_nonce.is_empty());
        let kinds: BTreeSet<_> = firsts.map(|request| request.type_url.as_str()).collect();
        assert_eq!(kinds.len(), 45, "Mesh too: that one must be answered");
        assert!(again.iter().all(|request| request.initial_resource_versions.is_empty()));
        // An answer keeps the connection, and what it lost before is sent now.
        let later = vec![of_global("", "later", proto("Mesh", Vec::new()))];
        assert_eq!(link.provide("Mesh", later).await, None);
        wait_for(played.http(), "/meshes/later");
        // Then nothing comes any more.
        link.gone().await;
        played.zone.line(&["not connected", "the stream is silent, a repeated request was not answered"]);
        let mut link = played.accept().await;
        assert_eq!(link.provide("Mesh", default_mesh()).await, None);
    });
}

#[test]
fn a_stream_that_a_silent_global_does_not_even_open_is_asked_again() {
    run_in_threads(async {
        let played = Played::start(&[("KUMA_MULTIZONE_ZONE_KDS_MSG_SEND_TIMEOUT", "4s")]).await;
        let mut link = played.accept().await;
        link.first_requests().await;
        // A real global opens a stream with its first response, and that is lost with the watches.
        for request in link.first_requests().await.values() {
            assert!(request.response_nonce.is_empty(), "{request:?}");
        }
        assert_eq!(link.provide("Mesh", default_mesh()).await, None);
    });
}

#[test]
fn a_global_that_never_acknowledges_is_left() {
    run_in_threads(async {
        let played = Played::start(&[("KUMA_MULTIZONE_ZONE_KDS_MSG_SEND_TIMEOUT", "4s")]).await;
        let mut link = played.accept().await;
        assert!(!link.ask("HostnameGenerator").await.resources.is_empty());
        link.gone().await;
        played.zone.line(&["not connected", "the global control plane does not acknowledge HostnameGenerator"]);
        played.accept().await;
    });
}

#[test]
fn a_global_with_nothing_to_say_is_connected_once_it_asks_or_answers_a_ping() {
    run_in_threads(async {
        let played = Played::start(&[]).await;
        let mut link = played.accept().await;
        // What a global does whose one malformed key blocks GlobalToZoneSync: it answers pings and asks.
        link.ask("Mesh").await;
        played.zone.line(&["\tconnected to the global control plane", "\"zone\": \"west\""]);
        let mark = played.zone.mark();
        link.call(DOWN).end(13, "stream failed");
        // One that does not even ask.
        let _quiet = played.accept().await;
        played.zone.line_after(mark, &["\tconnected to the global control plane", "\"zone\": \"west\""]);
    });
}

#[test]
fn parts_are_believed_only_from_a_global_that_says_so() {
    run_in_threads(async {
        let played = Played::start(&[]).await;
        let mut link = played.accept().await;
        let mut meshes = default_mesh();
        meshes.push(of_global("", "other", proto("Mesh", Vec::new())));
        assert_eq!(link.provide("Mesh", meshes).await, None);
        wait_for(played.http(), "/meshes/other");
        link.call(DOWN).end(13, "stream failed");
        let mut link = played.accept().await;
        let response = wire::envoy::service::discovery::v3::DeltaDiscoveryResponse {
            type_url: "Mesh".to_owned(),
            nonce: "1".to_owned(),
            resources: default_mesh(),
            system_version_info: "more".to_owned(),
            ..Default::default()
        };
        link.call(DOWN).send(&response.encode_to_vec());
        // A first response of a real global is all of its type, whatever it writes there.
        wait_gone(played.http(), "/meshes/other");
    });
}
