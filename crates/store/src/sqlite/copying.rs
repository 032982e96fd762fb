//! A copy of a store beside it, made before it gets a newer schema: for whoever has to go back to the program of before.
//!
//! One file for each schema, `store.db.before-schema-3`: whole, as of one moment, with what is only in the log. It holds
//! what the store holds when its secrets are sealed, and nothing that the store wiped.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::{ffi::OsStrExt as _, fs::OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use rusqlite::{
    Connection, ToSql,
    types::{ToSqlOutput, ValueRef},
};
use tracing::info;

use super::{
    OpenError, Space,
    error::failed,
    sides::{self, FILE_MODE},
};

/// Before the number of the schema that the store is about to get.
const ENDING: &str = ".before-schema-";
/// A copy that is not whole yet.
const UNFINISHED: &str = ".unfinished";

/// Refuses a migration for whose copy there is no space. Nothing was changed.
pub(super) fn check_space(path: &Path, connection: &Connection) -> Result<(), OpenError> {
    let number = |pragma: &str| connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
    let bytes = number("page_count").and_then(|pages| Ok(pages * number("page_size")?));
    let needed = u64::try_from(bytes.map_err(|cause| failed(path, cause))?).unwrap_or_default();
    match Space::beside(path).and_then(|space| lacks(needed, space)) {
        None => Ok(()),
        Some(wanted) => Err(OpenError::NoSpaceForCopy { path: path.to_owned(), wanted }),
    }
}

/// How much must be free for a copy of this size, if less is: something has to be left for what comes after it.
fn lacks(needed: u64, space: Space) -> Option<u64> {
    let wanted = needed.saturating_add(space.low_water());
    (space.free < wanted).then_some(wanted)
}

/// Copies the store. A copy of an earlier try is replaced: the store was not migrated then, and went on.
pub(super) fn copy(path: &Path, connection: &Connection, schema: usize) -> Result<PathBuf, OpenError> {
    let to = sides::beside(path, &format!("{ENDING}{schema}"));
    let unfinished = sides::beside(&to, UNFINISHED);
    let copied = write(connection, &unfinished).and_then(|()| {
        fs::rename(&unfinished, &to)?;
        let folder = path.parent().filter(|parent| *parent != Path::new("")).unwrap_or_else(|| Path::new("."));
        File::open(folder)?.sync_all()
    });
    if let Err(cause) = copied {
        let _nothing_there = fs::remove_file(&unfinished);
        return Err(OpenError::NotCopied { path: path.to_owned(), to, cause });
    }
    info!(copy = %to.display(), "the store was copied before it gets a newer schema: remove the copy when you will not go back");
    Ok(to)
}

fn write(connection: &Connection, to: &Path) -> io::Result<()> {
    match fs::remove_file(to) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => return Err(cause),
        _ => {}
    }
    // SQLite takes an empty file, and it has its mode from the beginning.
    let file = sides::open_as_it_is(to, OpenOptions::new().write(true).create_new(true).mode(FILE_MODE))?;
    connection.execute("VACUUM INTO ?1", [Name(to)]).map_err(io::Error::other)?;
    file.sync_all()
}

/// A path as SQLite takes it, whatever bytes it has.
struct Name<'a>(&'a Path);

impl ToSql for Name<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(ValueRef::Text(self.0.as_os_str().as_bytes())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_leaves_something_of_a_disk_free() {
        let space = |free| Space { total: 1 << 30, free };
        let low = space(0).low_water();
        assert_eq!(lacks(1000, space(1000 + low)), None);
        assert_eq!(lacks(1000, space(999 + low)), Some(1000 + low));
    }
}
