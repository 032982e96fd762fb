//! The file: what is in it, and transactions that are whole or not there.

use std::{
    mem,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use model::causes;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Transaction, TransactionBehavior};
use tracing::warn;

use super::{
    copying, data_keys,
    error::{self, OpenError, failed},
    identity::{self, Opener},
    meta::{READ_META, WRITE_META},
    migrations::{self, STEPS, WITH_DATA_KEYS, WITH_IDENTITY},
    rows::{self, ReadError},
    sides, wiping,
};
use crate::{
    Event, Found, Missing, StoreError, Version,
    index::Index,
    journal::{self, WriteError},
    sealing::Sealing,
};

/// How long to wait for a shell that has the file open; other stores are kept out by the lock.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// A log that grew is cut to this many bytes when it starts anew.
const LARGEST_LOG: i64 = 1024 * 1024;
/// The log is copied into the file after so many pages of 4 KiB, in any case: what is kept back for a full disk must be
/// enough for what the file grows by then.
const PAGES_IN_THE_LOG: i64 = 128;
/// As many commits may be in the log only while the store has nothing to do.
const COMMITS_IN_THE_LOG: u32 = 32;
/// The `meta` row with the version of the last batch: it outlives the resources that carried it.
const META_VERSION: &str = "version";

/// An open store file.
#[derive(Debug)]
pub(super) struct JournalFile {
    path: PathBuf,
    connection: Connection,
    sealing: Arc<Sealing>,
    /// Whose the file is, if somebody asked.
    found: Option<Found>,
    /// What SQLite says changes when somebody else writes to the file.
    data_version: i64,
    /// Commits since the log was last copied into the file.
    commits: u32,
    /// A limit that stands for a full disk, also after the file was opened anew.
    #[cfg(test)]
    pages: Option<i64>,
}

impl JournalFile {
    /// Opens the file, creates the schema in an empty one, reads everything, and seals what is secret and is not sealed.
    /// A file of an older schema is copied then, and migrated. Whose it is does not matter without an `opener`.
    pub(super) fn open(
        path: &Path,
        missing: Missing,
        sealing: &Arc<Sealing>,
        opener: Option<&Opener>,
    ) -> Result<(Self, Index), OpenError> {
        let failed = |cause| failed(path, cause);
        sides::check_of_sqlite(path)?;
        let mut connection = match connect(path, "NORMAL") {
            Err(cause) if error::is_lack_of_space(&cause) => {
                // What is shared with readers takes a file of its own. Without space for it this program reads alone.
                warn!(error = %cause, "the disk is full: until the next start nobody else can read the store");
                connect(path, "EXCLUSIVE").map_err(failed)?
            }
            connected => connected.map_err(failed)?,
        };
        sides::check_of_sqlite(path)?;
        let taken = migrations::known_version(path, &connection, STEPS)?;
        if let Some(opener) = opener
            && taken >= WITH_IDENTITY
            && let Some(found) = identity::read(&connection).map_err(failed)?
        {
            identity::check(path, &found, opener)?;
        }
        let is_older = taken > 0 && taken < STEPS.len();
        if is_older {
            copying::check_space(path, &connection)?;
        }
        // No copy is made of secrets in plain text: what they are sealed with comes first, and takes nothing away.
        let first = if is_older { STEPS.get(..WITH_DATA_KEYS.max(taken)).unwrap_or(STEPS) } else { STEPS };
        migrations::migrate(path, &mut connection, missing, first)?;
        // What is only in the log is in no copy of the file. A reader who keeps it from being moved is no fault.
        let _busy = checkpoint(&connection, "PASSIVE");
        let index = read_and_seal(path, &mut connection, sealing)?;
        if is_older {
            copying::copy(path, &connection, STEPS.len())?;
            migrations::migrate(path, &mut connection, missing, STEPS)?;
        }
        let found = opener.map(|opener| identity::settle(path, &mut connection, &index, opener)).transpose()?;
        let data_version = data_version(&connection).map_err(failed)?;
        let journal = Self {
            path: path.to_owned(),
            connection,
            sealing: Arc::clone(sealing),
            found,
            data_version,
            commits: 0,
            #[cfg(test)]
            pages: None,
        };
        Ok((journal, index))
    }

