//! Several stores on one database: conditions hold between them, and each shows what the others wrote.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use futures::future::join_all;
use store::{Batch, Freshness, Precondition, ResourceStore as _, StoreError, Write};
use testkit::postgres::database;

use super::{LIMIT, Opened as _, next, open, put, saying, settings, until, watch, zone, zones};

#[tokio::test]
async fn of_creates_on_several_stores_one_wins() {
    let Some(database) = database() else { return };
    let stores = [database.open(), database.open(), database.open()];
    for round in 0..10 {
        let name = format!("z{round}");
        let results = join_all(stores.iter().map(|store| put(store, &name))).await;
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1, "{results:?}");
        let taken = Err(StoreError::AlreadyExists { key: zone(&name) });
        assert_eq!(results.iter().filter(|result| **result == taken).count(), 2, "{results:?}");
    }
}

#[tokio::test]
async fn no_increment_is_lost_between_stores() {
    const WRITERS: usize = 4;
    const INCREMENTS: usize = 15;
    let Some(database) = database() else { return };
    let stores: Vec<_> = (0..3).map(|_| Arc::new(database.open())).collect();
    put(&stores[0], "counter").await.unwrap();
    let conflicts = Arc::new(AtomicUsize::new(0));
    let writers = (0..WRITERS).map(|number| {
        let (store, conflicts) = (Arc::clone(&stores[number % stores.len()]), Arc::clone(&conflicts));
        async move {
            let mut done = 0;
            while done < INCREMENTS {
                let Some(found) = store.get(&zone("counter")).await.unwrap() else {
                    store.settled().await.unwrap();
                    continue;
                };
                let count: usize = String::from_utf8_lossy(&found.resource.spec).parse().unwrap_or(0);
                let next = saying("counter", &(count + 1).to_string());
                match store.put(next, Precondition::Version(found.version)).await {
                    Ok(_) => done += 1,
                    Err(StoreError::Conflict { .. }) => {
                        conflicts.fetch_add(1, Ordering::Relaxed);
                    }
                    Err(other) => panic!("{other}"),
                }
            }
        }
    });
    join_all(writers).await;
    for store in &stores {
        store.settled().await.unwrap();
        assert_eq!(zones(store).await, [format!("counter={}", WRITERS * INCREMENTS)]);
    }
    assert!(conflicts.load(Ordering::Relaxed) > 0, "they were in each other's way");
}

#[tokio::test]
async fn an_unconditional_put_of_two_is_never_an_error() {
    let Some(database) = database() else { return };
    let (here, there) = (database.open(), database.open());
    for round in 0..10 {
        let text = round.to_string();
        let (mine, theirs) = futures::join!(
            here.put(saying("z", &format!("here{text}")), Precondition::Any),
            there.put(saying("z", &format!("there{text}")), Precondition::Any),
        );
        let last = if mine.unwrap() > theirs.unwrap() { "here" } else { "there" };
        here.settled().await.unwrap();
        there.settled().await.unwrap();
        assert_eq!(zones(&here).await, [format!("z={last}{text}")]);
        assert_eq!(zones(&there).await, zones(&here).await);
    }
}

#[tokio::test]
async fn what_one_writes_the_others_tell_by_themselves_and_in_order() {
    let Some(database) = database() else { return };
    let (here, there) = (database.open(), database.open());
    let mut told = watch(&here);
    assert_eq!(until(&mut told, "done").await, ["init", "done"]);
    put(&there, "a").await.unwrap();
    let writes = vec![
        Write::Put { resource: saying("b", ""), expect: Precondition::Absent },
        Write::Delete { key: zone("a"), expect: Precondition::Present },
        Write::Put { resource: saying("a", "again"), expect: Precondition::Absent },
    ];
    let applied = there.apply(Batch::of(writes)).await.unwrap();
    put(&there, "c").await.unwrap();
    assert_eq!(until(&mut told, "+c").await, ["+a", "+b", "-a", "+a", "+c"]);
    assert_eq!(here.get(&zone("b")).await.unwrap().unwrap().version, applied.version);
    assert_eq!(zones(&here).await, ["a=again", "b=", "c="]);
}

#[tokio::test]
async fn nothing_is_missed_when_connections_are_ended_while_others_write() {
    let Some(database) = database() else { return };
    let (here, there) = (database.open(), database.open());
    let mut told = watch(&here);
    until(&mut told, "done").await;
    let mut expected = Vec::new();
    for round in 0..5 {
        let ended = database.ask(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()",
        );
        assert_ne!(ended, "0");
        let name = format!("z{round}");
        while let Err(problem) = put(&there, &name).await {
            assert!(problem.is_retryable(), "{problem}");
        }
        expected.push(format!("+{name}"));
    }
    assert_eq!(until(&mut told, "+z4").await, expected, "event by event: no watch had to start anew");
}

