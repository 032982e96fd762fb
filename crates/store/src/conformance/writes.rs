//! Writes: conditions, versions, batches.

use bytes::Bytes;
use futures::{FutureExt as _, future::join_all};
use jiff::Timestamp;
use model::Resource;

use super::{
    Picture, Subject,
    resources::{
        apply, check_there, create, delete, fill, is_there, mesh, plain, put, saying, spec_of, timeout, try_apply, zone,
    },
};
use crate::{Batch, Epoch, Kinds, Outcome, Precondition, Query, StoreError, Version, Write};

/// Every field, also the odd values of it, survives as it is.
pub async fn a_resource_is_returned_as_it_was_given(subject: &mut Subject) {
    let owner = plain(&mesh("default"));
    let full = Resource {
        key: timeout("default", "ünïcode \u{0} 'quoted' \"name\""),
        labels: [("kuma.io/zone", "east"), ("", ""), ("ключ", "знач\u{0}ение\n")]
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .into(),
        spec: Bytes::from_static(&[0, 255, 0, 1, b'\'']),
        status: Some(Bytes::from_static(b"")),
        owner: Some(owner.key.clone()),
        created: "2024-02-29T23:59:59.123456789Z".parse().unwrap(),
        modified: Timestamp::MAX,
    };
    let empty = Resource { created: Timestamp::MIN, spec: Bytes::new(), ..plain(&timeout("", "")) };
    fill(subject.store(), [owner]).await;
    for given in [full, empty] {
        let version = fill(subject.store(), [given.clone()]).await;
        subject.step();
        let found = subject.store().get(&given.key).await.unwrap().unwrap();
        assert_eq!(*found.resource, given);
        assert_eq!(found.version, version);
    }
}

/// Who does not lead any more writes nothing as a leader; a store of one program has one epoch.
pub async fn a_batch_of_another_epoch_is_refused(subject: &mut Subject) {
    let put = |name: &str| Batch::of(vec![Write::Put { resource: plain(&mesh(name)), expect: Precondition::Absent }]);
    let epoch = Epoch(7);
    assert_eq!(subject.store().apply(put("a").fenced(epoch)).await, Err(StoreError::Deposed { epoch }));
    subject.step();
    subject.store().apply(put("b").fenced(Epoch::ALONE)).await.unwrap();
    subject.step();
    assert!(!is_there(subject.store(), &mesh("a")).await && is_there(subject.store(), &mesh("b")).await);
}

/// Asking for what is not there is no error.
pub async fn a_missing_resource_is_none(subject: &mut Subject) {
    fill(subject.store(), [plain(&timeout("a", "b"))]).await;
    subject.step();
    assert!(!is_there(subject.store(), &timeout("a", "c")).await);
    assert!(!is_there(subject.store(), &timeout("b", "b")).await);
    assert!(!is_there(subject.store(), &mesh("b")).await);
}

/// `Absent` protects what is there.
pub async fn create_of_what_is_there_is_refused(subject: &mut Subject) {
    let key = mesh("default");
    subject.store().put(saying(&key, "first"), Precondition::Absent).await.unwrap();
    subject.step();
    let refused = subject.store().put(saying(&key, "second"), Precondition::Absent).await;
    assert_eq!(refused, Err(StoreError::AlreadyExists { key: key.clone() }));
    subject.step();
    assert_eq!(spec_of(subject.store(), &key).await, "first");
}

/// `Present` and `Version` create nothing.
pub async fn change_of_what_is_missing_is_refused(subject: &mut Subject) {
    let key = mesh("default");
    for expect in [Precondition::Present, Precondition::Version(Version(0)), Precondition::Version(Version(1))] {
        let refused = subject.store().put(plain(&key), expect).await;
        assert_eq!(refused, Err(StoreError::NotFound { key: key.clone() }));
        subject.step();
        assert!(!is_there(subject.store(), &key).await);
    }
}

