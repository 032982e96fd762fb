//! The database as a journal: transactions of the one thread that writes, and what others wrote.

use std::{sync::Arc, time::Duration};

use tokio::{runtime::Handle, time::Instant};
use tracing::warn;

use super::{
    connections::{Connections, Held, within},
    error::Trouble,
    identity::Found,
    log::{self, Locked, Point, Since},
    rows::Changes,
    settings::Times,
};
use crate::{
    Epoch, Event, StoreError, Version,
    index::Index,
    journal::{Effort, Journal, Missed, WriteError, Writing},
    sealing::Sealing,
};

/// A database that any number of stores write to.
pub(super) struct Remote {
    runtime: Handle,
    connections: Arc<Connections>,
    times: Times,
    /// Whose database it is.
    found: Found,
    sealing: Arc<Sealing>,
    /// The last commit that the index has.
    known: Point,
    /// Who led in the last transaction.
    epoch: Epoch,
    /// A commit whose answer got lost.
    unheard: Option<Point>,
    is_there_after_all: bool,
    is_away: bool,
}

impl Remote {
    /// Returns the journal for an index that has this commit.
    pub(super) fn new(
        runtime: Handle,
        connections: Arc<Connections>,
        times: Times,
        found: Found,
        sealing: Arc<Sealing>,
        known: Point,
    ) -> Self {
        Self {
            runtime,
            connections,
            times,
            found,
            sealing,
            known,
            epoch: Epoch::ALONE,
            unheard: None,
            is_there_after_all: false,
            is_away: false,
        }
    }

    /// Locks the database for a transaction.
    fn lock(&mut self) -> Result<(Held, Since), Trouble> {
        let locking = within(self.times.transaction(), async {
            let held = self.connections.get().await?;
            let locked = log::lock(&held, self.known, &self.sealing).await?;
            Ok((held, locked))
        });
        let (held, Locked { since, epoch }) = self.runtime.block_on(locking)?;
        self.epoch = epoch;
        Ok((held, since))
    }

    async fn follow(&self) -> Result<Since, Trouble> {
        let limit = self.times.transaction();
        let held = within(limit, self.connections.get()).await?;
        let since = log::follow(&held, self.known, limit, &self.sealing).await?;
        held.give_back();
        Ok(since)
    }

    async fn is_there(&self, unheard: Point) -> Result<bool, Trouble> {
        within(self.times.finding_out(), async {
            let held = self.connections.get().await?;
            let is_there = log::is_there(&held, unheard).await?;
            held.give_back();
            Ok(is_there)
        })
        .await
    }

    async fn read_all(&self) -> Result<(Index, Point), Trouble> {
        warn!("the database went on without this store, or is another one: all of it is read again");
        let silence = self.times.answer;
        let held = within(silence, self.connections.get()).await?;
        let read = log::read_all(&held, &self.found, silence, &self.sealing).await?;
        held.give_back();
        Ok((read.index, read.point))
    }

    /// Moves on to what the log says.
    fn take(&mut self, since: Since) -> Result<Missed, Trouble> {
        match since {
            Since::Changes(_, point) if point == self.known => Ok(Missed::Nothing),
            Since::Changes(changes, point) => {
                self.known = point;
                Ok(Missed::Changes(changes, point.version))
            }
            Since::Lost => {
                let (index, point) = self.runtime.block_on(self.read_all())?;
                self.known = point;
                Ok(Missed::All(index))
            }
        }
    }

    fn failed(&mut self, trouble: &Trouble) -> StoreError {
        self.is_away = true;
        if trouble.is_of_the_way() {
            self.connections.forget();
        }
        trouble.while_running()
    }

    /// Locks the database for a transaction, and moves on to what is in it.
    fn lock_and_take(&mut self) -> Result<(Held, Missed), Trouble> {
        let (held, since) = self.lock()?;
        if !matches!(since, Since::Lost) {
            return Ok((held, self.take(since)?));
        }
        // What is read may be much, and nobody shall wait for it.
        drop(held);
        let all = self.take(since)?;
        let (held, since) = self.lock()?;
        Ok((held, follow_on(all, self.take(since)?)))
    }

