//! Flow (a): a zone connects, is authenticated, gets everything, reports its own.

use serde_json::json;
use testkit::client;

use crate::stage::{
    way::{Route, Way, through_relays},
    world::{World, wait_for, wait_gone},
};

through_relays! { both_directions_sync kinds_that_flow_across }

#[test]
fn a_zone_connects_and_both_directions_sync() {
    both_directions_sync(Way::Direct);
}

fn both_directions_sync(way: Way) {
    let route = Route::new(way, &[]);
    let world = route.global();
    world.apply("type: Mesh\nname: payments\n");
    let joined = route.connected_zone("west");
    let http = joined.zone.address("http");

    let line =
        route.door().global.line(&["kds.auth", "Remote CP successfully authenticated using Control Plane Token"]);
    let fields = line.split('\t').collect::<Vec<_>>();
    assert_eq!(
        fields[1..],
        [
            "INFO",
            "kds.auth",
            "Remote CP successfully authenticated using Control Plane Token",
            r#"{"tokenSerialNumber": 1, "zone": "west"}"#
        ]
    );

    let mesh = wait_for(http, "/meshes/payments");
    assert_eq!(mesh["labels"]["kuma.io/origin"], "global");
    // The policies of a new mesh come under their hashed names.
    wait_for(http, "/meshes/default/meshretries/mesh-retry-all-default-4266fddczv5d2fvv");

    let dataplane = json!({
        "type": "Dataplane", "mesh": "default", "name": "dp-1",
        "labels": {"kuma.io/origin": "zone"},
        "networking": {"address": "10.0.0.1", "inbound": [{"port": 8080, "name": "http"}]},
    });
    let (status, body) = client::ask(http, "PUT", "/meshes/default/dataplanes/dp-1", Some(&dataplane));
    assert_eq!(status, 201, "{body}");
    let synced = sync_name(world, "dp-1");
    let upstream = wait_for(world.http(), &format!("/meshes/default/dataplanes/{synced}"));
    assert_eq!(upstream["labels"]["kuma.io/zone"], "west");
    assert_eq!(upstream["labels"]["kuma.io/origin"], "zone");
    assert_eq!(upstream["labels"]["kuma.io/display-name"], "dp-1");

    let (status, _) = client::ask(http, "DELETE", "/meshes/default/dataplanes/dp-1", None);
    assert_eq!(status, 200);
    wait_gone(world.http(), &format!("/meshes/default/dataplanes/{synced}"));
}

/// Waits until global lists a Dataplane with this display name; returns its name there.
fn sync_name(world: &World, display: &str) -> String {
    let list = testkit::program::eventually(
        "the Dataplane is on global",
        || client::get(world.http(), "/meshes/default/dataplanes"),
        |list| {
            list["items"]
                .as_array()
                .is_some_and(|items| items.iter().any(|one| one["labels"]["kuma.io/display-name"] == display))
        },
    );
    list["items"][0]["name"].as_str().unwrap().to_owned()
}

#[test]
fn zones_see_each_other_only_where_kinds_flow_across() {
    kinds_that_flow_across(Way::Direct);
}

fn kinds_that_flow_across(way: Way) {
    let route = Route::new(way, &[]);
    let joined = ["west", "east"].map(|name| route.connected_zone(name));
    let [west, east] = joined.each_ref().map(|one| &one.zone);
    let service = json!({
        "type": "MeshService", "mesh": "default", "name": "backend",
        "labels": {"kuma.io/origin": "zone"},
        "spec": {"ports": [{"port": 80, "targetPort": 8080, "appProtocol": "http"}], "selector": {"dataplaneLabels": {"matchLabels": {"app": "backend"}}}},
    });
    let (status, body) =
        client::ask(west.address("http"), "PUT", "/meshes/default/meshservices/backend", Some(&service));
    assert_eq!(status, 201, "{body}");
    let hashed = model_free_name(route.global());
    let there = wait_for(east.address("http"), &format!("/meshes/default/meshservices/{hashed}"));
    assert_eq!(there["labels"]["kuma.io/zone"], "west");
    assert_eq!(there["labels"]["kuma.io/origin"], "global");
    // The zone that made it keeps one, its own.
    let own = client::get(west.address("http"), "/meshes/default/meshservices");
    assert_eq!(own["total"], 1);
    // Secrets of the control plane do not travel.
    let secrets = client::get(east.address("http"), "/global-secrets");
    let names: Vec<_> = secrets["items"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert!(names.contains(&"zone-token-signing-public-key-1"), "{names:?}");
    assert!(!names.iter().any(|name| name.starts_with("control-plane-signing-key")), "{names:?}");
}

fn model_free_name(world: &World) -> String {
    let list = testkit::program::eventually(
        "the MeshService is on global",
        || client::get(world.http(), "/meshes/default/meshservices"),
        |list| list["total"] == 1,
    );
    list["items"][0]["name"].as_str().unwrap().to_owned()
}
