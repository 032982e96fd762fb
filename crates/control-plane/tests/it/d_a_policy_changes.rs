//! Flow (d): a policy changes on global and is in force in every zone.

use serde_json::json;
use testkit::client;

use crate::stage::world::{World, wait_for, wait_gone};

const NAME: &str = "/meshes/default/meshtimeouts/mt-1-xz8287465c2624wz";

#[test]
fn a_policy_reaches_every_zone_and_goes_again() {
    let world = World::new(&[]);
    let west = world.connected_zone("west");
    let east = world.connected_zone("east");
    let policy = |timeout: &str| {
        json!({
            "type": "MeshTimeout", "mesh": "default", "name": "mt-1",
            "spec": {"to": [{"targetRef": {"kind": "Mesh"}, "default": {"connectionTimeout": timeout}}]},
        })
    };
    let path = "/meshes/default/meshtimeouts/mt-1";
    let (status, body) = client::ask(world.http(), "PUT", path, Some(&policy("5s")));
    assert_eq!(status, 201, "{body}");
    for zone in [&west, &east] {
        let there = wait_for(zone.address("http"), NAME);
        assert_eq!(there["spec"]["to"][0]["default"]["connectionTimeout"], "5s");
    }
    assert_eq!(client::ask(world.http(), "PUT", path, Some(&policy("7s"))).0, 200);
    for zone in [&west, &east] {
        testkit::program::eventually(
            "the change is there",
            || client::get(zone.address("http"), NAME),
            |there| there["spec"]["to"][0]["default"]["connectionTimeout"] == "7s",
        );
    }
    assert_eq!(client::ask(world.http(), "DELETE", path, None).0, 200);
    for zone in [&west, &east] {
        wait_gone(zone.address("http"), NAME);
    }
}

#[test]
fn what_was_answered_survives_a_crash_of_global() {
    let mut world = World::of_programs(&[]);
    let west = world.connected_zone("west");
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
    world.wait_online("west");
    wait_for(west.address("http"), "/meshes/m19");
}
