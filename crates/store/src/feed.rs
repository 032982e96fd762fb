//! One watcher: a bounded queue that the store fills, and the stream that empties it.

use std::{
    collections::VecDeque,
    iter,
    num::NonZeroUsize,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use futures::{StreamExt, stream};
use tokio::sync::Notify;

use crate::{Event, Kinds, Watch, hub::Hub, index::Index};

/// The queue of one watcher. Filled under the hub's lock, emptied without it.
pub(crate) struct Feed {
    kinds: Kinds,
    limit: NonZeroUsize,
    queue: Mutex<Queue>,
    /// One watcher waits at most, and a permit is kept when none does: no wake-up is lost.
    filled: Notify,
}

#[derive(Default)]
struct Queue {
    events: VecDeque<Event>,
    /// Events were lost; the watcher needs a new picture.
    overflowed: bool,
    closed: bool,
}

/// What a queue holds for its watcher.
enum Next {
    Event(Event),
    Overflowed,
    Closed,
    Nothing,
}

impl Feed {
    /// Returns an empty queue for at most `limit` events.
    pub(crate) fn new(kinds: Kinds, limit: NonZeroUsize) -> Self {
        Self { kinds, limit, queue: Mutex::default(), filled: Notify::new() }
    }

    /// Queues the events of watched kinds. A queue that gets too long is emptied instead, unless the watcher kept up
    /// and only the events of this very call are too many.
    pub(crate) fn push(&self, events: &[Event]) {
        let mut queue = self.lock();
        if queue.overflowed {
            return;
        }
        let waiting = queue.events.len();
        queue.events.extend(events.iter().filter(|event| self.is_watched(event)).cloned());
        if queue.events.len() == waiting {
            return;
        }
        if waiting > 0 && queue.events.len() > self.limit.get() {
            queue.events = VecDeque::new();
            queue.overflowed = true;
        }
        self.filled.notify_one();
    }

    /// Makes the watcher start again.
    #[cfg(any(feature = "journaled", feature = "testing"))]
    pub(crate) fn overflow(&self) {
        let mut queue = self.lock();
        queue.events = VecDeque::new();
        queue.overflowed = true;
        self.filled.notify_one();
    }

    /// Takes events again after an overflow; nothing was queued since.
    pub(crate) fn resume(&self) {
        self.lock().overflowed = false;
    }

    /// Ends the watch after what is queued.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.filled.notify_one();
    }

    fn is_watched(&self, event: &Event) -> bool {
        match event {
            Event::Apply(stored) | Event::InitApply(stored) => self.kinds.contains(stored.resource.key.kind),
            Event::Delete { key, .. } => self.kinds.contains(key.kind),
            Event::Init | Event::InitDone => true,
        }
    }

    fn take(&self) -> Next {
        let mut queue = self.lock();
        if queue.overflowed {
            return Next::Overflowed;
        }
        match queue.events.pop_front() {
            Some(event) => Next::Event(event),
            None if queue.closed => Next::Closed,
            None => Next::Nothing,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The reading end of a feed. Holds the store weakly: a forgotten watch keeps no store open.
pub(crate) struct Watcher {
    hub: Weak<Hub>,
    feed: Arc<Feed>,
    /// A picture that is still to be told, as the index it is made from until the first event is asked for.
    start: Option<Index>,
    picture: VecDeque<Event>,
}

impl Watcher {
    /// Returns a watcher that tells the picture of `start` and then what its feed gets.
    pub(crate) fn new(hub: Weak<Hub>, feed: Arc<Feed>, start: Index) -> Self {
        Self { hub, feed, start: Some(start), picture: VecDeque::new() }
    }

    /// Returns the events as a stream.
    pub(crate) fn into_stream(self) -> Watch {
        stream::unfold(self, |mut watcher| async move { watcher.next().await.map(|event| (event, watcher)) }).boxed()
    }

    /// Returns the next event. Cancel safe: an event is taken only when it is returned.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(index) = self.start.take() {
                let rows = index.picture(&self.feed.kinds).into_iter().map(Event::InitApply);
                self.picture = iter::once(Event::Init).chain(rows).chain(iter::once(Event::InitDone)).collect();
            }
            if let Some(event) = self.picture.pop_front() {
                return Some(event);
            }
            match self.feed.take() {
                Next::Event(event) => return Some(event),
                // a reader that is too slow finishes its picture first, so that it gets one now and then
                Next::Overflowed => self.start = Some(self.hub.upgrade()?.rejoin(&self.feed)),
                Next::Closed => return None,
                Next::Nothing => self.feed.filled.notified().await,
            }
        }
    }
}
