//! What global makes of a zone that comes and goes: its Zone, its insight, its place among the others (contract: kds 8.1
//! and 8.2).

use prost::Message as _;
use serde_json::Value;
use testkit::{
    client,
    kds::Call,
    program::eventually,
    rpcs::{ADMIN, DOWN, PING, UP},
    runtime::run_in_threads,
};
use wire::{
    envoy::service::discovery::v3::DeltaDiscoveryResponse,
    kuma::mesh::v1alpha1::{Dataplane, dataplane::Networking},
};

use crate::stage::{
    plain_port::{open, peer},
    played_zone::{Played, json, names, open_program, open_world, open_world_with, proto, seen, sent},
    world::{World, wait_for, wait_gone},
};

async fn ping(call: &mut Call) -> Vec<u8> {
    call.send(&[]);
    call.half_close();
    let answer = call.next().await.expect("an answer").to_vec();
    assert_eq!(call.ended().await.code, 0);
    answer
}

fn service(name: &str) -> wire::envoy::service::discovery::v3::Resource {
    let spec = r#"{"ports":[{"port":80,"targetPort":8080,"appProtocol":"http"}],"selector":{"dataplaneLabels":{"matchLabels":{"app":"a"}}}}"#;
    sent("default", name, &[], json(spec))
}

fn dataplane(name: &str) -> wire::envoy::service::discovery::v3::Resource {
    let networking = Networking {
        address: "10.0.0.1".to_owned(),
        inbound: vec![wire::kuma::mesh::v1alpha1::dataplane::networking::Inbound { port: 80, ..Default::default() }],
        ..Default::default()
    };
    let spec = Dataplane { networking: Some(networking), ..Default::default() }.encode_to_vec();
    sent("default", name, &[], proto("Dataplane", spec))
}

fn insight(world: &World, zone: &str) -> Value {
    client::get(world.http(), &format!("/zones/{zone}/_overview"))["zoneInsight"].clone()
}

#[test]
fn a_zone_is_made_on_any_stream_and_not_by_a_ping() {
    let world = open_world();
    run_in_threads(async {
        let peer = peer(&world).await;
        ping(&mut Played::new("pings").call(&peer, PING)).await;
        for (path, zone) in [DOWN, UP].iter().chain(&ADMIN).zip(["down", "up", "configs", "stats", "clusters"]) {
            let _open = Played::new(zone).call(&peer, path);
            let made = wait_for(world.http(), &format!("/zones/{zone}"));
            assert_eq!((&made["name"], &made["enabled"]), (&zone.into(), &true.into()));
        }
        assert_eq!(client::ask(world.http(), "GET", "/zones/pings", None).0, 404);
    });
}

#[test]
fn a_ping_is_answered_with_a_present_interval() {
    for (interval, expected) in [("0s", &[0x0a, 0][..]), ("2s", &[0x0a, 2, 0x08, 2])] {
        let world = open_world_with(&[
            ("KUMA_MULTIZONE_GLOBAL_KDS_ZONE_HEALTH_CHECK_POLL_INTERVAL", interval),
            ("KUMA_MULTIZONE_GLOBAL_KDS_ZONE_HEALTH_CHECK_TIMEOUT", interval),
        ]);
        run_in_threads(async {
            let peer = peer(&world).await;
            assert_eq!(ping(&mut Played::new("west").call(&peer, PING)).await, expected, "{interval}");
        });
    }
}

