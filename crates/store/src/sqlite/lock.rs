//! One process a file: a lock beside the store that says who holds it.
//!
//! The system frees the lock when the process ends, however it ends. The lock file itself stays: removing it would let
//! two processes lock two files of the same name.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, Read as _, Write as _},
    path::Path,
    process,
};

use super::{OpenError, sides};

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
    let lock_path = sides::beside(path, sides::LOCK);
    let failed = |cause: io::Error| OpenError::Io { path: lock_path.clone(), cause };
    let mut file = sides::open(&lock_path, OpenOptions::new().read(true).write(true))?;
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
