//! Control planes that share a database: several globals that a zone moves between, and several instances of one zone.

use std::{fs, path::Path};

use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::{
    client,
    postgres::{Database, database},
    program::{ControlPlane, eventually},
};

use crate::stage::{
    inside,
    postgres_global::borrowed,
    world::{KUMA_CP, World, text, wait_for},
};

/// A global with a work folder of its own.
fn global(database: &Database, folder: &Path) -> ControlPlane {
    let mut settings = database.place().settings();
    settings.push(("KUMA_MODE", "global".to_owned()));
    settings.push(("KUMA_GENERAL_WORK_DIR", text(folder)));
    ControlPlane::inside(inside::begin, &borrowed(&settings))
}

fn url(global: &ControlPlane) -> String {
    format!("grpcs://localhost:{}", global.address("kds").port())
}

/// A token of the zone `west`, in a file.
fn token_file(global: &ControlPlane, path: &Path) {
    let wanted = json!({"zone": "west", "validFor": "1h"});
    let (status, token) = client::ask(global.address("http"), "POST", "/tokens/control-plane", Some(&wanted));
    assert_eq!(status, 200, "{token}");
    fs::write(path, token).unwrap();
}

fn put_mesh(to: &ControlPlane, name: &str) {
    let mesh = json!({"type": "Mesh", "name": name});
    let (status, said) = client::ask(to.address("http"), "PUT", &format!("/meshes/{name}"), Some(&mesh));
    assert_eq!(status, 201, "{said}");
}

#[test]
fn a_zone_with_one_root_file_moves_to_another_global_and_back() {
    let Some(database) = database() else { return };
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name);
    let mut globals = ["one", "other"].map(|name| global(&database, &path(name)));
    let root = path("one/kuma-cp.crt");
    assert_eq!(fs::read(&root).unwrap(), fs::read(path("other/kuma-cp.crt")).unwrap());
    let token = path("token");
    token_file(&globals[0], &token);
    let settings = [
        ("KUMA_MODE", "zone".to_owned()),
        ("KUMA_GENERAL_WORK_DIR", text(&path("west"))),
        ("KUMA_MULTIZONE_ZONE_NAME", "west".to_owned()),
        ("KUMA_MULTIZONE_ZONE_GLOBAL_ADDRESS", format!("{},{}", url(&globals[0]), url(&globals[1]))),
        ("KUMA_MULTIZONE_ZONE_KDS_ROOT_CA_FILE", text(&root)),
        ("KUMA_MULTIZONE_ZONE_KDS_AUTH_TOKEN_PATH", text(&token)),
    ];
    let zone = ControlPlane::inside(inside::begin, &borrowed(&settings));
    let mut mark = 0;
    for mesh in ["first", "second"] {
        let connected = zone.line_after(mark, &["\tconnected to the global control plane", "localhost:"]);
        let is_there = |global: &ControlPlane| connected.contains(url(global).trim_start_matches("grpcs://"));
        let there = globals.iter().position(is_there).expect("it is connected to one of them");
        mark = zone.mark();
        globals[there].keep_ports();
        assert!(globals[there].terminate().success(), "{}", globals[there].text());
        put_mesh(&globals[1 - there], mesh);
        wait_for(zone.address("http"), &format!("/meshes/{mesh}"));
        globals[there].again();
        globals[there].address("kds");
    }
    eventually(
        "all is well",
        || client::ask(zone.address("diagnostics"), "GET", "/ready", None),
        |(status, text)| *status == 200 && text.is_empty(),
    );
}

/// An instance of the zone `west`, with a work folder and a token file of its own.
fn zone_instance(world: &World, database: &Database, name: &str, token: &str) -> ControlPlane {
    let file = world.file(&format!("{name}.token"), token);
    let mut settings = database.place().settings();
    settings.extend([
        ("KUMA_MODE", "zone".to_owned()),
        ("KUMA_GENERAL_WORK_DIR", text(&world.path(name))),
        ("KUMA_MULTIZONE_ZONE_NAME", "west".to_owned()),
        ("KUMA_MULTIZONE_ZONE_GLOBAL_ADDRESS", url(&world.global)),
        ("KUMA_MULTIZONE_ZONE_KDS_ROOT_CA_FILE", text(&world.ca())),
        ("KUMA_MULTIZONE_ZONE_KDS_AUTH_TOKEN_PATH", file),
        ("KUMA_INTER_CP_CATALOG_HEARTBEAT_INTERVAL", "3s".to_owned()),
        ("KUMA_INTER_CP_SERVER_PORT", "0".to_owned()),
    ]);
    ControlPlane::start(KUMA_CP, &borrowed(&settings), &[])
}

/// What an instance is called.
fn name_of(instance: &ControlPlane) -> String {
    client::get(instance.address("http"), "/")["instanceId"].as_str().unwrap().to_owned()
}

