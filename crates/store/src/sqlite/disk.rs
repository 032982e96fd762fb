//! The file as a journal: its transactions, the space that is kept back for it, and the lock that keeps others out.

use tracing::warn;

use super::{
    journal::{JournalFile, Writing},
    lock::Held,
    mark::Mark,
    reserve::Reserve,
};
use crate::{
    StoreError, Version,
    index::Index,
    journal::{Effort, Journal, Missed},
};

/// A file that one process writes.
#[derive(Debug)]
pub(super) struct Disk {
    /// Closed before the lock is freed: fields are dropped in order.
    pub(super) file: JournalFile,
    /// Space for what must be written on a full disk.
    reserve: Reserve,
    mark: Mark,
    _lock: Held,
}

impl Disk {
    /// Returns the journal of an open file.
    pub(super) fn new(file: JournalFile, reserve: Reserve, mark: Mark, lock: Held) -> Self {
        Self { file, reserve, mark, _lock: lock }
    }
}

impl Journal for Disk {
    type Writing<'a> = Writing<'a>;

    /// Nobody else may write to the file.
    fn begin(&mut self, _known: Version) -> Result<(Writing<'_>, Missed), StoreError> {
        Ok((self.file.begin()?, Missed::Nothing))
    }

    fn catch_up(&mut self, known: Version, in_doubt: bool) -> Result<Missed, StoreError> {
        let by_another = self.file.was_written_by_another();
        if !in_doubt && !by_another {
            return Ok(Missed::Nothing);
        }
        let found = self.file.reopen()?;
        if by_another {
            warn!("another program wrote to the file of the store: all of it is read again; use the REST API");
        } else if found.version() != known {
            // the disk said no and did it all the same: what it holds now is what the next start would find
            warn!("a write that failed is in the store, watchers start again");
        } else {
            return Ok(Missed::Nothing);
        }
        Ok(Missed::All(found))
    }

    /// What comes first is what everything hangs on, the keys: it goes into the file itself, so that a copy of it has them
    /// and a lost log takes none along.
    fn committed(&mut self, index: &Index) {
        if self.mark.is_new() && !index.is_empty() {
            self.file.shrink();
            self.mark.used();
        }
    }

    fn refusal(&mut self) -> Option<String> {
        self.reserve.refusal(|| self.file.free_inside())
    }

    fn make_room(&mut self, effort: Effort) -> bool {
        match effort {
            Effort::First => self.reserve.give_up(),
            Effort::Last => {
                // The log of many small writes may be what fills the disk.
                self.file.shrink();
                true
            }
        }
    }

    fn rest(&mut self) {
        self.file.tidy();
        self.reserve.take();
    }
}
