//! The file of the SQLite backend: who may have it, what may be in it.

use std::{
    error::Error as _,
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::Path,
};

use ::model::{Key, Kind};
use rusqlite::Connection;
use store::{
    Missing, Options, Precondition, Query, ResourceStore, Version,
    sqlite::{OpenError, SqliteStore},
};
use tempfile::TempDir;

use crate::{
    process::{self, Child},
    shapes::{puts, saying, zone},
};

/// The child: opens the store, says how that went, and keeps it until it hears something.
pub(crate) fn open_and_say(file: &Path) {
    match SqliteStore::open(file) {
        Ok(_store) => {
            process::say("opened");
            process::hear();
        }
        Err(refused) => process::say(&refused.to_string()),
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// Makes a store with one zone, then changes the file with SQL.
async fn changed(file: &Path, sql: &str) {
    let store = SqliteStore::open(file).unwrap();
    store.apply(puts([saying(&Key::global(Kind::MESH, "m"), "{}"), saying(&zone("z"), "{}")])).await.unwrap();
    drop(store);
    Connection::open(file).unwrap().execute_batch(sql).unwrap();
}

/// Checks that a file changed with SQL is refused with a text.
async fn check_refused(sql: &str, expected: &str) {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("store.db");
    changed(&file, sql).await;
    let before = fs::read(&file).unwrap();
    let refused = SqliteStore::open(&file).unwrap_err().to_string();
    assert_eq!(refused.replace(file.to_str().unwrap(), "FILE"), expected);
    assert_eq!(fs::read(&file).unwrap(), before, "a refused file was changed");
}

#[test]
fn file_and_folder_belong_to_one_user() {
    let folder = TempDir::new().unwrap();
    let place = folder.path().join("a").join("b");
    let _store = SqliteStore::open(&place.join("store.db")).unwrap();
    assert_eq!((mode(&place), mode(&folder.path().join("a"))), (0o700, 0o700));
    let files: Vec<_> = fs::read_dir(&place).unwrap().map(|entry| entry.unwrap().path()).collect();
    // the database, its log and the index of it, the lock, what is kept back for a full disk, and the mark
    assert_eq!(files.len(), 6);
    for file in files {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
}

#[test]
fn a_file_that_others_could_read_is_taken_from_them() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("store.db");
    drop(SqliteStore::open(&file).unwrap());
    fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
    drop(SqliteStore::open(&file).unwrap());
    assert_eq!(mode(&file), 0o600);
}

#[test]
fn a_second_process_is_refused_and_told_who_has_the_file() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("store.db");
    let store = SqliteStore::open(&file).unwrap();
    let second = Child::start("open", &file);
    assert_eq!(
        second.line(),
        format!(
            "store `{}` is in use by process {}: stop that one first, or work in another directory",
            file.display(),
            std::process::id()
        )
    );
    second.finish();
    drop(store);
    let mut holder = Child::start("open", &file);
    assert_eq!(holder.line(), "opened");
    match SqliteStore::open(&file) {
        Err(OpenError::InUse { holder: named, .. }) => assert_eq!(named, holder.id().to_string()),
        other => panic!("{other:?}"),
    }
    holder.tell("done");
    holder.finish();
    SqliteStore::open(&file).unwrap();
}

#[test]
fn a_killed_process_leaves_no_lock() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("store.db");
    let holder = Child::start("open", &file);
    assert_eq!(holder.line(), "opened");
    holder.kill();
    SqliteStore::open(&file).unwrap();
}

#[tokio::test]
async fn a_newer_schema_is_refused() {
    let expected = "store `FILE` has schema version 4, this program knows up to 3: use a newer program";
    check_refused("UPDATE schema_version SET version = 4", expected).await;
}

/// The schema of the first release, to the letter. What is in such files must be found by every program that follows.
const FIRST_RELEASE: &str = "
    CREATE TABLE meta (key TEXT NOT NULL PRIMARY KEY, value INTEGER NOT NULL) STRICT;
    CREATE TABLE resources (
        kind TEXT NOT NULL,
        mesh TEXT NOT NULL,
        name TEXT NOT NULL,
        labels TEXT NOT NULL,
        spec BLOB NOT NULL,
        status BLOB,
        owner_kind TEXT,
        owner_mesh TEXT,
        owner_name TEXT,
        created TEXT NOT NULL,
        modified TEXT NOT NULL,
        version INTEGER NOT NULL,
        PRIMARY KEY (kind, mesh, name)
    ) STRICT;
    INSERT INTO meta (key, value) VALUES ('version', 7), ('schema', 1);
    INSERT INTO resources VALUES ('Mesh', '', 'm', '{}', x'7b7d', NULL, NULL, NULL, NULL,
        '1970-01-01T00:00:00Z', '1970-01-01T00:00:00Z', 5);
    INSERT INTO resources VALUES ('MeshTimeout', 'm', 't', '{\"a\":\"b\"}', x'7b7d', x'7b7d', 'Mesh', '', 'm',
        '2026-01-01T00:00:00Z', '2026-01-02T00:00:00Z', 7)";

