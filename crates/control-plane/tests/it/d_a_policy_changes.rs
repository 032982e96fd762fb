//! Flow (d): a policy changes on global and is in force in every zone.

use serde_json::json;
use testkit::client;

use crate::stage::{
    way::{Route, Way, through_relays},
    world::{wait_for, wait_gone},
};

through_relays! { every_zone crash_of_global }

const NAME: &str = "/meshes/default/meshtimeouts/mt-1-xz8287465c2624wz";

#[test]
fn a_policy_reaches_every_zone_and_goes_again() {
    every_zone(Way::Direct);
}

fn every_zone(way: Way) {
    let route = Route::new(way, &[]);
    let world = route.global();
    let joined = ["west", "east"].map(|name| route.connected_zone(name));
    let [west, east] = joined.each_ref().map(|one| &one.zone);
    let policy = |timeout: &str| {
        json!({
            "type": "MeshTimeout", "mesh": "default", "name": "mt-1",
            "spec": {"to": [{"targetRef": {"kind": "Mesh"}, "default": {"connectionTimeout": timeout}}]},
        })
    };
    let path = "/meshes/default/meshtimeouts/mt-1";
    let (status, body) = client::ask(world.http(), "PUT", path, Some(&policy("5s")));
    assert_eq!(status, 201, "{body}");
    for zone in [west, east] {
        let there = wait_for(zone.address("http"), NAME);
        assert_eq!(there["spec"]["to"][0]["default"]["connectionTimeout"], "5s");
    }
    assert_eq!(client::ask(world.http(), "PUT", path, Some(&policy("7s"))).0, 200);
    for zone in [west, east] {
        testkit::program::eventually(
            "the change is there",
            || client::get(zone.address("http"), NAME),
            |there| there["spec"]["to"][0]["default"]["connectionTimeout"] == "7s",
        );
    }
    assert_eq!(client::ask(world.http(), "DELETE", path, None).0, 200);
    for zone in [west, east] {
        wait_gone(zone.address("http"), NAME);
    }
}

#[test]
fn what_was_answered_survives_a_crash_of_global() {
    crash_of_global(Way::Direct);
}

fn crash_of_global(way: Way) {
    let mut route = Route::of_programs(way);
    let west = route.connected_zone("west");
    let world = route.global_mut();
    let keys = || client::get(world.http(), "/global-secrets");
    let before = keys();
    for index in 0..20 {
        world.apply(&format!("type: Mesh\nname: m{index}\nskipCreatingInitialPolicies: ['*']\n"));
    }
    world.global.crash_and_restart();
    assert_eq!(client::get(world.http(), "/global-secrets"), before);
    for index in 0..20 {
        assert_eq!(client::ask(world.http(), "GET", &format!("/meshes/m{index}"), None).0, 200);
    }
    route.wait_online("west");
    wait_for(west.zone.address("http"), "/meshes/m19");
}