/// Waits until an instance says that it serves and that the other one leads.
fn stands_by(instance: &ControlPlane, leader: &ControlPlane) {
    let leader = format!("instance `{}` leads this zone", name_of(leader));
    let ready = || client::ask(instance.address("diagnostics"), "GET", "/ready", None);
    eventually("it stands by", ready, |(status, text)| *status == 200 && text.contains(&leader));
}

/// The instances of the zone that global shows as connected, by the subscriptions that are open.
fn connected(world: &World) -> Vec<String> {
    let insight = client::get(world.http(), "/zones/west/_overview");
    let subscriptions = insight["zoneInsight"]["subscriptions"].as_array().cloned().unwrap_or_default();
    let is_open = |one: &&Value| one.get("disconnectTime").is_none();
    subscriptions
        .iter()
        .filter(is_open)
        .map(|one| one["zoneInstanceId"].as_str().unwrap_or_default().to_owned())
        .collect()
}

/// Waits until one instance is connected, and no other.
fn is_the_only_one(world: &World, instance: &ControlPlane) {
    let wanted = vec![name_of(instance)];
    eventually("one instance is connected", || connected(world), |connected| *connected == wanted);
}

/// Writes something on an instance, and waits until global has it.
fn reports(world: &World, instance: &ControlPlane, name: &str) {
    let spec = json!({"to": [{"targetRef": {"kind": "Mesh"}, "default": {"idleTimeout": "20m"}}]});
    let policy = json!({"type": "MeshTimeout", "mesh": "default", "name": name, "spec": spec,
        "labels": {"kuma.io/origin": "zone"}});
    let path = format!("/meshes/default/meshtimeouts/{name}");
    let (status, said) = client::ask(instance.address("http"), "PUT", &path, Some(&policy));
    assert_eq!(status, 201, "{said}");
    let listed = || client::get(world.http(), "/meshes/default/meshtimeouts?size=1000").to_string();
    eventually("global has what was written", listed, |text| text.contains(&format!("\"{name}\"")));
}

#[test]
fn of_two_instances_of_a_zone_one_is_connected_and_the_other_takes_over() {
    let Some(database) = database() else { return };
    let world = World::new(&[("KUMA_MULTIZONE_GLOBAL_KDS_ZONE_INSIGHT_FLUSH_INTERVAL", "100ms")]);
    let token = world.token("west");
    let mut first = zone_instance(&world, &database, "first", &token);
    first.line(&["\tconnected to the global control plane"]);
    let second = zone_instance(&world, &database, "second", &token);
    stands_by(&second, &first);
    is_the_only_one(&world, &first);
    // Who stands by serves all the same: what it shows came from global, and what is written on it goes there.
    world.apply("type: Mesh\nname: shop\n");
    wait_for(second.address("http"), "/meshes/shop");
    reports(&world, &second, "by-the-second");

    first.kill();
    second.line(&["\tconnected to the global control plane"]);
    is_the_only_one(&world, &second);
    reports(&world, &second, "after-the-first");

    // The one that was killed comes back, and waits.
    first.again();
    stands_by(&first, &second);
    // A leader that is stopped for longer than its lease is followed by the other.
    let mark = second.mark();
    second.pause();
    first.line(&["\tconnected to the global control plane"]);
    is_the_only_one(&world, &first);
    let stands = first.mark();
    world.apply("type: Mesh\nname: meanwhile\n");
    wait_for(first.address("http"), "/meshes/meanwhile");
    second.resume();
    stands_by(&second, &first);
    // It neither came back nor ended the connection of the other.
    reports(&world, &second, "after-the-pause");
    is_the_only_one(&world, &first);
    assert!(!second.logged_after(mark, &["\tconnected to the global control plane"]), "{}", second.text());
    assert!(!first.logged_after(stands, &["\tconnected to the global control plane"]), "{}", first.text());
    wait_for(second.address("http"), "/meshes/meanwhile");
}

#[test]
fn the_authority_of_certificates_is_neither_exported_nor_sent_to_zones() {
    let Some(world) = World::on_postgres(&[]) else { return };
    let zone = world.connected_zone("west");
    world.apply("type: GlobalSecret\nname: of-a-user\ndata: c2VjcmV0\n");
    wait_for(zone.address("http"), "/global-secrets/of-a-user");
    let authority = |of: std::net::SocketAddr| client::get(of, "/global-secrets/control-plane-tls-ca")["data"].clone();
    let (of_global, of_zone) = (authority(world.http()), authority(zone.address("http")));
    assert!(of_global.is_string() && of_zone.is_string() && of_global != of_zone, "each has its own");
    let exported = world.kumactl.ok(&["export", "--profile", "all", "--include-admin"], "");
    assert!(exported.contains("of-a-user") && !exported.contains("control-plane-tls-ca"), "{exported}");
}
