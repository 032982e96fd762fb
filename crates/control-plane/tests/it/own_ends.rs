//! Our own two ends among themselves: a reconnect costs the difference, a kind of any size arrives, and both ends tell the
//! same of their connection.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use testkit::{client, program::eventually};

use crate::stage::world::{World, wait_for};

const POLICIES: usize = 60;

/// A policy of about 150 bytes for each of its items.
fn policy(name: &str, note: &str, items: usize) -> Value {
    let item = |index: usize| {
        json!({"targetRef": {"kind": "MeshService", "labels": {"kuma.io/display-name": format!("backend-{index}")}},
            "default": {"connectionTimeout": "5s", "idleTimeout": "1h"}})
    };
    json!({
        "type": "MeshTimeout", "mesh": "default", "name": name, "labels": {"note": note},
        "spec": {"to": (0..items).map(item).collect::<Vec<_>>()},
    })
}

fn put_policies(world: &World, items: usize) {
    for index in 0..POLICIES {
        let (status, body) = client::ask(
            world.http(),
            "PUT",
            &format!("/meshes/default/meshtimeouts/p{index}"),
            Some(&policy(&format!("p{index}"), "first", items)),
        );
        assert!(status == 200 || status == 201, "{status} {body}");
    }
}

/// The display names of the policies that a control plane has.
fn names(address: std::net::SocketAddr) -> BTreeSet<String> {
    let (status, body) = client::ask(address, "GET", "/meshes/default/meshtimeouts?size=1000", None);
    // Before the mesh there are none.
    let list: Value = if status == 200 { serde_json::from_str(&body).unwrap() } else { json!({"items": []}) };
    let name = |item: &Value| item["labels"]["kuma.io/display-name"].as_str().unwrap_or_default().to_owned();
    list["items"].as_array().unwrap().iter().map(name).filter(|name| name.starts_with('p')).collect()
}

/// A metric of a control plane, 0 if it is not there yet.
fn metric(address: std::net::SocketAddr, start: &str) -> f64 {
    let (_, text) = client::ask(address, "GET", "/metrics", None);
    let line = text.lines().find(|line| line.starts_with(start));
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or_default()
}

#[test]
fn a_reconnect_costs_the_difference_and_not_the_state() {
    let world = World::new(&[]);
    put_policies(&world, 2);
    let mut west = world.connected_zone("west");
    eventually("the policies are there", || names(west.address("http")).len(), |count| *count == POLICIES);
    let sent = || {
        metric(
            world.global.address("diagnostics"),
            "kds_delta_responses_sent_bytes_sum{zone=\"Global\",type_url=\"MeshTimeout\"}",
        )
    };
    let responses = || {
        metric(
            world.global.address("diagnostics"),
            "kds_delta_responses_sent_total{zone=\"Global\",type_url=\"MeshTimeout\"}",
        )
    };
    let (first_sync, first_responses) = (sent(), responses());
    assert!(first_sync > 10_000.0, "{first_sync}");

    west.terminate();
    world.wait_offline("west");
    assert_eq!(client::ask(world.http(), "DELETE", "/meshes/default/meshtimeouts/p0", None).0, 200);
    let changed = policy("p1", "second", 2);
    assert_eq!(client::ask(world.http(), "PUT", "/meshes/default/meshtimeouts/p1", Some(&changed)).0, 200);
    west.again();
    world.wait_online("west");
    eventually(
        "the deleted policy is gone",
        || names(west.address("http")),
        |names| names.len() == POLICIES - 1 && !names.contains("p0"),
    );
    let list = client::get(west.address("http"), "/meshes/default/meshtimeouts?size=1000");
    let notes = list["items"].as_array().unwrap().iter().filter(|item| item["labels"]["note"] == "second").count();
    assert_eq!(notes, 1, "what changed meanwhile is there");
    assert_eq!(responses() - first_responses, 1.0);
    let resync = sent() - first_sync;
    assert!(resync < first_sync / 10.0, "a reconnect took {resync} bytes, the first sync {first_sync}");
}

