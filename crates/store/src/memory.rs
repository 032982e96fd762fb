//! Resources in memory: for tests, and for control planes that get everything again from elsewhere.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use model::Key;
use tokio::sync::watch;

use crate::{
    Applied, Batch, Epoch, Freshness, Kinds, Options, Page, Query, ResourceStore, StoreError, Stored, Watch, hub::Hub,
    index::Index,
};

/// A store that is empty when the program starts.
pub struct MemoryStore {
    hub: Arc<Hub>,
}

impl MemoryStore {
    /// Returns an empty store.
    pub fn new() -> Self {
        Self::with_options(Options::default())
    }

    /// Returns an empty store with these settings.
    pub fn with_options(options: Options) -> Self {
        Self { hub: Arc::new(Hub::new(Index::default(), options)) }
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").finish_non_exhaustive()
    }
}

#[async_trait]
impl ResourceStore for MemoryStore {
    async fn get(&self, key: &Key) -> Result<Option<Stored>, StoreError> {
        Ok(self.hub.index().get(key).cloned())
    }

    async fn list(&self, query: &Query) -> Result<Page, StoreError> {
        Ok(self.hub.index().list(query))
    }

    async fn apply(&self, batch: Batch) -> Result<Applied, StoreError> {
        batch.check_fence(Epoch::ALONE)?;
        self.hub.update(|index| index.apply(&batch))
    }

    fn watch(&self, kinds: Kinds) -> Watch {
        self.hub.watch(kinds)
    }

    /// Always fresh: all that is written is written here.
    fn freshness(&self) -> watch::Receiver<Freshness> {
        self.hub.freshness()
    }

    /// Nothing waits: a batch is applied when it is asked for.
    async fn settled(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
