//! What an operator sees of a zone in trouble: over REST, in `inspect zones -o yaml`, in the log and in a metric.

use prost::Message as _;
use serde_json::{Value, json};
use testkit::{
    client,
    program::eventually,
    rpcs::{DOWN, UP},
    runtime::run_in_threads,
};
use wire::{
    envoy::service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse},
    google::rpc,
};

use crate::stage::{
    plain_port::{first, node, open, peer, plain_world, resource, response},
    world::World,
};

fn trouble(world: &World, zone: &str) -> Value {
    client::get(world.http(), &format!("/zones/{zone}/_overview"))["zoneInsight"]["typeTroubles"].clone()
}

fn answer(zone: &str, to: &DeltaDiscoveryResponse, error: Option<&str>) -> Vec<u8> {
    DeltaDiscoveryRequest {
        node: node(zone),
        type_url: to.type_url.clone(),
        response_nonce: to.nonce.clone(),
        error_detail: error.map(|text| rpc::Status { message: text.to_owned(), ..Default::default() }),
        ..Default::default()
    }
    .encode_to_vec()
}

#[test]
fn the_last_rejection_of_a_kind_is_shown_with_its_reason() {
    let world = plain_world();
    let token = world.token("west");
    run_in_threads(async {
        let peer = peer(&world).await;
        let mut down = open(&peer, DOWN, "west", &token);
        down.send(&first("west", "MeshTimeout"));
        let response = DeltaDiscoveryResponse::decode(down.next().await.unwrap()).unwrap();
        down.send(&answer("west", &response, Some("spec: policy must define rules")));
        let shown = eventually("the reason", || trouble(&world, "west"), |one| one.get("MeshTimeout").is_some());
        assert_eq!(shown["MeshTimeout"]["rejectedByZone"]["reason"], "spec: policy must define rules");
        assert!(shown["MeshTimeout"]["rejectedByZone"]["time"].is_string());

        let mut up = open(&peer, UP, "west", &token);
        while let Some(message) = up.next().await {
            if DeltaDiscoveryRequest::decode(message).unwrap().type_url == "MeshTrafficPermission" {
                break;
            }
        }
        let spec = prost_types::Any { type_url: String::new(), value: b"{\"from\":[]}".to_vec() };
        up.send(&self::response("MeshTrafficPermission", vec![resource("bad", Some(spec))]));
        let shown =
            eventually("our reason", || trouble(&world, "west"), |one| one.get("MeshTrafficPermission").is_some());
        let reason = &shown["MeshTrafficPermission"]["rejectedByGlobal"]["reason"];
        assert!(reason.as_str().is_some_and(|text| text.starts_with("spec")), "{shown}");
    });
    let yaml = world.kumactl.ok(&["inspect", "zones", "-o", "yaml"], "");
    assert!(yaml.contains("spec: policy must define rules"), "{yaml}");
    world.global.line(&["the zone rejected a response", "west", "MeshTimeout", "policy must define rules"]);
}

#[test]
fn what_does_not_fit_into_a_message_is_shown_until_it_does() {
    let world = World::new(&[
        ("KUMA_MULTIZONE_GLOBAL_KDS_TLS_ENABLED", "false"),
        ("KUMA_MULTIZONE_GLOBAL_KDS_MAX_MSG_SIZE", "8192"),
    ]);
    let policy = |items: usize| {
        let item = |index: usize| {
            json!({"targetRef": {"kind": "MeshService", "labels": {"kuma.io/display-name": format!("backend-{index}")}},
                "default": {"tcp": {"maxConnectAttempt": 3}}})
        };
        json!({"type": "MeshRetry", "mesh": "default", "name": "big",
            "spec": {"to": (0..items).map(item).collect::<Vec<_>>()}})
    };
    let path = "/meshes/default/meshretries/big";
    assert_eq!(client::ask(world.http(), "PUT", path, Some(&policy(100))).0, 201);
    let token = world.token("west");
    run_in_threads(async {
        let peer = peer(&world).await;
        let mut down = open(&peer, DOWN, "west", &token);
        down.send(&first("west", "MeshRetry"));
        down.send(&first("west", "Mesh"));
        let response = DeltaDiscoveryResponse::decode(down.next().await.unwrap()).unwrap();
        assert_eq!(response.type_url, "Mesh", "the other kinds still sync");
        let shown = eventually("what is too large", || trouble(&world, "west"), |one| one.get("MeshRetry").is_some());
        let too_large = &shown["MeshRetry"]["tooLarge"];
        assert_eq!(too_large["limit"], "8192", "{shown}");
        assert!(too_large["bytes"].as_str().is_some_and(|bytes| bytes.parse::<u64>().unwrap() > 9000), "{shown}");
        world.global.line(&["does not fit into one message", "west", "MeshRetry", "8192"]);
        let (_, metrics) = client::ask(world.global.address("diagnostics"), "GET", "/metrics", None);
        let counted = r#"kds_type_too_large_total{zone="Global",zone_name="west",resource_type="MeshRetry"} 1"#;
        assert!(metrics.contains(counted), "{metrics}");

        assert_eq!(client::ask(world.http(), "PUT", path, Some(&policy(1))).0, 200);
        let response = DeltaDiscoveryResponse::decode(down.next().await.unwrap()).unwrap();
        assert_eq!(response.type_url, "MeshRetry");
        assert!(response.system_version_info.is_empty(), "a peer that did not ask for parts sees the plain protocol");
        eventually("it fits again", || trouble(&world, "west"), |one| one.get("MeshRetry").is_none());
    });
}

