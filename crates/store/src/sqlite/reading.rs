//! Reads all of a file that another program may be working with, as it was at one moment.

use std::{fs, path::Path};

use rusqlite::{Connection, OpenFlags};

use super::{
    OpenError, data_keys, error,
    identity::{self, Opener},
    journal::{self, BUSY_TIMEOUT},
    migrations::{self, STEPS, WITH_DATA_KEYS, WITH_IDENTITY},
    sides,
};
use crate::{Kinds, Stored, sealing::Sealing};

/// Returns everything that a file holds, from one transaction: nothing is written, and whoever works with the file is not
/// held up. All or nothing: resources of kinds that are unknown here are an error, and so is a file of another one than
/// `opener`.
pub fn read(path: &Path, sealing: &Sealing, opener: Option<&Opener>) -> Result<Vec<Stored>, OpenError> {
    let failed = |cause| error::failed(path, cause);
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_file() && found.len() > 0 => {}
        Ok(found) if found.is_file() => return Err(OpenError::Empty { path: path.to_owned() }),
        Ok(_) => return Err(OpenError::NoFile { path: path.to_owned() }),
        Err(_) => return Err(OpenError::Missing { path: path.to_owned() }),
    }
    sides::check_of_sqlite(path)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(failed)?;
    let moment = connection.transaction().map_err(failed)?;
    let found = migrations::known_version(path, &moment, STEPS)?;
    if found == 0 {
        return Err(OpenError::Empty { path: path.to_owned() });
    }
    if let Some(opener) = opener
        && found >= WITH_IDENTITY
        && let Some(found) = identity::read(&moment).map_err(failed)?
    {
        identity::check(path, &found, opener)?;
    }
    // A file of an older program is read as it is: whoever is about to start a newer one wants a backup before.
    if found >= WITH_DATA_KEYS {
        let keys = data_keys::read(&moment).map_err(failed)?;
        sealing.take_in(&keys).map_err(|cause| OpenError::Sealed { path: path.to_owned(), cause })?;
    }
    let (index, found) = journal::read(&moment, sealing).map_err(|cause| journal::unreadable(path, cause))?;
    if !found.unknown.is_empty() {
        let kinds = found.unknown.into_keys().collect::<Vec<_>>().join(", ");
        return Err(OpenError::UnknownKinds { path: path.to_owned(), kinds });
    }
    Ok(index.picture(&Kinds::All))
}