#[test]
fn the_insight_says_who_is_connected_and_what_was_said() {
    let world = World::new(&[
        ("KUMA_MULTIZONE_GLOBAL_KDS_TLS_ENABLED", "false"),
        ("KUMA_MULTIZONE_GLOBAL_KDS_ZONE_INSIGHT_FLUSH_INTERVAL", "100ms"),
    ]);
    let token = world.token("west");
    run_in_threads(async {
        let zone = Played::new("west");
        let peer = peer(&world).await;
        let mut down = open(&peer, DOWN, "west", &token);
        down.send(&zone.first_request("Mesh").encode_to_vec());
        let mesh = DeltaDiscoveryResponse::decode(down.next().await.unwrap()).unwrap();
        assert!(
            world.online("west") || {
                world.wait_online("west");
                true
            }
        );
        let mut answer = zone.first_request("Mesh");
        answer.response_nonce.clone_from(&mesh.nonce);
        down.send(&answer.encode_to_vec());
        down.send(&zone.first_request("MeshTimeout").encode_to_vec());
        let timeouts = DeltaDiscoveryResponse::decode(down.next().await.unwrap()).unwrap();
        let mut refusal = zone.first_request("MeshTimeout");
        refusal.response_nonce.clone_from(&timeouts.nonce);
        refusal.error_detail = Some(Default::default());
        down.send(&refusal.encode_to_vec());
        let others: Vec<_> = ADMIN.iter().chain(&[UP]).map(|path| open(&peer, path, "west", &token)).collect();
        let known = eventually(
            "everything is counted",
            || insight(&world, "west"),
            |insight| {
                insight["subscriptions"][0]["status"]["total"]["responsesRejected"] == "1"
                    && insight["kdsStreams"].as_object().is_some_and(|streams| streams.len() == 5)
            },
        );
        let one = &known["subscriptions"][0];
        assert_eq!(known["subscriptions"].as_array().map(Vec::len), Some(1));
        assert_eq!(one["zoneInstanceId"], "host-1a2b", "{one}");
        assert_eq!(one["config"], zone.config);
        assert_eq!(one["version"]["kumaCp"]["version"], "2.14.3");
        assert_eq!(one["authTokenProvided"], true);
        assert_eq!(one["status"]["stat"]["Mesh"]["responsesAcknowledged"], "1");
        assert_eq!(one["status"]["total"]["responsesSent"], "2");
        assert_eq!(one.get("generation"), None, "nothing here compares it");
        let instance = &one["globalInstanceId"];
        assert!(instance.as_str().is_some_and(|id| !id.is_empty()));
        for stream in ["globalToZone", "zoneToGlobal", "configDump", "stats", "clusters"] {
            assert_eq!(&known["kdsStreams"][stream]["globalInstanceId"], instance, "{known}");
            assert!(known["kdsStreams"][stream]["connectTime"].is_string());
        }
        for stream in ["configDump", "stats", "clusters"] {
            assert_eq!(&known["envoyAdminStreams"][format!("{stream}GlobalInstanceId")], instance, "{known}");
        }
        drop(others);
    });
}

#[test]
fn two_streams_of_one_zone_do_not_disturb_each_other() {
    let world = open_world();
    run_in_threads(async {
        let zone = Played::new("west");
        let (mut old, mut new) = (zone.down(&world).await, zone.down(&world).await);
        assert_eq!(names(&old.first("Mesh").await), ["default"]);
        assert_eq!(names(&new.first("Mesh").await), ["default"], "a second stream gets everything again");
        world.apply("type: Mesh\nname: second\n");
        for down in [&mut old, &mut new] {
            let response = down.next().await;
            assert_eq!(names(&seen(&response)), ["second"]);
            down.ack(&response);
        }
        // A real provider loses the new stream's watches when the old one ends.
        drop(old);
        world.global.line(&["GlobalToZoneSync ended"]);
        world.apply("type: Mesh\nname: third\n");
        assert_eq!(names(&seen(&new.next().await)), ["third"]);
    });
    assert!(!world.global.text().contains("two instances of one zone"), "they are of one instance");
}

#[test]
fn an_older_stream_that_stands_keeps_its_zone_online() {
    let world = open_world();
    run_in_threads(async {
        let zone = Played::new("west");
        let mut old = zone.down(&world).await;
        old.first("Mesh").await;
        // After the first answer: which of two calls comes first is chance.
        let mut new = zone.down(&world).await;
        new.first("Mesh").await;
        drop(new);
        world.global.line(&["GlobalToZoneSync ended"]);
        eventually(
            "the subscription of the older stream is open again",
            || insight(&world, "west")["subscriptions"].clone(),
            |all| all[0].get("disconnectTime").is_none() && all[1]["disconnectTime"].is_string(),
        );
    });
}

#[test]
fn a_zone_may_say_late_what_it_is() {
    let world = open_world();
    run_in_threads(async {
        let zone = Played::new("west");
        let mut down = zone.down(&world).await;
        let mut silent = zone.first_request("Mesh");
        silent.node.as_mut().unwrap().metadata = None;
        down.call.send(&silent.encode_to_vec());
        down.next().await;
        let seen = |known: &Value| known["subscriptions"][0].clone();
        let before = eventually("the zone is known", || insight(&world, "west"), |known| seen(known).is_object());
        assert_eq!((seen(&before).get("config"), seen(&before).get("zoneInstanceId")), (None, None), "{before}");
        down.ask("MeshTimeout");
        let after =
            eventually("its configuration", || insight(&world, "west"), |known| seen(known).get("config").is_some());
        assert_eq!(seen(&after)["config"], zone.config);
        assert_eq!(seen(&after)["zoneInstanceId"], zone.instance);
    });
}

