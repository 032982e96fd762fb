//! The one thread that writes: batches that wait together are committed together.

use std::sync::Arc;

use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};
use tracing::{error, warn};

use crate::{
    Applied, Batch, StoreError,
    hub::Hub,
    journal::{Effort, Journal, Missed, WriteError, Writing as _},
};

/// How many batches share a transaction at most, so that the first does not wait for the last for long.
const GROUP: usize = 256;

/// What is asked of the writer, and where the answer goes.
pub(crate) enum Request {
    /// A batch, and since when it waits.
    Apply { batch: Batch, asked: Instant, answer: oneshot::Sender<Result<Applied, StoreError>> },
    /// That what was asked for before is done, and what others wrote by now is shown.
    Settle { answer: oneshot::Sender<Result<(), StoreError>> },
}

/// Owns the database.
pub(crate) struct Writer<J> {
    pub(crate) journal: J,
    pub(crate) hub: Arc<Hub>,
    /// A transaction failed and the database was not looked at since.
    pub(crate) in_doubt: bool,
}

impl<J: Journal> Writer<J> {
    /// Returns the writer of an open database.
    pub(crate) fn new(journal: J, hub: Arc<Hub>) -> Self {
        Self { journal, hub, in_doubt: false }
    }

    /// Writes until the store is dropped.
    pub(crate) fn run(mut self, mut queue: mpsc::Receiver<Request>) {
        let mut group = Vec::with_capacity(GROUP);
        while queue.blocking_recv_many(&mut group, GROUP) > 0 {
            self.answer(group.drain(..));
            if queue.is_empty() {
                self.journal.rest();
            }
        }
    }

    /// Does what is asked together. Whoever asks whether all is settled hears it when all of it is: also of what came
    /// later, which is no harm.
    fn answer(&mut self, group: impl Iterator<Item = Request>) {
        let (mut batches, mut answers, mut waiting) = (Vec::new(), Vec::new(), Vec::new());
        let patience = self.journal.patience();
        for request in group {
            match request {
                Request::Apply { asked, answer, .. } if patience.is_some_and(|patience| asked.elapsed() > patience) => {
                    let detail = "the database is too slow, or does not answer".to_owned();
                    drop(answer.send(Err(StoreError::Unavailable { detail })));
                }
                Request::Apply { batch, answer, asked: _ } => {
                    batches.push(batch);
                    answers.push(answer);
                }
                Request::Settle { answer } => waiting.push(answer),
            }
        }
        if !batches.is_empty() {
            for (answer, result) in answers.into_iter().zip(self.write_or_refuse(&batches)) {
                // whoever asked may be gone
                drop(answer.send(result));
            }
        }
        if !waiting.is_empty() {
            let settled = self.settle();
            for answer in waiting {
                drop(answer.send(settled.clone()));
            }
        }
    }

    /// Where there is hardly any space: what is for safety is written, the rest is refused.
    fn write_or_refuse(&mut self, batches: &[Batch]) -> Vec<Result<Applied, StoreError>> {
        let Some(detail) = self.journal.refusal() else { return self.write(batches) };
        let write_one = |batch: &Batch| {
            if batch.is_for_safety() {
                self.write(std::slice::from_ref(batch))
            } else {
                vec![Err(StoreError::Unavailable { detail: detail.clone() })]
            }
        };
        batches.iter().flat_map(write_one).collect()
    }

    /// Writes batches together; if that fails, one by one, so that a large one does not fail the small ones.
    pub(crate) fn write(&mut self, batches: &[Batch]) -> Vec<Result<Applied, StoreError>> {
        match self.commit(batches) {
            Ok(results) => self.with_more_room(batches, results),
            Err(cause) if self.concerns_all(&cause) => batches.iter().map(|_| Err(cause.clone())).collect(),
            Err(cause) if batches.len() == 1 => self.with_more_room(batches, vec![Err(cause)]),
            Err(_) => batches.iter().flat_map(|batch| self.write(std::slice::from_ref(batch))).collect(),
        }
    }

    /// Whether no batch would do better alone; what may be there must not be written again.
    fn concerns_all(&self, cause: &StoreError) -> bool {
        matches!(cause, StoreError::Unknown { .. }) || self.journal.is_away()
    }

