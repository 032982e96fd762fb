//! The database as a journal: transactions of the one thread that writes, and what others wrote.

use std::{sync::Arc, time::Duration};

use tokio::{runtime::Handle, time::Instant};
use tracing::warn;

use super::{
    connections::{Connections, Held, within},
    error::Trouble,
    identity::Found,
    log::{self, Point, Since},
    rows::Changes,
    settings::Times,
};
use crate::{
    Event, StoreError, Version,
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
            unheard: None,
            is_there_after_all: false,
            is_away: false,
        }
    }

    /// Locks the database for a transaction; reads everything first if the log does not go on from here.
    async fn lock(&self) -> Result<(Held, Since), Trouble> {
        within(self.times.transaction(), async {
            let held = self.connections.get().await?;
            let since = log::lock(&held, self.known, &self.sealing).await?;
            Ok((held, since))
        })
        .await
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

    fn find_out(&mut self) -> Result<Missed, Trouble> {
        if let Some(unheard) = self.unheard {
            self.is_there_after_all = self.runtime.block_on(self.is_there(unheard))?;
            self.unheard = None;
        }
        let since = self.runtime.block_on(self.follow())?;
        self.take(since)
    }
}

impl Journal for Remote {
    type Writing<'a> = Transaction<'a>;

    const IS_ELSEWHERE: bool = true;

    fn begin(&mut self, _known: Version) -> Result<(Transaction<'_>, Missed), StoreError> {
        let started = Instant::now();
        let (held, missed) = match self.runtime.block_on(self.lock()) {
            Ok((held, Since::Lost)) => {
                // What is read may be much, and nobody shall wait for it.
                drop(held);
                let missed = self.take(Since::Lost).map_err(|trouble| self.failed(&trouble))?;
                let (held, since) = self.runtime.block_on(self.lock()).map_err(|trouble| self.failed(&trouble))?;
                (held, follow_on(missed, self.take(since).map_err(|trouble| self.failed(&trouble))?))
            }
            Ok((held, since)) => (held, self.take(since).map_err(|trouble| self.failed(&trouble))?),
            Err(trouble) => return Err(self.failed(&trouble)),
        };
        self.is_away = false;
        let transaction = Transaction { journal: self, held: Some(held), changes: Vec::new(), started };
        Ok((transaction, missed))
    }

    fn catch_up(&mut self, _known: Version, _in_doubt: bool) -> Result<Missed, StoreError> {
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