#[tokio::test]
async fn a_file_of_the_first_release_is_read_and_written() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("store.db");
    Connection::open(&file).unwrap().execute_batch(FIRST_RELEASE).unwrap();
    let store = SqliteStore::open(&file).unwrap();
    let key = Key::in_mesh(Kind::by_name("MeshTimeout").unwrap(), "m", "t");
    let found = store.get(&key).await.unwrap().unwrap();
    assert_eq!((found.version, found.resource.labels.get("a").map(String::as_str)), (Version(7), Some("b")));
    assert_eq!(found.resource.owner, Some(Key::global(Kind::MESH, "m")));
    assert_eq!(found.resource.created.to_string(), "2026-01-01T00:00:00Z");
    let next = store.put(saying(&zone("z"), "{}"), Precondition::Absent).await.unwrap();
    assert_eq!(next, Version(8));
}

#[tokio::test]
async fn a_file_without_a_valid_schema_version_is_refused() {
    check_refused("UPDATE schema_version SET version = 0", "store `FILE` is corrupt: no schema version 0 ever was")
        .await;
    check_refused(
        "DELETE FROM schema_version",
        "store `FILE` is corrupt: table `schema_version` has no schema version",
    )
    .await;
    check_refused(
        "DROP TABLE schema_version; DELETE FROM meta WHERE key = 'schema'",
        "store `FILE` is corrupt: table `meta` has no schema version",
    )
    .await;
    check_refused("DELETE FROM meta WHERE key = 'version'", "store `FILE` is corrupt: table `meta` has no version")
        .await;
}

#[test]
fn a_database_of_something_else_is_left_alone() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("other.db");
    Connection::open(&file).unwrap().execute_batch("CREATE TABLE people (name TEXT)").unwrap();
    assert!(matches!(SqliteStore::open(&file), Err(OpenError::Foreign { .. })));
    let tables: i64 =
        Connection::open(&file).unwrap().query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).unwrap();
    assert_eq!(tables, 1);
}

#[test]
fn a_file_that_is_no_database_is_corrupt() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("store.db");
    fs::write(&file, "no database ".repeat(1000)).unwrap();
    assert!(matches!(SqliteStore::open(&file), Err(OpenError::Corrupt { .. })));
}

#[test]
fn a_folder_in_place_of_the_file_is_an_error_with_its_cause() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("store.db");
    fs::create_dir(&file).unwrap();
    let refused = SqliteStore::open(&file).unwrap_err();
    assert!(matches!(refused, OpenError::Io { .. }), "{refused:?}");
    assert!(refused.source().is_some());
}

#[tokio::test]
async fn a_corrupt_row_is_named() {
    let row = "store `FILE` is corrupt: row 2 (type=\"Zone\" name=\"z\" mesh=\"\"), column";
    for (change, expected) in [
        ("version = -1", "`version`: out of range integral type conversion attempted"),
        ("labels = '[]'", "`labels`: invalid type: sequence, expected a map at line 1 column 0"),
        ("owner_kind = 'Mesh'", "`owner_kind`: an owner needs kind, mesh and name"),
        ("labels = '{\"a\":1}'", "`labels`: invalid type: integer `1`, expected a string at line 1 column 6"),
    ] {
        check_refused(&format!("UPDATE resources SET {change} WHERE kind = 'Zone'"), &format!("{row} {expected}"))
            .await;
    }
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("store.db");
    changed(&file, "UPDATE resources SET created = 'yesterday' WHERE kind = 'Zone'").await;
    let refused = SqliteStore::open(&file).unwrap_err().to_string();
    assert!(refused.contains("(type=\"Zone\" name=\"z\" mesh=\"\"), column `created`: "), "{refused}");
}

#[tokio::test]
async fn the_last_version_is_followed_by_no_other() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("store.db");
    changed(&file, &format!("UPDATE meta SET value = {} WHERE key = 'version'", i64::MAX - 1)).await;
    let store = SqliteStore::open(&file).unwrap();
    let last = store.put(saying(&zone("last"), "{}"), Precondition::Any).await.unwrap();
    assert_eq!(last, Version(i64::MAX as u64));
    let refused = store.put(saying(&zone("over"), "{}"), Precondition::Any).await.unwrap_err();
    assert_eq!(refused.to_string(), "the store is corrupt: no version follows 9223372036854775807");
    assert_eq!(store.list(&Query::all(Kind::ZONE)).await.unwrap().total, 2);
}

#[tokio::test]
async fn unknown_kinds_are_kept_and_ignored() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("store.db");
    changed(
        &file,
        "INSERT INTO resources SELECT 'Future', 'm', name, labels, spec, status, 'Mesh', '', 'm', created, modified, 70
             FROM resources WHERE kind = 'Zone';
         UPDATE resources SET owner_kind = 'Future', owner_mesh = 'm', owner_name = 'z' WHERE kind = 'Zone'",
    )
    .await;
    let store = SqliteStore::open(&file).unwrap();
    let found = store.get(&zone("z")).await.unwrap().unwrap();
    assert_eq!(found.resource.owner, None);
    // not even with the mesh that it is in and that owns it
    store.delete(&Key::global(Kind::MESH, "m"), Precondition::Present).await.unwrap();
    let next = store.put(saying(&zone("y"), "{}"), Precondition::Any).await.unwrap();
    assert!(next > Version(70));
    drop(store);
    let count = "SELECT count(*) FROM resources WHERE kind = 'Future'";
    let kept: i64 = Connection::open(&file).unwrap().query_row(count, [], |row| row.get(0)).unwrap();
    assert_eq!(kept, 1);
}