    /// Tries once more what is for safety and found no space.
    fn with_more_room(
        &mut self,
        batches: &[Batch],
        mut results: Vec<Result<Applied, StoreError>>,
    ) -> Vec<Result<Applied, StoreError>> {
        for (batch, result) in batches.iter().zip(&mut results).filter(|(batch, _)| batch.is_for_safety()) {
            for effort in [Effort::First, Effort::Last] {
                if matches!(result, Err(StoreError::Unavailable { .. })) && self.journal.make_room(effort) {
                    *result = self.commit_one(batch);
                }
            }
        }
        results
    }

    fn commit_one(&mut self, batch: &Batch) -> Result<Applied, StoreError> {
        let nothing = || Err(StoreError::Unavailable { detail: "nothing was written".to_owned() });
        self.commit(std::slice::from_ref(batch))?.pop().unwrap_or_else(nothing)
    }

    fn commit(&mut self, batches: &[Batch]) -> Result<Vec<Result<Applied, StoreError>>, StoreError> {
        if self.in_doubt || !J::IS_ELSEWHERE {
            self.settle()?;
        }
        let was_away = self.journal.is_away();
        let Failed { cause, results } = match self.transact(batches) {
            Ok(results) => return Ok(results),
            Err(failed) => failed,
        };
        if !was_away {
            error!(error = %cause, "the store cannot be written");
        }
        if results.is_none() && J::IS_ELSEWHERE {
            // Its end was not asked for, so it has none.
            return Err(cause);
        }
        self.in_doubt = true;
        // at once: the answer "nothing was written" should be true when it is given
        match (self.settle(), results) {
            (Ok(()), Some(results)) if self.journal.is_there_after_all() => Ok(results),
            (Ok(()), _) => Err(cause),
            (Err(_), Some(_)) if J::IS_ELSEWHERE => Err(StoreError::Unknown { detail: cause.to_string() }),
            (Err(problem), _) => Err(problem),
        }
    }

    /// All batches in one transaction: the database first, then the index and the watchers. An error means that none of
    /// them is in the index; whether it is in the database is in doubt.
    fn transact(&mut self, batches: &[Batch]) -> Result<Vec<Result<Applied, StoreError>>, Failed> {
        let asked = Instant::now();
        let (mut writing, missed) = self.journal.begin(self.hub.version())?;
        take_over(&self.hub, missed);
        if J::IS_ELSEWHERE {
            self.hub.heard(asked);
        }
        let mut index = self.hub.index();
        let before = index.version();
        let mut events = Vec::new();
        let mut results = Vec::with_capacity(batches.len());
        for batch in batches {
            let mut next = index.clone();
            let tried = batch.check_fence(writing.epoch()).and_then(|()| next.apply(batch));
            let (applied, changes) = match tried {
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
                    warn!(error = %cause, "a batch could not be written");
                    results.push(Err(cause));
                }
                Err(WriteError::Transaction(cause)) => return Err(cause.into()),
            }
        }
        if index.version() != before {
            if let Err(cause) = writing.commit(index.version()) {
                return Err(Failed { cause, results: Some(results) });
            }
            self.journal.committed(&index);
            self.hub.publish(index, &events);
        }
        Ok(results)
    }

    /// Makes sure that the index is what the database holds, also after a failed transaction.
    fn settle(&mut self) -> Result<(), StoreError> {
        let asked = Instant::now();
        let missed = self.journal.catch_up(self.hub.version(), self.in_doubt)?;
        self.in_doubt = false;
        take_over(&self.hub, missed);
        self.hub.heard(asked);
        Ok(())
    }
}

/// A transaction that failed.
struct Failed {
    cause: StoreError,
    /// What its batches did, if it is there all the same: its end was asked for.
    results: Option<Vec<Result<Applied, StoreError>>>,
}

impl From<StoreError> for Failed {
    fn from(cause: StoreError) -> Self {
        Self { cause, results: None }
    }
}

fn take_over(hub: &Hub, missed: Missed) {
    match missed {
        Missed::Nothing => {}
        Missed::Changes(changes, version) => hub.follow(&changes, version),
        Missed::All(index) => hub.restart(index),
    }
}
