//! What only 2.x knows: types, fields and specs that a 3.0 control plane drops are kept, shown and passed on (contract: kds
//! 11.4 and 11.5).

use std::collections::BTreeSet;

use prost::Message as _;
use serde_json::json as value;
use testkit::{client, runtime::run_in_threads};
use wire::kuma::mesh::v1alpha1::{
    Dataplane, Mesh, ZoneEgress, ZoneEgressInsight, ZoneIngress, ZoneIngressInsight,
    dataplane::{
        Networking,
        networking::{Gateway, Inbound},
    },
    zone_ingress,
};

use crate::stage::{
    played_zone::{Played, json, names, open_world, proto, seen, sent},
    world::wait_for,
};

/// What a 2.14 zone asks for.
const DOWN_2_14: [&str; 45] = [
    "CircuitBreaker",
    "Config",
    "ExternalService",
    "FaultInjection",
    "GlobalSecret",
    "HealthCheck",
    "HostnameGenerator",
    "Mesh",
    "MeshAccessLog",
    "MeshCircuitBreaker",
    "MeshExternalService",
    "MeshFaultInjection",
    "MeshGateway",
    "MeshGatewayRoute",
    "MeshHTTPRoute",
    "MeshHealthCheck",
    "MeshIdentity",
    "MeshLoadBalancingStrategy",
    "MeshMetric",
    "MeshMultiZoneService",
    "MeshOpenTelemetryBackend",
    "MeshPassthrough",
    "MeshProxyPatch",
    "MeshRateLimit",
    "MeshRetry",
    "MeshService",
    "MeshTCPRoute",
    "MeshTLS",
    "MeshTimeout",
    "MeshTrace",
    "MeshTrafficPermission",
    "MeshTrust",
    "MeshZoneAddress",
    "ProxyTemplate",
    "RateLimit",
    "Retry",
    "Secret",
    "ServiceInsight",
    "Timeout",
    "TrafficLog",
    "TrafficPermission",
    "TrafficRoute",
    "TrafficTrace",
    "VirtualOutbound",
    "ZoneIngress",
];

/// A field that no version has yet: number 50, `hi`.
const UNKNOWN: &[u8] = &[0x92, 0x03, 0x02, b'h', b'i'];

fn with_unknown(message: &impl prost::Message) -> Vec<u8> {
    [&message.encode_to_vec(), UNKNOWN].concat()
}

#[test]
fn all_45_types_of_a_2_14_zone_are_answered() {
    let world = open_world();
    run_in_threads(async {
        let mut down = Played::new("old").down(&world).await;
        for kind in DOWN_2_14 {
            down.ask(kind);
        }
        down.ask("NoSuchKind");
        down.ask("Dataplane");
        let mut answered = BTreeSet::new();
        let mut filled = BTreeSet::new();
        while answered.len() < 47 {
            let response = down.next().await;
            down.ack(&response);
            assert!(response.removed_resources.is_empty());
            if !response.resources.is_empty() {
                filled.insert(response.type_url.clone());
            }
            assert!(answered.insert(response.type_url.clone()), "{} twice", response.type_url);
        }
        for kind in ["Mesh", "Config", "Secret", "GlobalSecret", "HostnameGenerator", "MeshTimeout", "MeshRetry"] {
            assert!(filled.contains(kind), "{kind}");
        }
        for kind in ["NoSuchKind", "Dataplane", "ServiceInsight", "CircuitBreaker", "ZoneIngress"] {
            assert!(!filled.contains(kind), "{kind}");
        }
    });
}

#[test]
fn a_stream_asks_for_a_bounded_number_of_types() {
    let world = open_world();
    run_in_threads(async {
        let mut down = Played::new("curious").down(&world).await;
        for index in 0..=128 {
            down.ask(&format!("Kind{index}"));
        }
        let ended = down.call.ended().await;
        assert_eq!((ended.code, ended.message.as_str()), (8, "more than 128 types on one stream"));
    });
}

