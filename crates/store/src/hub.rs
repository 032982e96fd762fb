//! Where readers, watchers and the writer of a store meet.
//!
//! The lock orders everything: an index is swapped in and its events are queued under the write lock, a watcher takes
//! its picture and joins under the same lock. So a watcher hears each change exactly once, in its picture or after it.

#[cfg(feature = "journaled")]
use std::sync::Mutex;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak};

use tokio::sync::watch;
#[cfg(feature = "journaled")]
use tokio::time::Instant;

use crate::{
    Event, Freshness, Kinds, Options, Watch,
    feed::{Feed, Watcher},
    index::Index,
};

/// The present index and who watches it.
pub(crate) struct Hub {
    options: Options,
    state: RwLock<State>,
    freshness: watch::Sender<Freshness>,
    /// When the database was last asked with success: all that was there by then is shown.
    #[cfg(feature = "journaled")]
    heard: Mutex<Instant>,
}

struct State {
    index: Index,
    feeds: Vec<Weak<Feed>>,
}

impl Hub {
    /// Returns a hub without watchers.
    pub(crate) fn new(index: Index, options: Options) -> Self {
        let freshness = watch::Sender::new(Freshness::Fresh);
        Self {
            options,
            state: RwLock::new(State { index, feeds: Vec::new() }),
            freshness,
            #[cfg(feature = "journaled")]
            heard: Mutex::new(Instant::now()),
        }
    }

    /// Returns the present index.
    pub(crate) fn index(&self) -> Index {
        self.read().index.clone()
    }

    /// Returns the version of the present index.
    #[cfg(feature = "journaled")]
    pub(crate) fn version(&self) -> crate::Version {
        self.read().index.version()
    }

    /// Swaps in the next index that `change` makes of the present one, and tells the watchers.
    pub(crate) fn update<T, E>(&self, change: impl FnOnce(&mut Index) -> Result<(T, Vec<Event>), E>) -> Result<T, E> {
        let mut state = self.write();
        let mut next = state.index.clone();
        let (value, events) = change(&mut next)?;
        state.publish(next, &events);
        Ok(value)
    }

    /// Swaps in an index that was made elsewhere, and tells the watchers.
    #[cfg(any(feature = "journaled", feature = "testing"))]
    pub(crate) fn publish(&self, next: Index, events: &[Event]) {
        self.write().publish(next, events);
    }

    /// Takes over changes that somebody else made, up to this version, and tells the watchers.
    #[cfg(feature = "journaled")]
    pub(crate) fn follow(&self, changes: &[Event], version: crate::Version) {
        let mut state = self.write();
        let mut next = state.index.clone();
        next.follow(changes, version);
        state.publish(next, changes);
    }

    /// Swaps in an index that has nothing to do with the one before; all watchers start again.
    #[cfg(any(feature = "journaled", feature = "testing"))]
    pub(crate) fn restart(&self, next: Index) {
        let mut state = self.write();
        state.index = next;
        for feed in state.feeds.iter().filter_map(Weak::upgrade) {
            feed.overflow();
        }
    }

    /// Ends all watches after what is queued.
    #[cfg(feature = "testing")]
    pub(crate) fn end_watches(&self) {
        for feed in self.write().feeds.drain(..).filter_map(|feed| feed.upgrade()) {
            feed.close();
        }
    }

    /// Follows how old the present index may be.
    pub(crate) fn freshness(&self) -> watch::Receiver<Freshness> {
        self.freshness.subscribe()
    }

    /// Says that the present index is that of the database at this moment. Called after it was swapped in.
    #[cfg(feature = "journaled")]
    pub(crate) fn heard(&self, at: Instant) {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        *heard = at.max(*heard);
        self.freshness.send_if_modified(|freshness| {
            let was_behind = *freshness != Freshness::Fresh;
            *freshness = Freshness::Fresh;
            was_behind
        });
    }

    /// Says that the present index may be old, if the database was not heard for so long.
    #[cfg(feature = "postgres")]
    pub(crate) fn fall_behind_after(&self, limit: std::time::Duration) {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        if heard.elapsed() > limit {
            self.freshness.send_if_modified(|freshness| {
                let was_fresh = *freshness == Freshness::Fresh;
                if was_fresh {
                    *freshness = Freshness::Behind { since: *heard };
                }
                was_fresh
            });
        }
    }

    /// Says how old the present index may be; fresh only after it was swapped in.
    #[cfg(feature = "testing")]
    pub(crate) fn say(&self, freshness: Freshness) {
        self.freshness.send_replace(freshness);
    }

    /// Starts a watch; its picture is the one of this moment.
    pub(crate) fn watch(self: &Arc<Self>, kinds: Kinds) -> Watch {
        let feed = Arc::new(Feed::new(kinds, self.options.watch_queue));
        let mut state = self.write();
        // whoever stopped watching is forgotten when someone starts
        state.feeds.retain(|feed| feed.strong_count() > 0);
        state.feeds.push(Arc::downgrade(&feed));
        let start = state.index.clone();
        drop(state);
        Watcher::new(Arc::downgrade(self), feed, start).into_stream()
    }

    /// Returns the present index for a watcher that fell behind, and queues what comes after it.
    pub(crate) fn rejoin(&self, feed: &Feed) -> Index {
        let state = self.read();
        feed.resume();
        state.index.clone()
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn publish(&mut self, next: Index, events: &[Event]) {
        self.index = next;
        for feed in self.feeds.iter().filter_map(Weak::upgrade) {
            feed.push(events);
        }
    }
}

/// The store is gone: watchers hear what is queued, then the end.
impl Drop for Hub {
    fn drop(&mut self) {
        for feed in self.read().feeds.iter().filter_map(Weak::upgrade) {
            feed.close();
        }
    }
}