    /// Whose the file is, if whoever opened it said who he is.
    pub(super) fn found(&self) -> Option<&Found> {
        self.found.as_ref()
    }

    /// Starts a transaction; dropping it undoes it.
    pub(super) fn begin(&mut self) -> Result<Writing<'_>, StoreError> {
        self.commits = self.commits.saturating_add(1);
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate);
        transaction
            .map(|transaction| Writing { transaction, sealing: &self.sealing })
            .map_err(|cause| error::while_running(&cause))
    }

    /// Returns whether somebody else wrote to the file: what is in memory is not what it holds then.
    pub(super) fn was_written_by_another(&self) -> bool {
        // A file that cannot be asked is looked at when it is written.
        data_version(&self.connection).is_ok_and(|version| version != self.data_version)
    }

    /// Copies the log into the file when some commits are only there: the log stays small, and a copy of the file is not
    /// far behind. Called when nothing waits to be written.
    pub(super) fn tidy(&mut self) {
        if self.commits >= COMMITS_IN_THE_LOG {
            self.commits = 0;
            let _busy = checkpoint(&self.connection, "PASSIVE");
        }
    }

    /// How many bytes of the file hold nothing: new rows go there first. None, if the file cannot be asked.
    pub(super) fn free_inside(&self) -> u64 {
        let number = |pragma: &str| self.connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
        let pages = number("freelist_count").and_then(|pages| Ok(pages * number("page_size")?));
        pages.ok().and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or_default()
    }

    /// Frees the space that the log takes, as far as readers let it.
    pub(super) fn shrink(&self) {
        let _busy = checkpoint(&self.connection, "TRUNCATE");
    }

    /// Opens the file anew and reads what is really in it.
    ///
    /// After an error of the disk the connection may hold what the file does not, or the other way round. Only a fresh
    /// connection sees what a crash would leave.
    pub(super) fn reopen(&mut self) -> Result<Index, StoreError> {
        // the old connection must let go of the file before the new one can have it
        let nowhere = Connection::open_in_memory().map_err(|cause| error::while_running(&cause))?;
        drop(mem::replace(&mut self.connection, nowhere));
        let (journal, index) = Self::open(&self.path, Missing::Refuse, &self.sealing, None)
            .map_err(|cause| StoreError::Unavailable { detail: causes::on_one_line(&cause) })?;
        self.connection = journal.connection;
        self.data_version = journal.data_version;
        #[cfg(test)]
        if let Some(pages) = self.pages {
            self.limit_pages(pages);
        }
        Ok(index)
    }

    /// The connection, for what is done while nobody writes.
    pub(super) fn connection(&mut self) -> &mut Connection {
        &mut self.connection
    }

    #[cfg(test)]
    pub(super) fn execute(&self, sql: &str) {
        self.connection.execute_batch(sql).unwrap();
    }

    #[cfg(test)]
    pub(super) fn limit_pages(&mut self, pages: i64) {
        self.pages = Some(pages);
        self.connection.pragma_update(None, "max_page_count", pages).unwrap();
    }
}

/// A transaction.
pub(super) struct Writing<'a> {
    transaction: Transaction<'a>,
    sealing: &'a Sealing,
}

impl journal::Writing for Writing<'_> {
    fn write(&mut self, changes: &[Event]) -> Result<(), WriteError> {
        let Err(cause) = self.write_or_undo(changes) else { return Ok(()) };
        let error = error::while_running(&cause);
        // some errors make SQLite give up the whole transaction, not only the savepoint
        if self.transaction.is_autocommit() {
            Err(WriteError::Transaction(error))
        } else {
            Err(WriteError::Batch(error))
        }
    }

    fn commit(self, version: Version) -> Result<(), StoreError> {
        self.commit_at(version).map_err(|cause| error::while_running(&cause))
    }
}

