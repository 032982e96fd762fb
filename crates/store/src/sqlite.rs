//! Resources in one SQLite file of one process.
//!
//! Other programs may read the file and back it up while it is open; nobody else may write to it.
//!
//! Reads never touch the file, so they work on when the disk does not. What is durable is what SQLite said is on disk (WAL,
//! `synchronous=FULL`).

mod copying;
mod data_keys;
mod disk;
mod error;
mod identity;
mod journal;
mod lock;
mod mark;
mod meta;
mod migrations;
mod place;
mod reading;
mod replacing;
mod resealing;
mod reserve;
mod rows;
mod sides;
mod space;
#[cfg(test)]
mod tests;
mod wiping;

pub use error::OpenError;
pub use identity::Opener;
pub use mark::{Before, before, cluster_before};
pub use reading::read;
pub use replacing::{Beside, Present, ReplaceError, replace};
pub use resealing::reseal;
pub use space::Space;

use std::{fmt, path::Path, sync::Arc};

use async_trait::async_trait;
use model::Key;
use tokio::sync::watch;

use self::{disk::Disk, journal::JournalFile, mark::Mark, reserve::Reserve};
use crate::{
    Applied, Batch, Found, Freshness, Kinds, Missing, Options, Page, Query, ResourceStore, StoreError, Stored, Watch,
    journaled::Journaled, sealing::Sealing,
};

/// A store in a file. Dropping it waits for the batches that are already asked for, and frees the file.
pub struct SqliteStore {
    found: Option<Found>,
    journaled: Journaled,
}

impl SqliteStore {
    /// Opens the file, or creates it and its folder. Blocks until everything is read.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        Self::open_with(path, Options::default())
    }

    /// Opens the file with these settings, and nothing in it is sealed.
    pub fn open_with(path: &Path, options: Options) -> Result<Self, OpenError> {
        Self::open_sealed(path, options, &Arc::default())
    }

    /// Opens the file with these settings; what is secret is sealed in it, also what was there before and was not.
    pub fn open_sealed(path: &Path, options: Options, sealing: &Arc<Sealing>) -> Result<Self, OpenError> {
        Self::open_as(path, options, sealing, None)
    }

    /// The same; a file of another one than `opener` is refused, and a new one becomes this one's.
    pub fn open_as(
        path: &Path,
        options: Options,
        sealing: &Arc<Sealing>,
        opener: Option<&Opener>,
    ) -> Result<Self, OpenError> {
        place::prepare(path, options.missing)?;
        let lock = lock::hold(path)?;
        replacing::finish(path)?;
        let mut reserve = Reserve::beside(path);
        let open = || JournalFile::open(path, options.missing, sealing, opener);
        let (journal, index) = match open() {
            // Opening needs a little space for what SQLite keeps beside the file: a full disk must not stop a start.
            Err(OpenError::Sqlite { .. }) if reserve.give_up() => open()?,
            opened => opened?,
        };
        // A control plane never deletes the last of what it has: somebody emptied the tables, or the log was lost, and with
        // it the version that would tell.
        if options.missing == Missing::Refuse && index.is_empty() {
            return Err(OpenError::Empty { path: path.to_owned() });
        }
        reserve.take();
        let found = journal.found().cloned();
        let mark = Mark::of(path, index.is_empty(), found.as_ref().map(|found| found.cluster.as_str()));
        let started = Journaled::start(Disk::new(journal, reserve, mark, lock), index, options);
        let journaled = started.map_err(|cause| OpenError::Io { path: path.to_owned(), cause })?;
        Ok(Self { found, journaled })
    }

    /// Whose the file is, if whoever opened it said who he is.
    pub fn identity(&self) -> Option<&Found> {
        self.found.as_ref()
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore").finish_non_exhaustive()
    }
}

#[async_trait]
impl ResourceStore for SqliteStore {
    async fn get(&self, key: &Key) -> Result<Option<Stored>, StoreError> {
        self.journaled.get(key).await
    }

    async fn list(&self, query: &Query) -> Result<Page, StoreError> {
        self.journaled.list(query).await
    }

    async fn apply(&self, batch: Batch) -> Result<Applied, StoreError> {
        self.journaled.apply(batch).await
    }

    fn watch(&self, kinds: Kinds) -> Watch {
        self.journaled.watch(kinds)
    }

    /// Always fresh: all that is written is written here. A disk that fails refuses what is new and hides nothing that
    /// was acknowledged; another program that writes to the file breaks the rules, and is noticed with the next write.
    fn freshness(&self) -> watch::Receiver<Freshness> {
        self.journaled.freshness()
    }

    async fn settled(&self) -> Result<(), StoreError> {
        self.journaled.settled().await
    }
}
