//! The place of a store file: a folder of 0700, a file of 0600. SQLite gives its side files the mode of the main file.

use std::{
    ffi::OsString,
    fs::{DirBuilder, OpenOptions, Permissions},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use tracing::warn;

use super::OpenError;
use crate::Missing;

/// The mode of every file of a store.
pub(super) const FILE_MODE: u32 = 0o600;
const FOLDER_MODE: u32 = 0o700;
const OTHERS: u32 = 0o077;

/// Creates the folder and the file where they are missing, and takes the file from others where it is theirs to read.
pub(super) fn prepare(path: &Path, missing: Missing) -> Result<(), OpenError> {
    if missing == Missing::Refuse && !path.exists() {
        return Err(OpenError::Missing { path: path.to_owned() });
    }
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |cause: io::Error| OpenError::Io { path, cause }
    };
    let folder = folder(path);
    DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(&folder).map_err(failed(&folder))?;
    let found = folder.metadata().map_err(failed(&folder))?;
    ours(&folder, found.uid())?;
    // a folder that was there may have other uses, so its mode is left alone
    if found.mode() & OTHERS != 0 {
        warn!(folder = %folder.display(), "others can enter the folder of the store");
    }
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).write(true).mode(FILE_MODE);
    let file = options.open(path).map_err(failed(path))?;
    let found = file.metadata().map_err(failed(path))?;
    ours(path, found.uid())?;
    if found.mode() & OTHERS != 0 {
        file.set_permissions(Permissions::from_mode(FILE_MODE)).map_err(failed(path))?;
    }
    Ok(())
}

/// Leaves an empty file beside the store that says that there was one: unlike what is kept back for a full disk it stays,
/// whatever happens to the store.
pub(super) fn mark(path: &Path) {
    let mark = marked(path);
    let mut options = OpenOptions::new();
    if let Err(cause) = options.create(true).append(true).mode(FILE_MODE).open(&mark) {
        warn!(file = %mark.display(), error = %cause, "nothing says that there is a store, should it get lost");
    }
}

/// The file that says that there was a store at `path`.
pub(super) fn marked(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".made");
    PathBuf::from(name)
}

/// What another user owns is theirs to change: keys in it are no secrets. A folder of root's is as good as one of ours.
fn ours(path: &Path, owner: u32) -> Result<(), OpenError> {
    let us = rustix::process::geteuid().as_raw();
    if owner == us || owner == 0 {
        return Ok(());
    }
    Err(OpenError::NotOurs { path: path.to_owned(), owner, us })
}

fn folder(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}
