//! What a zone reports and what global makes of it: what is stored, what is rejected and in which words (contract: kds 4.8,
//! 5, 7.4 and 8.4).

use prost::Message as _;
use testkit::{client, runtime::run_in_threads};
use wire::{
    envoy::{
        config::core::v3::ControlPlane,
        service::discovery::v3::{DeltaDiscoveryResponse, Resource},
    },
    kuma::mesh::v1alpha1::{
        Dataplane, KumaResource,
        dataplane::{Networking, networking::Inbound},
    },
};

use crate::stage::{
    played_zone::{Played, json, open_world, proto, sent},
    world::wait_for,
};

const RULES: &str =
    r#"{"rules":[{"default":{"allow":[{"spiffeID":{"type":"Exact","value":"spiffe://default/ns/a/sa/b"}}]}}]}"#;
const TIMEOUT: &str = r#"{"to":[{"targetRef":{"kind":"Mesh"},"default":{"idleTimeout":"1h"}}]}"#;

fn permission(name: &str, spec: &str) -> Resource {
    sent("default", name, &[], json(spec))
}

#[test]
fn an_invalid_resource_is_rejected_and_the_rest_is_stored() {
    let world = open_world();
    run_in_threads(async {
        let mut up = Played::new("west").up(&world).await;
        let batch = vec![permission("bad", "{}"), permission("good", RULES), permission("worse", r#"{"from":[]}"#)];
        let text = up.report("MeshTrafficPermission", batch).await;
        assert_eq!(text.as_deref(), Some("spec: policy must define rules\nspec: policy must define rules"));
        wait_for(world.http(), "/meshes/default/meshtrafficpermissions/good");
        for name in ["bad", "worse"] {
            let path = format!("/meshes/default/meshtrafficpermissions/{name}");
            assert_eq!(client::ask(world.http(), "GET", &path, None).0, 404);
        }
        let service = sent("default", "a", &[("kuma.io/display-name", "1_bad")], json(r#"{"ports":[{"port":80}]}"#));
        let text = up.report("MeshService", vec![service]).await.unwrap();
        assert!(text.starts_with("name: "), "{text}");
        assert_eq!(up.report("MeshTrafficPermission", Vec::new()).await, None, "nothing to do is fine");
    });
}

#[test]
fn an_earlier_valid_version_stays_in_force() {
    let world = open_world();
    let path = "/meshes/default/meshtrafficpermissions/a";
    run_in_threads(async {
        let mut up = Played::new("west").up(&world).await;
        assert_eq!(up.report("MeshTrafficPermission", vec![permission("a", RULES)]).await, None);
        let before = wait_for(world.http(), path);
        assert!(up.report("MeshTrafficPermission", vec![permission("a", "{}")]).await.is_some());
        assert_eq!(wait_for(world.http(), path), before);
        // Also when it comes in a first response, where absence would delete it.
        let mut up = Played::new("west").up(&world).await;
        assert!(up.report("MeshTrafficPermission", vec![permission("a", "{}")]).await.is_some());
        assert_eq!(wait_for(world.http(), path), before);
        assert_eq!(up.remove("MeshTrafficPermission", &["a.default", "never.default", "odd"]).await, None);
        assert_eq!(client::ask(world.http(), "GET", path, None).0, 404);
    });
}

#[test]
fn each_response_gets_its_own_answer() {
    let world = open_world();
    run_in_threads(async {
        let mut up = Played::new("west").up(&world).await;
        for nonce in ["a", "a", "", "b"] {
            let response = DeltaDiscoveryResponse {
                type_url: "MeshRetry".to_owned(),
                nonce: nonce.to_owned(),
                ..Default::default()
            };
            up.call.send(&response.encode_to_vec());
        }
        for nonce in ["a", "a", "", "b"] {
            let answer = up.next_answer("MeshRetry").await;
            assert_eq!((answer.response_nonce.as_str(), answer.error_detail), (nonce, None));
            assert!(answer.resource_names_subscribe.is_empty());
            let node = answer.node.unwrap();
            assert_eq!((node.id.as_str(), node.metadata), ("west", None));
        }
    });
}

#[test]
fn names_meshes_and_labels_keep_to_the_rules_of_rest() {
    let world = open_world();
    run_in_threads(async {
        let mut up = Played::new("west").up(&world).await;
        let networking = Networking {
            address: "10.0.0.1".to_owned(),
            inbound: vec![Inbound { port: 80, ..Default::default() }],
            ..Default::default()
        };
        let spec = || {
            proto("Dataplane", Dataplane { networking: Some(networking.clone()), ..Default::default() }.encode_to_vec())
        };
        let (long, large) = ("a".repeat(100_000), "a".repeat(1 << 20));
        for (mesh, name, label, field) in [
            ("default", "../../etc/passwd", ("team", "a"), "name: "),
            ("default", "a\u{1b}[2J", ("team", "a"), "name: "),
            ("default", "a\u{202e}b", ("team", "a"), "name: "),
            ("default", &long, ("team", "a"), "name: "),
            ("../x", "a", ("team", "a"), "mesh: "),
            ("", "a", ("team", "a"), "mesh: "),
            ("default", "a", ("team", &large), "labels: "),
            ("default", "a", ("team", "\u{202e}"), "labels[\"team\"]: "),
        ] {
            let text = up.report("Dataplane", vec![sent(mesh, name, &[label], spec())]).await.unwrap();
            assert!(text.starts_with(field), "{field} {text}");
        }
        assert_eq!(client::get(world.http(), "/dataplanes")["total"], 0);
        // A zone may still have what is of a mesh that was deleted. It does not go on to others.
        let service = || json(r#"{"ports":[{"port":80}]}"#);
        assert_eq!(up.report("MeshService", vec![sent("ghost", "a", &[], service())]).await, None);
        assert_eq!(up.report("MeshService", vec![sent("default", "b", &[], service())]).await, None);
        let mut east = Played::new("east").down(&world).await;
        east.ask("MeshService");
        let response = east.until(|response| !response.resources.is_empty()).await;
        assert!(response.resources.iter().all(|one| one.name.ends_with(".default")), "{response:?}");
    });
}

#[test]
fn nothing_of_a_payload_says_where_it_comes_from() {
    let world = open_world();
    world.apply("type: MeshTimeout\nmesh: default\nname: taken\nspec:\n  to:\n  - targetRef: {kind: Mesh}\n    default: {idleTimeout: 1h}\n");
    run_in_threads(async {
        let mut up = Played::new("west").up(&world).await;
        let labels = [("kuma.io/origin", "global"), ("kuma.io/zone", "other")];
        assert_eq!(up.report("MeshTimeout", vec![sent("default", "a", &labels, json(TIMEOUT))]).await, None);
        let stored = wait_for(world.http(), "/meshes/default/meshtimeouts/a");
        assert_eq!(
            (&stored["labels"]["kuma.io/origin"], &stored["labels"]["kuma.io/zone"]),
            (&"zone".into(), &"west".into())
        );
        // Nor does a name give a zone what is not its own.
        let before = wait_for(world.http(), "/meshes/default/meshtimeouts/taken");
        let text = up.report("MeshTimeout", vec![sent("default", "taken", &labels, json(TIMEOUT))]).await;
        let said = "user error\nresource already exists: type=\"MeshTimeout\" name=\"taken\" mesh=\"default\"";
        assert_eq!(text.as_deref(), Some(said));
        assert_eq!(up.remove("MeshTimeout", &["taken.default"]).await, None);
        let mut east = Played::new("east").up(&world).await;
        assert_eq!(east.remove("MeshTimeout", &["a.default"]).await, None);
        assert_eq!(east.report("MeshTimeout", Vec::new()).await, None);
        assert_eq!(wait_for(world.http(), "/meshes/default/meshtimeouts/taken"), before);
        assert_eq!(wait_for(world.http(), "/meshes/default/meshtimeouts/a"), stored);
    });
}

#[test]
fn odd_but_harmless_responses_are_taken() {
    let world = open_world();
    run_in_threads(async {
        let mut up = Played::new("west").up(&world).await;
        let spec = r#"{"to":[{"targetRef":{"kind":"Mesh"},"default":{"idleTimeout":"1h"}}],"future":[1]}"#;
        let mut odd = json(spec);
        odd.type_url = "nonsense".to_owned();
        let mut one = sent("default", "one", &[], odd);
        (one.name, one.version) = (String::new(), String::new());
        let mut any = one.resource.take().unwrap();
        let mut kuma = KumaResource::decode(any.value.as_slice()).unwrap();
        kuma.meta.as_mut().unwrap().version = "7".to_owned();
        any.value = kuma.encode_to_vec();
        one.resource = Some(any);
        for (name, identifier) in [("one", None), ("two", Some("other")), ("three", Some("west"))] {
            let mut resource = one.clone();
            kuma.meta.as_mut().unwrap().name = name.to_owned();
            resource.resource.as_mut().unwrap().value = kuma.encode_to_vec();
            let response = DeltaDiscoveryResponse {
                system_version_info: "1".to_owned(),
                type_url: "MeshTimeout".to_owned(),
                nonce: name.to_owned(),
                resources: vec![resource],
                control_plane: identifier.map(|identifier| ControlPlane { identifier: identifier.to_owned() }),
                ..Default::default()
            };
            up.call.send(&response.encode_to_vec());
            assert_eq!(up.next_answer("MeshTimeout").await.error_detail, None, "{name}");
            let stored = wait_for(world.http(), &format!("/meshes/default/meshtimeouts/{name}"));
            assert_eq!(stored["labels"]["kuma.io/zone"], "west", "attributed to the connection");
        }
    });
}