#[test]
fn what_only_2_x_knows_is_kept_shown_and_passed_on_byte_for_byte() {
    let world = open_world();
    run_in_threads(async {
        let mut west = Played::new("west").up(&world).await;
        let networking = zone_ingress::Networking { address: "10.0.0.1".to_owned(), port: 10001, ..Default::default() };
        let ingress = with_unknown(&ZoneIngress { networking: Some(networking), ..Default::default() });
        let networking = Networking {
            address: "10.0.0.2".to_owned(),
            advertised_address: "192.168.0.1".to_owned(),
            inbound: vec![Inbound {
                port: 80,
                tags: [("kuma.io/service".to_owned(), "a".to_owned())].into(),
                ..Default::default()
            }],
            ..Default::default()
        };
        let dataplane = with_unknown(&Dataplane { networking: Some(networking), ..Default::default() });
        for (kind, mesh, bytes) in [
            ("ZoneIngress", "", ingress.clone()),
            ("ZoneEgress", "", with_unknown(&ZoneEgress::default())),
            ("ZoneIngressInsight", "", with_unknown(&ZoneIngressInsight::default())),
            ("ZoneEgressInsight", "", with_unknown(&ZoneEgressInsight::default())),
            ("MeshGateway", "default", UNKNOWN.to_vec()),
            ("Dataplane", "default", dataplane.clone()),
        ] {
            assert_eq!(west.report(kind, vec![sent(mesh, "a", &[], proto(kind, bytes))]).await, None, "{kind}");
        }
        for path in [
            "/zoneingresses/a",
            "/zoneegresses/a",
            "/zone-ingress-insights/a",
            "/zoneegressinsights/a",
            "/meshes/default/meshgateways/a",
        ] {
            wait_for(world.http(), path);
        }
        let path = "/meshes/default/dataplanes/a";
        let shown = wait_for(world.http(), path);
        assert_eq!(shown["networking"]["advertisedAddress"], "192.168.0.1", "{shown}");
        assert_eq!(shown["networking"]["inbound"][0]["tags"]["kuma.io/service"], "a", "{shown}");
        // Equal content is equal, also where 3.0 would see a change because it does not keep what it does not know.
        assert_eq!(
            west.report("Dataplane", vec![sent("default", "a", &[], proto("Dataplane", dataplane))]).await,
            None
        );
        assert_eq!(wait_for(world.http(), path)["modificationTime"], shown["modificationTime"]);

        let mut east = Played::new("east").down(&world).await;
        east.ask("ZoneIngress");
        let response = east.until(|response| !response.resources.is_empty()).await;
        let passed_on = seen(&response).remove(0);
        assert_eq!(passed_on.spec.type_url, "type.googleapis.com/kuma.mesh.v1alpha1.ZoneIngress");
        assert_eq!(passed_on.spec.value, [&[0x0a, 4], &b"west"[..], &ingress].concat(), "the zone, and the bytes");
    });
}

#[test]
fn a_type_of_2_x_made_on_global_reaches_a_2_x_zone() {
    let world = open_world();
    let permission = value!({
        "type": "TrafficPermission", "mesh": "default", "name": "all",
        "sources": [{"match": {"kuma.io/service": "*"}}], "destinations": [{"match": {"kuma.io/service": "*"}}],
    });
    let path = "/meshes/default/traffic-permissions/all";
    assert_eq!(client::ask(world.http(), "PUT", path, Some(&permission)).0, 201);
    run_in_threads(async {
        let policies = Played::new("old").down(&world).await.first("TrafficPermission").await;
        assert_eq!(policies[0].spec.type_url, "type.googleapis.com/kuma.mesh.v1alpha1.TrafficPermission");
        assert!(policies[0].name.starts_with("all-"), "{policies:?}");
    });
}

