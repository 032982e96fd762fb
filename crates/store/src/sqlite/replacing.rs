//! Puts a whole content, and files that belong to it, in the place of a store: all of it or nothing, whatever happens.
//!
//! ```text
//! store.db.restoring/   is filled and flushed
//!        │ renamed                                  before it all is as it was, from here on it all is new
//! store.db.restored/    store.db ──► its place, the other files ──► theirs, the folder is removed
//! ```
//!
//! Whoever opens the store next goes on where a crash stopped the moves.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use model::Resource;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _};
use thiserror::Error;
use tracing::info;

use super::{
    OpenError, error,
    identity::Opener,
    journal::JournalFile,
    lock, mark, place,
    sides::{self, FILE_MODE},
};
use crate::{
    Batch, Event, Missing, Precondition, StoreError, Write,
    index::Index,
    journal::{WriteError, Writing as _},
    sealing::Sealing,
};

const FILLED: &str = ".restoring";
const READY: &str = ".restored";
const FOLDER_MODE: u32 = 0o700;
const SQLITE_SIDES: [&str; 3] = ["-wal", "-shm", "-journal"];

/// Whether what is there may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Present {
    /// A store with something in it, and a file with another content, are refused.
    Keep,
    /// It may.
    Overwrite,
}

/// A file that belongs to a store and lies in its folder.
#[derive(Debug)]
pub struct Beside<'a> {
    /// Its name.
    pub name: &'a str,
    /// What it holds.
    pub content: &'a [u8],
}

/// Why nothing was replaced. All is as it was.
#[derive(Debug, Error)]
pub enum ReplaceError {
    /// There is something already.
    #[error("`{}` {what}: nothing was written; `--overwrite` puts the new content in its place", .path.display())]
    NotEmpty {
        /// The file.
        path: PathBuf,
        /// What it is.
        what: String,
    },
    /// The store cannot be opened, or made.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The resources cannot be written.
    #[error("the resources cannot be written")]
    Write(#[source] StoreError),
    /// A file cannot be written.
    #[error("cannot write `{}`", .path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
}

/// Makes these resources, owners first, all that the store at `path` holds, and writes the files beside it. The store
/// becomes that of the cluster that a resource names, whichever it was before.
pub fn replace(
    path: &Path,
    sealing: &Arc<Sealing>,
    opener: &Opener,
    resources: Vec<Resource>,
    beside: &[Beside<'_>],
    present: Present,
) -> Result<(), ReplaceError> {
    place::prepare(path, Missing::Create)?;
    let _held = lock::hold(path)?;
    finish(path)?;
    if present == Present::Keep {
        refuse_what_is_there(path, beside)?;
    }
    let filled = sides::beside(path, FILLED);
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |cause: io::Error| ReplaceError::Io { path, cause }
    };
    if sides::is_there(&filled) {
        fs::remove_dir_all(&filled).map_err(failed(&filled))?;
    }
    DirBuilder::new().mode(FOLDER_MODE).create(&filled).map_err(failed(&filled))?;
    let written = fill(path, &filled, sealing, opener, resources, beside);
    let ready = sides::beside(path, READY);
    let moved = written.and_then(|()| fs::rename(&filled, &ready).map_err(failed(&ready)));
    if moved.is_err() {
        let _next_time = fs::remove_dir_all(&filled);
    }
    moved?;
    sync(folder(path)).map_err(failed(path))?;
    Ok(finish(path)?)
}

/// Moves what is ready to where it belongs, if a replacement was stopped there. Whoever calls has the lock.
pub(super) fn finish(path: &Path) -> Result<(), OpenError> {
    let ready = sides::beside(path, READY);
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |cause: io::Error| OpenError::Io { path, cause }
    };
    let Ok(found) = fs::symlink_metadata(&ready) else { return Ok(()) };
    let us = rustix::process::geteuid().as_raw();
    if !found.is_dir() || (found.uid() != us && found.uid() != 0) {
        return Err(OpenError::ForeignSide { path: ready, wrong: "is no folder of this user".to_owned() });
    }
    let store = path.file_name().unwrap_or_default();
    let in_place = folder(path);
    for entry in fs::read_dir(&ready).map_err(failed(&ready))? {
        let name = entry.map_err(failed(&ready))?.file_name();
        let (from, to) = (ready.join(&name), in_place.join(&name));
        sides::check_one(&from)?;
        if name == store {
            // They belong to the file that goes.
            for side in
                SQLITE_SIDES.map(|ending| sides::beside(path, ending)).iter().filter(|side| sides::is_there(side))
            {
                fs::remove_file(side).map_err(failed(side))?;
            }
        }
        fs::rename(&from, &to).map_err(failed(&to))?;
    }
    sync(in_place).map_err(failed(in_place))?;
    mark::say_used(path);
    fs::remove_dir(&ready).map_err(failed(&ready))?;
    info!(path = %path.display(), "the store has been replaced");
    Ok(())
}

