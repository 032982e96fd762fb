//! The place of a store file: a folder of 0700, a file of 0600. SQLite gives its side files the mode of the main file.

use std::{
    fs::{self, DirBuilder, OpenOptions, Permissions},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use tracing::warn;

use super::{
    OpenError, mark,
    sides::{self, FILE_MODE},
};
use crate::Missing;

const FOLDER_MODE: u32 = 0o700;
const OTHERS: u32 = 0o077;
const EVERYBODY_WRITES: u32 = 0o002;

/// Creates the folder and the file where they are missing, and takes the file from others where it is theirs to read.
/// Refuses what others put there, or could put there while the store is opened.
pub(super) fn prepare(path: &Path, missing: Missing) -> Result<(), OpenError> {
    if missing == Missing::Refuse && !sides::is_there(path) {
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
    // SQLite opens and makes the files beside the store by name, and plays back what it finds: no look at them is late
    // enough. A group is somebody's decision (a volume of an orchestrator); everybody is whoever comes along.
    if found.mode() & EVERYBODY_WRITES != 0 {
        return Err(OpenError::OpenToAll { path: folder, mode: found.mode() & 0o7777 });
    }
    // a folder that was there may have other uses, so its mode is left alone
    if found.mode() & OTHERS != 0 {
        warn!(folder = %folder.display(), "others can enter the folder of the store");
    }
    match fs::symlink_metadata(path) {
        // a folder is an error of the system when it is opened
        Ok(found) if !found.is_file() && !found.is_dir() => {
            return Err(OpenError::NoFile { path: path.to_owned() });
        }
        Ok(found) if found.len() > 0 => sides::check(path)?,
        Ok(_) | Err(_) => {
            sides::check(path)?;
            // before anything else is there: whatever a kill leaves, it is known to be new
            if missing == Missing::Create {
                mark::begin(path)?;
            }
        }
    }
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).write(true).mode(FILE_MODE);
    let file = sides::open_as_it_is(path, &mut options).map_err(failed(path))?;
    let found = file.metadata().map_err(failed(path))?;
    ours(path, found.uid())?;
    if found.mode() & OTHERS != 0 {
        file.set_permissions(Permissions::from_mode(FILE_MODE)).map_err(failed(path))?;
    }
    Ok(())
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