#[test]
fn zone_names_in_ingresses_egresses_and_tags_are_those_of_the_connection() {
    let world = open_world();
    run_in_threads(async {
        let mut west = Played::new("west").up(&world).await;
        let ingress = ZoneIngress { zone: "other".to_owned(), ..Default::default() }.encode_to_vec();
        let egress = ZoneEgress { zone: "other".to_owned(), ..Default::default() }.encode_to_vec();
        let tags = || [("kuma.io/zone".to_owned(), "other".to_owned()), ("kuma.io/service".to_owned(), "a".to_owned())];
        let networking = Networking {
            address: "10.0.0.2".to_owned(),
            inbound: vec![Inbound { port: 80, tags: tags().into(), ..Default::default() }],
            gateway: Some(Gateway { tags: tags().into(), ..Default::default() }),
            ..Default::default()
        };
        let dataplane = Dataplane { networking: Some(networking), ..Default::default() }.encode_to_vec();
        for (kind, mesh, bytes) in
            [("ZoneIngress", "", ingress), ("ZoneEgress", "", egress), ("Dataplane", "default", dataplane)]
        {
            assert_eq!(west.report(kind, vec![sent(mesh, "a", &[], proto(kind, bytes))]).await, None, "{kind}");
        }
        assert_eq!(wait_for(world.http(), "/zoneingresses/a")["zone"], "west");
        assert_eq!(wait_for(world.http(), "/zoneegresses/a")["zone"], "west");
        let shown = wait_for(world.http(), "/meshes/default/dataplanes/a");
        assert_eq!(shown["networking"]["inbound"][0]["tags"]["kuma.io/zone"], "west", "{shown}");
        assert_eq!(shown["networking"]["gateway"]["tags"]["kuma.io/zone"], "west", "{shown}");
        let (_, metrics) = client::ask(world.global.address("diagnostics"), "GET", "/metrics", None);
        let counted = metrics.lines().find(|line| line.starts_with("kds_zone_attribution_rewrites_total"));
        assert!(counted.is_some_and(|line| line.contains("Dataplane") && line.ends_with(" 2")), "{counted:?}");
    });
}

#[test]
fn a_mesh_keeps_its_2_x_fields_on_its_way_to_a_2_x_zone() {
    let world = open_world();
    world.apply(
        "type: Mesh\nname: payments\nmtls:\n  enabledBackend: ca-1\n  backends:\n  - name: ca-1\n    type: builtin\n",
    );
    run_in_threads(async {
        let meshes = Played::new("old").down(&world).await.first("Mesh").await;
        let payments = meshes.into_iter().find(|mesh| mesh.name == "payments").unwrap();
        let mesh = Mesh::decode(payments.spec.value.as_slice()).unwrap();
        assert_eq!(mesh.mtls.unwrap().enabled_backend, "ca-1");
    });
}

#[test]
fn fields_of_another_version_of_a_service_are_kept() {
    let world = open_world();
    run_in_threads(async {
        let mut west = Played::new("west").up(&world).await;
        let spec = r#"{"selector":{"dataplaneTags":{"kuma.io/service":"backend"}},"ports":[{"port":80,"targetPort":8080,"appProtocol":"http"}],"future":{"a":[1]}}"#;
        assert_eq!(west.report("MeshService", vec![sent("default", "backend", &[], json(spec))]).await, None);
        let external = r#"{"match":{"type":"HostnameGenerator","port":443,"protocol":"tls"},"endpoints":[{"address":"example.com","port":443}],"tls":{"enabled":true,"verification":{"mode":"SkipAll"},"future":1}}"#;
        assert_eq!(west.report("MeshExternalService", vec![sent("default", "ext", &[], json(external))]).await, None);
        let shown = wait_for(world.http(), "/meshes/default/meshexternalservices/ext");
        assert_eq!(shown["spec"]["tls"]["verification"]["mode"], "SkipAll", "{shown}");
        let mut east = Played::new("east").down(&world).await;
        east.ask("MeshService");
        let response = east.until(|response| !response.resources.is_empty()).await;
        let passed_on = seen(&response).remove(0);
        assert_eq!(String::from_utf8(passed_on.spec.value.clone()).unwrap(), spec);
        assert_eq!(names(std::slice::from_ref(&passed_on)).len(), 1);
    });
}
