//! A global whose disk is full, filled by what it keeps and by somebody else: who holds a bad key loses it all the same.

use std::{fs, io::Write as _, path::Path, process::Command};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use testkit::client;

use crate::stage::world::World;

/// A small file system in a folder, unmounted when dropped.
struct SmallDisk(std::path::PathBuf);

impl SmallDisk {
    /// Needs the right to mount; says loudly when it is not there.
    fn mount(folder: &Path) -> Option<Self> {
        fs::create_dir(folder).unwrap();
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", "size=12m,mode=700", "tmpfs"]).arg(folder).output();
        if !mounted.is_ok_and(|output| output.status.success()) {
            eprintln!("SKIPPED: a small file system cannot be mounted here (are you root?): full disks were NOT tried");
            return None;
        }
        Some(Self(folder.to_owned()))
    }

    /// Takes all that is free, as a log would.
    fn take_the_rest(&self) {
        let mut file = fs::File::create(self.0.join("somebody-else")).unwrap();
        for size in [64 * 1024, 4096, 512, 1] {
            while file.write_all(&vec![b'l'; size]).is_ok() {}
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("--lazy").arg(&self.0).status());
    }
}

fn put_secret(world: &World, name: &str, data: &[u8]) -> u16 {
    let body = json!({ "type": "GlobalSecret", "name": name, "data": STANDARD.encode(data) });
    client::ask(world.http(), "PUT", &format!("/global-secrets/{name}"), Some(&body)).0
}

fn delete(world: &World, name: &str) -> u16 {
    client::ask(world.http(), "DELETE", &format!("/global-secrets/{name}"), None).0
}

/// What a secret holds, if it is there.
fn secret(world: &World, name: &str) -> Option<Vec<u8>> {
    let (status, text) = client::ask(world.http(), "GET", &format!("/global-secrets/{name}"), None);
    let found: Value = serde_json::from_str(&text).unwrap();
    (status == 200).then(|| STANDARD.decode(found["data"].as_str().unwrap_or_default()).unwrap())
}

#[test]
fn on_a_full_disk_keys_are_made_and_deleted_and_their_sessions_end() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(&folder.path().join("global")) else { return };
    let mut world = World::in_folder(folder, &[]);
    let west = world.connected_zone("west");
    let new_key = STANDARD.decode(world.kumactl.ok(&["generate", "signing-key"], "")).unwrap();
    // The disk gets full.
    let filled = (0..1000).find(|number| put_secret(&world, &format!("filler-{number}"), &vec![b'x'; 40_000]) == 503);
    assert!(filled.is_some_and(|number| number > 50), "{filled:?}");
    disk.take_the_rest();
    assert_eq!(put_secret(&world, "one-more", &vec![b'x'; 40_000]), 503);
    // The leaked key goes, and the session on it.
    assert_eq!(put_secret(&world, "control-plane-signing-key-0002", &new_key), 201);
    assert_eq!(put_secret(&world, "control-plane-token-revocations", b"5766e443-ef30-4916-afbd-a680d244fc16"), 201);
    let revoked = json!({ "family": "control-plane-token", "zone": "east" });
    assert_eq!(client::ask(world.http(), "POST", "/tokens/revocations", Some(&revoked)).0, 200);
    let mark = world.global.mark();
    assert_eq!(delete(&world, "control-plane-signing-key-0001"), 200);
    world.global.line_after(mark, &["closed live streams", r#""zone": "west""#, "unknown-key"]);
    // Who proves who they are is served.
    let mark = world.global.mark();
    world.token_file("west");
    world.global.line_after(mark, &["successfully authenticated", r#""tokenSerialNumber": 2, "zone": "west""#]);
    assert_eq!(client::ask(world.http(), "GET", "/meshes/default", None).0, 200);
    // The same after a crash: what was acknowledged is there, and nothing else.
    world.global.crash_and_restart();
    let filled = filled.unwrap();
    for number in 0..filled {
        assert_eq!(secret(&world, &format!("filler-{number}")), Some(vec![b'x'; 40_000]), "{number}");
    }
    let revoked = secret(&world, "control-plane-token-revocations");
    assert_eq!(revoked.as_deref(), Some(&b"5766e443-ef30-4916-afbd-a680d244fc16"[..]));
    assert_eq!(secret(&world, "control-plane-signing-key-0002"), Some(new_key));
    for gone in ["control-plane-signing-key-0001", "one-more", &format!("filler-{filled}")] {
        assert_eq!(secret(&world, gone), None, "{gone}");
    }
    assert_eq!(put_secret(&world, "control-plane-token-revocations", b"6766e443-ef30-4916-afbd-a680d244fc16"), 200);
    assert_eq!(delete(&world, "filler-0"), 200);
    // With space, all is as before.
    fs::remove_file(disk.0.join("somebody-else")).unwrap();
    for number in 1..40 {
        assert_eq!(delete(&world, &format!("filler-{number}")), 200);
    }
    assert_eq!(put_secret(&world, "one-more", b"x"), 201);
    drop(west);
}
