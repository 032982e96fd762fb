//! The files beside the file of the SQLite backend: what somebody else put there, and what they say of a store that is lost.

use std::{
    fs::{self, Permissions},
    os::unix::fs::{PermissionsExt as _, chown, symlink},
    path::{Path, PathBuf},
    process::Command,
};

use ::model::Kind;
use store::{
    Missing, Options, Precondition, Query, ResourceStore as _,
    sqlite::{Before, OpenError, SqliteStore, before},
};
use tempfile::TempDir;

use crate::shapes::{saying, zone};

const SIDES: [&str; 7] = ["-journal", "-wal", "-shm", ".lock", ".reserve", ".made", ".new"];
const ANOTHER: u32 = 65534;
const REFUSE: Missing = Missing::Refuse;

fn beside(file: &Path, ending: &str) -> PathBuf {
    PathBuf::from(format!("{}{ending}", file.display()))
}

fn pipe(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

/// A store that holds a zone, closed.
async fn used() -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("store.db");
    let store = SqliteStore::open(&file).unwrap();
    store.put(saying(&zone("z"), "{}"), Precondition::Absent).await.unwrap();
    drop(store);
    (folder, file)
}

fn open(file: &Path, missing: Missing) -> Result<SqliteStore, OpenError> {
    SqliteStore::open_with(file, Options { missing, ..Options::default() })
}

/// What is there but for one file.
fn contents(folder: &Path, but: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut all: Vec<_> =
        files.filter(|path| path != but).map(|path| (path.clone(), fs::read(&path).unwrap())).collect();
    all.sort();
    all
}

#[tokio::test]
async fn a_file_beside_the_store_that_is_not_the_stores_is_refused_and_left_alone() {
    let (folder, file) = used().await;
    let elsewhere = TempDir::new().unwrap();
    let victim = elsewhere.path().join("victim");
    let mut others = 0;
    for ending in SIDES {
        let side = beside(&file, ending);
        let _absent = fs::remove_file(&side);
        let before = contents(folder.path(), &side);
        let check = |expected: &str| {
            for missing in [Missing::Create, REFUSE] {
                let refused = open(&file, missing).unwrap_err();
                let said = refused.to_string();
                assert!(matches!(refused, OpenError::ForeignSide { .. }), "{ending}: {said}");
                assert!(said.contains(&side.display().to_string()) && said.contains(expected), "{said}");
            }
            assert_eq!(contents(folder.path(), &side), before, "{ending} {expected}");
            assert_eq!(fs::read(&victim).unwrap(), b"precious", "{ending} {expected}");
            fs::remove_file(&side).unwrap();
        };
        fs::write(&victim, "precious").unwrap();
        symlink(&victim, &side).unwrap();
        check("is a link");
        symlink(elsewhere.path().join("nowhere"), &side).unwrap();
        check("is a link");
        assert!(!elsewhere.path().join("nowhere").exists());
        fs::hard_link(&victim, &side).unwrap();
        check("has another name");
        pipe(&side);
        check("is no regular file");
        fs::write(&side, "planted").unwrap();
        if chown(&side, Some(ANOTHER), None).is_ok() {
            check("belongs to user 65534");
            others += 1;
        } else {
            fs::remove_file(&side).unwrap();
        }
    }
    if others == 0 {
        eprintln!("SKIPPED: nothing can be given to another user here (are you root?)");
    }
    assert_eq!(open(&file, REFUSE).unwrap().list(&Query::all(Kind::ZONE)).await.unwrap().total, 1);
}

#[tokio::test]
async fn a_rollback_journal_is_not_played_back() {
    let (_folder, file) = used().await;
    let journal = beside(&file, "-journal");
    let before = fs::read(&file).unwrap();
    fs::write(&journal, "as good as a real one").unwrap();
    let said = open(&file, REFUSE).unwrap_err().to_string();
    assert!(said.contains("-journal` is a rollback journal"), "{said}");
    assert!(journal.exists());
    assert_eq!(fs::read(&file).unwrap(), before);
}