fn fill(
    path: &Path,
    filled: &Path,
    sealing: &Arc<Sealing>,
    opener: &Opener,
    resources: Vec<Resource>,
    beside: &[Beside<'_>],
) -> Result<(), ReplaceError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |cause: io::Error| ReplaceError::Io { path, cause }
    };
    let file = filled.join(path.file_name().unwrap_or_default());
    place::prepare(&file, Missing::Create)?;
    let mut opener = opener.clone();
    opener.identity.cluster = resources.iter().find_map(opener.cluster_in).or(opener.identity.cluster);
    let (mut journal, index) = JournalFile::open(&file, Missing::Create, sealing, Some(&opener))?;
    write(&mut journal, index, resources).map_err(ReplaceError::Write)?;
    // The last one who closes a file copies its log into it, and removes it.
    drop(journal);
    // What is there besides is of a store that is opened.
    for entry in fs::read_dir(filled).map_err(failed(filled))? {
        let found = entry.map_err(failed(filled))?.path();
        if found != file {
            let is_log = SQLITE_SIDES.iter().any(|ending| found == sides::beside(&file, ending));
            if is_log {
                return Err(failed(&found)(io::Error::other("the log of the new store is still there")));
            }
            fs::remove_file(&found).map_err(failed(&found))?;
        }
    }
    File::open(&file).and_then(|file| file.sync_all()).map_err(failed(&file))?;
    for Beside { name, content } in beside {
        let to = filled.join(name);
        let mut file = sides::open_as_it_is(&to, OpenOptions::new().write(true).create_new(true).mode(FILE_MODE))
            .map_err(failed(&to))?;
        file.write_all(content).and_then(|()| file.sync_all()).map_err(failed(&to))?;
    }
    sync(filled).map_err(failed(filled))
}

fn write(journal: &mut JournalFile, mut index: Index, resources: Vec<Resource>) -> Result<(), StoreError> {
    let writes = resources.into_iter().map(|resource| Write::Put { resource, expect: Precondition::Absent });
    let (applied, changes): (_, Vec<Event>) = index.apply(&Batch::of(writes.collect()))?;
    let mut writing = journal.begin()?;
    writing.write(&changes).map_err(|cause| match cause {
        WriteError::Batch(cause) | WriteError::Transaction(cause) => cause,
    })?;
    writing.commit(applied.version)
}

fn refuse_what_is_there(path: &Path, beside: &[Beside<'_>]) -> Result<(), ReplaceError> {
    if fs::metadata(path).is_ok_and(|found| found.len() > 0) {
        let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY);
        let count = |connection: &Connection| -> rusqlite::Result<i64> {
            let table = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'resources'";
            match connection.query_row(table, [], |_row| Ok(())).optional()? {
                None => Ok(0),
                Some(()) => connection.query_row("SELECT count(*) FROM resources", [], |row| row.get(0)),
            }
        };
        let found = connection.and_then(|connection| count(&connection)).map_err(|cause| error::failed(path, cause))?;
        if found > 0 {
            return Err(ReplaceError::NotEmpty { path: path.to_owned(), what: format!("holds {found} resources") });
        }
    }
    for Beside { name, content } in beside {
        let other = folder(path).join(name);
        if fs::read(&other).is_ok_and(|found| !found.is_empty() && found != *content) {
            return Err(ReplaceError::NotEmpty { path: other, what: "is there with another content".to_owned() });
        }
    }
    Ok(())
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|parent| *parent != Path::new("")).unwrap_or_else(|| Path::new("."))
}

fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
