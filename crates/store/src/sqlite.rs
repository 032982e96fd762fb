//! Resources in one SQLite file of one process.
//!
//! ```text
//! apply -> queue -> writer thread: tried on the index, written to the journal, committed together -> index, watchers
//! get, list, watch <- index in memory
//! ```
//!
//! Other programs may read the file and back it up while it is open; nobody else may write to it.
//!
//! Reads never touch the file, so they work on when the disk does not. A batch is in the index, told to watchers and
//! answered with `Ok` only after SQLite said that its transaction is on disk (WAL, `synchronous=FULL`).

mod disk;
mod error;
mod journal;
mod lock;
mod migrations;
mod place;
mod reserve;
mod rows;
mod writer;

pub use error::OpenError;

use std::{fmt, path::Path, sync::Arc, thread};

use async_trait::async_trait;
use model::Key;
use tokio::sync::{mpsc, oneshot, watch};

use self::{
    disk::Disk,
    journal::JournalFile,
    reserve::Reserve,
    writer::{Request, Writer},
};
use crate::{
    Applied, Batch, Freshness, Kinds, Options, Page, Query, ResourceStore, StoreError, Stored, Watch, hub::Hub,
};

/// Batches that wait for the writer; more callers than that wait for a place.
const WAITING_BATCHES: usize = 1024;

/// A store in a file. Dropping it waits for the batches that are already asked for, and frees the file.
pub struct SqliteStore {
    hub: Arc<Hub>,
    requests: Option<mpsc::Sender<Request>>,
    writer: Option<thread::JoinHandle<()>>,
}

impl SqliteStore {
    /// Opens the file, or creates it and its folder. Blocks until everything is read.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        Self::open_with(path, Options::default())
    }

    /// Opens the file with these settings.
    #[expect(clippy::disallowed_types, reason = "dropping the store waits for its writer")]
    pub fn open_with(path: &Path, options: Options) -> Result<Self, OpenError> {
        place::prepare(path, options.missing)?;
        let lock = lock::hold(path)?;
        let mut reserve = Reserve::beside(path);
        let (journal, index) = match JournalFile::open(path, options.missing) {
            // Opening needs a little space for what SQLite keeps beside the file: a full disk must not stop a start.
            Err(OpenError::Sqlite { .. }) if reserve.give_up() => JournalFile::open(path, options.missing)?,
            opened => opened?,
        };
        reserve.take();
        place::mark(path);
        let hub = Arc::new(Hub::new(index, options));
        let (requests, queue) = mpsc::channel(WAITING_BATCHES);
        let writer = Writer::new(Disk::new(journal, reserve, lock), Arc::clone(&hub));
        let writer = thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || writer.run(queue))
            .map_err(|cause| OpenError::Io { path: path.to_owned(), cause })?;
        Ok(Self { hub, requests: Some(requests), writer: Some(writer) })
    }
}

/// Returns whether a store was opened at `path` at some time, whether it is there or not.
pub fn was_here(path: &Path) -> bool {
    place::marked(path).exists()
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore").finish_non_exhaustive()
    }
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        drop(self.requests.take());
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!(target: "store", "the writer of the store panicked");
        }
    }
}

#[async_trait]
impl ResourceStore for SqliteStore {
    async fn get(&self, key: &Key) -> Result<Option<Stored>, StoreError> {
        Ok(self.hub.index().get(key).cloned())
    }

    async fn list(&self, query: &Query) -> Result<Page, StoreError> {
        Ok(self.hub.index().list(query))
    }

    /// Cancel safe up to the queue; a batch that is queued is written even if nobody waits for the answer.
    async fn apply(&self, batch: Batch) -> Result<Applied, StoreError> {
        self.ask(|answer| Request::Apply { batch, answer }).await
    }

    fn watch(&self, kinds: Kinds) -> Watch {
        self.hub.watch(kinds)
    }

    /// Always fresh: all that is written is written here. A disk that fails refuses what is new and hides nothing that
    /// was acknowledged; another program that writes to the file breaks the rules, and is noticed with the next write.
    fn freshness(&self) -> watch::Receiver<Freshness> {
        self.hub.freshness()
    }

    async fn settled(&self) -> Result<(), StoreError> {
        self.ask(|answer| Request::Settle { answer }).await
    }
}

impl SqliteStore {
    /// Asks the writer for something and waits for its answer.
    async fn ask<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<Result<T, StoreError>>) -> Request,
    ) -> Result<T, StoreError> {
        let stopped = || StoreError::Unavailable { detail: "the writer of the store has stopped".to_owned() };
        let (answer, answered) = oneshot::channel();
        let requests = self.requests.as_ref().ok_or_else(stopped)?;
        requests.send(request(answer)).await.map_err(|_closed| stopped())?;
        answered.await.map_err(|_closed| stopped())?
    }
}
