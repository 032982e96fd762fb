//! The schema of a store file: numbered steps, one SQL file each, from nothing to what this program writes.
//!
//! A released step is never changed: files that took it are out there. What changes is a step more. All steps that a file
//! lacks are taken in one transaction, so a file has a schema that some program wrote, whatever happens.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior};
use tracing::info;

use super::{
    error::{OpenError, failed},
    meta::{READ_META, WRITE_META},
};
use crate::{
    Missing,
    schema::{self, Lacking, READ_VERSION, Tables, VERSION_TABLE, lacking, set_version},
};

/// The steps; the schema version of a file is how many of them it took.
pub(super) const STEPS: &[&str] = &[
    include_str!("migrations/0001_resources.sql"),
    include_str!("migrations/0002_data_keys.sql"),
    include_str!("migrations/0003_schema_version.sql"),
];

/// The schema version from which on there are data keys.
pub(super) const WITH_DATA_KEYS: usize = 2;
/// The schema version from which on a file says so in a table of its own, and whose it is.
pub(super) const WITH_IDENTITY: usize = 3;

/// The `meta` row with the schema version: the only one up to version 2, and what makes older programs refuse what is newer.
const META_SCHEMA: &str = "schema";

/// Takes the steps that the file lacks, in one transaction. A file of a newer program, or of something else, is left as it
/// is.
pub(super) fn migrate(
    path: &Path,
    connection: &mut Connection,
    missing: Missing,
    steps: &[&str],
) -> Result<(), OpenError> {
    let failed = |cause| failed(path, cause);
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
    let found = known_version(path, &transaction, steps)?;
    if found == 0 && missing == Missing::Refuse {
        return Err(OpenError::Empty { path: path.to_owned() });
    }
    let Lacking::Steps(script) = lacking(steps, found) else { return Ok(()) };
    transaction.execute_batch(&script).map_err(failed)?;
    let to = i64::try_from(steps.len()).unwrap_or(i64::MAX);
    transaction.execute(WRITE_META, (META_SCHEMA, to)).map_err(failed)?;
    if steps.len() >= WITH_IDENTITY {
        transaction.execute_batch(&set_version(steps)).map_err(failed)?;
    }
    transaction.commit().map_err(failed)?;
    if found > 0 {
        info!(path = %path.display(), from = found, to, "the store has a newer schema now: older programs refuse it");
    }
    Ok(())
}

/// How many steps the file took, if all of them are known.
pub(super) fn known_version(path: &Path, connection: &Connection, steps: &[&str]) -> Result<usize, OpenError> {
    let (found, known) = (schema_version(path, connection)?, steps.len());
    if lacking(steps, found) == Lacking::Newer {
        return Err(OpenError::NewerSchema { path: path.to_owned(), found, known });
    }
    Ok(found)
}

/// How many steps the file took; none if it is empty.
fn schema_version(path: &Path, connection: &Connection) -> Result<usize, OpenError> {
    let (read, table) = match Tables::of(&tables(connection).map_err(|cause| failed(path, cause))?, &OUR_TABLES) {
        Tables::None => return Ok(0),
        Tables::OfKuma => return Err(OpenError::OfKuma { path: path.to_owned() }),
        Tables::Foreign(tables) => return Err(OpenError::Foreign { path: path.to_owned(), tables }),
        Tables::Ours => version_in(connection).map_err(|cause| failed(path, cause))?,
    };
    let corrupt = |detail| OpenError::Corrupt { path: path.to_owned(), detail };
    let found = schema::version(read, table).map_err(corrupt)?;
    usize::try_from(found).map_err(|cause| corrupt(cause.to_string()))
}

const OUR_TABLES: [&str; 2] = [VERSION_TABLE, "meta"];

/// What the file says, and in which table.
fn version_in(connection: &Connection) -> rusqlite::Result<(Option<i64>, &'static str)> {
    if connection.table_exists(None, VERSION_TABLE)? {
        let found = connection.query_row(READ_VERSION, [], |row| row.get(0)).optional()?;
        return Ok((found, VERSION_TABLE));
    }
    let found = connection.query_row(READ_META, [META_SCHEMA], |row| row.get(0)).optional()?;
    Ok((found, "meta"))
}

fn tables(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare("SELECT name FROM sqlite_schema ORDER BY type <> 'table', name")?;
    statement.query_map([], |row| row.get(0))?.collect()
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    const NOTE: &str = "ALTER TABLE resources ADD COLUMN note TEXT NOT NULL DEFAULT 'old'";
    const ROW: &str = "INSERT INTO resources (kind, mesh, name, labels, spec, created, modified, version)
        VALUES ('Zone', '', 'z', '{}', x'', '1970-01-01T00:00:00Z', '1970-01-01T00:00:00Z', 1)";

    /// A file that took the first step, with a zone in it.
    fn old_file(folder: &TempDir) -> (std::path::PathBuf, Connection) {
        let path = folder.path().join("store.db");
        let mut connection = Connection::open(&path).unwrap();
        migrate(&path, &mut connection, Missing::Create, &STEPS[..1]).unwrap();
        connection.execute_batch(ROW).unwrap();
        (path, connection)
    }

    fn version(path: &Path, connection: &Connection) -> usize {
        schema_version(path, connection).unwrap()
    }

    #[test]
    fn an_older_file_takes_the_steps_that_it_lacks_and_no_other() {
        let folder = TempDir::new().unwrap();
        let (path, mut connection) = old_file(&folder);
        let steps = [STEPS[0], NOTE, STEPS[2], "UPDATE resources SET note = note || ' and new'"];
        for _ in 0..2 {
            migrate(&path, &mut connection, Missing::Refuse, &steps).unwrap();
            assert_eq!(version(&path, &connection), 4);
            let row = |row: &rusqlite::Row<'_>| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?));
            let found = connection.query_row("SELECT name, note FROM resources", [], row).unwrap();
            assert_eq!(found, ("z".to_owned(), "old and new".to_owned()), "nothing is lost, and no step taken twice");
        }
        let refused = migrate(&path, &mut connection, Missing::Create, &STEPS[..1]).unwrap_err();
        assert!(matches!(refused, OpenError::NewerSchema { found: 4, known: 1, .. }), "{refused:?}");
    }

    #[test]
    fn a_step_that_fails_leaves_the_file_as_it_was() {
        let folder = TempDir::new().unwrap();
        let (path, mut connection) = old_file(&folder);
        let refused = migrate(&path, &mut connection, Missing::Create, &[STEPS[0], NOTE, "no SQL"]).unwrap_err();
        assert!(matches!(refused, OpenError::Sqlite { .. }), "{refused:?}");
        assert_eq!(version(&path, &connection), 1);
        assert!(connection.prepare("SELECT note FROM resources").is_err(), "the steps before it are undone too");
        assert_eq!(connection.query_row("SELECT count(*) FROM resources", [], |row| row.get::<_, i64>(0)), Ok(1));
    }

    #[test]
    fn what_older_programs_look_at_says_the_same_version() {
        let folder = TempDir::new().unwrap();
        let (path, mut connection) = old_file(&folder);
        migrate(&path, &mut connection, Missing::Refuse, STEPS).unwrap();
        let meta: i64 = connection.query_row(READ_META, [META_SCHEMA], |row| row.get(0)).unwrap();
        assert_eq!((meta, version(&path, &connection)), (3, 3));
    }

    #[test]
    fn every_step_has_a_file_of_its_number() {
        schema::tests::check_files("src/sqlite/migrations", STEPS);
    }
}