/// `Version` protects what someone else changed.
pub async fn change_of_an_old_version_is_a_conflict(subject: &mut Subject) {
    let key = mesh("default");
    let old = subject.store().put(saying(&key, "first"), Precondition::Any).await.unwrap();
    subject.store().put(saying(&key, "second"), Precondition::Any).await.unwrap();
    subject.step();
    let refused = subject.store().put(saying(&key, "third"), Precondition::Version(old)).await;
    assert_eq!(refused, Err(StoreError::Conflict { key: key.clone() }));
    subject.step();
    assert_eq!(spec_of(subject.store(), &key).await, "second");
}

/// The version that was read is good until the next write.
pub async fn change_of_the_known_version_is_done(subject: &mut Subject) {
    let key = mesh("default");
    subject.store().put(saying(&key, "first"), Precondition::Absent).await.unwrap();
    subject.store().put(plain(&zone("other")), Precondition::Any).await.unwrap();
    subject.step();
    let known = subject.store().get(&key).await.unwrap().unwrap().version;
    let next = subject.store().put(saying(&key, "second"), Precondition::Version(known)).await.unwrap();
    assert!(next > known);
    subject.store().put(saying(&key, "third"), Precondition::Present).await.unwrap();
    subject.step();
    assert_eq!(spec_of(subject.store(), &key).await, "third");
}

/// Nothing of the old content stays.
pub async fn put_replaces_all_of_a_resource(subject: &mut Subject) {
    let key = timeout("default", "t");
    let first = Resource {
        labels: [("a".to_owned(), "b".to_owned())].into(),
        status: Some(Bytes::from_static(b"{}")),
        owner: Some(mesh("default")),
        created: Timestamp::MIN,
        modified: Timestamp::MAX,
        ..saying(&key, "first")
    };
    fill(subject.store(), [plain(&mesh("default")), first]).await;
    subject.step();
    let second = saying(&key, "second");
    fill(subject.store(), [second.clone()]).await;
    subject.step();
    assert_eq!(*subject.store().get(&key).await.unwrap().unwrap().resource, second);
}

/// `Any` says what it did.
pub async fn put_without_condition_creates_and_updates(subject: &mut Subject) {
    let key = mesh("default");
    assert_eq!(apply(subject.store(), vec![put(plain(&key))]).await.outcomes, [Outcome::Created]);
    subject.step();
    assert_eq!(apply(subject.store(), vec![put(plain(&key))]).await.outcomes, [Outcome::Updated]);
}

/// A batch can say what must not be there, and nobody hears of it.
pub async fn absence_is_a_condition_of_a_batch(subject: &mut Subject) {
    let (key, other) = (mesh("new"), mesh("other"));
    let batch = || vec![put(plain(&key)), Write::absence_of(other.clone())];
    subject.store().put(plain(&other), Precondition::Any).await.unwrap();
    let refused = Err(StoreError::AlreadyExists { key: other.clone() });
    assert_eq!(try_apply(subject.store(), batch()).await, refused);
    subject.step();
    assert!(is_there(subject.store(), &other).await && !is_there(subject.store(), &key).await);
    subject.store().delete(&other, Precondition::Present).await.unwrap();
    assert_eq!(apply(subject.store(), batch()).await.outcomes, [Outcome::Created, Outcome::Missing]);
    subject.step();
    assert!(is_there(subject.store(), &key).await);
}

/// Deletes have the conditions of puts.
pub async fn delete_checks_its_condition(subject: &mut Subject) {
    let key = mesh("default");
    let missing = Err(StoreError::NotFound { key: key.clone() });
    assert_eq!(subject.store().delete(&key, Precondition::Present).await, missing);
    assert_eq!(subject.store().delete(&key, Precondition::Version(Version(1))).await, missing);
    let old = subject.store().put(plain(&key), Precondition::Any).await.unwrap();
    let new = subject.store().put(plain(&key), Precondition::Any).await.unwrap();
    subject.step();
    let conflict = Err(StoreError::Conflict { key: key.clone() });
    assert_eq!(subject.store().delete(&key, Precondition::Version(old)).await, conflict);
    let exists = Err(StoreError::AlreadyExists { key: key.clone() });
    assert_eq!(subject.store().delete(&key, Precondition::Absent).await, exists);
    subject.step();
    assert!(is_there(subject.store(), &key).await);
    subject.store().delete(&key, Precondition::Version(new)).await.unwrap();
    subject.step();
    assert!(!is_there(subject.store(), &key).await);
}

