//! The files beside a store, SQLite's and our own: each is a regular file of this user or of root and has one name, or it
//! is not there.
//!
//! In a folder that others may write, somebody else can put a file where one of these belongs. SQLite would take over what
//! a log or a journal says, and what we write would go where a link leads. So a file is looked at before it is used, is
//! opened without following a link and without waiting, and is never cut before its owner is known.

use std::{
    ffi::OsString,
    fs::{self, File, Metadata, OpenOptions},
    io::{self, Read as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use rustix::fs::OFlags;

use super::OpenError;

/// The mode of every file of a store.
pub(super) const FILE_MODE: u32 = 0o600;

/// Who has the store.
pub(super) const LOCK: &str = ".lock";
/// Space for a full disk.
pub(super) const RESERVE: &str = ".reserve";
/// Says that there was a store with something in it.
pub(super) const MADE: &str = ".made";
/// Says that the store was never written to.
pub(super) const NEW: &str = ".new";
const JOURNAL: &str = "-journal";
const OF_SQLITE: [&str; 3] = [JOURNAL, "-wal", "-shm"];
const OURS: [&str; 4] = [LOCK, RESERVE, MADE, NEW];
/// What is beside a file only if a store was opened there.
const TRACES: [&str; 5] = [JOURNAL, "-wal", "-shm", LOCK, RESERVE];

/// Where in the file SQLite says how it is written, and what it says there if that is with a log.
const FORMAT: std::ops::Range<usize> = 18..20;
const WITH_A_LOG: [u8; 2] = [2, 2];

/// The file beside the store at `path` with this ending.
pub(super) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(ending);
    PathBuf::from(name)
}

/// Whether there is anything of this name, a link that leads nowhere too.
pub(super) fn is_there(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

/// Whether a store left something beside `path`, marks aside.
pub(super) fn has_traces(path: &Path) -> bool {
    TRACES.iter().any(|ending| is_there(&beside(path, ending)))
}

/// Checks all files beside the store at `path`.
pub(super) fn check(path: &Path) -> Result<(), OpenError> {
    OURS.iter().try_for_each(|ending| check_one(&beside(path, ending)))?;
    check_of_sqlite(path)
}

/// Checks the files that SQLite reads with the database, before it does and after: a file that was put there in between
/// is noticed.
pub(super) fn check_of_sqlite(path: &Path) -> Result<(), OpenError> {
    OF_SQLITE.iter().try_for_each(|ending| check_one(&beside(path, ending)))?;
    // SQLite plays a journal back whatever the database says, and a store is written with a log. Only the very first
    // write is one with a journal; a kill may leave that one.
    let journal = beside(path, JOURNAL);
    if is_there(&journal) && !is_there(&beside(path, NEW)) && is_written_with_a_log(path) {
        return Err(foreign(&journal, "is a rollback journal, and a store has none".to_owned()));
    }
    Ok(())
}

/// Opens a file of a store, with what `options` say, or makes it. Nothing is cut: whoever means to does so afterwards.
pub(super) fn open(path: &Path, options: &mut OpenOptions) -> Result<File, OpenError> {
    let failed = |cause: io::Error| OpenError::Io { path: path.to_owned(), cause };
    // says better what is wrong than an error of opening does
    check_one(path)?;
    let file = open_as_it_is(path, options.create(true).mode(FILE_MODE)).map_err(failed)?;
    // what was opened may not be what was looked at
    check_found(path, &file.metadata().map_err(failed)?)?;
    Ok(file)
}

/// Opens a file without following a link in its place, and without waiting for the other end of a pipe.
pub(super) fn open_as_it_is(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    let flags = i32::try_from(flags.bits()).map_err(io::Error::other)?;
    options.custom_flags(flags).open(path)
}

/// Checks one file, if it is there.
pub(super) fn check_one(path: &Path) -> Result<(), OpenError> {
    match fs::symlink_metadata(path) {
        Ok(found) => check_found(path, &found),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(cause) => Err(OpenError::Io { path: path.to_owned(), cause }),
    }
}

fn check_found(path: &Path, found: &Metadata) -> Result<(), OpenError> {
    let us = rustix::process::geteuid().as_raw();
    let wrong = if found.is_symlink() {
        "is a link".to_owned()
    } else if !found.is_file() {
        "is no regular file".to_owned()
    } else if found.uid() != us && found.uid() != 0 {
        format!("belongs to user {}, and this program runs as user {us}", found.uid())
    } else if found.nlink() > 1 {
        // what is written to it would be written to a file elsewhere
        "has another name, too".to_owned()
    } else {
        return Ok(());
    };
    Err(foreign(path, wrong))
}

fn foreign(path: &Path, wrong: String) -> OpenError {
    OpenError::ForeignSide { path: path.to_owned(), wrong }
}

/// Not to be asked of an open store that is not refused then: closing the file would free SQLite's locks on it.
fn is_written_with_a_log(path: &Path) -> bool {
    let mut header = [0; FORMAT.end];
    let read = open_as_it_is(path, OpenOptions::new().read(true)).and_then(|mut file| file.read_exact(&mut header));
    read.is_ok() && header.get(FORMAT) == Some(&WITH_A_LOG[..])
}
