//! A process that is killed while it writes: what it was told is written is there, and no batch is there in part.

use std::{collections::BTreeSet, path::Path};

use ::model::Kind;
use futures::stream::{FuturesUnordered, StreamExt};
use store::{Query, ResourceStore, sqlite::SqliteStore};
use tempfile::TempDir;

use crate::{
    process::{self, Child},
    shapes::{puts, saying, zone},
};

/// Batches that the child has in the works at a time, so that they are committed in groups.
const AT_A_TIME: usize = 16;
/// Resources of each batch.
const PARTS: usize = 3;

/// The child: writes batch after batch and says the name of each that is acknowledged.
pub(crate) fn write_until_killed(file: &Path) {
    let store = SqliteStore::open(file).unwrap();
    let write = |number: usize| {
        let store = &store;
        async move {
            let name = format!("{}-{number}", std::process::id());
            let parts = (0..PARTS).map(|part| saying(&zone(&format!("{name}.{part}")), vec![b'x'; 500]));
            store.apply(puts(parts)).await.unwrap();
            process::say(&name);
        }
    };
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
        let mut numbers = 0..;
        let mut running: FuturesUnordered<_> = numbers.by_ref().take(AT_A_TIME).map(write).collect();
        while running.next().await.is_some() {
            running.extend(numbers.next().map(write));
        }
    });
}

#[tokio::test]
async fn acknowledged_writes_survive_a_kill() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("store.db");
    let mut acknowledged = BTreeSet::new();
    for kill_after in [1, 40, 300, 700] {
        let child = Child::start("write until killed", &file);
        acknowledged.extend((0..kill_after).map(|_| child.line()));
        acknowledged.extend(child.kill());

        let store = SqliteStore::open(&file).unwrap();
        let names: Vec<_> = store
            .list(&Query::all(Kind::ZONE))
            .await
            .unwrap()
            .items
            .into_iter()
            .map(|stored| stored.resource.key.name.clone())
            .collect();
        let batches: BTreeSet<_> = names.iter().map(|name| name.split_once('.').unwrap().0.to_owned()).collect();
        assert!(acknowledged.is_subset(&batches), "lost: {:?}", acknowledged.difference(&batches).collect::<Vec<_>>());
        assert_eq!(names.len(), batches.len() * PARTS, "a batch is there in part");
        // what was written and not acknowledged was in the works; from now on it is as good as the rest
        assert!(batches.len() - acknowledged.len() <= AT_A_TIME);
        acknowledged = batches;
    }
}