/// So that a delete can be done again.
pub async fn delete_of_a_missing_resource_without_condition_is_fine(subject: &mut Subject) {
    let key = mesh("default");
    fill(subject.store(), [plain(&key)]).await;
    for expected in [Outcome::Deleted, Outcome::Missing] {
        subject.step();
        let write = Write::Delete { key: key.clone(), expect: Precondition::Any };
        assert_eq!(apply(subject.store(), vec![write]).await.outcomes, [expected]);
    }
}

/// One counter for the store.
pub async fn versions_grow_with_each_batch(subject: &mut Subject) {
    let mut last = Version(0);
    for key in [mesh("a"), zone("a"), mesh("a"), timeout("a", "a")] {
        let next = subject.store().put(plain(&key), Precondition::Any).await.unwrap();
        assert!(next > last);
        assert_eq!(subject.store().get(&key).await.unwrap().unwrap().version, next);
        last = next;
        subject.step();
    }
}

/// Else a version could come twice, and a condition hold that should not.
pub async fn versions_do_not_go_back_when_the_newest_is_deleted(subject: &mut Subject) {
    let key = mesh("default");
    let old = subject.store().put(plain(&key), Precondition::Any).await.unwrap();
    let deleted = apply(subject.store(), vec![delete(&key)]).await.version;
    assert!(deleted > old);
    subject.step();
    assert!(subject.store().put(plain(&key), Precondition::Any).await.unwrap() > deleted);
}

/// A batch is one change of the store.
pub async fn all_of_a_batch_carries_one_version(subject: &mut Subject) {
    let keys = [mesh("a"), zone("b"), timeout("c", "d")];
    let version = fill(subject.store(), keys.iter().map(plain)).await;
    subject.step();
    for key in keys {
        assert_eq!(subject.store().get(&key).await.unwrap().unwrap().version, version);
    }
}

/// All or nothing, and the first error.
pub async fn a_failed_batch_changes_nothing(subject: &mut Subject) {
    let (kept, new, missing, other) = (mesh("kept"), mesh("new"), mesh("missing"), zone("other"));
    fill(subject.store(), [saying(&kept, "old"), owned(&kept)]).await;
    subject.step();
    let writes = vec![put(plain(&new)), put(saying(&kept, "new")), delete(&kept), delete(&missing), delete(&other)];
    assert_eq!(try_apply(subject.store(), writes).await, Err(StoreError::NotFound { key: missing }));
    subject.step();
    assert!(!is_there(subject.store(), &new).await);
    assert_eq!(spec_of(subject.store(), &kept).await, "old");
    // what it owns is still owned by it
    apply(subject.store(), vec![delete(&kept)]).await;
    subject.step();
    assert!(!is_there(subject.store(), &zone("owned")).await);
}

fn owned(owner: &model::Key) -> Resource {
    super::resources::owned_by(owner, &zone("owned"))
}

/// Writes happen in order.
pub async fn writes_of_a_batch_see_the_ones_before(subject: &mut Subject) {
    let key = mesh("default");
    let update = Write::Put { resource: saying(&key, "second"), expect: Precondition::Present };
    let writes = vec![create(plain(&key)), update, delete(&key), create(saying(&key, "third"))];
    let outcomes = apply(subject.store(), writes).await.outcomes;
    assert_eq!(outcomes, [Outcome::Created, Outcome::Updated, Outcome::Deleted, Outcome::Created]);
    subject.step();
    assert_eq!(spec_of(subject.store(), &key).await, "third");
    let refused = try_apply(subject.store(), vec![delete(&key), delete(&key)]).await;
    assert_eq!(refused, Err(StoreError::NotFound { key: key.clone() }));
    subject.step();
    assert!(is_there(subject.store(), &key).await);
}

