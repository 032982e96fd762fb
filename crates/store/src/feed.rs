//! Tells watchers what changed. A watcher that falls behind starts anew from the full picture.

use std::{
    collections::VecDeque,
    sync::{Arc, PoisonError, RwLock},
};

use futures::{StreamExt as _, stream};
use tokio::sync::broadcast::{self, error::RecvError};

use crate::{
    Event, Kinds, Watch,
    index::{Change, Index},
};

/// Batches that a watcher may lag behind before it has to start anew.
const LAG: usize = 1024;

/// The index and the feed of its changes, under one lock: a watcher that takes its picture misses nothing after it.
#[derive(Debug)]
pub(crate) struct Shared {
    index: RwLock<Index>,
    feed: broadcast::Sender<Arc<[Change]>>,
}

impl Shared {
    pub(crate) fn new(index: Index) -> Arc<Self> {
        Arc::new(Self { index: RwLock::new(index), feed: broadcast::Sender::new(LAG) })
    }

    pub(crate) fn read<T>(&self, read: impl FnOnce(&Index) -> T) -> T {
        // A panic while the lock was held cannot have left half a batch: changes are planned before they are made.
        read(&self.index.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Makes changes that are durable, and tells the watchers.
    pub(crate) fn commit(&self, changes: Vec<Change>) {
        let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
        index.commit(&changes);
        if !changes.is_empty() {
            // An error means that nobody watches.
            let _nobody = self.feed.send(changes.into());
        }
    }

    /// The picture of now and everything after it.
    fn picture(&self, kinds: &Kinds) -> (VecDeque<Event>, broadcast::Receiver<Arc<[Change]>>) {
        let index = self.index.read().unwrap_or_else(PoisonError::into_inner);
        let mut events = VecDeque::from([Event::Init]);
        let watched = index.all().filter(|stored| kinds.contains(stored.resource.key.kind));
        events.extend(watched.cloned().map(Event::InitApply));
        events.push_back(Event::InitDone);
        // Still under the lock: no commit can come between the picture and the subscription.
        let changes = self.feed.subscribe();
        drop(index);
        (events, changes)
    }

    pub(crate) fn watch(self: &Arc<Self>, kinds: Kinds) -> Watch {
        let (queue, changes) = self.picture(&kinds);
        let state = (Arc::clone(self), kinds, queue, changes);
        stream::unfold(state, |(shared, kinds, mut queue, mut changes)| async move {
            loop {
                if let Some(event) = queue.pop_front() {
                    return Some((event, (shared, kinds, queue, changes)));
                }
                match changes.recv().await {
                    Ok(batch) => queue.extend(batch.iter().filter_map(|change| event(change, &kinds))),
                    Err(RecvError::Lagged(_)) => (queue, changes) = shared.picture(&kinds),
                    // The store is gone; `shared` holds the sender, so this cannot happen while the watch lives.
                    Err(RecvError::Closed) => return None,
                }
            }
        })
        .boxed()
    }
}

fn event(change: &Change, kinds: &Kinds) -> Option<Event> {
    match change {
        Change::Put(stored) => kinds.contains(stored.resource.key.kind).then(|| Event::Apply(stored.clone())),
        Change::Delete { key, version } => {
            kinds.contains(key.kind).then(|| Event::Delete { key: key.clone(), version: *version })
        }
    }
}
