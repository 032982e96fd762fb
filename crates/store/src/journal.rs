//! What a database does for a store whose reads come from memory: keep what was decided, whole batches or nothing.
//!
//! ```text
//! Journaled   queue, writer thread, index, watches     one for all databases
//! Journal     transactions, and what others wrote      one folder a database
//! ```
//!
//! The rules (conditions, owners, versions) are the index's, tried before anything is written: a journal knows none.

use std::time::Duration;

use crate::{Epoch, Event, StoreError, Version, index::Index};

/// A database that keeps what an index holds. Owned by the thread that writes.
pub(crate) trait Journal: Send + 'static {
    /// A transaction; dropping it undoes it.
    type Writing<'a>: Writing;

    /// Whether the database is elsewhere: others write to it, `begin` returns what they wrote, and answers get lost.
    const IS_ELSEWHERE: bool = false;

    /// Starts a transaction; until it ends nobody else writes. Returns with it what the database holds and the index of
    /// version `known` does not, if others write to it too: the next version follows the last one of all of them.
    fn begin(&mut self, known: Version) -> Result<(Self::Writing<'_>, Missed), StoreError>;

    /// Returns what the database holds and the index of version `known` does not. `in_doubt` says that a transaction
    /// failed, and that nobody knows whether it is there.
    fn catch_up(&mut self, known: Version, in_doubt: bool) -> Result<Missed, StoreError>;

    /// Called when a transaction was committed, before anybody hears of it; `index` is what the database holds now.
    fn committed(&mut self, index: &Index);

    /// Says why nothing but what is for safety is to be written now, if that is so.
    fn refusal(&mut self) -> Option<String>;

    /// Makes room for a batch that is for safety and found none; returns whether to try it once more.
    fn make_room(&mut self, effort: Effort) -> bool;

    /// Called when nothing waits to be written.
    fn rest(&mut self);

    /// Whether the last commit is there although it was not said so. Asked after [`Journal::catch_up`] in doubt.
    fn is_there_after_all(&mut self) -> bool {
        false
    }

    /// Whether the database cannot be reached: a smaller transaction would fail as well.
    fn is_away(&self) -> bool {
        false
    }

    /// How long a batch may have waited for its turn; one that waited longer is refused.
    fn patience(&self) -> Option<Duration> {
        None
    }
}

/// A transaction of a [`Journal`].
pub(crate) trait Writing {
    /// The epoch of whoever leads among those that write to the database, which is no other before the transaction ends.
    fn epoch(&self) -> Epoch {
        Epoch::ALONE
    }

    /// Adds the changes of one batch, all or none.
    fn write(&mut self, changes: &[Event]) -> Result<(), WriteError>;

    /// Makes the transaction durable. `version` is that of its last batch.
    fn commit(self, version: Version) -> Result<(), StoreError>;
}

/// Why a batch is not in the transaction.
#[cfg_attr(not(feature = "sqlite"), expect(dead_code, reason = "a database that writes at the end fails at the end"))]
pub(crate) enum WriteError {
    /// This batch was undone; the batches before it are still in.
    Batch(StoreError),
    /// The transaction is gone with all its batches.
    Transaction(StoreError),
}

/// What a database holds and an index does not.
pub(crate) enum Missed {
    /// Nothing.
    Nothing,
    /// These changes, in order, up to this version.
    #[cfg_attr(
        not(any(test, feature = "postgres")),
        expect(dead_code, reason = "a file has no other writers; a database that is shared has")
    )]
    Changes(Vec<Event>, Version),
    /// Nobody knows: this is all that the database holds.
    All(Index),
}

/// How far a journal goes to make room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effort {
    /// Gives up what is kept back for this.
    First,
    /// Does whatever else may help.
    Last,
}
