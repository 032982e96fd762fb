//! Why a file cannot be opened, and what SQLite's errors mean for a caller.

use std::{
    io,
    path::{Path, PathBuf},
};

use rusqlite::ErrorCode;
use thiserror::Error;

use crate::{Found, StoreError, sealing::SealerError};

/// Why a store file was not opened. The file is as it was.
#[derive(Debug, Error)]
pub enum OpenError {
    /// Another process works with the file.
    #[error("store `{}` is in use by process {holder}: stop that one first, or work in another directory", .path.display())]
    InUse {
        /// The file.
        path: PathBuf,
        /// The process id that the lock file names.
        holder: String,
    },
    /// A newer version of this program wrote the file.
    #[error("store `{}` has schema version {found}, this program knows up to {known}: use a newer program", .path.display())]
    NewerSchema {
        /// The file.
        path: PathBuf,
        /// The version in the file.
        found: usize,
        /// The last version known here.
        known: usize,
    },
    /// There is no space for a copy of the file, and it is not migrated without one.
    #[error("store `{}` needs a newer schema, and there is no space for the copy that is made of it before: {wanted} bytes have to be free on its disk; nothing was changed", .path.display())]
    NoSpaceForCopy {
        /// The file.
        path: PathBuf,
        /// How much has to be free.
        wanted: u64,
    },
    /// The file cannot be copied, and it is not migrated without a copy.
    #[error("store `{}` needs a newer schema, and the copy that is made of it before, `{}`, cannot be written: the store keeps its schema", .path.display(), .to.display())]
    NotCopied {
        /// The file.
        path: PathBuf,
        /// The copy.
        to: PathBuf,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
    /// The file is that of another control plane.
    #[error("store `{}` is that of {found}, and this is {ours}: put the right one there, or work in another folder (general.workDir)", .path.display())]
    OfAnother {
        /// The file.
        path: PathBuf,
        /// Whose it is.
        found: Box<Found>,
        /// Who we are.
        ours: Box<Found>,
    },
    /// The file holds what a Kuma stored.
    #[error("`{}` holds the tables of a Kuma control plane, which this program neither reads nor changes: work in another folder (general.workDir)", .path.display())]
    OfKuma {
        /// The file.
        path: PathBuf,
    },
    /// The file or its folder belongs to another user.
    #[error("`{}` belongs to user {owner}, and this program runs as user {us}: work in another folder, or give it to user {us}", .path.display())]
    NotOurs {
        /// The file or folder.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Who runs this program.
        us: u32,
    },
    /// A file beside the store is not one that this program made.
    #[error("`{}` {wrong}: this program did not make it so; if it is the store's, put it back as it was (a `-wal` holds what was written last), if somebody else put it there, remove it, and work in a folder of your own (general.workDir)", .path.display())]
    ForeignSide {
        /// The file beside the store.
        path: PathBuf,
        /// What is wrong with it.
        wrong: String,
    },
    /// Everybody may put files beside the store.
    #[error("everybody may write to the folder `{}` (mode {mode:03o}), and so put files beside the store that its keys come from: take that away with `chmod o-w`, or name a folder in it that is not there yet (general.workDir): it is made for user {} alone", .path.display(), rustix::process::geteuid().as_raw())]
    OpenToAll {
        /// The folder.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// The store is a link, a pipe or a device.
    #[error("`{}` is no regular file: put the store itself there, or name the folder where it is (general.workDir)", .path.display())]
    NoFile {
        /// What is there.
        path: PathBuf,
    },
    /// There is no file, and an empty store is not wanted.
    #[error("there is no store `{}`", .path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The file is empty, and an empty store is not wanted.
    #[error("store `{}` is empty", .path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// The file is an SQLite database of something else.
    #[error("`{}` is a database, but no store: it holds something else ({tables})", .path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// The first of what it holds.
        tables: String,
    },
    /// What is in the file cannot be read.
    #[error("store `{}` is corrupt: {detail}", .path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What was found, where.
        detail: String,
    },
    /// The secrets in the file are sealed, and what opens them is not there.
    #[error("store `{}` is not opened", .path.display())]
    Sealed {
        /// The file.
        path: PathBuf,
        /// What is missing.
        #[source]
        cause: SealerError,
    },
    /// A newer version of this program wrote resources of kinds that are unknown here.
    #[error("store `{}` holds resources of kinds that this program does not know ({kinds}): use the program that wrote them", .path.display())]
    UnknownKinds {
        /// The file.
        path: PathBuf,
        /// Their names.
        kinds: String,
    },
    /// The file, its folder or its lock cannot be used.
    #[error("cannot use store `{}`", .path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
    /// SQLite cannot open the file.
    #[error("cannot open store `{}`", .path.display())]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        #[source]
        cause: rusqlite::Error,
    },
}

/// What an error of SQLite means for who opens the file.
pub(super) fn failed(path: &Path, cause: rusqlite::Error) -> OpenError {
    if is_corruption(&cause) {
        return OpenError::Corrupt { path: path.to_owned(), detail: cause.to_string() };
    }
    OpenError::Sqlite { path: path.to_owned(), cause }
}

/// Translates an error of a running store.
pub(super) fn while_running(cause: &rusqlite::Error) -> StoreError {
    let detail = cause.to_string();
    if is_corruption(cause) { StoreError::Corrupt { detail } } else { StoreError::Unavailable { detail } }
}

/// Returns whether the disk said no, and not the content.
pub(super) fn is_lack_of_space(cause: &rusqlite::Error) -> bool {
    matches!(cause.sqlite_error_code(), Some(ErrorCode::DiskFull | ErrorCode::SystemIoFailure))
}

/// Returns whether the content of the file is at fault, not the disk or the moment.
pub(super) fn is_corruption(cause: &rusqlite::Error) -> bool {
    // rows that are not there although they were read, or written, before
    matches!(cause, rusqlite::Error::StatementChangedRows(_))
        || matches!(cause.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}
