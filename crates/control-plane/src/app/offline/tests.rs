use std::{fs, os::unix::fs::PermissionsExt as _};

use jiff::Timestamp;
use model::{Key, Kind, Labels};
use store::{Batch, Precondition, Query, Write, sealing::Renew};
use tempfile::TempDir;

use super::*;
use crate::app::open_store::open_store;

const SECRET: &str = "never to be seen on a disk";
const CERTIFICATE: &str = "a certificate";
const PRIVATE_KEY: &str = "the private key of a certificate";

fn config(folder: &Path, more: &[(&str, &str)]) -> Config {
    let text = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    let mode = [("KUMA_MODE", "global")];
    let mode = if more.iter().any(|(key, _)| *key == "KUMA_MODE") { &[] } else { &mode[..] };
    let mut environment: Vec<_> = mode.iter().chain(more).map(text).collect();
    environment.push(("KUMA_GENERAL_WORK_DIR".to_owned(), folder.display().to_string()));
    Config::from_sources(None, &environment, "").unwrap().0
}

fn resource(key: Key, spec: &str, owner: Option<Key>) -> Resource {
    Resource {
        key,
        labels: Labels::from([("a".to_owned(), "b".to_owned())]),
        spec: spec.as_bytes().to_vec().into(),
        status: None,
        owner,
        created: Timestamp::UNIX_EPOCH,
        modified: "2026-11-28T12:00:00Z".parse().unwrap(),
    }
}

/// A control plane with a secret of each kind, and the certificate that it made.
async fn filled(folder: &Path, more: &[(&str, &str)]) -> Config {
    let config = config(folder, more);
    let store = open_store(&config, &Clock::system()).await.unwrap();
    let mesh = Key::global(Kind::MESH, "m");
    let resources = [
        resource(mesh.clone(), "{}", None),
        resource(Key::in_mesh(Kind::SECRET, "m", "s"), SECRET, Some(mesh)),
        resource(Key::global(Kind::GLOBAL_SECRET, "g"), SECRET, None),
        resource(Key::global(Kind::RECORD, "rotation.r"), SECRET, None),
    ];
    let writes = resources.into_iter().map(|resource| Write::Put { resource, expect: Precondition::Absent });
    store.apply(Batch::of(writes.collect())).await.unwrap();
    fs::write(folder.join("kuma-cp.crt"), CERTIFICATE).unwrap();
    fs::write(folder.join("kuma-cp.key"), PRIVATE_KEY).unwrap();
    config
}

async fn contents(config: &Config) -> Vec<Resource> {
    let store = open_store(config, &Clock::system()).await.unwrap();
    let mut all = Vec::new();
    for kind in Kind::all() {
        let page = store.list(&Query::all(kind)).await.unwrap();
        all.extend(page.items.iter().map(|stored| Resource::clone(&stored.resource)));
    }
    all
}

fn from(file: &Path) -> Restore {
    Restore { from: file.to_owned(), dry_run: false, present: Present::Keep, key_file: None }
}

fn holds(file: &Path, text: &str) -> bool {
    let in_base64 = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, text);
    let content = fs::read(file).unwrap();
    [text, &in_base64].iter().any(|text| content.windows(text.len()).any(|window| window == text.as_bytes()))
}

fn fingerprint(folder: &Path) -> String {
    KeyFile::own(folder).read().unwrap().unwrap().fingerprint().to_string()
}

