//! A store for tests of what works with stores: a database in memory and, as of several control planes, any number of
//! stores on it. Each can be made to fall behind, to lose its watches and to refuse writes, at the moment that a test
//! wants.
//!
//! ```text
//! Instance a ──┐                 ┌── index and watches of a    shown to the readers of a, unless a is behind
//!              ├── Database ─────┤
//! Instance b ──┘                 └── index and watches of b
//! ```
//!
//! Nothing happens by itself or later: a write is in the watches of all instances that are not behind when it returns.

mod instances;

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use async_trait::async_trait;
use model::Key;
use tokio::{sync::watch, time::Instant};

use crate::{
    Applied, Batch, Epoch, Freshness, Kinds, Options, Page, Query, ResourceStore, StoreError, Stored, Watch, hub::Hub,
    index::Index,
};

pub use self::instances::Member;

/// What all instances share. Cheap to clone.
#[derive(Clone, Default)]
pub struct Database(Arc<Mutex<Shared>>);

#[derive(Default)]
struct Shared {
    index: Index,
    instances: instances::Kept,
    shown: Vec<Weak<Shown>>,
}

impl Database {
    /// Returns an empty database.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns a store on the database.
    pub fn instance(&self) -> Instance {
        let mut shared = self.lock();
        let hub = Arc::new(Hub::new(shared.index.clone(), Options::default()));
        let shown = Arc::new(Shown { hub, refusal: Mutex::default() });
        shared.shown.push(Arc::downgrade(&shown));
        Instance { database: self.clone(), shown }
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database").finish_non_exhaustive()
    }
}

/// The store of one control plane on the database. Cheap to clone.
#[derive(Clone)]
pub struct Instance {
    database: Database,
    shown: Arc<Shown>,
}

/// What one instance shows.
struct Shown {
    hub: Arc<Hub>,
    /// Why nothing can be written here.
    refusal: Mutex<Option<String>>,
}

impl Shown {
    fn is_fresh(&self) -> bool {
        *self.hub.freshness().borrow() == Freshness::Fresh
    }
}

impl Instance {
    /// From here on nothing that anybody writes is shown here; what is written here is written all the same.
    pub fn fall_behind(&self) {
        self.fall_behind_since(Instant::now());
    }

    /// Does so as if it had been behind since then: nobody has to wait.
    pub fn fall_behind_since(&self, since: Instant) {
        let _order = self.database.lock();
        if self.shown.is_fresh() {
            self.shown.hub.say(Freshness::Behind { since });
        }
    }

    /// Shows everything again. Watches start anew, as after a lost connection.
    pub fn catch_up(&self) {
        let shared = self.database.lock();
        self.shown.hub.restart(shared.index.clone());
        self.shown.hub.say(Freshness::Fresh);
    }

    /// Ends all watches that there are. New ones can be started.
    pub fn end_watches(&self) {
        self.shown.hub.end_watches();
    }

    /// Refuses what is written here, until [`Instance::take_writes`].
    pub fn refuse_writes(&self, detail: &str) {
        *self.refusal() = Some(detail.to_owned());
    }

    /// Takes writes again.
    pub fn take_writes(&self) {
        *self.refusal() = None;
    }

    fn refusal(&self) -> MutexGuard<'_, Option<String>> {
        self.shown.refusal.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Instance").finish_non_exhaustive()
    }
}

#[async_trait]
impl ResourceStore for Instance {
    async fn get(&self, key: &Key) -> Result<Option<Stored>, StoreError> {
        Ok(self.shown.hub.index().get(key).cloned())
    }

    async fn list(&self, query: &Query) -> Result<Page, StoreError> {
        Ok(self.shown.hub.index().list(query))
    }

    async fn apply(&self, batch: Batch) -> Result<Applied, StoreError> {
        if let Some(detail) = self.refusal().clone() {
            return Err(StoreError::Unavailable { detail });
        }
        let mut shared = self.database.lock();
        batch.check_fence(Epoch(shared.instances.epoch))?;
        let mut next = shared.index.clone();
        let (applied, events) = next.apply(&batch)?;
        shared.index = next;
        shared.shown.retain(|shown| shown.strong_count() > 0);
        for shown in shared.shown.iter().filter_map(Weak::upgrade).filter(|shown| shown.is_fresh()) {
            shown.hub.publish(shared.index.clone(), &events);
        }
        Ok(applied)
    }

    fn watch(&self, kinds: Kinds) -> Watch {
        self.shown.hub.watch(kinds)
    }

    fn freshness(&self) -> watch::Receiver<Freshness> {
        self.shown.hub.freshness()
    }

    async fn settled(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
