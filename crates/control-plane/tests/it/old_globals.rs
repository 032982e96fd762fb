//! Globals of 2.9 to 2.14, and broken ones, against our zone (contract: kds 11.2, 11.3, 13). Longer than usual because
//! these are many small scenes with one stage, and documents name them by this file.

use std::collections::BTreeSet;

use prost::Message as _;
use prost_types::value::Kind;
use serde_json::{Value, json as value};
use testkit::{
    client,
    program::eventually,
    rpcs::{ADMIN, DOWN, PING, UP},
    runtime::{run, run_in_threads},
};
use wire::{
    envoy::service::discovery::v3::{DeltaDiscoveryRequest, Resource},
    kuma::{
        mesh::v1alpha1::{ClustersRequest, ClustersResponse, XdsConfigRequest, XdsConfigResponse, xds_config_response},
        system::v1alpha1::Secret,
    },
};

use crate::stage::{
    played_global::{Link, Played, default_mesh, of_global},
    played_zone::{dataplane, json, proto, sent},
    world::{wait_for, wait_gone},
};

const RULES: &str =
    r#"{"rules":[{"default":{"allow":[{"spiffeID":{"type":"Exact","value":"spiffe://default/ns/a/sa/b"}}]}}]}"#;

#[test]
fn a_zone_says_who_it_is_on_every_rpc() {
    run_in_threads(async {
        let played = Played::start(&[]).await;
        let mut link = played.accept().await;
        for path in [DOWN, UP, PING].iter().chain(&ADMIN) {
            let headers = &link.call(path).headers;
            let values = |name: &str| {
                headers.get_all(name).iter().map(|value| value.to_str().unwrap().to_owned()).collect::<Vec<_>>()
            };
            assert_eq!(values("client-id"), ["west"], "{path}");
            assert_eq!(
                values("features"),
                ["zone-ping-health", "hash-suffix", "initial-resource-versions", "responses-in-parts"]
            );
            assert_eq!([values("kds-version"), values("zone-version")], [["v3"], ["v3"]]);
            assert_eq!(values("version"), ["3.0.0"]);
            // A global of 2.9 may not be able to decompress.
            assert!(values("grpc-encoding").is_empty() && values("authorization").is_empty());
        }
        link.first_requests().await;
    });
}

#[test]
fn a_zone_opens_global_to_zone_first() {
    // In one thread the RPCs are seen in the order in which they came. Globals up to 2.13 make the Zone on this stream
    // only: the other one fails there if it is first.
    run(async {
        let played = Played::start(&[]).await;
        let link = played.accept().await;
        let at = |path: &str| link.order.iter().position(|known| known == path).unwrap();
        assert_eq!(at(PING), 0);
        assert!(at(DOWN) < at(UP), "{:?}", link.order);
    });
}

#[test]
fn a_zone_asks_for_all_types_before_it_answers() {
    run_in_threads(async {
        let played = Played::start(&[]).await;
        let mut link = played.accept().await;
        // A 2.14 global answers while the zone is still asking.
        link.send("Mesh", "1", default_mesh());
        let asked = link.first_requests().await;
        assert_eq!(asked.len(), 45);
        for request in asked.values() {
            assert!(request.response_nonce.is_empty(), "the ACK follows the last first request");
            assert!(request.initial_resource_versions.is_empty(), "this is no global of ours");
            assert_eq!(request.resource_names_subscribe, ["*"]);
            let node = request.node.as_ref().unwrap();
            assert_eq!(node.id, "west");
            let fields = &node.metadata.as_ref().unwrap().fields;
            let Some(Kind::ListValue(features)) = &fields["features"].kind else { panic!("a list") };
            let features: Vec<_> = features.values.iter().map(|one| one.kind.clone()).collect();
            let known = [
                "zone-token",
                "hash-suffix",
                "hg-mz-selector",
                "producer-policy-flow",
                "optional-top-level-target-ref",
                "initial-resource-versions",
                "responses-in-parts",
            ];
            assert_eq!(features, known.map(|name| Some(Kind::StringValue(name.to_owned()))));
            let Some(Kind::StringValue(config)) = &fields["config"].kind else { panic!("a text") };
            let config: Value = serde_json::from_str(config).unwrap();
            assert!(config["store"]["type"].is_string(), "globals read the type of the store");
        }
        assert_eq!(link.answer("Mesh").await.response_nonce, "1");
    });
}

#[test]
fn every_response_of_a_zone_names_it() {
    run_in_threads(async {
        let played = Played::start(&[]).await;
        let mut link = played.accept().await;
        let mut resources = 0;
        for kind in ["HostnameGenerator", "Dataplane", "MeshService", "ZoneIngress", "NoSuchKind"] {
            let response = link.ask(kind).await;
            // Globals before 2.9.19 to 2.14.2 attribute by it.
            assert_eq!(response.control_plane.unwrap().identifier, "west", "{kind}");
            for resource in response.resources {
                assert!(resource.name.ends_with('.') && resource.version.len() == 64, "{resource:?}");
                resources += 1;
            }
        }
        assert!(resources > 0, "the zone has generators of its own");
    });
}

