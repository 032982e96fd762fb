//! Backups of control planes whose store is a database, moves between the kinds of store, and another key while a global
//! serves.

use std::{fs, path::Path, sync::Arc};

use model::{Key, Kind, Resource, reserved::TLS_AUTHORITY};
use serde_json::{Value, json};
use store::sealing::{Sealing, SealingKey};
use testkit::{
    client,
    postgres::{Database, SEALING_KEY, database},
    program::{ControlPlane, Kumactl, eventually},
};

use crate::stage::{
    inside,
    postgres_global::{borrowed, said, settings},
    world::{KUMA_CP, text},
};

type Settings = Vec<(&'static str, String)>;

fn with(mut settings: Settings, more: &[(&'static str, &str)]) -> Settings {
    settings.retain(|(key, _)| more.iter().all(|(other, _)| key != other));
    settings.extend(more.iter().map(|(key, value)| (*key, (*value).to_owned())));
    settings.retain(|(_, value)| !value.is_empty());
    settings
}

fn ok(arguments: &[&str], settings: &Settings) -> String {
    let (done, text) = said(arguments, settings);
    assert!(done, "{text}");
    text
}

fn put(global: &ControlPlane, path: &str, body: &Value) -> u16 {
    client::ask(global.address("http"), "PUT", path, Some(body)).0
}

fn put_secret(global: &ControlPlane, name: &str, data: &str) -> u16 {
    put(global, &format!("/global-secrets/{name}"), &json!({"type": "GlobalSecret", "name": name, "data": data}))
}

/// The status of a question with this token, or none, where a local caller is nobody.
fn status_with(address: std::net::SocketAddr, token: Option<&str>) -> u16 {
    let url = format!("http://{address}/global-secrets");
    let mut request = ureq::get(&url).config().http_status_as_error(false).build();
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    request.call().expect("an answer").status().as_u16()
}

/// A control plane that lost its database, and its folder unless it keeps that, comes back from its backup elsewhere.
fn comes_back(more: &[(&'static str, &str)], keeps_its_folder: bool) {
    let (Some(lost), Some(new)) = (database(), database()) else { return };
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let before = with(settings(lost.place(), folder.path()), more);
    let mut old = ControlPlane::inside(inside::begin, &borrowed(&before));
    if keeps_its_folder {
        // The folder remembers the database that held something when it was opened.
        old.restart();
    }
    let administrator = json!({"name": "boss", "groups": ["mesh-system:admin"], "validFor": "1h"});
    let (status, token) = client::ask(old.address("http"), "POST", "/tokens/user", Some(&administrator));
    assert_eq!(status, 200, "{token}");
    assert_eq!(put_secret(&old, "s", "eA=="), 201);
    let keys = client::get(old.address("http"), "/global-secrets");
    let backup = other.path().join("backup");
    let told = ok(&["store", "backup", "--to", &text(&backup)], &before);
    assert!(told.contains("sealed with the key"), "{told}");
    assert_eq!(put_secret(&old, "later", "eA=="), 201);
    assert!(old.terminate().success());
    let cluster = lost.ask("SELECT cluster_id FROM store_identity");

    let work = if keeps_its_folder { folder.path().to_owned() } else { other.path().join("work") };
    let after = with(settings(new.place(), &work), more);
    let dry = ok(&["store", "restore", "--from", &text(&backup), "--dry-run"], &after);
    assert!(dry.contains("GlobalSecret: ") && dry.contains("nothing was written"), "{dry}");
    assert_eq!(tables(&new), "0");
    ok(&["store", "restore", "--from", &text(&backup)], &after);
    let (again, text_again) = said(&["store", "restore", "--from", &text(&backup)], &after);
    assert!(!again && text_again.contains("--overwrite"), "{text_again}");
    if cluster_is_told(more) || keeps_its_folder {
        assert_eq!(new.ask("SELECT cluster_id FROM store_identity"), cluster);
    }
    let global = ControlPlane::inside(inside::begin, &borrowed(&after));
    assert_eq!(client::get(global.address("http"), "/global-secrets"), keys, "all keys of before, and nothing later");
    drop(global);
    let strict = with(after, &[("KUMA_API_SERVER_AUTHN_LOCALHOST_IS_ADMIN", "false")]);
    let strict = ControlPlane::inside(inside::begin, &borrowed(&strict));
    let http = strict.address("http");
    assert_eq!(
        (status_with(http, None), status_with(http, Some(token.trim()))),
        (403, 200),
        "a token of before is good"
    );
}

/// Whether the store of such a control plane is that of the cluster whose id it tells.
fn cluster_is_told(more: &[(&str, &str)]) -> bool {
    !more.iter().any(|(key, value)| *key == "KUMA_MODE" && *value == "zone")
}

fn tables(database: &Database) -> String {
    database.ask("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
}

#[test]
fn a_global_that_lost_its_database_and_its_folder_comes_back() {
    comes_back(&[], false);
}

#[test]
fn a_gateway_that_lost_its_database_and_its_folder_comes_back() {
    comes_back(&[("KUMA_MODE", "gateway"), ("KUMA_MULTIZONE_GATEWAY_UPSTREAM", "grpc://127.0.0.1:1")], false);
}

#[test]
fn a_zone_that_lost_its_database_and_keeps_its_folder_comes_back() {
    comes_back(&[("KUMA_MODE", "zone"), ("KUMA_MULTIZONE_ZONE_NAME", "west")], true);
}

#[test]
fn nothing_is_restored_over_what_a_running_control_plane_serves() {
    let Some(database) = database() else { return };
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(database.place(), folder.path());
    let mut global = ControlPlane::inside(inside::begin, &borrowed(&settings));
    let backup = text(&folder.path().join("backup"));
    ok(&["store", "backup", "--to", &backup], &settings);
    assert_eq!(put_secret(&global, "later", "eA=="), 201);
    let leads = || database.ask("SELECT count(leader) FROM store_revision");
    eventually("the lead", leads, |count| count == "1");
    let insisting = ["store", "restore", "--from", &*backup, "--overwrite"];
    let (restored, told) = said(&insisting, &settings);
    assert!(!restored && told.contains("leads): stop all of them"), "{told}");
    assert_eq!(client::get(global.address("http"), "/global-secrets/later")["data"], "eA==");
    assert!(global.terminate().success());
    ok(&insisting, &settings);
    let global = ControlPlane::inside(inside::begin, &borrowed(&settings));
    assert_eq!(client::ask(global.address("http"), "GET", "/global-secrets/later", None).0, 404);
}

#[test]
fn a_backup_of_an_empty_database_is_refused_and_makes_nothing() {
    let Some(database) = database() else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = text(&folder.path().join("backup"));
    let (done, told) = said(&["store", "backup", "--to", &file], &settings(database.place(), folder.path()));
    assert!(!done && told.contains("is empty"), "{told}");
    assert_eq!(tables(&database), "0");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

fn is_secret(key: &Key) -> bool {
    key.kind.is_secret()
}

/// All that the file of a global in this folder holds.
fn resources(work: &Path) -> Vec<Resource> {
    let key: SealingKey = SEALING_KEY.parse().unwrap();
    let sealing = Sealing::by(Arc::new(key), is_secret);
    let read = store::sqlite::read(&work.join("global.db"), &sealing, None).unwrap();
    read.iter().map(|stored| Resource::clone(&stored.resource)).collect()
}

#[test]
fn a_store_is_moved_into_a_database_and_back_with_all_that_it_holds() {
    let Some(database) = database() else { return };
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let of_postgres = |work: &Path| settings(database.place(), work);
    let of_sqlite = |work: &Path| with(of_postgres(work), &[("KUMA_STORE_TYPE", "sqlite")]);
    let mut global = ControlPlane::inside(inside::begin, &borrowed(&of_sqlite(folder.path())));
    assert_eq!(put_secret(&global, "s", "eA=="), 201);
    assert_eq!(put(&global, "/meshes/demo", &json!({"type": "Mesh", "name": "demo"})), 201);
    assert!(global.terminate().success());
    let before = resources(folder.path());
    assert!(before.iter().any(|resource| resource.owner.is_some()));
    assert!(before.iter().any(|resource| resource.key.kind == Kind::GLOBAL_SECRET && resource.key.name == "s"));
    let told = ok(&["store", "copy", "--to", "postgres"], &of_sqlite(folder.path()));
    assert!(told.contains(&format!("copied {} resources", before.len())), "{told}");
    let (again, told) = said(&["store", "copy", "--to", "postgres"], &of_sqlite(folder.path()));
    assert!(!again && told.contains("--overwrite"), "{told}");
    let moved = ControlPlane::inside(inside::begin, &borrowed(&of_postgres(folder.path())));
    assert_eq!(client::get(moved.address("http"), "/global-secrets/s")["data"], "eA==");
    assert_eq!(put_secret(&moved, "later", "eQ=="), 201);
    drop(moved);
    ok(&["store", "copy", "--to", "sqlite"], &of_postgres(other.path()));
    let mut after = resources(other.path());
    // What was written to the database, and the authority of all who work with it.
    let written = |resource: &Resource| {
        resource.key.kind == Kind::GLOBAL_SECRET && ["later", TLS_AUTHORITY].contains(&resource.key.name.as_str())
    };
    assert_eq!(after.iter().filter(|resource| written(resource)).count(), 2);
    after.retain(|resource| !written(resource));
    // What a control plane counts while it runs, it counts anew.
    let told = |resource: &&Resource| !resource.key.kind.name.ends_with("Insight");
    assert_eq!(after.iter().filter(told).collect::<Vec<_>>(), before.iter().filter(told).collect::<Vec<_>>(),);
}

#[test]
fn the_key_of_a_database_is_changed_and_all_sealed_anew_while_a_global_serves() {
    let Some(database) = database() else { return };
    let folder = tempfile::tempdir().unwrap();
    let key = |name: &str| {
        let path = folder.path().join(name);
        fs::write(&path, SealingKey::generate().unwrap().text().reveal()).unwrap();
        text(&path)
    };
    let (one, two) = (key("one.key"), key("two.key"));
    let of_key = |file: &str| {
        let own = settings(database.place(), &folder.path().join("work"));
        with(own, &[("KUMA_STORE_SEALING_KEY", ""), ("KUMA_STORE_SEALING_KEY_FILE", file)])
    };
    let mut global = ControlPlane::start(KUMA_CP, &borrowed(&of_key(&one)), &[]);
    assert_eq!(put_secret(&global, "a", "eA=="), 201);
    ok(&["store", "reseal", "--new-key-file", &two], &of_key(&one));
    assert_eq!(put_secret(&global, "b", "eA=="), 201, "it goes on with the data keys that it knows");
    let said_its_key = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'kuma-cp key _%' AND datname = current_database()";
    eventually("the key of the global is in the list of sessions", || database.ask(said_its_key), |found| found == "1");
    let (done, told) = said(&["store", "reseal", "--new-key-file", &two, "--data-keys"], &of_key(&one));
    assert!(!done && told.contains("1 control planes that work with it have another one"), "{told}");
    assert!(global.terminate().success());
    let (started, told) = said(&["run"], &of_key(&one));
    assert!(!started && told.contains("the secrets of the store are sealed with the key"), "{told}");

    let global = ControlPlane::start(KUMA_CP, &borrowed(&of_key(&two)), &[]);
    assert_eq!(put_secret(&global, "c", "eA=="), 201);
    ok(&["store", "reseal", "--new-key-file", &two, "--data-keys"], &of_key(&two));
    assert_eq!(put_secret(&global, "d", "eA=="), 201, "it has taken in the new data key");
    assert_eq!(database.ask("SELECT string_agg(id::text, ' ') FROM data_keys"), "2");
    let old = r"SELECT count(*) FROM resources WHERE substring(spec FOR 6) = '\x000100000001'::bytea";
    assert_eq!(database.ask(old), "0");
    drop(global);
    let again = ControlPlane::inside(inside::begin, &borrowed(&of_key(&two)));
    for name in ["a", "b", "c", "d"] {
        assert_eq!(client::get(again.address("http"), &format!("/global-secrets/{name}"))["data"], "eA==");
    }
}

#[test]
fn a_zone_on_a_database_with_a_certificate_of_its_own_needs_no_work_folder() {
    let Some(database) = database() else { return };
    let folder = tempfile::tempdir().unwrap();
    let [cert, key] = ["own.crt", "own.key"].map(|name| text(&folder.path().join(name)));
    let made = ["generate", "tls-certificate", "--type=server", "--hostname=localhost"];
    let files = ["--cert-file", &cert, "--key-file", &key];
    Kumactl::beside(KUMA_CP, folder.path()).ok(&[&made[..], &files].concat(), "");
    let work = folder.path().join("not/there/yet");
    let zone = [("KUMA_MODE", "zone"), ("KUMA_MULTIZONE_ZONE_NAME", "west")];
    let certificate = [("KUMA_GENERAL_TLS_CERT_FILE", cert.as_str()), ("KUMA_GENERAL_TLS_KEY_FILE", key.as_str())];
    let settings = with(settings(database.place(), &work), &[zone, certificate].concat());
    for _ in 0..2 {
        let mut zone = ControlPlane::inside(inside::begin, &borrowed(&settings));
        assert_eq!(client::ask(zone.address("http"), "GET", "/meshes/default", None).0, 200);
        assert!(zone.terminate().success());
    }
    assert!(!work.join("kuma-cp.key").exists(), "and makes no certificate");
}