#[test]
fn another_instance_of_a_zone_ends_the_older_one() {
    let world = open_world();
    run_in_threads(async {
        let mut old = Played { instance: "old-1a2b", ..Played::new("west") }.down(&world).await;
        old.first("Mesh").await;
        let mut new = Played { instance: "new-3c4d", ..Played::new("west") }.down(&world).await;
        new.first("Mesh").await;
        let ended = old.call.ended().await;
        let said = "another instance of this zone connected: `new-3c4d`";
        assert_eq!((ended.code, ended.message.as_str()), (10, said));
        world.global.line(&["WARN", "two instances of one zone, the older one is ended", "west", "new-3c4d"]);
        world.apply("type: Mesh\nname: later\n");
        assert_eq!(names(&seen(&new.next().await)), ["later"]);
    });
}

#[test]
fn a_disabled_zone_keeps_its_streams_and_loses_its_place_elsewhere() {
    let world = open_world();
    run_in_threads(async {
        let mut up = Played::new("west").up(&world).await;
        let mut west = Played::new("west").down(&world).await;
        west.first("Mesh").await;
        assert_eq!(up.report("MeshService", vec![service("backend")]).await, None);
        let mut east = Played::new("east").down(&world).await;
        east.ask("MeshService");
        let there = east.until(|response| !response.resources.is_empty()).await;
        world.apply("type: Zone\nname: west\nenabled: false\n");
        let gone = east.next().await;
        east.ack(&gone);
        assert_eq!(gone.removed_resources, [there.resources[0].name.clone()]);
        world.apply("type: Mesh\nname: later\n");
        assert_eq!(names(&seen(&west.next().await)), ["later"], "it is served all the same");
        assert_eq!(up.report("MeshService", vec![service("backend")]).await, None);
        world.apply("type: Zone\nname: west\nenabled: true\n");
        assert_eq!(east.next().await.resources, there.resources);
    });
}

#[test]
fn a_deleted_zone_takes_its_resources_with_it() {
    let world = open_world();
    run_in_threads(async {
        let zone = Played::new("west");
        let mut up = zone.up(&world).await;
        let mut down = zone.down(&world).await;
        down.first("Mesh").await;
        assert_eq!(up.report("MeshService", vec![service("backend")]).await, None);
        assert_eq!(up.report("Dataplane", vec![dataplane("dp")]).await, None);
        let mut east = Played::new("east").down(&world).await;
        east.ask("MeshService");
        let there = east.until(|response| !response.resources.is_empty()).await;
        world.wait_online("west");
        let (status, body) = client::ask(world.http(), "DELETE", "/zones/west", None);
        assert_eq!(status, 400, "{body}");
        assert!(
            body.contains("unable to delete Zone, Zone CP is still connected, please shut it down first"),
            "{body}"
        );
        drop((up, down));
        world.wait_offline("west");
        assert_eq!(client::ask(world.http(), "DELETE", "/zones/west", None).0, 200);
        wait_gone(world.http(), "/meshes/default/dataplanes/dp");
        wait_gone(world.http(), "/zone-insights/west");
        assert_eq!(east.next().await.removed_resources, [there.resources[0].name.clone()]);
    });
}

#[test]
fn what_a_zone_reported_stays_when_it_is_gone() {
    let world = open_world();
    run_in_threads(async {
        let zone = Played::new("west");
        let mut up = zone.up(&world).await;
        let mut down = zone.down(&world).await;
        down.first("Mesh").await;
        assert_eq!(up.report("MeshService", vec![service("backend")]).await, None);
        world.wait_online("west");
        drop((up, down));
        world.wait_offline("west");
        assert!(insight(&world, "west")["subscriptions"][0]["disconnectTime"].is_string());
        let services = Played::new("east").down(&world).await.first("MeshService").await;
        assert_eq!(services.len(), 1, "the other zones keep it");
    });
}

#[test]
fn a_crash_leaves_no_open_subscription() {
    let mut world = open_program();
    run_in_threads(async {
        let mut down = Played::new("west").down(&world).await;
        down.first("Mesh").await;
        world.wait_online("west");
        world.global.crash_and_restart();
        world.wait_offline("west");
        let subscriptions = insight(&world, "west")["subscriptions"].clone();
        assert!(subscriptions[0]["disconnectTime"].is_string(), "{subscriptions}");
    });
}