#[tokio::test]
async fn a_store_that_is_behind_what_is_kept_starts_anew() {
    let Some(database) = database() else { return };
    // Only a write makes this one look, once it listens.
    let mut slow = settings(database.place());
    slow.times.heartbeat = LIMIT * 10;
    let here = open(slow).unwrap();
    let mut told = watch(&here);
    until(&mut told, "done").await;
    // What others did, and what was kept of it, without a notice.
    database.execute(
        "INSERT INTO resources (kind, mesh, name, labels, spec, created, modified, version)
             VALUES ('Zone', '', 'missed', '{}', '', '1970-01-01T00:00:00Z', '1970-01-01T00:00:00Z', 7);
         UPDATE store_revision SET revision = 9, write_id = 9;
         DELETE FROM commits; INSERT INTO commits VALUES (9, 9, now());",
    );
    let version = put(&here, "mine").await.unwrap();
    assert_eq!(version.0, 10, "it follows the last one of all");
    let mut anew = until(&mut told, "done").await;
    // It looks once more when it begins to listen, which may be in the moment before the write.
    if !anew.contains(&"=mine".to_owned()) {
        assert_eq!(next(&mut told).await, "+mine");
        anew.insert(1, "=mine".to_owned());
    }
    assert_eq!(anew, ["init", "=mine", "=missed", "done"]);
    assert_eq!(zones(&here).await, ["mine=", "missed="]);
}

#[tokio::test]
async fn a_database_that_lost_what_was_written_is_noticed() {
    let Some(database) = database() else { return };
    let here = database.open();
    for name in ["a", "b"] {
        put(&here, name).await.unwrap();
    }
    let mut told = watch(&here);
    until(&mut told, "done").await;
    // A backup of before `b`, and somebody else wrote since: the revision is the same, the history is not.
    database.execute(
        "DELETE FROM resources WHERE name = 'b'; DELETE FROM changes WHERE revision = 2;
         INSERT INTO resources (kind, mesh, name, labels, spec, created, modified, version)
             VALUES ('Zone', '', 'c', '{}', '', '1970-01-01T00:00:00Z', '1970-01-01T00:00:00Z', 2);
         UPDATE store_revision SET write_id = write_id + 1; UPDATE commits SET write_id = write_id + 1 WHERE revision = 2;",
    );
    here.settled().await.unwrap();
    assert_eq!(until(&mut told, "done").await, ["init", "=a", "=c", "done"]);
    assert_eq!(*here.freshness().borrow(), Freshness::Fresh);
    put(&here, "b").await.unwrap();
    assert_eq!(next(&mut told).await, "+b");
}

#[tokio::test]
async fn old_changes_are_forgotten_and_stores_go_on() {
    let Some(database) = database() else { return };
    let mut forgetful = settings(database.place());
    forgetful.times.keep_changes = std::time::Duration::ZERO;
    let here = database.open();
    for round in 0..5 {
        put(&here, &format!("z{round}")).await.unwrap();
    }
    assert_eq!(database.ask("SELECT count(*) FROM changes"), "5");
    // It looks when it starts.
    let there = open(forgetful).unwrap();
    let forgotten = async {
        while database.ask("SELECT count(*) FROM changes") != "1" || database.ask("SELECT count(*) FROM commits") != "1"
        {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LIMIT, forgotten).await.expect("all but the last commit is forgotten");
    let (mut here_told, mut there_told) = (watch(&here), watch(&there));
    until(&mut here_told, "done").await;
    until(&mut there_told, "done").await;
    put(&here, "last").await.unwrap();
    assert_eq!(next(&mut here_told).await, "+last");
    assert_eq!(next(&mut there_told).await, "+last", "nobody had to start anew");
}

#[tokio::test]
async fn a_database_that_became_anothers_is_not_read() {
    let Some(database) = database() else { return };
    let here = database.open();
    put(&here, "z").await.unwrap();
    let mut told = watch(&here);
    until(&mut told, "done").await;
    // The name leads elsewhere from now on: to a database with another history, and of another cluster.
    database.execute(
        "UPDATE store_identity SET cluster_id = 'c2'; DELETE FROM resources;
         UPDATE store_revision SET write_id = 5; DELETE FROM commits; INSERT INTO commits VALUES (1, 5, now())",
    );
    let refused = put(&here, "y").await;
    assert!(matches!(&refused, Err(StoreError::Unavailable { detail }) if detail.contains("`c2`")), "{refused:?}");
    assert!(here.settled().await.is_err());
    assert_eq!(zones(&here).await, ["z="], "nothing is taken for gone");
    database.execute("UPDATE store_identity SET cluster_id = 'c1'");
    put(&here, "y").await.unwrap();
    let mut anew = until(&mut told, "done").await;
    // It looks by itself, too, which may be in the moment before the write.
    if !anew.contains(&"=y".to_owned()) {
        assert_eq!(next(&mut told).await, "+y");
        anew.insert(1, "=y".to_owned());
    }
    assert_eq!(anew, ["init", "=y", "done"]);
}
