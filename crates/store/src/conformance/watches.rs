//! Watches: pictures, events, and what happens to who is slow.

use std::sync::Arc;

use futures::{FutureExt, StreamExt, future::join_all};
use model::{Key, Kind};

use super::{
    Picture, Shared, Subject,
    resources::{apply, delete, fill, is_there, mesh, owned_by, plain, policy, put, saying, timeout, try_apply, zone},
};
use crate::{Change, Event, Freshness, Kinds, Mirror, Options, Query, Stored, Watch, WatchEnded};

/// Takes what the watch has ready.
fn ready(watch: &mut Watch) -> Vec<Event> {
    let mut events = Vec::new();
    while let Some(event) = watch.next().now_or_never() {
        events.push(event.unwrap());
    }
    events
}

/// Shortens events to what the cases compare: `+MeshTimeout m/t`.
fn short(events: &[Event]) -> Vec<String> {
    let name = |key: &Key| format!("{} {}/{}", key.kind, key.mesh, key.name);
    let line = |event: &Event| match event {
        Event::Init => "init".to_owned(),
        Event::InitApply(stored) => format!("={}", name(&stored.resource.key)),
        Event::InitDone => "done".to_owned(),
        Event::Apply(stored) => format!("+{}", name(&stored.resource.key)),
        Event::Delete { key, .. } => format!("-{}", name(key)),
    };
    events.iter().map(line).collect()
}

/// What the store holds of all kinds, in the order of keys.
async fn everything(store: &Shared) -> Vec<Stored> {
    let mut all = Vec::new();
    for kind in Kind::all() {
        all.extend(store.list(&Query::all(kind)).await.unwrap().items);
    }
    all.sort_by(|left, right| left.resource.key.cmp(&right.resource.key));
    all
}

/// A reader must know that there is nothing.
pub async fn a_watch_of_an_empty_store_is_an_empty_picture(subject: &mut Subject) {
    let mut watch = subject.store().watch(Kinds::All);
    assert_eq!(short(&ready(&mut watch)), ["init", "done"]);
}

/// What is there, then what happens.
pub async fn a_watch_starts_with_the_picture(subject: &mut Subject) {
    fill(subject.store(), [plain(&zone("z")), plain(&mesh("m"))]).await;
    subject.step();
    let mut watch = subject.store().watch(Kinds::All);
    let events = ready(&mut watch);
    assert_eq!(short(&events), ["init", "=Mesh /m", "=Zone /z", "done"]);
    for event in &events {
        if let Event::InitApply(stored) = event {
            assert_eq!(*stored, subject.store().get(&stored.resource.key).await.unwrap().unwrap());
        }
    }
    fill(subject.store(), [saying(&mesh("m"), "changed")]).await;
    let deleted = apply(subject.store(), vec![delete(&zone("z"))]).await.version;
    let events = ready(&mut watch);
    let changed = subject.store().get(&mesh("m")).await.unwrap().unwrap();
    assert_eq!(events, [Event::Apply(changed), Event::Delete { key: zone("z"), version: deleted }]);
}

/// In the picture and after it.
pub async fn a_watch_tells_only_its_kinds(subject: &mut Subject) {
    fill(subject.store(), [plain(&zone("z")), plain(&mesh("m")), plain(&timeout("m", "t"))]).await;
    subject.step();
    let mut watch = subject.store().watch(Kinds::Only(vec![Kind::ZONE, policy()]));
    assert_eq!(short(&ready(&mut watch)), ["init", "=MeshTimeout m/t", "=Zone /z", "done"]);
    fill(subject.store(), [plain(&mesh("n")), plain(&zone("y"))]).await;
    assert_eq!(short(&ready(&mut watch)), ["+Zone /y"]);
    apply(subject.store(), vec![delete(&mesh("m"))]).await;
    assert_eq!(short(&ready(&mut watch)), ["-MeshTimeout m/t"]);
}

/// As the writes are.
pub async fn a_watch_tells_a_batch_in_order(subject: &mut Subject) {
    let mut watch = subject.store().watch(Kinds::All);
    ready(&mut watch);
    let writes = vec![
        put(plain(&zone("z"))),
        put(plain(&mesh("m"))),
        delete(&zone("z")),
        put(plain(&mesh("a"))),
        put(plain(&zone("z"))),
    ];
    apply(subject.store(), writes).await;
    assert_eq!(short(&ready(&mut watch)), ["+Zone /z", "+Mesh /m", "-Zone /z", "+Mesh /a", "+Zone /z"]);
}

