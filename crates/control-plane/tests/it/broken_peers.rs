//! Peers that are authenticated and broken: their stream ends with an error status, and nothing else does.

use futures::future::join_all;
use prost::Message as _;
use testkit::{
    client,
    kds::Ended,
    rpcs::{DOWN, PING, UP},
    runtime::run,
};
use wire::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse, Resource};

use crate::stage::plain_port::{first, node, open, peer, plain_program, plain_world, resource, response};

fn is_error(ended: &Ended) {
    assert!(ended.code != 0 && ended.code != 14, "an error status of the stream, and not a lost connection: {ended:?}");
}

#[test]
fn a_broken_message_ends_its_stream_and_nothing_else() {
    let world = plain_world();
    let token = world.token("west");
    run(async {
        let connection = peer(&world).await;
        let mut healthy = open(&connection, DOWN, "west", &token);
        healthy.send(&first("west", "Mesh"));
        assert!(healthy.next().await.is_some());

        let without_node = DeltaDiscoveryRequest { type_url: "Mesh".to_owned(), ..Default::default() }.encode_to_vec();
        let other_node = first("east", "Mesh");
        let no_type = first("west", "");
        let garbage = vec![0xff; 64];
        let huge = vec![0u8; 11 * 1024 * 1024];
        for message in [&without_node, &other_node, &no_type, &garbage, &huge] {
            let mut call = open(&connection, DOWN, "west", &token);
            call.send(message);
            is_error(&call.ended().await);
        }
        let text = |value: &str| Some(prost_types::Any { type_url: String::new(), value: value.as_bytes().to_vec() });
        let foreign = Some(prost_types::Any {
            type_url: "type.googleapis.com/kuma.mesh.v1alpha1.Mesh".to_owned(),
            value: Vec::new(),
        });
        for message in [
            response("MeshTimeout", vec![resource("a", None)]),
            response("MeshTimeout", vec![resource("a", text(""))]),
            response("MeshTimeout", vec![resource("a", text("{"))]),
            response("MeshTimeout", vec![resource("", text("{}"))]),
            response("MeshTimeout", vec![Resource::default()]),
            response("Dataplane", vec![resource("a", foreign)]),
            response("NoSuchKind", Vec::new()),
            response("", Vec::new()),
            garbage.clone(),
        ] {
            let mut call = open(&connection, UP, "west", &token);
            assert!(call.next().await.is_some());
            call.send(&message);
            is_error(&call.ended().await);
        }
        // The first stream of the same connection lives: a change reaches it.
        world.apply("type: Mesh\nname: later\n");
        let acknowledge = DeltaDiscoveryRequest {
            node: node("west"),
            type_url: "Mesh".to_owned(),
            response_nonce: "1".to_owned(),
            ..Default::default()
        };
        healthy.send(&acknowledge.encode_to_vec());
        let message = healthy.next().await.expect("the healthy stream lives");
        let changed = DeltaDiscoveryResponse::decode(message).unwrap();
        assert_eq!(changed.resources.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["later."]);
    });
}

#[test]
fn a_zone_cannot_plant_what_it_was_not_asked_for() {
    let world = plain_world();
    let token = world.token("west");
    run(async {
        let connection = peer(&world).await;
        for kind in ["Secret", "GlobalSecret", "Mesh", "Zone", "Config"] {
            let mut call = open(&connection, UP, "west", &token);
            assert!(call.next().await.is_some());
            let spec = Some(prost_types::Any {
                type_url: "type.googleapis.com/kuma.system.v1alpha1.Secret".to_owned(),
                value: Vec::new(),
            });
            call.send(&response(kind, vec![resource("control-plane-signing-key-0009", spec)]));
            is_error(&call.ended().await);
        }
    });
    assert_eq!(client::ask(world.http(), "GET", "/global-secrets/control-plane-signing-key-0009", None).0, 404);
    assert_eq!(client::ask(world.http(), "GET", "/meshes/default/secrets/control-plane-signing-key-0009", None).0, 404);
}

