//! Keeps resources in one SQLite file, the default of a control plane.
//!
//! Reads and watches are answered from memory; a write is answered when the file has it. One thread owns the
//! connection; batches that wait together share one transaction, each in a savepoint of its own, so that the cost of a
//! durable commit is paid once. The file belongs to one process at a time.

mod file;
mod writer;

use std::{path::Path, sync::Arc};

use async_trait::async_trait;
pub use file::OpenError;
use model::Key;
use tokio::sync::oneshot;
use writer::{Job, Writer};

use crate::{Applied, Batch, Kinds, Page, Query, ResourceStore, StoreError, Stored, Watch, feed::Shared};

/// A durable store.
pub struct SqliteStore {
    shared: Arc<Shared>,
    writer: Writer,
}

impl SqliteStore {
    /// Opens the file, or makes it; refuses one that another process holds or a newer program wrote.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let (file, index) = file::File::open(path)?;
        let shared = Shared::new(index);
        let writer = Writer::start(file, Arc::clone(&shared))?;
        Ok(Self { shared, writer })
    }
}

#[async_trait]
impl ResourceStore for SqliteStore {
    async fn get(&self, key: &Key) -> Result<Option<Stored>, StoreError> {
        Ok(self.shared.read(|index| index.get(key).cloned()))
    }

    async fn list(&self, query: &Query) -> Result<Page, StoreError> {
        Ok(self.shared.read(|index| index.list(query)))
    }

    async fn apply(&self, batch: Batch) -> Result<Applied, StoreError> {
        let gone = || StoreError::Unavailable { detail: "the writer has stopped".to_owned() };
        let (answer, answered) = oneshot::channel();
        self.writer.send(Job { batch, answer }).await.map_err(|_stopped| gone())?;
        answered.await.map_err(|_stopped| gone())?
    }

    fn watch(&self, kinds: Kinds) -> Watch {
        self.shared.watch(kinds)
    }
}
