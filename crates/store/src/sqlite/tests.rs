//! The writer on a file: what fails alone, what is in doubt, and what is there after a start.

use std::{fs, path::PathBuf, sync::Arc};

use futures::{FutureExt, StreamExt};
use jiff::Timestamp;
use model::{Key, Kind, Labels, Resource};
use tempfile::TempDir;

use super::*;
use crate::{
    Applied, Batch, Event, Kinds, Missing, Precondition, Write, hub::Hub, index::Index, journal::Writing as _,
    writer::Writer,
};

fn zone(name: &str) -> Key {
    Key::global(Kind::ZONE, name)
}

fn put(name: &str, size: usize) -> Batch {
    let resource = Resource {
        key: zone(name),
        labels: Labels::new(),
        spec: vec![b'x'; size].into(),
        status: None,
        owner: None,
        created: Timestamp::UNIX_EPOCH,
        modified: Timestamp::UNIX_EPOCH,
    };
    Batch::of(vec![Write::Put { resource, expect: Precondition::Any }])
}

fn delete(name: &str) -> Batch {
    Batch::of(vec![Write::Delete { key: zone(name), expect: Precondition::Present }])
}

fn writer(folder: &TempDir) -> (Writer<Disk>, PathBuf) {
    let file = folder.path().join("store.db");
    place::prepare(&file, Missing::Create).unwrap();
    let lock = lock::hold(&file).unwrap();
    let (journal, index) = JournalFile::open(&file, Missing::Create, &Arc::default(), None).unwrap();
    let disk = Disk::new(journal, Reserve::beside(&file), Mark::of(&file, index.is_empty(), None), lock);
    (Writer::new(disk, Arc::new(Hub::new(index, Options::default()))), file)
}

fn names(index: &Index) -> Vec<String> {
    index.picture(&Kinds::All).iter().map(|stored| stored.resource.key.name.clone()).collect()
}

/// Closes the file and returns the names in it.
fn names_after_restart(writer: Writer<Disk>, file: &Path) -> Vec<String> {
    drop(writer);
    names(&JournalFile::open(file, Missing::Refuse, &Arc::default(), None).unwrap().1)
}

fn is_unavailable(result: &Result<Applied, StoreError>) -> bool {
    matches!(result, Err(StoreError::Unavailable { .. }))
}

#[test]
fn a_batch_that_finds_no_space_fails_alone() {
    let folder = TempDir::new().unwrap();
    let (mut writer, file) = writer(&folder);
    writer.journal.file.limit_pages(40);
    let mut large = put("part", 10);
    large.writes.extend(put("large", 1 << 20).writes);
    let results = writer.write(&[put("before", 10), large, put("after", 10), delete("missing"), delete("part")]);
    assert!(results[0].is_ok() && results[2].is_ok(), "{results:?}");
    assert!(is_unavailable(&results[1]));
    assert_eq!(results[3], Err(StoreError::NotFound { key: zone("missing") }));
    assert_eq!(results[4], Err(StoreError::NotFound { key: zone("part") }));
    assert_eq!(names(&writer.hub.index()), ["after", "before"]);
    assert_eq!(names_after_restart(writer, &file), ["after", "before"]);
}

#[test]
fn a_full_store_can_still_delete() {
    let folder = TempDir::new().unwrap();
    let (mut writer, file) = writer(&folder);
    writer.journal.file.limit_pages(40);
    assert!(writer.write(&[put("large", 100_000)])[0].is_ok());
    assert!(is_unavailable(&writer.write(&[put("second", 100_000)])[0]));
    assert!(writer.write(&[delete("large")])[0].is_ok());
    assert!(writer.write(&[put("second", 100_000)])[0].is_ok());
    assert_eq!(names_after_restart(writer, &file), ["second"]);
}

#[test]
fn a_batch_that_fails_halfway_leaves_nothing_in_the_transaction_of_others() {
    let folder = TempDir::new().unwrap();
    let (mut writer, file) = writer(&folder);
    assert!(writer.write(&[put("stolen", 10)])[0].is_ok());
    writer.journal.file.execute("DELETE FROM resources WHERE name = 'stolen'");
    let mut half = put("half", 10);
    half.writes.extend(delete("stolen").writes);
    let results = writer.write(&[put("before", 10), half, put("after", 10)]);
    assert!(results[0].is_ok() && results[2].is_ok(), "{results:?}");
    assert!(matches!(results[1], Err(StoreError::Corrupt { .. })), "{results:?}");
    assert_eq!(names(&writer.hub.index()), ["after", "before", "stolen"]);
    assert_eq!(names_after_restart(writer, &file), ["after", "before"]);
}

#[test]
fn after_a_failed_transaction_the_file_is_opened_anew() {
    let folder = TempDir::new().unwrap();
    let (mut writer, _file) = writer(&folder);
    // this limit is one of the connection
    writer.journal.file.execute("PRAGMA max_page_count = 10; SELECT 1;");
    assert!(is_unavailable(&writer.write(&[put("large", 100_000)])[0]));
    assert!(writer.write(&[put("large", 100_000)])[0].is_ok());
}

#[test]
fn a_failed_write_that_is_in_the_file_after_all_is_told() {
    let folder = TempDir::new().unwrap();
    let (mut writer, _file) = writer(&folder);
    assert!(writer.write(&[put("old", 10)])[0].is_ok());
    let mut watch = writer.hub.watch(Kinds::All);
    while watch.next().now_or_never().is_some() {}
    // as if the disk had failed after it wrote
    let mut index = writer.hub.index();
    let (applied, changes) = index.apply(&put("ghost", 10)).unwrap();
    let mut writing = writer.journal.file.begin().unwrap();
    assert!(writing.write(&changes).is_ok());
    writing.commit(applied.version).unwrap();
    writer.in_doubt = true;

    let next = writer.write(&[put("new", 10)]).remove(0).unwrap();
    assert!(next.version > applied.version);
    assert_eq!(names(&writer.hub.index()), ["ghost", "new", "old"]);
    assert_eq!(watch.next().now_or_never(), Some(Some(Event::Init)));
}

#[test]
fn a_file_that_went_away_stops_writes_until_it_is_back() {
    let folder = TempDir::new().unwrap();
    let (mut writer, file) = writer(&folder);
    assert!(writer.write(&[put("old", 10)])[0].is_ok());
    writer.in_doubt = true;
    let away = folder.path().join("away");
    let log = folder.path().join("store.db-wal");
    fs::rename(&file, &away).unwrap();
    let log_bytes = fs::read(&log).unwrap();
    for name in ["one", "two"] {
        assert!(is_unavailable(&writer.write(&[put(name, 10)])[0]));
        assert_eq!(names(&writer.hub.index()), ["old"]);
    }
    fs::rename(&away, &file).unwrap();
    fs::write(&log, log_bytes).unwrap();
    assert!(writer.write(&[put("three", 10)])[0].is_ok());
    assert_eq!(names_after_restart(writer, &file), ["old", "three"]);
}
