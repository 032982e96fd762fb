//! One process a file: a lock beside the store that says who holds it.
//!
//! The system frees the lock when the process ends, however it ends. The lock file itself stays: removing it would let
//! two processes lock two files of the same name.

use std::{
    ffi::OsString,
    fs::{File, OpenOptions, TryLockError},
    io::{self, Read as _, Write as _},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process,
};

use super::{OpenError, place::FILE_MODE};

/// Holds the lock of a store file as long as it lives.
#[derive(Debug)]
pub(super) struct Held {
    file: File,
}

/// Closing alone is not enough: a child process that is just being started has the file open for a moment, too.
impl Drop for Held {
    fn drop(&mut self) {
        if let Err(cause) = self.file.unlock() {
            tracing::warn!(error = %cause, "the lock of the store was not freed");
        }
    }
}

/// Takes the lock of the store at `path`, or says who has it.
pub(super) fn hold(path: &Path) -> Result<Held, OpenError> {
    let lock_path = lock_path(path);
    let failed = |cause: io::Error| OpenError::Io { path: lock_path.clone(), cause };
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).read(true).write(true).mode(FILE_MODE);
    let mut file = options.open(&lock_path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            // the other process may be between taking the lock and writing its id
            let known = file.read_to_string(&mut holder).is_ok() && !holder.trim().is_empty();
            let holder = if known { holder.trim().to_owned() } else { "(unknown)".to_owned() };
            return Err(OpenError::InUse { path: path.to_owned(), holder });
        }
        Err(TryLockError::Error(cause)) => return Err(failed(cause)),
    }
    file.set_len(0).map_err(failed)?;
    // a full disk must not stop a control plane from serving what it has
    if let Err(cause) = writeln!(file, "{}", process::id()) {
        tracing::warn!(path = %lock_path.display(), error = %cause, "lock file does not name this process");
    }
    Ok(Held { file })
}

fn lock_path(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".lock");
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn the_lock_is_free_at_once_whoever_else_has_the_file_open() {
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("store.db");
        let held = hold(&file).unwrap();
        // as a child process has it between fork and exec
        let _inherited = held.file.try_clone().unwrap();
        assert!(matches!(hold(&file), Err(OpenError::InUse { .. })));
        drop(held);
        hold(&file).unwrap();
    }
}