#[test]
fn a_zone_that_does_not_acknowledge_is_named_until_it_does() {
    let world = World::new(&[
        ("KUMA_MULTIZONE_GLOBAL_KDS_TLS_ENABLED", "false"),
        ("KUMA_MULTIZONE_GLOBAL_KDS_MSG_SEND_TIMEOUT", "300ms"),
    ]);
    let token = world.token("west");
    run_in_threads(async {
        let peer = peer(&world).await;
        let mut down = open(&peer, DOWN, "west", &token);
        down.send(&first("west", "Mesh"));
        let response = DeltaDiscoveryResponse::decode(down.next().await.unwrap()).unwrap();
        let shown = eventually("who does not answer", || trouble(&world, "west"), |one| one.get("Mesh").is_some());
        assert!(shown["Mesh"]["unacknowledgedSince"].is_string(), "{shown}");
        world.global.line(&["does not acknowledge", "west", "Mesh"]);
        down.send(&answer("west", &response, None));
        eventually("the answer", || trouble(&world, "west"), |one| one.get("Mesh").is_none());
        world.global.line(&["acknowledged a response at last", "west", "Mesh"]);
    });
}

#[test]
fn the_last_refusal_of_a_known_zone_is_shown_and_a_stranger_leaves_nothing() {
    let world = plain_world();
    world.apply("type: Zone\nname: west\n");
    run_in_threads(async {
        let peer = peer(&world).await;
        for zone in ["west", "stranger"] {
            let ended = open(&peer, DOWN, zone, "no-token-at-all").ended().await;
            assert_eq!(ended.code, 16, "{ended:?}");
        }
    });
    // Written with the next change of the zone, or with the interval: a new connection brings it out.
    let token = world.token("west");
    run_in_threads(async {
        let peer = peer(&world).await;
        let mut down = open(&peer, DOWN, "west", &token);
        down.send(&first("west", "Mesh"));
        let _response = down.next().await.unwrap();
        let shown = eventually(
            "the refusal",
            || client::get(world.http(), "/zones/west/_overview")["zoneInsight"]["lastRefusal"].clone(),
            |refusal| refusal.is_object(),
        );
        assert_eq!(shown["reason"], "malformed", "{shown}");
        assert!(shown["detail"].as_str().is_some_and(|text| !text.contains("no-token")), "{shown}");
    });
    assert_eq!(client::ask(world.http(), "GET", "/zones/stranger", None).0, 404);
    assert_eq!(client::ask(world.http(), "GET", "/zone-insights/stranger", None).0, 404);
}

#[test]
fn a_zone_that_pings_no_more_is_taken_for_gone() {
    let world = World::new(&[
        ("KUMA_MULTIZONE_GLOBAL_KDS_TLS_ENABLED", "false"),
        ("KUMA_MULTIZONE_GLOBAL_KDS_ZONE_HEALTH_CHECK_POLL_INTERVAL", "200ms"),
        ("KUMA_MULTIZONE_GLOBAL_KDS_ZONE_HEALTH_CHECK_TIMEOUT", "1s"),
    ]);
    let token = world.token("west");
    run_in_threads(async {
        let peer = peer(&world).await;
        let mut down = open(&peer, DOWN, "west", &token);
        down.send(&first("west", "Mesh"));
        let ended = down.ended().await;
        assert_eq!(
            (ended.code, ended.message.starts_with("stream canceled - zone hc failed")),
            (14, true),
            "{ended:?}"
        );
    });
    world.wait_offline("west");
}

#[test]
fn a_zone_of_ours_pings_as_often_as_it_is_told() {
    let world = World::new(&[
        ("KUMA_MULTIZONE_GLOBAL_KDS_ZONE_HEALTH_CHECK_POLL_INTERVAL", "500ms"),
        ("KUMA_MULTIZONE_GLOBAL_KDS_ZONE_HEALTH_CHECK_TIMEOUT", "8s"),
        ("KUMA_MULTIZONE_GLOBAL_KDS_ZONE_INSIGHT_FLUSH_INTERVAL", "100ms"),
    ]);
    let _west = world.connected_zone("west");
    let insight = || client::get(world.http(), "/zones/west/_overview")["zoneInsight"].clone();
    let time = |text: &Value| text.as_str().and_then(|text| text.parse::<jiff::Timestamp>().ok());
    let pinged_long_after = |insight: &Value| {
        let connected = time(&insight["subscriptions"][0]["connectTime"]);
        let pinged = time(&insight["healthCheck"]["time"]);
        connected.zip(pinged).is_some_and(|(connected, pinged)| pinged.duration_since(connected).as_secs() > 8)
    };
    let insight = eventually("pings for longer than the timeout", insight, pinged_long_after);
    assert_eq!(insight["subscriptions"].as_array().map(Vec::len), Some(1), "the first connection stands: {insight}");
}
