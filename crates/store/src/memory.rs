//! Keeps resources in memory only: for tests, and for control planes that may forget.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use model::Key;

use crate::{Applied, Batch, Kinds, Page, Query, ResourceStore, StoreError, Stored, Watch, feed::Shared, index::Index};

/// A store that is empty after a restart.
#[derive(Debug)]
pub struct MemoryStore {
    shared: Arc<Shared>,
    /// One writer at a time: a plan is made and committed without another one in between.
    writer: Mutex<()>,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryStore {
    /// Returns an empty store.
    pub fn new() -> Self {
        Self { shared: Shared::new(Index::default()), writer: Mutex::new(()) }
    }
}

#[async_trait]
impl ResourceStore for MemoryStore {
    async fn get(&self, key: &Key) -> Result<Option<Stored>, StoreError> {
        Ok(self.shared.read(|index| index.get(key).cloned()))
    }

    async fn list(&self, query: &Query) -> Result<Page, StoreError> {
        Ok(self.shared.read(|index| index.list(query)))
    }

    async fn apply(&self, batch: Batch) -> Result<Applied, StoreError> {
        let _one_writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let (applied, changes) = self.shared.read(|index| index.plan(&batch))?;
        self.shared.commit(changes);
        Ok(applied)
    }

    fn watch(&self, kinds: Kinds) -> Watch {
        self.shared.watch(kinds)
    }
}
