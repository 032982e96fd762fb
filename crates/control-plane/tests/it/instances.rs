//! Control planes that share a database: several globals that a zone moves between.

use std::{fs, path::Path};

use serde_json::json;
use tempfile::TempDir;
use testkit::{
    client,
    postgres::{Database, database},
    program::{ControlPlane, eventually},
};

use crate::stage::{
    inside,
    world::{text, wait_for},
};

/// The settings of a store that others share.
fn store(database: &Database) -> Vec<(&'static str, String)> {
    let place = database.place();
    vec![
        ("KUMA_STORE_TYPE", "postgres".to_owned()),
        ("KUMA_STORE_SEALING_KEY", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=".to_owned()),
        ("KUMA_STORE_POSTGRES_HOST", place.host.clone()),
        ("KUMA_STORE_POSTGRES_PORT", place.port.to_string()),
        ("KUMA_STORE_POSTGRES_USER", place.user.clone()),
        ("KUMA_STORE_POSTGRES_PASSWORD", place.password.clone()),
        ("KUMA_STORE_POSTGRES_DB_NAME", place.database.clone()),
    ]
}

fn borrowed<'a>(settings: &'a [(&'static str, String)]) -> Vec<(&'a str, &'a str)> {
    settings.iter().map(|(key, value)| (*key, value.as_str())).collect()
}

/// A global with a work folder of its own.
fn global(database: &Database, folder: &Path) -> ControlPlane {
    let mut settings = store(database);
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
        let connected = zone.line_after(mark, &["connected to the global control plane", "localhost:"]);
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