#[tokio::test]
async fn a_backup_of_a_running_store_comes_back_elsewhere_with_certificate_and_all() {
    let (old, new) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let config_of_old = filled(old.path(), &[]).await;
    let running = open_store(&config_of_old, &Clock::system()).await.unwrap();
    let file = old.path().join("backup");
    let said = backup(&config_of_old, &file, false).await.unwrap();
    drop(running);
    assert!(said.contains("5 resources and 2 files") && said.contains(&fingerprint(old.path())), "{said}");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!holds(&file, SECRET) && !holds(&file, PRIVATE_KEY) && holds(&file, CERTIFICATE) == holds(&file, SECRET));
    let key = fs::read_to_string(old.path().join("store.key")).unwrap();
    assert!(!holds(&file, key.trim()), "the key is not in it");

    let config_of_new = config(new.path(), &[]);
    let refused = format!("{:#}", restore(&config_of_new, &from(&file)).await.unwrap_err());
    assert!(refused.contains(&fingerprint(old.path())) && refused.contains("--key-file"), "{refused}");
    assert_eq!(fs::read_dir(new.path()).unwrap().count(), 0, "nothing was made");
    let told = restore(&config_of_new, &Restore { dry_run: true, ..from(&file) }).await.unwrap();
    assert!(told.contains("GlobalSecret: 1") && told.contains("cannot be opened"), "{told}");

    let key_file = Some(old.path().join("store.key"));
    let told =
        restore(&config_of_new, &Restore { dry_run: true, key_file: key_file.clone(), ..from(&file) }).await.unwrap();
    assert!(told.contains("file kuma-cp.key") && told.contains("it is whole and can be opened"), "{told}");
    assert_eq!(fs::read_dir(new.path()).unwrap().count(), 0, "nothing was written");
    restore(&config_of_new, &Restore { key_file, ..from(&file) }).await.unwrap();
    assert_eq!(contents(&config_of_new).await, contents(&config_of_old).await);
    assert_eq!(fs::read_to_string(new.path().join("kuma-cp.key")).unwrap(), PRIVATE_KEY);
    assert_eq!(fs::metadata(new.path().join("kuma-cp.key")).unwrap().permissions().mode() & 0o777, 0o600);
    assert_ne!(fingerprint(new.path()), fingerprint(old.path()), "the new store has a key of its own");
    assert!(!holds(&new.path().join("global.db"), SECRET));
}

#[tokio::test]
async fn nothing_is_overwritten_unless_somebody_insists() {
    let (one, other) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let config_of_one = filled(one.path(), &[]).await;
    let file = one.path().join("backup");
    backup(&config_of_one, &file, false).await.unwrap();
    let before = fs::read(&file).unwrap();
    let refused = format!("{:#}", backup(&config_of_one, &file, false).await.unwrap_err());
    assert!(refused.contains("--force"), "{refused}");
    assert_eq!(fs::read(&file).unwrap(), before);
    backup(&config_of_one, &file, true).await.unwrap();
    assert_ne!(fs::read(&file).unwrap(), before);
    assert!(
        !fs::read_dir(one.path()).unwrap().any(|entry| entry.unwrap().path().extension().is_some_and(|e| e == "new"))
    );

    let config_of_other = config(other.path(), &[]);
    let store = open_store(&config_of_other, &Clock::system()).await.unwrap();
    store.put(resource(Key::global(Kind::ZONE, "z"), "{}", None), Precondition::Absent).await.unwrap();
    let insisting =
        || Restore { present: Present::Overwrite, key_file: Some(one.path().join("store.key")), ..from(&file) };
    let running = format!("{:#}", restore(&config_of_other, &insisting()).await.unwrap_err());
    assert!(running.contains("in use by process"), "{running}");
    drop(store);
    let refused = restore(&config_of_other, &Restore { present: Present::Keep, ..insisting() }).await.unwrap_err();
    assert!(format!("{refused:#}").contains("holds 2 resources") && format!("{refused:#}").contains("--overwrite"));
    assert_eq!(contents(&config_of_other).await.len(), 2);
    restore(&config_of_other, &insisting()).await.unwrap();
    assert_eq!(contents(&config_of_other).await, contents(&config_of_one).await);
}

#[tokio::test]
async fn a_backup_of_another_control_plane_is_refused_by_name() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("backup");
    backup(&filled(folder.path(), &[]).await, &file, false).await.unwrap();
    let zone = config(folder.path(), &[("KUMA_MODE", "zone"), ("KUMA_MULTIZONE_ZONE_NAME", "west")]);
    let refused = format!("{:#}", restore(&zone, &from(&file)).await.unwrap_err());
    assert!(refused.contains("a global control plane") && refused.contains("zone `west`"), "{refused}");
    fs::write(&file, &fs::read(&file).unwrap()[..500]).unwrap();
    let refused = format!("{:#}", restore(&config(folder.path(), &[]), &from(&file)).await.unwrap_err());
    assert!(refused.contains("it is not whole"), "{refused}");
}

#[tokio::test]
async fn the_key_is_changed_and_stands_in_the_place_of_the_old_one() {
    for renew in [Renew::KeyAlone, Renew::DataKeys] {
        let folder = TempDir::new().unwrap();
        let config = filled(folder.path(), &[]).await;
        let all = contents(&config).await;
        let old = fs::read(folder.path().join("store.key")).unwrap();
        let new = folder.path().join("new.key");
        let missing = format!("{:#}", reseal(&config, &new, renew).await.unwrap_err());
        assert!(missing.contains("generate-key"), "{missing}");
        fs::write(&new, generate_key().unwrap().reveal()).unwrap();
        let said = reseal(&config, &new, renew).await.unwrap();
        assert!(said.contains(&fingerprint(folder.path())), "{said}");
        assert_eq!(fs::read(folder.path().join("store.key")).unwrap(), fs::read(&new).unwrap());
        assert_eq!(contents(&config).await, all);
        fs::write(folder.path().join("store.key"), old).unwrap();
        assert!(open_store(&config, &Clock::system()).await.is_err(), "the old key opens nothing");
    }
}

