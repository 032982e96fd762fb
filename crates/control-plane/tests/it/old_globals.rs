//! Globals of 2.9 to 2.14 against our zone (contract: kds 11.2, 11.3).

use prost::Message as _;
use prost_types::value::Kind;
use serde_json::{Value, json as value};
use testkit::{
    client,
    program::eventually,
    rpcs::{ADMIN, DOWN, PING, UP},
    runtime::{run, run_in_threads},
};
use wire::{envoy::service::discovery::v3::DeltaDiscoveryRequest, kuma::system::v1alpha1::Secret};

use crate::stage::{
    played_global::{Played, default_mesh, of_global, timeout},
    played_zone::{json, proto, sent},
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
                [
                    "zone-ping-health",
                    "hash-suffix",
                    "initial-resource-versions",
                    "responses-in-parts",
                    "token-renewal",
                    "key-algorithms",
                ]
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
                "token-renewal",
                "key-algorithms",
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
