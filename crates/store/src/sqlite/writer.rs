//! The one thread that writes: batches that wait together are committed together.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use tracing::{error, warn};

use crate::{
    Applied, Batch, StoreError,
    hub::Hub,
    journal::{Effort, Journal, Missed, WriteError, Writing as _},
};

/// How many batches share a transaction at most, so that the first does not wait for the last for long.
const GROUP: usize = 256;

/// What is asked of the writer, and where the answer goes.
pub(super) enum Request {
    /// A batch.
    Apply { batch: Batch, answer: oneshot::Sender<Result<Applied, StoreError>> },
    /// That what was asked for before is done.
    Settle { answer: oneshot::Sender<Result<(), StoreError>> },
}

/// Owns the database.
pub(super) struct Writer<J> {
    journal: J,
    hub: Arc<Hub>,
    /// A transaction failed and the database was not looked at since.
    in_doubt: bool,
}

impl<J: Journal> Writer<J> {
    /// Returns the writer of an open database.
    pub(super) fn new(journal: J, hub: Arc<Hub>) -> Self {
        Self { journal, hub, in_doubt: false }
    }

    /// Writes until the store is dropped.
    pub(super) fn run(mut self, mut queue: mpsc::Receiver<Request>) {
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
        for request in group {
            match request {
                Request::Apply { batch, answer } => {
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
    fn write(&mut self, batches: &[Batch]) -> Vec<Result<Applied, StoreError>> {
        match self.commit(batches) {
            Ok(results) => self.with_more_room(batches, results),
            Err(cause) if batches.len() == 1 => self.with_more_room(batches, vec![Err(cause)]),
            Err(_) => batches.iter().flat_map(|batch| self.write(std::slice::from_ref(batch))).collect(),
        }
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

    /// All batches in one transaction: the database first, then the index and the watchers. An error means that none of
    /// them is in the index; whether it is in the database is in doubt.
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

    /// Makes sure that the index is what the database holds, also after a failed transaction.
    fn settle(&mut self) -> Result<(), StoreError> {
        let missed = self.journal.catch_up(self.hub.index().version(), self.in_doubt)?;
        self.in_doubt = false;
        match missed {
            Missed::Nothing => {}
            Missed::All(index) => self.hub.restart(index),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::PathBuf};

    use futures::{FutureExt, StreamExt};
    use jiff::Timestamp;
    use model::{Key, Kind, Labels, Resource};
    use tempfile::TempDir;

    use super::*;
    use crate::{
        Event, Kinds, Missing, Options, Precondition, Write,
        index::Index,
        sqlite::{disk::Disk, journal::JournalFile, lock, place, reserve::Reserve},
    };

    fn zone(name: &str) -> Key {
        Key::global(Kind::ZONE, name)
    }

    fn put(name: &str, size: usize) -> Batch {
        let resource = Resource {
            key: zone(name),
            labels: Labels::new(),
            spec: vec![b'x'; size].into(),
            status: None,
            owner: None,
            created: Timestamp::UNIX_EPOCH,
            modified: Timestamp::UNIX_EPOCH,
        };
        Batch::of(vec![Write::Put { resource, expect: Precondition::Any }])
    }

    fn delete(name: &str) -> Batch {
        Batch::of(vec![Write::Delete { key: zone(name), expect: Precondition::Present }])
    }

    fn writer(folder: &TempDir) -> (Writer<Disk>, PathBuf) {
        let file = folder.path().join("store.db");
        place::prepare(&file, Missing::Create).unwrap();
        let lock = lock::hold(&file).unwrap();
        let (journal, index) = JournalFile::open(&file, Missing::Create).unwrap();
        let disk = Disk::new(journal, Reserve::beside(&file), lock);
        (Writer::new(disk, Arc::new(Hub::new(index, Options::default()))), file)
    }

    fn names(index: &Index) -> Vec<String> {
        index.picture(&Kinds::All).iter().map(|stored| stored.resource.key.name.clone()).collect()
    }

    /// Closes the file and returns the names in it.
    fn names_after_restart(writer: Writer<Disk>, file: &std::path::Path) -> Vec<String> {
        drop(writer);
        names(&JournalFile::open(file, Missing::Refuse).unwrap().1)
    }

    fn is_unavailable(result: &Result<Applied, StoreError>) -> bool {
        matches!(result, Err(StoreError::Unavailable { .. }))
    }

    #[test]
    fn a_batch_that_finds_no_space_fails_alone() {
        let folder = TempDir::new().unwrap();
        let (mut writer, file) = writer(&folder);
        writer.journal.file.limit_pages(40);
        let mut large = put("part", 10);
        large.writes.extend(put("large", 1 << 20).writes);
        let results = writer.write(&[put("before", 10), large, put("after", 10), delete("missing"), delete("part")]);
        assert!(results[0].is_ok() && results[2].is_ok(), "{results:?}");
        assert!(is_unavailable(&results[1]));
        assert_eq!(results[3], Err(StoreError::NotFound { key: zone("missing") }));
        assert_eq!(results[4], Err(StoreError::NotFound { key: zone("part") }));
        assert_eq!(names(&writer.hub.index()), ["after", "before"]);
        assert_eq!(names_after_restart(writer, &file), ["after", "before"]);
    }

    #[test]
    fn a_full_store_can_still_delete() {
        let folder = TempDir::new().unwrap();
        let (mut writer, file) = writer(&folder);
        writer.journal.file.limit_pages(40);
        assert!(writer.write(&[put("large", 100_000)])[0].is_ok());
        assert!(is_unavailable(&writer.write(&[put("second", 100_000)])[0]));
        assert!(writer.write(&[delete("large")])[0].is_ok());
        assert!(writer.write(&[put("second", 100_000)])[0].is_ok());
        assert_eq!(names_after_restart(writer, &file), ["second"]);
    }

    #[test]
    fn a_batch_that_fails_halfway_leaves_nothing_in_the_transaction_of_others() {
        let folder = TempDir::new().unwrap();
        let (mut writer, file) = writer(&folder);
        assert!(writer.write(&[put("stolen", 10)])[0].is_ok());
        writer.journal.file.execute("DELETE FROM resources WHERE name = 'stolen'");
        let mut half = put("half", 10);
        half.writes.extend(delete("stolen").writes);
        let results = writer.write(&[put("before", 10), half, put("after", 10)]);
        assert!(results[0].is_ok() && results[2].is_ok(), "{results:?}");
        assert!(matches!(results[1], Err(StoreError::Corrupt { .. })), "{results:?}");
        assert_eq!(names(&writer.hub.index()), ["after", "before", "stolen"]);
        assert_eq!(names_after_restart(writer, &file), ["after", "before"]);
    }

    #[test]
    fn after_a_failed_transaction_the_file_is_opened_anew() {
        let folder = TempDir::new().unwrap();
        let (mut writer, _file) = writer(&folder);
        // this limit is one of the connection
        writer.journal.file.execute("PRAGMA max_page_count = 10; SELECT 1;");
        assert!(is_unavailable(&writer.write(&[put("large", 100_000)])[0]));
        assert!(writer.write(&[put("large", 100_000)])[0].is_ok());
    }

    #[test]
    fn a_failed_write_that_is_in_the_file_after_all_is_told() {
        let folder = TempDir::new().unwrap();
        let (mut writer, _file) = writer(&folder);
        assert!(writer.write(&[put("old", 10)])[0].is_ok());
        let mut watch = writer.hub.watch(Kinds::All);
        while watch.next().now_or_never().is_some() {}
        // as if the disk had failed after it wrote
        let mut index = writer.hub.index();
        let (applied, changes) = index.apply(&put("ghost", 10)).unwrap();
        let mut writing = writer.journal.file.begin().unwrap();
        assert!(writing.write(&changes).is_ok());
        writing.commit(applied.version).unwrap();
        writer.in_doubt = true;

        let next = writer.write(&[put("new", 10)]).remove(0).unwrap();
        assert!(next.version > applied.version);
        assert_eq!(names(&writer.hub.index()), ["ghost", "new", "old"]);
        assert_eq!(watch.next().now_or_never(), Some(Some(Event::Init)));
    }

    #[test]
    fn a_file_that_went_away_stops_writes_until_it_is_back() {
        let folder = TempDir::new().unwrap();
        let (mut writer, file) = writer(&folder);
        assert!(writer.write(&[put("old", 10)])[0].is_ok());
        writer.in_doubt = true;
        let away = folder.path().join("away");
        let log = folder.path().join("store.db-wal");
        fs::rename(&file, &away).unwrap();
        let log_bytes = fs::read(&log).unwrap();
        for name in ["one", "two"] {
            assert!(is_unavailable(&writer.write(&[put(name, 10)])[0]));
            assert_eq!(names(&writer.hub.index()), ["old"]);
        }
        fs::rename(&away, &file).unwrap();
        fs::write(&log, log_bytes).unwrap();
        assert!(writer.write(&[put("three", 10)])[0].is_ok());
        assert_eq!(names_after_restart(writer, &file), ["old", "three"]);
    }
}
