//! A zone that was alone joins a global: it loses nothing in silence.

use serde_json::json;
use testkit::{client, runtime::run_in_threads};

use crate::stage::{
    played_global::{Played, default_mesh},
    world::{World, wait_gone},
};

const ADDRESS: &str = "KUMA_MULTIZONE_ZONE_GLOBAL_ADDRESS";

#[test]
fn a_zone_with_a_mesh_of_its_own_joins_only_when_told_to() {
    run_in_threads(async {
        let mut played = Played::start(&[]).await;
        let address = played.global_address();
        played.zone.set(ADDRESS, "");
        played.zone.restart();
        let mesh = json!({"type": "Mesh", "name": "shop"});
        assert_eq!(client::ask(played.http(), "PUT", "/meshes/shop", Some(&mesh)).0, 201);
        played.zone.set(ADDRESS, &address);
        played.zone.restart();
        let mut link = played.accept_living().await;
        link.first_requests().await;
        link.send("Mesh", "1", default_mesh());
        link.gone().await;
        let line = played.zone.line(&["ERROR", "does not join"]);
        assert!(line.contains("shop") && line.contains("KUMA_MULTIZONE_ZONE_KDS_DELETE_OWN_MESHES"), "{line}");
        assert_eq!(client::get(played.http(), "/meshes/shop")["name"], "shop");

        played.zone.set("KUMA_MULTIZONE_ZONE_KDS_DELETE_OWN_MESHES", "true");
        played.zone.restart();
        let mut link = played.accept_living().await;
        link.first_requests().await;
        assert_eq!(link.provide("Mesh", default_mesh()).await, None, "an ACK");
        wait_gone(played.http(), "/meshes/shop");
        played.zone.line(&["deleted-on-joining-west-mesh-"]);
    });
}

#[test]
fn a_zone_of_ours_loses_nothing_to_a_global_of_ours_either() {
    let world = World::of_programs(&[]);
    let mut west = world.connected_zone("west");
    west.set(ADDRESS, "");
    west.restart();
    let mesh = json!({"type": "Mesh", "name": "shop"});
    assert_eq!(client::ask(west.address("http"), "PUT", "/meshes/shop", Some(&mesh)).0, 201);
    west.set(ADDRESS, &format!("grpcs://localhost:{}", world.global.address("kds").port()));
    west.restart();
    let line = west.line(&["ERROR", "does not join"]);
    assert!(line.contains("shop"), "{line}");
    assert_eq!(client::get(west.address("http"), "/meshes/shop")["name"], "shop");

    west.set("KUMA_MULTIZONE_ZONE_KDS_DELETE_OWN_MESHES", "true");
    west.restart();
    wait_gone(west.address("http"), "/meshes/shop");
    west.line(&["deleted-on-joining-west-mesh-"]);
}
