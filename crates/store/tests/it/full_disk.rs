//! A disk that is full for real: a small file system of its own, filled by somebody else.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use ::model::Kind;
use store::{Batch, Precondition, Query, ResourceStore, StoreError, Write, sqlite::SqliteStore};
use tempfile::TempDir;

use crate::shapes::{saying, zone};

/// A file system in memory, unmounted when dropped.
struct SmallDisk(TempDir);

impl SmallDisk {
    /// Needs the right to mount; says loudly when it is not there.
    #[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
    fn mount(megabytes: u32) -> Option<Self> {
        let folder = TempDir::new().unwrap();
        // as a disk of one program is, and not as one where everybody may write
        let size = format!("size={megabytes}m,mode=0700");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(folder.path()).output();
        if !mounted.is_ok_and(|output| output.status.success()) {
            eprintln!("SKIPPED: a small file system cannot be mounted here (are you root?): full disks were NOT tried");
            return None;
        }
        Some(Self(folder))
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("store.db")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("--lazy").arg(self.0.path()).status());
    }
}

fn put(name: &str, bytes: usize) -> Write {
    Write::Put { resource: saying(&zone(name), vec![b'x'; bytes]), expect: Precondition::Any }
}

fn safety(writes: Vec<Write>) -> Batch {
    Batch::for_safety(writes)
}

/// Writes until the store refuses; returns the number of the first write that was not taken.
async fn fill_from(store: &SqliteStore, first: usize) -> usize {
    for number in first..first + 2000 {
        match store.apply(Batch::of(vec![put(&format!("z{number:04}"), 40_000)])).await {
            Ok(_) => {}
            Err(StoreError::Unavailable { .. }) => return number,
            Err(other) => panic!("{other}"),
        }
    }
    panic!("the disk does not get full");
}

/// Takes all that is free, as a log would.
fn take_the_rest(folder: &Path) {
    use std::io::Write as _;
    let mut file = fs::File::create(folder.join("somebody-else")).unwrap();
    for size in [64 * 1024, 4096, 512, 1] {
        while file.write_all(&vec![b'l'; size]).is_ok() {}
    }
}

async fn deletes_and_keys_are_written(store: &SqliteStore, round: &str) {
    for number in 0..20 {
        let revocation = safety(vec![put(&format!("revocations-{round}"), 200 + number)]);
        store.apply(revocation).await.unwrap_or_else(|cause| panic!("{round}, revocation {number}: {cause}"));
        let key = safety(vec![put(&format!("key-{round}-{number}"), 1700)]);
        store.apply(key).await.unwrap_or_else(|cause| panic!("{round}, key {number}: {cause}"));
        store
            .delete(&zone(&format!("key-{round}-{number}")), Precondition::Present)
            .await
            .unwrap_or_else(|cause| panic!("{round}, delete {number}: {cause}"));
    }
}

#[tokio::test]
async fn on_a_full_disk_what_takes_power_away_is_still_written() {
    let Some(disk) = SmallDisk::mount(12) else { return };
    let store = SqliteStore::open(&disk.file()).unwrap();
    let taken = fill_from(&store, 0).await;
    assert!(taken > 50, "{taken}");
    take_the_rest(disk.0.path());
    let usual = || Batch::of(vec![put("usual", 40_000)]);
    assert!(matches!(store.apply(usual()).await, Err(StoreError::Unavailable { .. })));
    deletes_and_keys_are_written(&store, "running").await;
    // What became free is not all for others: whoever fills it again changes nothing.
    let more = fill_from(&store, taken).await;
    deletes_and_keys_are_written(&store, "again").await;
    // The same after a restart, with somebody who took the little that is free again.
    drop(store);
    take_the_rest(disk.0.path());
    let store = SqliteStore::open(&disk.file()).unwrap();
    assert_eq!(store.list(&Query::all(Kind::ZONE)).await.unwrap().total, more + 2);
    store.delete(&zone("z0000"), Precondition::Present).await.unwrap();
    // With space, all is as before, and space is kept back again.
    fs::remove_file(disk.0.path().join("somebody-else")).unwrap();
    for number in 1..more {
        store.delete(&zone(&format!("z{number:04}")), Precondition::Present).await.unwrap();
    }
    store.apply(usual()).await.unwrap();
    drop(store);
    let store = SqliteStore::open(&disk.file()).unwrap();
    assert_eq!(store.list(&Query::all(Kind::ZONE)).await.unwrap().total, 3);
}
