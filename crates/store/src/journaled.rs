//! A store over a [`Journal`]: reads come from memory, writes go through one thread.
//!
//! ```text
//! apply -> queue -> writer thread: tried on the index, written to the journal, committed together -> index, watchers
//! get, list, watch <- index in memory
//! ```
//!
//! A batch is in the index, told to watchers and answered with `Ok` only after the journal said that it is durable.

#[cfg(test)]
mod tests;

use std::{io, sync::Arc, thread};

use async_trait::async_trait;
use model::Key;
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::Instant,
};

use crate::{
    Applied, Batch, Freshness, Kinds, Options, Page, Query, ResourceStore, StoreError, Stored, Watch,
    hub::Hub,
    index::Index,
    journal::Journal,
    writer::{Request, Writer},
};

/// Batches that wait for the writer; more callers than that wait for a place.
const WAITING_BATCHES: usize = 1024;

/// A store whose journal is written by a thread of its own. Dropping it waits for the batches that are already asked for,
/// and closes the journal.
pub(crate) struct Journaled {
    hub: Arc<Hub>,
    requests: Option<mpsc::Sender<Request>>,
    writer: Option<thread::JoinHandle<()>>,
}

impl Journaled {
    /// Starts the writer of a journal that holds what the index does.
    #[expect(clippy::disallowed_types, reason = "dropping the store waits for its writer")]
    pub(crate) fn start(journal: impl Journal, index: Index, options: Options) -> io::Result<Self> {
        let hub = Arc::new(Hub::new(index, options));
        let (requests, queue) = mpsc::channel(WAITING_BATCHES);
        let writer = Writer::new(journal, Arc::clone(&hub));
        let writer = thread::Builder::new().name("store-writer".to_owned()).spawn(move || writer.run(queue))?;
        Ok(Self { hub, requests: Some(requests), writer: Some(writer) })
    }

    /// What readers see.
    #[cfg(feature = "postgres")]
    pub(crate) fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }

    /// Returns what makes the writer look at what others wrote. It keeps the store from nothing.
    #[cfg(feature = "postgres")]
    pub(crate) fn waker(&self) -> Waker {
        Waker(self.requests.as_ref().map(mpsc::Sender::downgrade))
    }

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

/// Makes a writer look at what others wrote.
#[cfg(feature = "postgres")]
pub(crate) struct Waker(Option<mpsc::WeakSender<Request>>);

#[cfg(feature = "postgres")]
impl Waker {
    /// Returns when all that was there is shown, or what is wrong; nothing when the store is gone.
    pub(crate) async fn settle(&self) -> Option<Result<(), StoreError>> {
        let requests = self.0.as_ref()?.upgrade()?;
        let (answer, answered) = oneshot::channel();
        requests.send(Request::Settle { answer }).await.ok()?;
        drop(requests);
        answered.await.ok()
    }
}

impl Drop for Journaled {
    fn drop(&mut self) {
        drop(self.requests.take());
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!("the writer of the store panicked");
        }
    }
}

#[async_trait]
impl ResourceStore for Journaled {
    async fn get(&self, key: &Key) -> Result<Option<Stored>, StoreError> {
        Ok(self.hub.index().get(key).cloned())
    }

    async fn list(&self, query: &Query) -> Result<Page, StoreError> {
        Ok(self.hub.index().list(query))
    }

    /// Cancel safe up to the queue; a batch that is queued is written even if nobody waits for the answer.
    async fn apply(&self, batch: Batch) -> Result<Applied, StoreError> {
        let asked = Instant::now();
        self.ask(|answer| Request::Apply { batch, asked, answer }).await
    }

    fn watch(&self, kinds: Kinds) -> Watch {
        self.hub.watch(kinds)
    }

    fn freshness(&self) -> watch::Receiver<Freshness> {
        self.hub.freshness()
    }

    /// Shows what others wrote by now, too, if the journal is one that others write to: whoever hears that they did asks
    /// for this.
    async fn settled(&self) -> Result<(), StoreError> {
        self.ask(|answer| Request::Settle { answer }).await
    }
}
