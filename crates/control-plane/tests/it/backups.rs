//! What lies on the disks of control planes while they run, and one that is lost and comes back from its backup.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use testkit::client;

use crate::stage::world::{KUMA_CP, World, text, wait_for};

const SECRET: &str = "never to be seen on a disk";

/// Runs `kuma-cp store …` with the settings of the global.
fn store(world: &World, arguments: &[&str]) -> Output {
    let mut command = Command::new(KUMA_CP);
    command.env_clear().env("KUMA_MODE", "global").env("KUMA_GENERAL_WORK_DIR", world.path("global"));
    command.arg("store").args(arguments).output().unwrap()
}

fn ok(output: Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn refused(output: Output) -> String {
    assert!(!output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stderr).unwrap()
}

/// Every file below a folder but those with keys that are no store's.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if !["kuma-cp.key", "store.key"].iter().any(|name| path.ends_with(name)) {
            found.push(path);
        }
    }
    found
}

/// Looks for what is secret in all that lies on the disk.
fn check_no_secret(folders: &[PathBuf]) {
    let sought = [SECRET.to_owned(), STANDARD.encode(SECRET), "PRIVATE KEY".to_owned(), STANDARD.encode("-----BEGIN")];
    let files: Vec<PathBuf> = folders.iter().flat_map(|folder| files(folder)).collect();
    assert!(files.iter().any(|file| file.to_string_lossy().ends_with("-wal")), "the logs of stores are among them");
    for file in files {
        let content = fs::read(&file).unwrap();
        for text in &sought {
            let found = content.windows(text.len()).any(|window| window == text.as_bytes());
            assert!(!found, "{} holds `{text}`", file.display());
        }
    }
}

#[test]
fn a_control_plane_that_was_lost_comes_back_from_its_backup_with_its_zones() {
    let mut world = World::of_programs(&[]);
    let zone = world.connected_zone("west");
    world.apply(&format!("type: Secret\nmesh: default\nname: s\ndata: {}\n", STANDARD.encode(SECRET)));
    wait_for(zone.address("http"), "/meshes/default/secrets/s");
    fs::create_dir(world.path("backups")).unwrap();
    let (file, key) = (text(&world.path("backups/one")), text(&world.path("kept.key")));
    let said = ok(store(&world, &["backup", "--to", &file]));
    assert!(said.contains("2 files") && said.contains("which is not in it"), "{said}");
    let ask = |world: &World, path: &str| client::ask(world.http(), "GET", path, None).1;
    let before = ask(&world, "/meshes/default/secrets/s");
    world.apply("type: Mesh\nname: later\n");
    check_no_secret(&["global", "west", "backups"].map(|name| world.path(name)));

    world.global.keep_ports();
    let said = refused(store(&world, &["restore", "--from", &file, "--overwrite"]));
    assert!(said.contains("in use by process"), "{said}");
    assert!(world.global.terminate().success());
    fs::rename(world.path("global"), world.path("lost")).unwrap();
    fs::copy(world.path("lost/store.key"), &key).unwrap();
    let said = refused(store(&world, &["restore", "--from", &file]));
    assert!(said.contains("needs the key") && !world.path("global").exists(), "{said}");
    ok(store(&world, &["restore", "--from", &file, "--key-file", &key]));
    for name in ["kuma-cp.crt", "kuma-cp.key"] {
        let [one, other] = ["lost", "global"].map(|folder| fs::read(world.path(folder).join(name)).unwrap());
        assert_eq!(one, other, "{name}");
    }
    world.global.again();
    world.wait_online("west");
    assert_eq!(ask(&world, "/meshes/default/secrets/s"), before);
    assert!(ask(&world, "/meshes").contains("\"default\"") && !ask(&world, "/meshes").contains("\"later\""));
    check_no_secret(&["global", "west", "backups"].map(|name| world.path(name)));
}

#[test]
fn a_copy_without_its_key_is_refused_with_what_to_do() {
    let mut world = World::of_programs(&[]);
    assert!(world.global.terminate().success());
    fs::rename(world.path("global/store.key"), world.path("kept.key")).unwrap();
    let mut command = Command::new(KUMA_CP);
    command.env_clear().env("KUMA_MODE", "global").env("KUMA_GENERAL_WORK_DIR", world.path("global"));
    let said = refused(command.arg("run").output().unwrap());
    assert!(said.contains("store.key` is not there: put that key back"), "{said}");
    let new = world.path("new.key");
    fs::write(&new, ok(store(&world, &["generate-key"]))).unwrap();
    fs::rename(world.path("kept.key"), world.path("global/store.key")).unwrap();
    let said = ok(store(&world, &["reseal", "--new-key-file", &text(&new), "--data-keys"]));
    assert!(said.contains("store.key` now"), "{said}");
    world.global.again();
    assert_eq!(client::ask(world.http(), "GET", "/meshes/default", None).0, 200);
}
