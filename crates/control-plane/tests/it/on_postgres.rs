//! What a control plane does at its start because its store is a database: it waits for one that is away, and refuses one
//! that is not its own.

use std::fs;

use testkit::{
    client,
    postgres::{Server, database},
    program::{ControlPlane, eventually},
};

use crate::stage::{
    inside,
    postgres_global::{borrowed, said, settings},
    world::KUMA_CP,
};

#[test]
fn a_start_waits_for_a_database_that_is_away_and_says_so() {
    let Some(mut server) = Server::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(&server.place(), folder.path());
    server.kill();
    let mut global = ControlPlane::start(KUMA_CP, &borrowed(&settings), &[]);
    global.line(&["waiting for the database of the store"]);
    let waiting = global.address("diagnostics");
    let (status, text) = client::ask(waiting, "GET", "/ready", None);
    assert!(status == 503 && text.starts_with("store: waiting: cannot use database"), "{status} {text}");
    assert_eq!(client::ask(waiting, "GET", "/healthy", None).0, 200);
    let mark = global.mark();
    server.run();
    global.line_after(mark, &["listening", "\"diagnostics\""]);
    global.line_after(mark, &["started"]);
    assert!(!global.text().contains(&server.place().password), "no password is logged");
    assert!(global.terminate().success());
    // One that still waits is ended by a signal as well.
    server.kill();
    global.again();
    global.line(&["waiting for the database of the store"]);
    assert!(global.terminate().success());
}

#[test]
fn a_database_away_is_503_for_writes_and_reads_go_on() {
    let Some(mut server) = Server::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(&server.place(), folder.path());
    let global = ControlPlane::inside(inside::begin, &borrowed(&settings));
    let http = global.address("http");
    let put = |name: &str| {
        let mesh = serde_json::json!({"type": "Mesh", "name": name});
        client::ask(http, "PUT", &format!("/meshes/{name}"), Some(&mesh))
    };
    assert_eq!(put("before").0, 201);
    server.kill();
    let (status, text) = put("meanwhile");
    assert!(status == 503 && text.contains("nothing was written"), "{status} {text}");
    assert_eq!(client::ask(http, "GET", "/meshes/before", None).0, 200);
    let diagnostics = global.address("diagnostics");
    let ready = || client::ask(diagnostics, "GET", "/ready", None);
    eventually("it says since when", ready, |(status, text)| {
        *status == 200 && text.starts_with("store: behind since ")
    });
    let (_, metrics) = client::ask(diagnostics, "GET", "/metrics", None);
    let stale = metrics.lines().find(|line| line.starts_with("store_stale_seconds")).map(str::to_owned);
    assert!(stale.as_ref().is_some_and(|line| !line.ends_with(" 0.0")), "{stale:?}");
    server.run();
    eventually("it heals", ready, |answer| *answer == (200, String::new()));
    assert_eq!(put("after").0, 201);
}

#[test]
fn a_database_that_is_not_the_one_of_before_is_refused_and_left_alone() {
    let (Some(ours), Some(other)) = (database(), database()) else { return };
    let folder = tempfile::tempdir().unwrap();
    let start = |place| {
        let settings = settings(place, folder.path());
        let mut global = ControlPlane::inside(inside::begin, &borrowed(&settings));
        assert!(global.terminate().success(), "{}", global.text());
    };
    start(ours.place());
    start(ours.place());
    let cluster = fs::read_to_string(folder.path().join("global.postgres")).unwrap();
    assert_eq!(ours.ask("SELECT cluster_id FROM store_identity"), cluster.trim());
    // Empty: what was there is lost.
    let (ended_well, text) = said(&["run"], &settings(other.place(), folder.path()));
    assert!(!ended_well && text.contains("is empty") && text.contains("--fresh"), "{text}");
    assert_eq!(other.ask("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"), "0");
    // Of another cluster.
    let elsewhere = tempfile::tempdir().unwrap();
    let theirs = settings(other.place(), elsewhere.path());
    drop(ControlPlane::inside(inside::begin, &borrowed(&theirs)));
    let (ended_well, text) = said(&["run"], &settings(other.place(), folder.path()));
    assert!(
        !ended_well && text.contains(&format!("this is a global control plane of cluster `{}`", cluster.trim())),
        "{text}"
    );
    start(ours.place());
}

#[test]
fn a_zone_that_lost_its_database_takes_no_empty_one_also_after_its_first_run() {
    let (Some(ours), Some(other)) = (database(), database()) else { return };
    let folder = tempfile::tempdir().unwrap();
    let zone = |place| {
        let of_global = settings(place, folder.path()).into_iter().filter(|(name, _)| *name != "KUMA_MODE");
        let more = [("KUMA_MODE", "zone"), ("KUMA_MULTIZONE_ZONE_NAME", "w")];
        of_global.chain(more.map(|(name, value)| (name, value.to_owned()))).collect::<Vec<_>>()
    };
    drop(ControlPlane::inside(inside::begin, &borrowed(&zone(ours.place()))));
    let cluster = fs::read_to_string(folder.path().join("zone-w.postgres")).unwrap();
    assert_eq!(ours.ask("SELECT cluster_id FROM store_identity"), cluster.trim());
    let (ended_well, text) = said(&["run"], &zone(other.place()));
    assert!(!ended_well && text.contains("is empty") && text.contains("--fresh"), "{text}");
}

#[test]
fn a_folder_with_a_file_of_before_gets_no_empty_database() {
    let Some(database) = database() else { return };
    let folder = tempfile::tempdir().unwrap();
    let work = folder.path().to_str().unwrap();
    drop(ControlPlane::inside(inside::begin, &[("KUMA_MODE", "global"), ("KUMA_GENERAL_WORK_DIR", work)]));
    let (ended_well, text) = said(&["run"], &settings(database.place(), folder.path()));
    assert!(!ended_well && text.contains("is empty") && text.contains("--fresh"), "{text}");
}

#[test]
fn the_schema_is_migrated_by_a_command() {
    let Some(database) = database() else { return };
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(database.place(), folder.path());
    let (done, text) = said(&["migrate", "up"], &settings);
    let version = text.strip_prefix("the database was empty and has schema version ");
    let version = version.and_then(|rest| rest.split_once(" now\n")).map(|(version, _)| version.to_owned());
    let version = version.filter(|_| done).unwrap_or_else(|| panic!("{text}"));
    let (done, text) = said(&["migrate", "up"], &settings);
    assert!(done && text == format!("the database has schema version {version} already\n"), "{text}");
    let (done, text) = said(&["migrate", "up"], &[("KUMA_STORE_TYPE", "memory".to_owned())]);
    assert!(!done && text.contains("migrations are not supported"), "{text}");
}