#[tokio::test]
async fn a_change_of_the_key_that_was_stopped_is_run_again() {
    for renew in [Renew::KeyAlone, Renew::DataKeys] {
        let folder = TempDir::new().unwrap();
        let config = filled(folder.path(), &[]).await;
        let all = contents(&config).await;
        let new = folder.path().join("new.key");
        fs::write(&new, generate_key().unwrap().reveal()).unwrap();
        let old = fs::read(folder.path().join("store.key")).unwrap();
        reseal(&config, &new, renew).await.unwrap();
        // killed before the key was in its place
        fs::write(folder.path().join("store.key"), old).unwrap();
        let wanted = KeyFile::of(&new).read().unwrap().unwrap().fingerprint().to_string();
        let refused = format!("{:#}", open_store(&config, &Clock::system()).await.err().unwrap());
        assert!(refused.contains(&wanted), "{refused}");
        reseal(&config, &new, renew).await.unwrap();
        assert_eq!(contents(&config).await, all);
    }
}

#[tokio::test]
async fn a_key_that_seals_another_store_too_is_not_replaced() {
    let folder = TempDir::new().unwrap();
    let config = filled(folder.path(), &[]).await;
    fs::write(folder.path().join("zone-west.db"), "x").unwrap();
    let new = folder.path().join("new.key");
    fs::write(&new, generate_key().unwrap().reveal()).unwrap();
    let old = fs::read(folder.path().join("store.key")).unwrap();
    let said = reseal(&config, &new, Renew::KeyAlone).await.unwrap();
    assert!(said.contains("`zone-west.db`") && said.contains("store.sealing.keyFile"), "{said}");
    assert_eq!(fs::read(folder.path().join("store.key")).unwrap(), old);
}

#[tokio::test]
async fn without_sealing_a_backup_says_so_and_moves_a_store_to_a_sealed_one() {
    let (plain, sealed) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let config_of_plain = filled(plain.path(), &[("KUMA_STORE_SEALING_ENABLED", "false")]).await;
    assert!(!plain.path().join("store.key").exists());
    let file = plain.path().join("backup");
    let said = backup(&config_of_plain, &file, false).await.unwrap();
    assert!(said.contains("NOT sealed") && holds(&file, SECRET), "{said}");
    let config_of_sealed = config(sealed.path(), &[]);
    restore(&config_of_sealed, &from(&file)).await.unwrap();
    assert_eq!(contents(&config_of_sealed).await, contents(&config_of_plain).await);
    assert!(!holds(&sealed.path().join("global.db"), SECRET));
    let refused = config(sealed.path(), &[("KUMA_STORE_SEALING_ENABLED", "false")]);
    let refused = format!("{:#}", open_store(&refused, &Clock::system()).await.err().unwrap());
    assert!(refused.contains("sealing is switched off"), "{refused}");
}

#[tokio::test]
async fn a_backup_with_a_file_that_no_control_plane_makes_is_refused() {
    for name in ["../x", "store.key", "/etc/passwd", "global.db", "kuma-cp.crt/../x"] {
        let folder = TempDir::new().unwrap();
        let unsealed = [("KUMA_STORE_SEALING_ENABLED", "false")];
        let target = config(&folder.path().join("work"), &unsealed);
        let content = Content {
            resources: vec![resource(Key::global(Kind::ZONE, "z"), "{}", None)],
            files: vec![FileBeside { name: name.to_owned(), content: Zeroizing::new(b"planted".to_vec()) }],
        };
        let whose = Whose { created: Timestamp::UNIX_EPOCH, mode: "global", zone: None };
        let mut forged = Vec::new();
        backup::write(whose, &content, &Sealing::off(), None, &mut forged).unwrap();
        let file = folder.path().join("backup");
        fs::write(&file, &forged).unwrap();
        let refused = format!("{:#}", restore(&target, &from(&file)).await.unwrap_err());
        assert!(refused.contains(&format!("it holds a file `{name}`, which no control plane makes")), "{refused}");
        let told = restore(&target, &Restore { dry_run: true, ..from(&file) }).await.unwrap();
        assert!(told.contains("cannot be opened: it holds a file"), "{told}");
        let names: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["backup"], "nothing was written");
    }
}