    fn find_out(&mut self) -> Result<Missed, Trouble> {
        let since = match self.unheard {
            None => self.runtime.block_on(self.follow())?,
            // Whoever wrote waits for this.
            Some(unheard) => {
                let started = Instant::now();
                self.is_there_after_all = self.runtime.block_on(self.is_there(unheard))?;
                self.unheard = None;
                let rest = self.times.finding_out().saturating_sub(started.elapsed());
                self.runtime.block_on(within(rest, self.follow()))?
            }
        };
        self.take(since)
    }
}

impl Journal for Remote {
    type Writing<'a> = Transaction<'a>;

    const IS_ELSEWHERE: bool = true;

    fn begin(&mut self, known: Version) -> Result<(Transaction<'_>, Missed), StoreError> {
        debug_assert_eq!(known, self.known.version, "the index has what the journal says it has");
        let started = Instant::now();
        let before = self.known;
        let begun = self.lock_and_take();
        let (held, missed) = begun.map_err(|trouble| {
            // What was read is in no index.
            self.known = before;
            self.failed(&trouble)
        })?;
        self.is_away = false;
        let transaction = Transaction { journal: self, held: Some(held), changes: Vec::new(), started };
        Ok((transaction, missed))
    }

    fn catch_up(&mut self, known: Version, _in_doubt: bool) -> Result<Missed, StoreError> {
        debug_assert_eq!(known, self.known.version, "the index has what the journal says it has");
        self.is_there_after_all = false;
        let found = self.find_out();
        found.inspect(|_| self.is_away = false).map_err(|trouble| self.failed(&trouble))
    }

    fn committed(&mut self, _index: &Index) {}

    fn refusal(&mut self) -> Option<String> {
        None
    }

    fn make_room(&mut self, _effort: Effort) -> bool {
        false
    }

    fn rest(&mut self) {}

    fn is_there_after_all(&mut self) -> bool {
        self.is_there_after_all
    }

    fn is_away(&self) -> bool {
        self.is_away
    }

    fn patience(&self) -> Option<Duration> {
        Some(self.times.patience())
    }
}

/// Adds what came after everything was read.
fn follow_on(all: Missed, more: Missed) -> Missed {
    match (all, more) {
        (Missed::All(mut index), Missed::Changes(changes, version)) => {
            index.follow(&changes, version);
            Missed::All(index)
        }
        (all, Missed::Nothing) => all,
        (_, more) => more,
    }
}

/// A transaction; all of it is sent at its end.
pub(super) struct Transaction<'a> {
    journal: &'a mut Remote,
    held: Option<Held>,
    changes: Vec<Event>,
    started: Instant,
}

impl Writing for Transaction<'_> {
    fn epoch(&self) -> Epoch {
        self.journal.epoch
    }

    fn write(&mut self, changes: &[Event]) -> Result<(), WriteError> {
        self.changes.extend_from_slice(changes);
        Ok(())
    }

    fn commit(mut self, version: Version) -> Result<(), StoreError> {
        let point = Point { version, write_id: rand::random() };
        let Some(held) = self.held.take() else { return Ok(()) };
        let changes = Changes::of(&self.changes, &self.journal.sealing).map_err(|trouble| trouble.while_running())?;
        let times = self.journal.times;
        let limit = times.transaction().saturating_sub(self.started.elapsed()) + times.sending(changes.size());
        match self.journal.runtime.block_on(within(limit, log::commit(&held, &changes, point))) {
            Ok(()) => {
                self.journal.known = point;
                held.give_back();
                Ok(())
            }
            Err(trouble) if trouble.is_of_the_way() => {
                self.journal.unheard = Some(point);
                Err(self.journal.failed(&trouble))
            }
            Err(trouble) => Err(trouble.while_running()),
        }
    }
}

impl Drop for Transaction<'_> {
    /// Nothing was written: the connection is good for the next transaction.
    fn drop(&mut self) {
        let Some(held) = self.held.take() else { return };
        let limit = self.journal.times.finding_out();
        let undone = async { Ok(held.batch_execute("ROLLBACK").await?) };
        if self.journal.runtime.block_on(within(limit, undone)).is_ok() {
            held.give_back();
        }
    }
}
