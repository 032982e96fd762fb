//! Where a file says whose it is. Files of before have no such row: the next one who opens such a file writes it.

use std::path::Path;

use model::Resource;
use rusqlite::{Connection, OptionalExtension as _, Transaction};

use super::error::{OpenError, failed};
use crate::{Found, Identity, index::Index};

const READ: &str = "SELECT mode, zone, cluster_id FROM store_identity";
const WRITE: &str = "INSERT INTO store_identity (mode, zone, cluster_id) VALUES (?1, ?2, ?3)";

/// Who opens a file.
#[derive(Clone, Debug)]
pub struct Opener {
    /// Who that is.
    pub identity: Identity,
    /// Makes a file of another zone or cluster this one's: somebody insists. Never one of another mode.
    pub takes_over: bool,
    /// The cluster that a resource names: what is in a file says whose it is where the file does not.
    pub cluster_in: fn(&Resource) -> Option<String>,
}

/// Returns whose the file is, if it says so. The table must be there.
pub(super) fn read(connection: &Connection) -> rusqlite::Result<Option<Found>> {
    let found = |row: &rusqlite::Row<'_>| Ok(Found { mode: row.get(0)?, zone: row.get(1)?, cluster: row.get(2)? });
    connection.query_row(READ, [], found).optional()
}

/// Refuses a file of another one by name.
pub(super) fn check(path: &Path, found: &Found, opener: &Opener) -> Result<(), OpenError> {
    match opener.identity.other_than(found) {
        Some(ours) if !opener.takes_over || ours.mode != found.mode => {
            Err(OpenError::OfAnother { path: path.to_owned(), found: Box::new(found.clone()), ours: Box::new(ours) })
        }
        Some(_) | None => Ok(()),
    }
}

/// Says in the file whose it is, if it does not say so already.
pub(super) fn settle(
    path: &Path,
    connection: &mut Connection,
    index: &Index,
    opener: &Opener,
) -> Result<Found, OpenError> {
    let failed = |cause| failed(path, cause);
    let found = read(connection).map_err(failed)?;
    let ours = match &found {
        Some(found) => match opener.identity.other_than(found) {
            None => return Ok(found.clone()),
            Some(ours) => ours,
        },
        None => {
            let said = index.resources().find_map(|stored| (opener.cluster_in)(&stored.resource));
            let found = said.map_or_else(|| opener.identity.of_new(), |cluster| opener.identity.of_cluster(&cluster));
            check(path, &found, opener)?;
            found
        }
    };
    let transaction = connection.transaction().map_err(failed)?;
    write(&transaction, &ours).map_err(failed)?;
    transaction.commit().map_err(failed)?;
    Ok(ours)
}

fn write(transaction: &Transaction<'_>, ours: &Found) -> rusqlite::Result<()> {
    transaction.execute("DELETE FROM store_identity", [])?;
    transaction.execute(WRITE, (&ours.mode, &ours.zone, &ours.cluster)).map(drop)
}