#[tokio::test]
async fn what_another_program_writes_is_read_again() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("store.db");
    let store = SqliteStore::open(&file).unwrap();
    store.put(saying(&zone("z"), "{}"), Precondition::Any).await.unwrap();
    Connection::open(&file).unwrap().execute_batch("DELETE FROM resources").unwrap();
    store.put(saying(&zone("y"), "{}"), Precondition::Absent).await.unwrap();
    let names: Vec<String> = store
        .list(&Query::all(Kind::ZONE))
        .await
        .unwrap()
        .items
        .iter()
        .map(|stored| stored.resource.key.name.clone())
        .collect();
    assert_eq!(names, ["y"], "memory and file say the same");
}

#[tokio::test]
async fn a_running_store_can_be_read_and_backed_up() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("store.db");
    let store = SqliteStore::open(&file).unwrap();
    for number in 0..200 {
        store.put(saying(&zone(&format!("z{number:03}")), vec![b'x'; 4000]), Precondition::Any).await.unwrap();
    }
    let count = "SELECT count(*) FROM resources";
    let shell = Connection::open_with_flags(&file, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    assert_eq!(shell.query_row(count, [], |row| row.get::<_, i64>(0)).unwrap(), 200);
    // While it is read, it is written.
    let copy = folder.path().join("copy.db");
    shell.execute("VACUUM INTO ?1", [copy.to_str().unwrap()]).unwrap();
    store.put(saying(&zone("later"), "{}"), Precondition::Absent).await.unwrap();
    let restored = SqliteStore::open(&copy).unwrap();
    assert_eq!(restored.list(&Query::all(Kind::ZONE)).await.unwrap().total, 200);
}

#[tokio::test]
async fn the_log_of_a_store_is_kept_small_and_the_file_is_not_empty() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("store.db");
    let store = SqliteStore::open(&file).unwrap();
    let tables = "SELECT count(*) FROM sqlite_schema";
    let alone = |name: &str| {
        let copy = folder.path().join(name);
        fs::copy(&file, &copy).unwrap();
        Connection::open(&copy).unwrap().query_row(tables, [], |row| row.get::<_, i64>(0))
    };
    assert!(alone("first.db").unwrap() > 0, "the file of a new store has its tables");
    for number in 0..2000 {
        store.put(saying(&zone(&format!("z{number:05}")), vec![b'x'; 2000]), Precondition::Any).await.unwrap();
    }
    let size = |name: &str| fs::metadata(folder.path().join(name)).unwrap().len();
    assert!(size("store.db") > 2 << 20, "{}", size("store.db"));
    assert!(size("store.db-wal") < 2 << 20, "{}", size("store.db-wal"));
    drop(store);
    assert!(!folder.path().join("store.db-wal").exists(), "nothing is left in a log");
}

#[tokio::test]
async fn where_a_store_was_an_empty_one_can_be_refused() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("store.db");
    let options = Options { missing: Missing::Refuse, ..Options::default() };
    assert!(matches!(SqliteStore::open_with(&file, options), Err(OpenError::Missing { .. })));
    assert!(!file.exists(), "nothing is made");
    fs::write(&file, "").unwrap();
    assert!(matches!(SqliteStore::open_with(&file, options), Err(OpenError::Empty { .. })));
    drop(SqliteStore::open(&file).unwrap());
    assert!(
        matches!(SqliteStore::open_with(&file, options), Err(OpenError::Empty { .. })),
        "its tables are not enough"
    );
    changed(&file, "SELECT 1").await;
    drop(SqliteStore::open_with(&file, options).unwrap());
    Connection::open(&file).unwrap().execute_batch("DELETE FROM resources").unwrap();
    assert!(matches!(SqliteStore::open_with(&file, options), Err(OpenError::Empty { .. })), "its rows are gone");
}

#[test]
fn what_belongs_to_another_user_is_not_worked_in() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("store.db");
    drop(SqliteStore::open(&file).unwrap());
    for (path, back) in [(folder.path(), 0), (file.as_path(), 0)] {
        if std::os::unix::fs::chown(path, Some(65534), None).is_err() {
            eprintln!("SKIPPED: nothing can be given to another user here (are you root?)");
            return;
        }
        let refused = SqliteStore::open(&file).unwrap_err();
        assert!(refused.to_string().contains("belongs to user 65534"), "{refused}");
        std::os::unix::fs::chown(path, Some(back), None).unwrap();
    }
    drop(SqliteStore::open(&file).unwrap());
}