#[test]
fn a_zone_with_nothing_of_its_own_answers_every_type() {
    run_in_threads(async {
        let played = Played::start(&[("KUMA_DEFAULTS_SKIP_HOSTNAME_GENERATORS", "true")]).await;
        let mut link = played.accept().await;
        for kind in [
            "HostnameGenerator",
            "Dataplane",
            "MeshGateway",
            "ZoneEgress",
            "ZoneEgressInsight",
            "ZoneIngress",
            "ZoneIngressInsight",
            "Mesh",
            "Secret",
            "NoSuchKind",
        ] {
            let response = link.ask(kind).await;
            assert!(response.resources.is_empty() && response.removed_resources.is_empty(), "{kind}");
        }
    });
}

fn timeout(name: &str, spec: &str) -> Resource {
    of_global("default", name, json(spec))
}

#[test]
fn what_a_2_14_global_sends_is_stored_and_named_where_it_loses_its_meaning() {
    run_in_threads(async {
        let played = Played::start(&[]).await;
        let mut link = played.accept().await;
        assert_eq!(link.provide("Mesh", default_mesh()).await, None);
        let to = r#""to":[{"targetRef":{"kind":"Mesh"},"default":{"idleTimeout":"1h"}}]"#;
        let from = r#""from":[{"targetRef":{"kind":"Mesh"},"default":{"idleTimeout":"2h"}}]"#;
        let policies = vec![
            timeout("all", &format!("{{{from},{to}}}")),
            timeout("gateways", &format!(r#"{{"targetRef":{{"kind":"Mesh","proxyTypes":["Gateway"]}},{to}}}"#)),
            timeout("plain", &format!("{{{to}}}")),
        ];
        assert_eq!(link.provide("MeshTimeout", policies).await, None);
        let insight = of_global("default", "all-services-default", proto("ServiceInsight", Vec::new()));
        assert_eq!(link.provide("ServiceInsight", vec![insight]).await, None);
        wait_for(played.http(), "/meshes/default/service-insights/all-services-default");
        let stored = wait_for(played.http(), "/meshes/default/meshtimeouts/all");
        assert_eq!(stored["spec"]["from"][0]["default"]["idleTimeout"], "2h", "it is kept: {stored}");
        let line = played.zone.line(&["WARN", "fields that 3.0 does not read"]);
        let ready = || client::ask(played.zone.address("diagnostics"), "GET", "/ready", None).1;
        for text in [&line, &ready()] {
            assert!(text.contains("MeshTimeout all in mesh default (from)"), "{text}");
            assert!(text.contains("MeshTimeout gateways in mesh default (targetRef.proxyTypes)"), "{text}");
            assert!(!text.contains("plain"), "{text}");
        }
        let repaired = ["all", "gateways"].map(|name| timeout(name, &format!("{{{to}}}")));
        assert_eq!(link.provide("MeshTimeout", repaired.to_vec()).await, None);
        eventually("nothing is named any more", ready, |text| !text.contains("MeshTimeout"));
    });
}

#[test]
fn an_invalid_policy_is_rejected_and_its_earlier_version_stays() {
    run_in_threads(async {
        let played = Played::start(&[]).await;
        let mut link = played.accept().await;
        link.provide("Mesh", default_mesh()).await;
        let permission = |name: &str, spec: &str| of_global("default", name, json(spec));
        assert_eq!(link.provide("MeshTrafficPermission", vec![permission("a", RULES)]).await, None);
        let before = wait_for(played.http(), "/meshes/default/meshtrafficpermissions/a");
        // What every 2.x global has: only `from`, which 3.0 does not read.
        let old = r#"{"from":[{"targetRef":{"kind":"Mesh"},"default":{"action":"Allow"}}]}"#;
        let text = link.provide("MeshTrafficPermission", vec![permission("a", old), permission("b", RULES)]).await;
        assert_eq!(text.as_deref(), Some("spec: policy must define rules"));
        assert_eq!(wait_for(played.http(), "/meshes/default/meshtrafficpermissions/a"), before);
        wait_for(played.http(), "/meshes/default/meshtrafficpermissions/b");
        played.zone.line(&["received resource is invalid, sending NACK", "policy must define rules"]);
    });
}

#[test]
fn a_secret_of_the_zone_wins_and_the_rest_is_stored() {
    run_in_threads(async {
        let played = Played::start(&[]).await;
        let mut link = played.accept().await;
        link.provide("Mesh", default_mesh()).await;
        let own = value!({"type": "Secret", "mesh": "default", "name": "same", "data": "b3du"});
        assert_eq!(client::ask(played.http(), "PUT", "/meshes/default/secrets/same", Some(&own)).0, 201);
        let secret = |name: &str| {
            let bytes = Secret { data: Some(b"global".to_vec()) }.encode_to_vec();
            let mut spec = proto("", bytes);
            "type.googleapis.com/kuma.system.v1alpha1.Secret".clone_into(&mut spec.type_url);
            of_global("default", name, spec)
        };
        let text = link.provide("Secret", vec![secret("same"), secret("other")]).await;
        let said = "user error\nresource already exists: type=\"Secret\" name=\"same\" mesh=\"default\"";
        assert_eq!(text.as_deref(), Some(said));
        assert_eq!(wait_for(played.http(), "/meshes/default/secrets/same")["data"], "b3du");
        assert_eq!(wait_for(played.http(), "/meshes/default/secrets/other")["data"], "Z2xvYmFs");
    });
}

#[test]
fn what_does_not_say_global_is_dropped_and_acknowledged() {
    run_in_threads(async {
        let played = Played::start(&[]).await;
        let mut link = played.accept().await;
        // A mesh is global's alone and needs no label.
        assert_eq!(link.provide("Mesh", vec![sent("", "default", &[], proto("Mesh", Vec::new()))]).await, None);
        let spec = r#"{"to":[{"targetRef":{"kind":"Mesh"},"default":{"idleTimeout":"1h"}}]}"#;
        let policies = vec![
            sent("default", "unlabelled", &[], json(spec)),
            sent("default", "zones", &[("kuma.io/origin", "zone")], json(spec)),
            timeout("good", spec),
        ];
        assert_eq!(link.provide("MeshTimeout", policies).await, None);
        wait_for(played.http(), "/meshes/default/meshtimeouts/good");
        for name in ["unlabelled", "zones"] {
            let path = format!("/meshes/default/meshtimeouts/{name}");
            assert_eq!(client::ask(played.http(), "GET", &path, None).0, 404);
        }
        // The first response of a new stream deletes what it does not name, and nothing of the zone's own.
        let own = value!({"type": "MeshTimeout", "mesh": "default", "name": "own", "labels": {"kuma.io/origin": "zone"},
            "spec": serde_json::from_str::<Value>(spec).unwrap()});
        assert_eq!(client::ask(played.http(), "PUT", "/meshes/default/meshtimeouts/own", Some(&own)).0, 201);
        drop(link);
        let mut link = played.accept().await;
        assert_eq!(link.provide("MeshTimeout", Vec::new()).await, None);
        wait_gone(played.http(), "/meshes/default/meshtimeouts/good");
        wait_for(played.http(), "/meshes/default/meshtimeouts/own");
    });
}

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
fn a_global_without_pings_or_admin_streams_is_served_all_the_same() {
    run_in_threads(async {
        let played = Played::start(&[]).await;
        let mut connection = played.connection().await;
        let mut calls = Vec::new();
        while calls.len() < 6 {
            let mut call = connection.call().await.unwrap();
            match call.path.as_str() {
                PING => call.end(12, "unknown method HealthCheck"),
                path if path == ADMIN[0] => call.end(12, "unknown method StreamXDSConfigs"),
                path if path == ADMIN[1] => call.end(1, "stream canceled"),
                _ => {}
            }
            calls.push(call);
        }
        let down = calls.iter_mut().find(|call| call.path == DOWN).unwrap();
        for (round, name) in ["default", "later"].into_iter().enumerate() {
            let mesh = vec![of_global("", name, proto("Mesh", Vec::new()))];
            let response = wire::envoy::service::discovery::v3::DeltaDiscoveryResponse {
                type_url: "Mesh".to_owned(),
                nonce: round.to_string(),
                resources: mesh,
                ..Default::default()
            };
            down.send(&response.encode_to_vec());
            loop {
                let request = DeltaDiscoveryRequest::decode(down.next().await.unwrap()).unwrap();
                if request.response_nonce == round.to_string() {
                    break;
                }
            }
        }
        wait_for(played.http(), "/meshes/later");
        assert!(!played.zone.text().contains("not connected to the global"), "{}", played.zone.text());
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
        let played = Played::start(&[("KUMA_MULTIZONE_ZONE_KDS_MSG_SEND_TIMEOUT", "1s")]).await;
        let mut link = played.accept().await;
        link.first_requests().await;
        assert_eq!(link.provide("Mesh", default_mesh()).await, None);
        // What it asks again after a second: the last ACK of what was answered, the first request of everything else, and
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
        let played = Played::start(&[("KUMA_MULTIZONE_ZONE_KDS_MSG_SEND_TIMEOUT", "1s")]).await;
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
        let played = Played::start(&[("KUMA_MULTIZONE_ZONE_KDS_MSG_SEND_TIMEOUT", "1s")]).await;
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
        played.zone.line(&["connected to the global control plane", "\"zone\": \"west\""]);
        let mark = played.zone.mark();
        link.call(DOWN).end(13, "stream failed");
        // One that does not even ask.
        let _quiet = played.accept().await;
        played.zone.line_after(mark, &["connected to the global control plane", "\"zone\": \"west\""]);
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