/// No reader holds a resource whose owner it was told is gone.
pub async fn a_watch_tells_the_owned_before_the_owner(subject: &mut Subject) {
    // `a` is a member of the mesh and owned by another member: a plain list of levels would tell it too late
    let (root, first, second) = (mesh("m"), timeout("m", "a"), timeout("m", "b"));
    fill(subject.store(), [plain(&root), plain(&second), owned_by(&second, &first), owned_by(&first, &zone("z"))])
        .await;
    subject.step();
    let mut watch = subject.store().watch(Kinds::All);
    ready(&mut watch);
    apply(subject.store(), vec![delete(&root)]).await;
    let told = short(&ready(&mut watch));
    assert_eq!(told, ["-Zone /z", "-MeshTimeout m/a", "-MeshTimeout m/b", "-Mesh /m"]);
}

/// What did not happen is not told.
pub async fn a_watch_says_nothing_of_a_failed_batch(subject: &mut Subject) {
    let mut watch = subject.store().watch(Kinds::All);
    ready(&mut watch);
    try_apply(subject.store(), vec![put(plain(&mesh("m"))), delete(&zone("missing"))]).await.unwrap_err();
    assert_eq!(short(&ready(&mut watch)), [""; 0]);
    fill(subject.store(), [plain(&mesh("n"))]).await;
    assert_eq!(short(&ready(&mut watch)), ["+Mesh /n"]);
}

/// A watch begins when it is asked for, not when it is read.
pub async fn a_watch_tells_what_happens_before_it_is_read(subject: &mut Subject) {
    fill(subject.store(), [plain(&mesh("m"))]).await;
    subject.step();
    let mut watch = subject.store().watch(Kinds::All);
    fill(subject.store(), [plain(&mesh("n"))]).await;
    apply(subject.store(), vec![delete(&mesh("m"))]).await;
    let mut picture = Picture::default();
    picture.catch_up(&mut watch);
    assert_eq!(picture.known(), everything(subject.store()).await);
}

/// A reader that looks again after an event finds at least what it was told.
pub async fn a_change_is_readable_when_it_is_told(subject: &mut Subject) {
    let mut watch = subject.store().watch(Kinds::All);
    ready(&mut watch);
    let store = subject.store();
    let key = mesh("m");
    let reader = async {
        let Some(Event::Apply(told)) = watch.next().await else { panic!("no change was told") };
        assert_eq!(store.get(&key).await.unwrap(), Some(told));
    };
    let (_, version) = futures::join!(reader, fill(store, [plain(&key)]));
    assert_eq!(store.get(&key).await.unwrap().unwrap().version, version);
}

/// Whoever has an answer need not wait for the watch.
pub async fn an_acknowledged_change_is_told_at_once(subject: &mut Subject) {
    let mut watch = subject.store().watch(Kinds::All);
    ready(&mut watch);
    for number in 0..20 {
        fill(subject.store(), [plain(&zone(&format!("z{number:02}")))]).await;
        assert_eq!(short(&ready(&mut watch)), [format!("+Zone /z{number:02}")]);
    }
}

/// A queue is bounded; who is too slow gets the truth anew, without what is gone.
pub async fn a_slow_watch_starts_again_and_ends_with_the_truth(subject: &mut Subject) {
    fill(subject.store(), [plain(&mesh("gone")), plain(&mesh("kept"))]).await;
    subject.step();
    let store = subject.store();
    let mut slow = store.watch(Kinds::All);
    let mut elsewhere = store.watch(Kinds::Only(vec![Kind::SECRET]));
    let mut picture = Picture::default();
    picture.catch_up(&mut slow);
    apply(store, vec![delete(&mesh("gone"))]).await;
    // more than a queue of the default settings holds
    let limit = Options::default().watch_queue.get();
    fill(store, (0..limit).map(|number| plain(&zone(&format!("z{number}"))))).await;
    fill(store, [plain(&mesh("new"))]).await;
    picture.catch_up(&mut slow);
    assert_eq!(picture.starts(), 2);
    assert_eq!(picture.known(), everything(store).await);
    // after the new picture it is live again
    fill(store, [plain(&mesh("last"))]).await;
    picture.catch_up(&mut slow);
    assert_eq!(picture.starts(), 2);
    assert_eq!(picture.known(), everything(store).await);
    // kinds that are not watched fill no queue
    assert_eq!(short(&ready(&mut elsewhere)), ["init", "done"]);
}

