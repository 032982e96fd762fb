//! What lies in the files of a sealed store, who can open it, and what changing the key leaves behind.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use ::model::{Key, Kind};
use rusqlite::Connection;
use store::{
    Options, Precondition, Query, ResourceStore, Stored,
    sealing::{Renew, Sealer, Sealing, SealingKey},
    sqlite::{self, OpenError, SqliteStore},
};
use tempfile::TempDir;

use crate::shapes::{puts, saying, zone};

const SECRET: &str = "never to be seen on a disk";
const PUBLIC: &str = "everybody may read this";

fn is_secret(key: &Key) -> bool {
    key.kind == Kind::GLOBAL_SECRET
}

fn secret(name: &str) -> Key {
    Key::global(Kind::GLOBAL_SECRET, name)
}

/// A key that can be read again, as from its file.
struct KeyFile(String);

impl KeyFile {
    fn new() -> Self {
        Self(SealingKey::generate().unwrap().text().reveal().to_owned())
    }

    fn key(&self) -> Arc<dyn Sealer> {
        Arc::new(self.0.parse::<SealingKey>().unwrap())
    }

    fn name(&self) -> String {
        self.0.parse::<SealingKey>().unwrap().fingerprint().to_string()
    }

    fn sealing(&self) -> Arc<Sealing> {
        Arc::new(Sealing::by(self.key(), is_secret))
    }

    fn open(&self, file: &Path) -> Result<SqliteStore, OpenError> {
        SqliteStore::open_sealed(file, Options::default(), &self.sealing())
    }
}

fn place() -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("store.db");
    (folder, file)
}

async fn write(store: &SqliteStore) {
    let resources = [saying(&secret("a"), SECRET), saying(&secret("b"), SECRET), saying(&zone("z"), PUBLIC)];
    store.apply(puts(resources)).await.unwrap();
}

async fn contents(store: &SqliteStore, kind: Kind) -> Vec<String> {
    let said = |stored: &Stored| String::from_utf8(stored.resource.spec.to_vec()).unwrap();
    store.list(&Query::all(kind)).await.unwrap().items.iter().map(said).collect()
}

async fn check_whole(store: &SqliteStore) {
    assert_eq!(contents(store, Kind::GLOBAL_SECRET).await, [SECRET, SECRET]);
    assert_eq!(contents(store, Kind::ZONE).await, [PUBLIC]);
}

/// Whether any file of the folder holds this text.
fn is_in_files(folder: &TempDir, text: &str) -> bool {
    fs::read_dir(folder.path()).unwrap().any(|entry| {
        let content = fs::read(entry.unwrap().path()).unwrap();
        content.windows(text.len()).any(|window| window == text.as_bytes())
    })
}

/// A file as the first release wrote it, without a word about sealing.
fn file_of_the_first_schema(file: &Path) {
    let shell = Connection::open(file).unwrap();
    shell.pragma_update(None, "journal_mode", "WAL").unwrap();
    shell.execute_batch(include_str!("../../src/sqlite/migrations/0001_resources.sql")).unwrap();
    shell.execute_batch("INSERT INTO meta (key, value) VALUES ('schema', 1)").unwrap();
    let row = "INSERT INTO resources (kind, mesh, name, labels, spec, created, modified, version)
        VALUES (?1, '', ?2, '{}', CAST(?3 AS BLOB), '1970-01-01T00:00:00Z', '1970-01-01T00:00:00Z', 1)";
    for (kind, name, said) in [("GlobalSecret", "a", SECRET), ("GlobalSecret", "b", SECRET), ("Zone", "z", PUBLIC)] {
        shell.execute(row, (kind, name, said)).unwrap();
    }
    // Enough pages for a secret to stay in one that is free.
    for number in 0..50 {
        shell.execute(row, ("GlobalSecret", format!("gone{number}"), SECRET.repeat(50))).unwrap();
    }
    shell.execute("DELETE FROM resources WHERE name LIKE 'gone%'", []).unwrap();
}

