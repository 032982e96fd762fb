//! The one thread that writes: batches that wait together are committed together.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use tracing::{error, warn};

use super::{
    journal::{Journal, WriteError},
    lock::Held,
};
use crate::{Applied, Batch, StoreError, hub::Hub};

/// How many batches share a transaction at most, so that the first does not wait for the last for long.
const GROUP: usize = 256;

/// A batch, and where its answer goes.
pub(super) struct Request {
    pub(super) batch: Batch,
    pub(super) answer: oneshot::Sender<Result<Applied, StoreError>>,
}

/// Owns the file.
pub(super) struct Writer {
    /// Closed before the lock is freed: fields are dropped in order.
    journal: Journal,
    hub: Arc<Hub>,
    /// A transaction failed and the file was not looked at since.
    in_doubt: bool,
    _lock: Held,
}

impl Writer {
    /// Returns the writer of an open file.
    pub(super) fn new(journal: Journal, hub: Arc<Hub>, lock: Held) -> Self {
        Self { journal, hub, in_doubt: false, _lock: lock }
    }

    /// Writes until the store is dropped.
    pub(super) fn run(mut self, mut queue: mpsc::Receiver<Request>) {
        let mut group = Vec::with_capacity(GROUP);
        while queue.blocking_recv_many(&mut group, GROUP) > 0 {
            let (batches, answers): (Vec<_>, Vec<_>) =
                group.drain(..).map(|request| (request.batch, request.answer)).unzip();
            for (answer, result) in answers.into_iter().zip(self.write(&batches)) {
                // whoever asked may be gone
                drop(answer.send(result));
            }
        }
    }

    /// Writes batches together; if that fails, one by one, so that a large one does not fail the small ones.
    fn write(&mut self, batches: &[Batch]) -> Vec<Result<Applied, StoreError>> {
        match self.commit(batches) {
            Ok(results) => results,
            Err(cause) if batches.len() == 1 => vec![Err(cause)],
            Err(_) => batches.iter().flat_map(|batch| self.write(std::slice::from_ref(batch))).collect(),
        }
    }

    fn commit(&mut self, batches: &[Batch]) -> Result<Vec<Result<Applied, StoreError>>, StoreError> {
        self.settle()?;
        let result = self.transact(batches);
        if let Err(cause) = &result {
            error!(target: "store", error = %cause, "the store cannot be written");
            self.in_doubt = true;
            // at once: the answer "nothing was written" should be true when it is given
            self.settle()?;
        }
        result
    }

    /// All batches in one transaction: the file first, then the index and the watchers. An error means that none of
    /// them is in the index; whether it is in the file is in doubt.
    fn transact(&mut self, batches: &[Batch]) -> Result<Vec<Result<Applied, StoreError>>, StoreError> {
        let mut index = self.hub.index();
        let before = index.version();
        let mut events = Vec::new();
        let mut results = Vec::with_capacity(batches.len());
        let mut writing = self.journal.begin()?;
        for batch in batches {
            let mut next = index.clone();
            let (applied, changes) = match next.apply(batch) {
                Ok(applied) => applied,
                Err(refused) => {
                    results.push(Err(refused));
                    continue;
                }
            };
            match writing.write(&changes) {
                Ok(()) => {
                    index = next;
                    events.extend(changes);
                    results.push(Ok(applied));
                }
                Err(WriteError::Batch(cause)) => {
                    warn!(target: "store", error = %cause, "a batch could not be written");
                    results.push(Err(cause));
                }
                Err(WriteError::Transaction(cause)) => return Err(cause),
            }
        }
        if index.version() != before {
            writing.commit(index.version())?;
            self.hub.publish(index, &events);
        }
        Ok(results)
    }

    /// After a failed transaction: makes sure that the index is what the file holds.
    fn settle(&mut self) -> Result<(), StoreError> {
        if !self.in_doubt {
            return Ok(());
        }
        let found = self.journal.reopen()?;
        self.in_doubt = false;
        if found.version() != self.hub.index().version() {
            // the disk said no and did it all the same: what it holds now is what the next start would find
            warn!(target: "store", "a write that failed is in the store, watchers start again");
            self.hub.restart(found);
        }
        Ok(())
    }
}