/// It is not slow.
pub async fn a_watch_that_keeps_up_hears_a_large_batch(subject: &mut Subject) {
    let store = subject.store();
    let mut watch = store.watch(Kinds::All);
    ready(&mut watch);
    let count = Options::default().watch_queue.get() + 1;
    fill(store, (0..count).map(|number| plain(&zone(&format!("z{number}"))))).await;
    let told = ready(&mut watch);
    assert_eq!(told.len(), count);
    assert!(told.iter().all(|event| matches!(event, Event::Apply(_))));
}

/// Neither writers nor other watchers.
pub async fn a_dropped_watch_disturbs_nobody(subject: &mut Subject) {
    let store = subject.store();
    let mut kept = store.watch(Kinds::All);
    let dropped = store.watch(Kinds::All);
    ready(&mut kept);
    drop(dropped);
    fill(store, [plain(&mesh("m"))]).await;
    assert_eq!(short(&ready(&mut kept)), ["+Mesh /m"]);
}

/// Watches that start while others write.
pub async fn no_change_is_lost_between_picture_and_events(subject: &mut Subject) {
    let store = Arc::clone(subject.store());
    let watches = std::sync::Mutex::new(Vec::new());
    join_all((0..100).map(|number| {
        let (store, watches) = (&store, &watches);
        async move {
            fill(store, [plain(&zone(&format!("z{}", number % 40)))]).await;
            watches.lock().unwrap().push(store.watch(Kinds::All));
            if number % 3 == 0 {
                // another writer may have been faster
                drop(try_apply(store, vec![delete(&zone(&format!("z{}", number % 20)))]).await);
            }
        }
    }))
    .await;
    let expected = everything(&store).await;
    let watches = watches.into_inner().unwrap();
    assert_eq!(watches.len(), 100);
    for mut watch in watches {
        let mut picture = Picture::default();
        picture.catch_up(&mut watch);
        assert_eq!(picture.starts(), 1);
        assert_eq!(picture.known(), expected);
    }
    assert!(!is_there(&store, &zone("z40")).await);
}

/// As a watch does; what is not told to the end is not shown.
pub async fn a_mirror_shows_what_the_store_holds(subject: &mut Subject) {
    fill(subject.store(), [plain(&mesh("gone")), plain(&mesh("kept"))]).await;
    subject.step();
    let store = subject.store();
    let mut mirror = Mirror::of(&**store, Kinds::All);
    let names =
        |changes: Vec<Change>| -> Vec<String> { changes.iter().map(|change| change.key().name.clone()).collect() };
    assert_eq!(names(mirror.changes().await.unwrap()), ["gone", "kept"]);
    assert!(mirror.changes().now_or_never().is_none(), "nothing is told twice");
    let limit = Options::default().watch_queue.get();
    apply(store, vec![delete(&mesh("gone"))]).await;
    fill(store, (0..limit).map(|number| plain(&zone(&format!("z{number}"))))).await;
    fill(store, [saying(&mesh("kept"), "changed")]).await;
    // the watch started again: what changed is told all the same, and no more than that
    assert_eq!(mirror.changes().await.unwrap().len(), limit + 2);
    assert_eq!(mirror.picture().stored().cloned().collect::<Vec<_>>(), everything(store).await);
    subject.close();
    assert_eq!(mirror.changes().await, Err(WatchEnded));
}

/// A store that is behind says so; one that is not says nothing else.
pub async fn a_store_of_which_all_is_read_is_fresh(subject: &mut Subject) {
    let mut freshness = subject.store().freshness();
    fill(subject.store(), [plain(&mesh("m"))]).await;
    assert_eq!(*freshness.borrow_and_update(), Freshness::Fresh);
    assert!(freshness.changed().now_or_never().is_none(), "and it is still there to say something");
}

/// So that who watches can end too; but not before it has heard everything.
pub async fn watches_end_with_the_store(subject: &mut Subject) {
    let mut watch = subject.store().watch(Kinds::All);
    fill(subject.store(), [plain(&mesh("m"))]).await;
    subject.close();
    let told: Vec<_> = watch.by_ref().collect().await;
    assert_eq!(short(&told), ["init", "done", "+Mesh /m"]);
}
