//! A store that another content takes the place of: all of it or nothing, wherever it stops.

use std::{fs, path::Path, sync::Arc};

use ::model::{Kind, Resource};
use store::{
    Identity, Missing, Options, Precondition, Query, ResourceStore,
    sealing::Sealing,
    sqlite::{self, Beside, OpenError, Opener, Present, ReplaceError, SqliteStore},
};
use tempfile::TempDir;

use crate::shapes::{saying, zone};

const CERTIFICATE: Beside<'static> = Beside { name: "cert", content: b"new" };

fn new_content() -> Vec<Resource> {
    vec![saying(&zone("new1"), "{}"), saying(&zone("new2"), "{}")]
}

fn global() -> Opener {
    let cluster = |key: &Resource| Some(key.key.name.clone());
    let identity = Identity { mode: "global".to_owned(), zone: None, cluster: None, new_cluster: "none".to_owned() };
    Opener { identity, takes_over: false, cluster_in: cluster }
}

fn replace(file: &Path, present: Present) -> Result<(), ReplaceError> {
    sqlite::replace(file, &Arc::new(Sealing::off()), &global(), new_content(), &[CERTIFICATE], present)
}

/// Opens what must be there.
async fn names(file: &Path) -> Vec<String> {
    let options = Options { missing: Missing::Refuse, ..Options::default() };
    let store = SqliteStore::open_with(file, options).unwrap();
    let found = store.list(&Query::all(Kind::ZONE)).await.unwrap();
    found.items.iter().map(|stored| stored.resource.key.name.clone()).collect()
}

/// A folder with a store that holds one zone, and a file that belongs to it.
async fn old(folder: &Path) -> std::path::PathBuf {
    let file = folder.join("store.db");
    let store = SqliteStore::open(&file).unwrap();
    store.put(saying(&zone("old"), "{}"), Precondition::Absent).await.unwrap();
    fs::write(folder.join("cert"), "old").unwrap();
    file
}

fn left_over(folder: &TempDir) -> Vec<String> {
    let names = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter(|name| name.contains("restor")).collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_new_place_gets_the_content_and_is_no_new_store() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("work/store.db");
    replace(&file, Present::Keep).unwrap();
    assert_eq!(sqlite::before(&file), sqlite::Before::Used);
    assert_eq!(names(&file).await, ["new1", "new2"]);
    assert_eq!(fs::read(file.with_file_name("cert")).unwrap(), b"new");
    let store = SqliteStore::open_as(&file, Options::default(), &Arc::default(), Some(&global())).unwrap();
    assert_eq!(store.identity().unwrap().cluster, "new1", "of the cluster that the content names");
}

#[tokio::test]
async fn what_is_there_stays_unless_somebody_insists() {
    let folder = TempDir::new().unwrap();
    let file = old(folder.path()).await;
    let refused = replace(&file, Present::Keep).unwrap_err();
    assert!(matches!(refused, ReplaceError::NotEmpty { .. }), "{refused}");
    assert_eq!(
        (names(&file).await, fs::read(folder.path().join("cert")).unwrap()),
        (vec!["old".to_owned()], b"old".to_vec())
    );
    replace(&file, Present::Overwrite).unwrap();
    assert_eq!(names(&file).await, ["new1", "new2"]);
    assert_eq!(fs::read(folder.path().join("cert")).unwrap(), b"new");
    assert_eq!(left_over(&folder), [""; 0]);
}

#[tokio::test]
async fn a_file_of_its_own_with_another_content_is_not_overwritten() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("cert"), "another").unwrap();
    let file = folder.path().join("store.db");
    let refused = replace(&file, Present::Keep).unwrap_err().to_string();
    assert!(refused.contains("cert` is there with another content"), "{refused}");
    fs::write(folder.path().join("cert"), "new").unwrap();
    replace(&file, Present::Keep).unwrap();
}