/// Nothing to do is done.
pub async fn an_empty_batch_is_applied(subject: &mut Subject) {
    let before = fill(subject.store(), [plain(&mesh("a"))]).await;
    let applied = apply(subject.store(), Vec::new()).await;
    assert!(applied.version > before);
    assert!(applied.outcomes.is_empty());
    subject.step();
    assert!(fill(subject.store(), [plain(&mesh("b"))]).await > applied.version);
}

/// Conditions hold also for batches that are written together.
pub async fn of_concurrent_creates_one_wins(subject: &mut Subject) {
    let key = mesh("default");
    let names: Vec<_> = (0..50).map(|number| number.to_string()).collect();
    let store = subject.store();
    let results = join_all(names.iter().map(|name| store.put(saying(&key, name), Precondition::Absent))).await;
    let winners: Vec<_> =
        names.iter().zip(&results).filter(|(_, result)| result.is_ok()).map(|(name, _)| name).collect();
    let refused =
        results.iter().filter(|result| **result == Err(StoreError::AlreadyExists { key: key.clone() })).count();
    assert_eq!((winners.len(), refused), (1, 49));
    let winner = winners.into_iter().next().unwrap().clone();
    subject.step();
    assert_eq!(spec_of(subject.store(), &key).await, winner);
}

/// A batch that is refused takes no other with it.
pub async fn concurrent_batches_fail_alone(subject: &mut Subject) {
    let keys: Vec<_> = (0..50).map(|number| zone(&format!("z{number:02}"))).collect();
    let store = subject.store();
    let results = join_all(keys.iter().enumerate().map(|(number, key)| {
        let mut writes = vec![put(plain(key))];
        if number % 2 == 1 {
            writes.push(delete(&mesh("missing")));
        }
        try_apply(store, writes)
    }))
    .await;
    let applied: Vec<_> = keys.iter().zip(&results).filter(|(_, result)| result.is_ok()).map(|(key, _)| key).collect();
    let even: Vec<_> = keys.iter().step_by(2).collect();
    assert_eq!(applied, even);
    subject.step();
    check_there(subject.store(), &keys.iter().collect::<Vec<_>>(), &even).await;
}

/// There is no small limit.
pub async fn a_large_batch_is_applied(subject: &mut Subject) {
    let keys: Vec<_> = (0..3000).map(|number| timeout("default", &format!("t{number:04}"))).collect();
    fill(subject.store(), keys.iter().map(plain)).await;
    subject.step();
    let page = subject.store().list(&Query::all(super::resources::policy())).await.unwrap();
    assert_eq!(page.items.iter().map(|stored| stored.resource.key.clone()).collect::<Vec<_>>(), keys);
}

/// A caller that gave up must not be overtaken by the next one: a connection that follows another looks at what that one
/// wrote.
pub async fn what_nobody_waits_for_is_there_when_the_store_is_settled(subject: &mut Subject) {
    let keys: Vec<_> = (0..50).map(|number| zone(&format!("z{number:02}"))).collect();
    let store = subject.store();
    let mut watch = store.watch(Kinds::All);
    let mut picture = Picture::default();
    let before = fill(store, [plain(&mesh("before"))]).await;
    for key in &keys {
        // asked for, and left alone
        drop(try_apply(store, vec![put(plain(key))]).now_or_never());
    }
    store.settled().await.unwrap();
    check_there(store, &keys.iter().collect::<Vec<_>>(), &keys.iter().collect::<Vec<_>>()).await;
    picture.catch_up(&mut watch);
    assert_eq!(picture.known().len(), keys.len() + 1);
    // nothing is written by it
    let after = fill(store, [plain(&mesh("after"))]).await;
    store.settled().await.unwrap();
    store.settled().await.unwrap();
    let last = fill(store, [plain(&mesh("last"))]).await;
    assert_eq!((after.0 - before.0, last.0 - after.0), (51, 1));
    subject.step();
    check_there(subject.store(), &keys.iter().collect::<Vec<_>>(), &keys.iter().collect::<Vec<_>>()).await;
}
