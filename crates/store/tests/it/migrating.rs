//! Files of programs of before: what is made of them at a start, and the copy that stays beside them.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use ::model::{Key, Kind};
use rusqlite::Connection;
use store::{
    Options, Precondition, Query, ResourceStore,
    sealing::{Sealing, SealingKey},
    sqlite::{self, OpenError, SqliteStore},
};
use tempfile::TempDir;

use crate::shapes::{puts, saying, zone};

const SECRET: &str = "never to be seen on a disk";

struct Place {
    folder: TempDir,
    file: PathBuf,
    key: String,
}

impl Place {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("store.db");
        Self { folder, file, key: SealingKey::generate().unwrap().text().reveal().to_owned() }
    }

    fn sealing(&self) -> Arc<Sealing> {
        let key: SealingKey = self.key.parse().unwrap();
        Arc::new(Sealing::by(Arc::new(key), |key| key.kind == Kind::GLOBAL_SECRET))
    }

    fn open(&self) -> Result<SqliteStore, OpenError> {
        SqliteStore::open_sealed(&self.file, Options::default(), &self.sealing())
    }

    fn copy(&self) -> PathBuf {
        self.folder.path().join("store.db.before-schema-3")
    }

    /// A store with a secret and a zone.
    async fn filled(&self) -> SqliteStore {
        let store = self.open().unwrap();
        let secret = Key::global(Kind::GLOBAL_SECRET, "s");
        store.apply(puts([saying(&secret, SECRET), saying(&zone("z"), "{}")])).await.unwrap();
        store
    }

    fn holds_the_secret(&self) -> bool {
        fs::read_dir(self.folder.path()).unwrap().any(|entry| {
            let content = fs::read(entry.unwrap().path()).unwrap();
            content.windows(SECRET.len()).any(|window| window == SECRET.as_bytes())
        })
    }
}

/// Makes a file what the program before this one wrote, or the one before that.
fn make_older(file: &Path, schema: u32) {
    let shell = Connection::open(file).unwrap();
    shell.execute_batch("DROP TABLE schema_version; DROP TABLE store_identity").unwrap();
    if schema == 1 {
        shell.execute_batch("DROP TABLE data_keys").unwrap();
    }
    shell.execute("UPDATE meta SET value = ?1 WHERE key = 'schema'", [schema]).unwrap();
}

fn number(file: &Path, sql: &str) -> i64 {
    Connection::open(file).unwrap().query_row(sql, [], |row| row.get(0)).unwrap()
}

const SCHEMA_OF_BEFORE: &str = "SELECT value FROM meta WHERE key = 'schema'";
const SCHEMA: &str = "SELECT version FROM schema_version";
const TABLES: &str = "SELECT count(*) FROM sqlite_schema WHERE type = 'table'";

async fn check_whole(store: &SqliteStore) {
    for (kind, said) in [(Kind::GLOBAL_SECRET, SECRET), (Kind::ZONE, "{}")] {
        let found = store.list(&Query::all(kind)).await.unwrap();
        assert_eq!(found.items.iter().map(|stored| &*stored.resource.spec).collect::<Vec<_>>(), [said.as_bytes()]);
    }
}

#[tokio::test]
async fn a_file_of_the_program_before_is_copied_whole_and_then_migrated() {
    let place = Place::new();
    drop(place.filled().await);
    make_older(&place.file, 2);
    // What was written last is in the log alone, and a reader keeps it there.
    let writer = Connection::open(&place.file).unwrap();
    writer.execute_batch("PRAGMA wal_autocheckpoint = 0; INSERT INTO meta VALUES ('only in the log', 7)").unwrap();
    fs::write(place.copy(), "of a try that was killed").unwrap();
    check_whole(&place.open().unwrap()).await;
    drop(writer);
    assert_eq!((number(&place.file, SCHEMA), number(&place.file, SCHEMA_OF_BEFORE)), (3, 3));
    let copy = place.copy();
    assert_eq!(fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!((number(&copy, SCHEMA_OF_BEFORE), number(&copy, TABLES)), (2, 3), "as the program before wrote it");
    assert_eq!(number(&copy, "SELECT value FROM meta WHERE key = 'only in the log'"), 7);
    assert!(!place.holds_the_secret());
    let of_before = fs::read(&copy).unwrap();
    place.open().unwrap().put(saying(&zone("later"), "{}"), Precondition::Absent).await.unwrap();
    assert!(fs::read(&copy).unwrap() == of_before, "one copy, made once");
    assert_eq!(sqlite::read(&copy, &place.sealing(), None).unwrap().len(), 2);
    let names = fs::read_dir(place.folder.path()).unwrap().filter(|entry| {
        let name = entry.as_ref().unwrap().file_name();
        name.to_string_lossy().contains("before-schema")
    });
    assert_eq!(names.count(), 1);
}

#[tokio::test]
async fn a_copy_holds_no_secret_in_plain_text_whatever_the_file_held() {
    for schema in [1, 2] {
        let place = Place::new();
        let store = SqliteStore::open(&place.file).unwrap();
        let secret = Key::global(Kind::GLOBAL_SECRET, "s");
        store.apply(puts([saying(&secret, SECRET), saying(&zone("z"), "{}")])).await.unwrap();
        drop(store);
        make_older(&place.file, schema);
        assert!(place.holds_the_secret());
        check_whole(&place.open().unwrap()).await;
        assert!(place.copy().exists() && !place.holds_the_secret(), "schema {schema}");
        assert_eq!(sqlite::read(&place.copy(), &place.sealing(), None).unwrap().len(), 2);
    }
}

#[tokio::test]
async fn a_new_file_is_not_copied() {
    let place = Place::new();
    drop(place.filled().await);
    assert!(!place.copy().exists());
}

#[tokio::test]
async fn where_no_copy_can_be_made_the_file_keeps_its_schema() {
    let place = Place::new();
    drop(place.filled().await);
    make_older(&place.file, 2);
    let before = fs::read(&place.file).unwrap();
    fs::create_dir(place.copy()).unwrap();
    let refused = place.open().unwrap_err();
    assert!(matches!(refused, OpenError::NotCopied { .. }), "{refused}");
    assert!(refused.to_string().contains("store.db.before-schema-3"), "{refused}");
    assert!(fs::read(&place.file).unwrap() == before, "nothing was changed");
    assert!(!place.folder.path().join("store.db.before-schema-3.unfinished").exists());
    fs::remove_dir(place.copy()).unwrap();
    check_whole(&place.open().unwrap()).await;
}

#[test]
fn the_tables_of_a_kuma_are_left_alone() {
    let place = Place::new();
    let tables = "CREATE TABLE resources (x int); CREATE TABLE schema_migrations (x int)";
    Connection::open(&place.file).unwrap().execute_batch(tables).unwrap();
    let refused = place.open().unwrap_err().to_string();
    assert!(refused.contains("the tables of a Kuma control plane"), "{refused}");
    assert_eq!(number(&place.file, TABLES), 2);
}
