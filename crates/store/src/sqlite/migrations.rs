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
use crate::Missing;

/// The steps; the schema version of a file is how many of them it took.
pub(super) const STEPS: &[&str] =
    &[include_str!("migrations/0001_resources.sql"), include_str!("migrations/0002_data_keys.sql")];

/// The schema version from which on there are data keys.
pub(super) const WITH_DATA_KEYS: i64 = 2;

/// The `meta` row with the schema version.
const META_SCHEMA: &str = "schema";

/// Takes the steps that the file lacks. A file of a newer program, or of something else, is left as it is.
pub(super) fn migrate(
    path: &Path,
    connection: &mut Connection,
    missing: Missing,
    steps: &[&str],
) -> Result<(), OpenError> {
    let failed = |cause| failed(path, cause);
    let corrupt = |detail: String| OpenError::Corrupt { path: path.to_owned(), detail };
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
    let found = schema_version(path, &transaction)?;
    let known = i64::try_from(steps.len()).map_err(|cause| corrupt(cause.to_string()))?;
    if found == 0 && missing == Missing::Refuse {
        return Err(OpenError::Empty { path: path.to_owned() });
    }
    if found > known {
        return Err(OpenError::NewerSchema { path: path.to_owned(), found, known });
    }
    let taken = usize::try_from(found).map_err(|cause| corrupt(cause.to_string()))?;
    let lacking = steps.get(taken..).unwrap_or_default();
    if lacking.is_empty() {
        return Ok(());
    }
    for step in lacking {
        transaction.execute_batch(step).map_err(failed)?;
    }
    transaction.execute(WRITE_META, (META_SCHEMA, known)).map_err(failed)?;
    transaction.commit().map_err(failed)?;
    if found > 0 {
        info!(path = %path.display(), from = found, to = known, "the store has a newer schema now: older programs refuse it");
    }
    Ok(())
}

/// How many steps the file took; none if it is empty.
pub(super) fn schema_version(path: &Path, connection: &Connection) -> Result<i64, OpenError> {
    let failed = |cause| failed(path, cause);
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(failed)?;
    if tables == 0 {
        return Ok(0);
    }
    let meta = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = 'meta'";
    let is_store: i64 = connection.query_row(meta, [], |row| row.get(0)).map_err(failed)?;
    if is_store == 0 {
        return Err(OpenError::Foreign { path: path.to_owned() });
    }
    let found: Option<i64> =
        connection.query_row(READ_META, [META_SCHEMA], |row| row.get(0)).optional().map_err(failed)?;
    let detail = match found {
        Some(found) if found > 0 => return Ok(found),
        Some(found) => format!("no schema version {found} ever was"),
        None => "table `meta` has no schema version".to_owned(),
    };
    Err(OpenError::Corrupt { path: path.to_owned(), detail })
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

    fn version(path: &Path, connection: &Connection) -> i64 {
        schema_version(path, connection).unwrap()
    }

    #[test]
    fn an_older_file_takes_the_steps_that_it_lacks_and_no_other() {
        let folder = TempDir::new().unwrap();
        let (path, mut connection) = old_file(&folder);
        let steps = [STEPS[0], NOTE, "UPDATE resources SET note = note || ' and new'"];
        for _ in 0..2 {
            migrate(&path, &mut connection, Missing::Refuse, &steps).unwrap();
            assert_eq!(version(&path, &connection), 3);
            let row = |row: &rusqlite::Row<'_>| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?));
            let found = connection.query_row("SELECT name, note FROM resources", [], row).unwrap();
            assert_eq!(found, ("z".to_owned(), "old and new".to_owned()), "nothing is lost, and no step taken twice");
        }
        let refused = migrate(&path, &mut connection, Missing::Create, &STEPS[..1]).unwrap_err();
        assert!(matches!(refused, OpenError::NewerSchema { found: 3, known: 1, .. }), "{refused:?}");
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
    fn every_step_has_a_file_of_its_number() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/sqlite/migrations");
        let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
        files.sort();
        assert_eq!(files.len(), STEPS.len());
        for (number, (file, step)) in files.iter().zip(STEPS).enumerate() {
            let name = file.file_name().unwrap().to_str().unwrap();
            assert!(name.starts_with(&format!("{:04}_", number + 1)), "{name}");
            assert_eq!(std::fs::read_to_string(file).unwrap(), *step, "{name}");
        }
    }
}