#[tokio::test]
async fn a_first_write_that_was_killed_is_undone() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("store.db");
    drop(SqliteStore::open(&file).unwrap());
    fs::write(beside(&file, "-journal"), "").unwrap();
    drop(SqliteStore::open(&file).unwrap());
}

#[tokio::test]
async fn a_folder_that_everybody_may_write_is_no_place_for_a_store() {
    let (folder, file) = used().await;
    for (mode, taken) in [(0o1777, false), (0o777, false), (0o2770, true), (0o775, true), (0o755, true)] {
        fs::set_permissions(folder.path(), Permissions::from_mode(mode)).unwrap();
        match open(&file, REFUSE) {
            Ok(_) => assert!(taken, "{mode:o}"),
            Err(refused) => {
                assert!(!taken && refused.to_string().contains(&format!("(mode {mode:o})")), "{refused}");
            }
        }
    }
    fs::set_permissions(folder.path(), Permissions::from_mode(0o1777)).unwrap();
    drop(open(&folder.path().join("own").join("store.db"), Missing::Create).unwrap());
}

#[test]
fn what_is_no_file_is_no_store_and_is_not_waited_for() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("store.db");
    let check = || {
        for missing in [Missing::Create, REFUSE] {
            let refused = open(&file, missing).unwrap_err();
            assert!(matches!(refused, OpenError::NoFile { .. }), "{refused}");
        }
        fs::remove_file(&file).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is made");
    };
    pipe(&file);
    check();
    symlink("/dev/null", &file).unwrap();
    check();
}

#[tokio::test]
async fn what_is_written_first_is_in_the_file_itself() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("store.db");
    let store = SqliteStore::open(&file).unwrap();
    assert_eq!(before(&file), Before::Begun);
    store.delete(&zone("none"), Precondition::Any).await.unwrap();
    assert_eq!(before(&file), Before::Begun, "nothing is there yet");
    store.put(saying(&zone("key"), "{}"), Precondition::Absent).await.unwrap();
    assert_eq!(before(&file), Before::Used);
    store.put(saying(&zone("later"), "{}"), Precondition::Absent).await.unwrap();
    let copy = folder.path().join("copy.db");
    fs::copy(&file, &copy).unwrap();
    let copy = open(&copy, REFUSE).unwrap();
    assert!(copy.get(&zone("key")).await.unwrap().is_some());
}

#[tokio::test]
async fn a_store_that_holds_nothing_is_new_or_lost() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("store.db");
    assert_eq!(before(&file), Before::Nothing);
    drop(SqliteStore::open(&file).unwrap());
    assert_eq!(before(&file), Before::Begun);
    let tables_alone = fs::read(&file).unwrap();
    // killed before the first write, as often as you like
    drop(SqliteStore::open(&file).unwrap());
    assert_eq!(before(&file), Before::Begun);
    let store = SqliteStore::open(&file).unwrap();
    store.put(saying(&zone("z"), "{}"), Precondition::Absent).await.unwrap();
    drop(store);
    // as it is after a start without its log
    fs::write(&file, tables_alone).unwrap();
    assert_eq!(before(&file), Before::Used);
    assert!(matches!(open(&file, REFUSE), Err(OpenError::Empty { .. })));
    assert_eq!(before(&file), Before::Used);
    // somebody insists
    drop(open(&file, Missing::Create).unwrap());
    assert_eq!(before(&file), Before::Begun);
}

#[test]
fn every_file_of_a_store_is_a_trace_of_it() {
    for ending in SIDES {
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("store.db");
        fs::write(beside(&file, ending), "").unwrap();
        let expected = if ending == ".new" { Before::Begun } else { Before::Used };
        assert_eq!(before(&file), expected, "{ending}");
    }
}