#[test]
fn a_kind_larger_than_a_message_reaches_a_zone_of_ours_in_parts() {
    let world = World::new(&[("KUMA_MULTIZONE_GLOBAL_KDS_MAX_MSG_SIZE", "65536")]);
    put_policies(&world, 15);
    let token = world.token_file("west");
    let settings = [
        ("KUMA_MULTIZONE_ZONE_KDS_AUTH_TOKEN_PATH", token.as_str()),
        ("KUMA_MULTIZONE_ZONE_KDS_MAX_MSG_SIZE", "65536"),
    ];
    let mut west = world.zone("west", &settings);
    eventually("the policies are there", || names(west.address("http")).len(), |count| *count == POLICIES);

    // While it is away half of them go; what no part names must be gone afterwards, and nothing else.
    west.terminate();
    for index in 0..POLICIES / 2 {
        assert_eq!(client::ask(world.http(), "DELETE", &format!("/meshes/default/meshtimeouts/p{index}"), None).0, 200);
    }
    west.again();
    let expected = names(world.http());
    assert_eq!(expected.len(), POLICIES - POLICIES / 2);
    eventually("what was deleted is gone", || names(west.address("http")), |names| *names == expected);
    let overview = client::get(world.http(), "/zones/west/_overview");
    assert_eq!(overview["zoneInsight"].get("typeTroubles"), None, "nothing was too large: {overview}");
}

#[test]
fn both_ends_show_the_same_pair_of_instances() {
    let world = World::new(&[]);
    let west = world.connected_zone("west");
    let last = |address| {
        let overview = client::get(address, "/zones/west/_overview");
        overview["zoneInsight"]["subscriptions"].as_array().and_then(|all| all.last()).cloned().unwrap_or_default()
    };
    let there = eventually(
        "the zone shows its connection",
        || last(west.address("http")),
        |one| one["status"]["total"]["responsesAcknowledged"].as_str().is_some_and(|count| count != "0"),
    );
    let here = last(world.http());
    for field in ["globalInstanceId", "zoneInstanceId"] {
        assert!(here[field].as_str().is_some_and(|id| !id.is_empty()), "{here}");
        assert_eq!(here[field], there[field]);
    }
    assert_eq!(there.get("config"), None, "a zone does not report its configuration to itself");
    let shown = wait_for(west.address("http"), "/zones/west");
    assert_eq!(shown["name"], "west");
    drop(world.global);
    eventually(
        "the zone shows that it is alone",
        || last(west.address("http")),
        |one| one.get("disconnectTime").is_some(),
    );
}

#[test]
fn the_metrics_of_synchronization_have_their_names_and_labels() {
    let world = World::new(&[]);
    let mut west = world.connected_zone("west");
    put_policies(&world, 1);
    eventually("the policies are there", || names(west.address("http")).len(), |count| *count == POLICIES);
    let text = |address| client::ask(address, "GET", "/metrics", None).1;
    let at_zone = text(west.address("diagnostics"));
    west.terminate();
    world.wait_offline("west");
    let stream =
        r#"grpc_type="bidi_stream",grpc_service="kuma.mesh.v1alpha1.KDSSyncService",grpc_method="GlobalToZoneSync""#;
    let ended = format!(r#"grpc_server_handled_total{{zone="Global",{stream},grpc_code="#);
    let at_global =
        eventually("the end is counted", || text(world.global.address("diagnostics")), |text| text.contains(&ended));
    for name in [
        r#"kds_delta_generation_sum{zone="Global",reason="event",result="changed",zone_name="""#,
        r#"kds_delta_generation_errors_total{zone="Global"} 0"#,
        r#"kds_delta_responses_sent_total{zone="Global",type_url="MeshTimeout"}"#,
        r#"kds_delta_responses_sent_bytes_sum{zone="Global",type_url="MeshTimeout"}"#,
        r#"kds_delta_requests_received_total{zone="Global",type_url="MeshTimeout",confirmation="ACK",error_type="no_error"}"#,
        r#"kds_delta_streams_active{zone="Global"}"#,
        r#"kds_delta_delivery_sum{zone="Global"}"#,
        r#"kds_resources_sync_sum{zone="Global"}"#,
        &format!(r#"grpc_server_started_total{{zone="Global",{stream}}} 1"#),
        &format!(r#"grpc_server_msg_received_total{{zone="Global",{stream}}}"#),
        &format!(r#"grpc_server_msg_sent_total{{zone="Global",{stream}}}"#),
        &format!(r#"grpc_server_handling_seconds_count{{zone="Global",{stream}}} 1"#),
        r#"grpc_method="HealthCheck",grpc_code="OK""#,
    ] {
        assert!(at_global.contains(name), "{name} is missing:\n{at_global}");
    }
    assert!(!at_global.contains("client_version=\"3.0.0\""), "nobody of this version is left:\n{at_global}");
    for name in [
        r#"kds_delta_responses_sent_total{zone="west",type_url="HostnameGenerator"}"#,
        r#"kds_resources_sync_sum{zone="west"}"#,
    ] {
        assert!(at_zone.contains(name), "{name} is missing:\n{at_zone}");
    }
}