#[test]
fn every_rpc_stands_behind_the_authentication() {
    let world = plain_world();
    let token = world.token("west");
    let mut methods = vec![DOWN.to_owned(), UP.to_owned(), PING.to_owned(), "/nobody/knows".to_owned()];
    for stream in ["StreamXDSConfigs", "StreamStats", "StreamClusters"] {
        methods.push(format!("/kuma.mesh.v1alpha1.GlobalKDSService/{stream}"));
    }
    run(async {
        let connection = peer(&world).await;
        // Refusals beyond twenty are held back for a second: all are asked for first, and waited for together.
        join_all(methods.iter().map(async |method| {
            let mut bare = connection.open(method, &[]);
            let mut anonymous = connection.open(method, &[("client-id", "west")]);
            let mut twice =
                connection.open(method, &[("client-id", "west"), ("authorization", &token), ("authorization", &token)]);
            let mut other = open(&connection, method, "east", &token);
            assert_eq!(
                bare.ended().await,
                Ended { code: 3, message: "\"client-id\" is not present in metadata".to_owned() },
                "{method}"
            );
            assert_eq!(anonymous.ended().await.code, 16, "{method}");
            let ended = twice.ended().await;
            assert_eq!(
                (ended.code, ended.message.as_str()),
                (16, "authorization header has 2 values. Expected 1 value"),
                "{method}"
            );
            let ended = other.ended().await;
            assert_eq!(
                (ended.code, ended.message.as_str()),
                (7, "token is signed for \"west\" zone, but connected CP advertised as \"east\""),
                "{method}"
            );
        }))
        .await;
        let mut ping = open(&connection, PING, "west", &format!("Bearer {token}"));
        ping.send(&[]);
        ping.half_close();
        assert!(ping.next().await.is_some());
        assert_eq!(ping.ended().await.code, 0);
        // Many zones over one connection, as a proxy does it: each proves itself.
        let mut east = open(&connection, DOWN, "east", &world.token("east"));
        east.send(&first("east", "Mesh"));
        assert!(east.next().await.is_some());
    });
}

#[test]
fn a_flood_of_refused_calls_leaves_the_global_as_it_was() {
    let world = plain_program();
    let zone = world.token("west");
    let memory = || world.global.resident_kib();
    run(async {
        let good = peer(&world).await;
        let mut healthy = open(&good, DOWN, "west", &zone);
        healthy.send(&first("west", "Mesh"));
        assert!(healthy.next().await.is_some());
        // Each refusal is held back for a second: as many at once as are held.
        let flood = |count: usize| {
            let world = &world;
            async move {
                for batch in 0..count / 200 {
                    let mut peers = Vec::new();
                    for _ in 0..200 {
                        peers.push(peer(world).await);
                    }
                    let mut calls: Vec<_> = peers
                        .iter()
                        .enumerate()
                        .map(|(index, peer)| {
                            open(peer, DOWN, &format!("flood-{batch}-{index}"), "eyJhbGciOiJIUzI1NiJ9.e30.AAAA")
                        })
                        .collect();
                    for call in &mut calls {
                        assert_eq!(call.ended().await.code, 16);
                    }
                }
            }
        };
        // The first ones fill the allocator's pools; what counts is that a thousand more add nothing.
        flood(200).await;
        let before = memory();
        flood(1000).await;
        let after = memory();
        assert!(after < before + 8 * 1024, "memory went from {before} to {after} KiB");
        world.apply("type: Mesh\nname: meanwhile\n");
        healthy.send(
            &DeltaDiscoveryRequest {
                node: node("west"),
                type_url: "Mesh".to_owned(),
                response_nonce: "1".to_owned(),
                ..Default::default()
            }
            .encode_to_vec(),
        );
        assert!(healthy.next().await.is_some(), "the good zone is served");
    });
    let lines = world.global.text().lines().filter(|line| line.contains("Zone CP refused")).count();
    assert!(lines <= 200, "{lines} lines for 1,200 refusals");
    assert_eq!(client::get(world.http(), "/zones")["total"], 1, "no Zone for a refused name");
}