#[tokio::test]
async fn no_file_of_a_sealed_store_holds_a_secret() {
    let (folder, file) = place();
    let key = KeyFile::new();
    let store = key.open(&file).unwrap();
    write(&store).await;
    assert!(is_in_files(&folder, PUBLIC), "the log is read, too");
    assert!(!is_in_files(&folder, SECRET), "while it runs");
    drop(store);
    check_whole(&key.open(&file).unwrap()).await;
    assert!(is_in_files(&folder, PUBLIC) && !is_in_files(&folder, SECRET), "and after it");
}

#[tokio::test]
async fn a_store_of_before_is_sealed_when_it_is_opened_with_all_that_it_left() {
    let (folder, file) = place();
    file_of_the_first_schema(&file);
    assert!(is_in_files(&folder, SECRET));
    let key = KeyFile::new();
    let store = key.open(&file).unwrap();
    assert!(!is_in_files(&folder, SECRET), "neither rows nor free pages nor the log");
    check_whole(&store).await;
    drop(store);
    check_whole(&key.open(&file).unwrap()).await;
}

#[tokio::test]
async fn what_a_reader_kept_from_being_wiped_is_wiped_by_the_next_start() {
    let (folder, file) = place();
    file_of_the_first_schema(&file);
    let reader = Connection::open_with_flags(&file, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    reader.execute_batch("BEGIN").unwrap();
    assert_eq!(reader.query_row("SELECT count(*) FROM resources", [], |row| row.get::<_, i64>(0)).unwrap(), 3);
    let key = KeyFile::new();
    drop(key.open(&file).unwrap());
    assert!(is_in_files(&folder, SECRET), "the reader sees what was there");
    reader.execute_batch("COMMIT").unwrap();
    drop(reader);
    let store = key.open(&file).unwrap();
    assert!(!is_in_files(&folder, SECRET));
    check_whole(&store).await;
}

#[tokio::test]
async fn a_store_is_opened_with_its_own_key_or_not_at_all() {
    let (_folder, file) = place();
    let (key, other) = (KeyFile::new(), KeyFile::new());
    let store = key.open(&file).unwrap();
    write(&store).await;
    drop(store);
    let before = fs::read(&file).unwrap();
    let refused = ::model::causes::on_one_line(&other.open(&file).unwrap_err());
    assert!(refused.contains(&key.name()) && refused.contains(&other.name()), "{refused}");
    let refused = ::model::causes::on_one_line(&SqliteStore::open(&file).unwrap_err());
    assert!(refused.contains(&key.name()) && refused.contains("store.sealing.enabled"), "{refused}");
    let unread = sqlite::read(&file, &other.sealing(), None).unwrap_err();
    assert!(matches!(unread, OpenError::Sealed { .. }), "{unread}");
    assert_eq!(fs::read(&file).unwrap(), before, "nothing was changed");
    check_whole(&key.open(&file).unwrap()).await;
}

#[tokio::test]
async fn a_row_that_was_copied_onto_another_name_does_not_open() {
    let (_folder, file) = place();
    let key = KeyFile::new();
    let store = key.open(&file).unwrap();
    write(&store).await;
    drop(store);
    let copy = "UPDATE resources SET spec = (SELECT spec FROM resources WHERE name = 'a') WHERE name = 'b'";
    Connection::open(&file).unwrap().execute_batch(copy).unwrap();
    let refused = key.open(&file).unwrap_err().to_string();
    assert!(refused.contains("name=\"b\"") && refused.contains("is that of another resource"), "{refused}");
}

#[tokio::test]
async fn the_key_is_changed_and_the_old_one_opens_nothing() {
    for renew in [Renew::KeyAlone, Renew::DataKeys] {
        let (_folder, file) = place();
        let (old, new) = (KeyFile::new(), KeyFile::new());
        let store = old.open(&file).unwrap();
        write(&store).await;
        let in_use = sqlite::reseal(&file, &old.sealing(), new.key(), renew).unwrap_err();
        assert!(matches!(in_use, OpenError::InUse { .. }), "{in_use}");
        drop(store);
        let of_before = fs::read(&file).unwrap();
        let sealed: Vec<u8> =
            Connection::open(&file).unwrap().query_row("SELECT sealed FROM data_keys", [], |row| row.get(0)).unwrap();
        assert!(of_before.windows(sealed.len()).any(|window| window == sealed));
        sqlite::reseal(&file, &old.sealing(), new.key(), renew).unwrap();
        let now = fs::read(&file).unwrap();
        assert!(!now.windows(sealed.len()).any(|window| window == sealed), "what the old key opens is gone: {renew:?}");
        assert!(matches!(old.open(&file), Err(OpenError::Sealed { .. })));
        let store = new.open(&file).unwrap();
        check_whole(&store).await;
        store.put(saying(&secret("c"), SECRET), Precondition::Absent).await.unwrap();
        drop(store);
        assert_eq!(contents(&new.open(&file).unwrap(), Kind::GLOBAL_SECRET).await.len(), 3);
    }
}

#[tokio::test]
async fn new_data_keys_leave_no_row_under_the_old_one() {
    let (_folder, file) = place();
    let (old, new) = (KeyFile::new(), KeyFile::new());
    let store = old.open(&file).unwrap();
    write(&store).await;
    drop(store);
    let specs = || -> Vec<Vec<u8>> {
        let shell = Connection::open(&file).unwrap();
        let mut rows = shell.prepare("SELECT spec FROM resources WHERE kind = 'GlobalSecret' ORDER BY name").unwrap();
        rows.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    };
    let before = specs();
    sqlite::reseal(&file, &old.sealing(), new.key(), Renew::KeyAlone).unwrap();
    assert_eq!(specs(), before, "the key alone touches no row");
    sqlite::reseal(&file, &new.sealing(), new.key(), Renew::DataKeys).unwrap();
    let (after, all) = (specs(), fs::read(&file).unwrap());
    for row in &before {
        assert!(!after.contains(row) && !all.windows(row.len()).any(|window| window == row));
    }
    check_whole(&new.open(&file).unwrap()).await;
}

#[tokio::test]
async fn a_running_store_is_read_whole_and_is_not_touched() {
    let (_folder, file) = place();
    let key = KeyFile::new();
    let store = key.open(&file).unwrap();
    write(&store).await;
    let read = sqlite::read(&file, &key.sealing(), None).unwrap();
    let names: Vec<_> = read.iter().map(|stored| stored.resource.key.name.as_str()).collect();
    assert_eq!(names, ["a", "b", "z"]);
    assert_eq!(read.first().map(|stored| &*stored.resource.spec), Some(SECRET.as_bytes()));
    store.put(saying(&zone("y"), PUBLIC), Precondition::Absent).await.unwrap();
    assert_eq!(sqlite::read(&file, &key.sealing(), None).unwrap().len(), 4, "what was acknowledged is read");
}

#[test]
fn a_file_of_an_older_program_is_read_as_it_is_and_one_of_a_newer_one_is_not() {
    let (_folder, file) = place();
    file_of_the_first_schema(&file);
    let key = KeyFile::new();
    assert_eq!(sqlite::read(&file, &key.sealing(), None).unwrap().len(), 3);
    let shell = Connection::open(&file).unwrap();
    assert!(shell.prepare("SELECT 1 FROM data_keys").is_err(), "it was not migrated");
    shell.execute_batch("UPDATE resources SET kind = 'KindOfTomorrow' WHERE name = 'z'").unwrap();
    let refused = sqlite::read(&file, &key.sealing(), None).unwrap_err().to_string();
    assert!(refused.contains("KindOfTomorrow"), "{refused}");
    shell.execute_batch("UPDATE meta SET value = 99 WHERE key = 'schema'").unwrap();
    assert!(matches!(sqlite::read(&file, &key.sealing(), None), Err(OpenError::NewerSchema { found: 99, .. })));
}

#[test]
fn there_is_nothing_to_read_where_no_store_is() {
    let (_folder, file) = place();
    let key = KeyFile::new();
    assert!(matches!(sqlite::read(&file, &key.sealing(), None), Err(OpenError::Missing { .. })));
    fs::write(&file, "").unwrap();
    assert!(matches!(sqlite::read(&file, &key.sealing(), None), Err(OpenError::Empty { .. })));
    assert!(!file.with_file_name("store.db.lock").exists(), "and nothing is made");
}