impl Writing<'_> {
    fn write_or_undo(&mut self, changes: &[Event]) -> rusqlite::Result<()> {
        // rolled back when dropped
        let savepoint = self.transaction.savepoint()?;
        for change in changes {
            match change {
                Event::Apply(stored) => rows::put(&savepoint, stored, self.sealing)?,
                Event::Delete { key, .. } => rows::delete(&savepoint, key)?,
                // no batch makes these
                Event::Init | Event::InitApply(_) | Event::InitDone => {}
            }
        }
        savepoint.commit()
    }

    fn commit_at(self, version: Version) -> rusqlite::Result<()> {
        let version = rows::version_number(version)?;
        self.transaction.prepare_cached(WRITE_META)?.execute((META_VERSION, version))?;
        self.transaction.commit()
    }
}

/// Takes in the data keys, or makes the first one, reads everything, and seals what lies there in plain text.
fn read_and_seal(path: &Path, connection: &mut Connection, sealing: &Sealing) -> Result<Index, OpenError> {
    let failed = |cause| failed(path, cause);
    let refused = |cause| OpenError::Sealed { path: path.to_owned(), cause };
    let keys = data_keys::read(connection).map_err(failed)?;
    sealing.take_in(&keys).map_err(refused)?;
    if keys.is_empty() && sealing.is_on() {
        let key = sealing.new_data_key().map_err(refused)?;
        data_keys::add(connection, &key).map_err(failed)?;
        sealing.take_in(&[key]).map_err(refused)?;
    }
    let (index, found) = read(connection, sealing).map_err(|cause| unreadable(path, cause))?;
    found.tell_unknown();
    if !found.plain.is_empty() {
        wiping::seal_plain(connection, sealing, &found.plain).map_err(failed)?;
    }
    wiping::wipe(connection);
    Ok(index)
}

/// `locking` is SQLite's `locking_mode`.
fn connect(path: &Path, locking: &str) -> rusqlite::Result<Connection> {
    // the file was created before, with its mode; a path is a path, not a URI
    let connection =
        Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    // Readers and backups are welcome, so the file is not locked for good: another control plane is kept out by the lock
    // beside it, and what another program writes is noticed by the data version.
    connection.pragma_update(None, "locking_mode", locking)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "journal_size_limit", LARGEST_LOG)?;
    connection.pragma_update(None, "wal_autocheckpoint", PAGES_IN_THE_LOG)?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    // The first look is what needs the files beside it.
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_row| Ok(()))?;
    Ok(connection)
}

fn data_version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))
}

fn checkpoint(connection: &Connection, how: &str) -> rusqlite::Result<()> {
    connection.query_row(&format!("PRAGMA wal_checkpoint({how})"), [], |_row| Ok(()))
}

/// Reads everything, as long as nothing changes meanwhile.
pub(super) fn read(connection: &Connection, sealing: &Sealing) -> Result<(Index, rows::Found), ReadError> {
    let mut index = Index::default();
    let version: Option<i64> = connection.query_row(READ_META, [META_VERSION], |row| row.get(0)).optional()?;
    let version = version.ok_or_else(|| ReadError::Corrupt("table `meta` has no version".to_owned()))?;
    let version =
        u64::try_from(version).map_err(|cause| ReadError::Corrupt(format!("table `meta`, row `version`: {cause}")))?;
    index.raise_version(Version(version));
    let found = rows::read_all(connection, &mut index, sealing)?;
    Ok((index, found))
}

/// What rows that cannot be read mean for who opens the file.
pub(super) fn unreadable(path: &Path, cause: ReadError) -> OpenError {
    match cause {
        ReadError::Corrupt(detail) => OpenError::Corrupt { path: path.to_owned(), detail },
        ReadError::Sqlite(cause) => failed(path, cause),
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::sqlite::place;

    #[test]
    fn every_commit_is_flushed_to_the_disk() {
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("store.db");
        place::prepare(&file, Missing::Create).unwrap();
        let (journal, _) = JournalFile::open(&file, Missing::Create, &Arc::default(), None).unwrap();
        let number =
            |pragma: &str| journal.connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0)).unwrap();
        let text =
            |pragma: &str| journal.connection.pragma_query_value(None, pragma, |row| row.get::<_, String>(0)).unwrap();
        assert_eq!((text("journal_mode"), number("synchronous")), ("wal".to_owned(), 2));
        assert_eq!(number("busy_timeout"), 5000);
    }
}