#[tokio::test]
async fn a_store_that_somebody_works_with_is_not_replaced() {
    let folder = TempDir::new().unwrap();
    let file = old(folder.path()).await;
    let store = SqliteStore::open(&file).unwrap();
    let refused = replace(&file, Present::Overwrite).unwrap_err();
    assert!(matches!(refused, ReplaceError::Open(OpenError::InUse { .. })), "{refused}");
    drop(store);
    assert_eq!(names(&file).await, ["old"]);
}

#[tokio::test]
async fn what_was_stopped_before_it_was_ready_never_was() {
    let folder = TempDir::new().unwrap();
    let file = old(folder.path()).await;
    fs::create_dir(folder.path().join("store.db.restoring")).unwrap();
    fs::write(folder.path().join("store.db.restoring/store.db"), "half of it").unwrap();
    assert_eq!(names(&file).await, ["old"]);
    replace(&file, Present::Overwrite).unwrap();
    assert_eq!((names(&file).await.len(), left_over(&folder)), (2, Vec::new()));
}

#[tokio::test]
async fn content_that_does_not_fit_together_changes_nothing() {
    let folder = TempDir::new().unwrap();
    let file = old(folder.path()).await;
    let mut content = new_content();
    content[0].owner = Some(zone("nobody"));
    let refused =
        sqlite::replace(&file, &Arc::new(Sealing::off()), &global(), content, &[CERTIFICATE], Present::Overwrite);
    assert!(matches!(refused, Err(ReplaceError::Write(_))), "{refused:?}");
    assert_eq!((names(&file).await, left_over(&folder)), (vec!["old".to_owned()], Vec::new()));
}

/// Each place in which a kill may stop the moves: the next one who opens the store goes on there.
#[tokio::test]
async fn what_was_stopped_when_it_was_ready_is_finished_by_the_next_start() {
    for done in [&[][..], &["cert"], &["store.db"], &["cert", "store.db"]] {
        let (folder, source) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        let file = old(folder.path()).await;
        let store = SqliteStore::open(&file).unwrap();
        store.put(saying(&zone("in the log"), "{}"), Precondition::Absent).await.unwrap();
        // as a kill leaves it: with a log
        for ending in ["", "-wal"] {
            fs::copy(folder.path().join(format!("store.db{ending}")), source.path().join(format!("copy{ending}")))
                .unwrap();
        }
        drop(store);
        for ending in ["", "-wal"] {
            fs::copy(source.path().join(format!("copy{ending}")), folder.path().join(format!("store.db{ending}")))
                .unwrap();
        }
        replace(&source.path().join("store.db"), Present::Keep).unwrap();
        let ready = folder.path().join("store.db.restored");
        fs::create_dir(&ready).unwrap();
        for name in ["store.db", "cert"] {
            let is_done = done.contains(&name);
            if is_done && name == "store.db" {
                fs::remove_file(folder.path().join("store.db-wal")).unwrap();
            }
            let to = if is_done { folder.path().join(name) } else { ready.join(name) };
            fs::copy(source.path().join(name), to).unwrap();
        }
        assert_eq!(names(&file).await, ["new1", "new2"], "{done:?}");
        assert_eq!(fs::read(folder.path().join("cert")).unwrap(), b"new", "{done:?}");
        assert_eq!(left_over(&folder), [""; 0], "{done:?}");
    }
}

#[tokio::test]
async fn a_link_among_what_is_ready_is_not_followed() {
    let folder = TempDir::new().unwrap();
    let file = old(folder.path()).await;
    let ready = folder.path().join("store.db.restored");
    fs::create_dir(&ready).unwrap();
    std::os::unix::fs::symlink("/etc/hostname", ready.join("cert")).unwrap();
    let refused = SqliteStore::open(&file).unwrap_err();
    assert!(matches!(refused, OpenError::ForeignSide { .. }), "{refused}");
    assert_eq!(fs::read(folder.path().join("cert")).unwrap(), b"old");
}
