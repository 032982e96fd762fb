//! A disk that takes no more: the system refuses writes for real, by a limit on the size of files.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use ::model::Kind;
use store::{Kinds, Query, ResourceStore, StoreError, conformance::Picture, sqlite::SqliteStore};
use tempfile::TempDir;

use crate::{
    process::{self, Child},
    shapes::{puts, saying, zone},
};

/// How large files may get, in blocks of 512 bytes or more.
const BLOCKS: &str = "600";

/// The child: writes until the disk is full, checks that nothing is lost, waits for space, and goes on.
pub(crate) fn fill(file: &Path) {
    let store = SqliteStore::open(file).unwrap();
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
        let mut watch = store.watch(Kinds::All);
        let mut picture = Picture::default();
        let batch = |number: usize| {
            puts((0..4).map(move |part| saying(&zone(&format!("z{number:05}.{part}")), vec![b'x'; 8000])))
        };
        let mut written = 0;
        loop {
            // in threes, so that groups fail too
            let results =
                futures::future::join_all((written..written + 3).map(|number| store.apply(batch(number)))).await;
            let applied = results.iter().take_while(|result| result.is_ok()).count();
            written += applied;
            if applied < 3 {
                for refused in results.into_iter().skip(applied) {
                    assert!(matches!(refused, Err(StoreError::Unavailable { .. })), "{refused:?}");
                }
                break;
            }
        }
        assert!(written > 0);
        let check = async |picture: &Picture, written: usize| {
            let rows = store.list(&Query::all(Kind::ZONE)).await.unwrap().items;
            assert_eq!(rows.len(), written * 4);
            assert_eq!(picture.known(), rows);
        };
        picture.catch_up(&mut watch);
        check(&picture, written).await;
        // it stays like that
        assert!(matches!(store.apply(batch(written)).await, Err(StoreError::Unavailable { .. })));
        picture.catch_up(&mut watch);
        check(&picture, written).await;
        process::say("full");
        process::hear();
        store.apply(batch(written)).await.unwrap();
        picture.catch_up(&mut watch);
        check(&picture, written + 1).await;
        assert_eq!(picture.starts(), 1, "nothing was in doubt");
        process::say(&(written + 1).to_string());
    });
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_full_disk_loses_nothing_and_the_store_goes_on_when_there_is_space() {
    if Command::new("prlimit").arg("--version").stdout(Stdio::null()).status().is_err() {
        eprintln!("SKIPPED: there is no prlimit on this machine");
        return;
    }
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("store.db");
    let mut shell = Command::new("sh");
    // ignored, the signal becomes an error of the write
    shell
        .args(["-c", &format!("trap '' XFSZ; ulimit -S -f {BLOCKS}; exec \"$0\" \"$@\"")])
        .arg(std::env::current_exe().unwrap());
    let mut child = Child::start_by(shell, "fill", &file);
    assert_eq!(child.line(), "full");
    let lifted =
        Command::new("prlimit").args(["--fsize=unlimited", "--pid", &child.id().to_string()]).status().unwrap();
    assert!(lifted.success());
    child.tell("there is space");
    let written: usize = child.line().parse().unwrap();
    child.finish();
    let store = SqliteStore::open(&file).unwrap();
    assert_eq!(store.list(&Query::all(Kind::ZONE)).await.unwrap().total, written * 4);
}
