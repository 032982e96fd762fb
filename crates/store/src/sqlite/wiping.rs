//! Seals secrets that lay in a file as they were, and wipes what rows leave behind that were sealed, or sealed anew.
//!
//! ```text
//! one transaction: rows, data keys, "there are traces"  ──►  VACUUM, log cut to nothing  ──►  no traces
//! ```
//!
//! A crash leaves the file as it was, or sealed with a note of the traces: the next one who opens it wipes them.

use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior};
use tracing::{info, warn};

use super::{
    data_keys,
    meta::{READ_META, WRITE_META},
    rows,
};
use crate::{
    Stored,
    sealing::{SealedDataKey, Sealing},
};

/// The `meta` row that says that free pages, or the log, may hold what was there before.
const META_TRACES: &str = "traces";

/// Seals what lies in a file as it is.
pub(super) fn seal_plain(connection: &mut Connection, sealing: &Sealing, plain: &[Stored]) -> rusqlite::Result<()> {
    write(connection, sealing, plain, None)?;
    info!(rows = plain.len(), "secrets that lay in the store in plain text are sealed now");
    Ok(())
}

/// Writes rows again, and data keys in place of those that are there, in one transaction that says that there are traces.
pub(super) fn write(
    connection: &mut Connection,
    sealing: &Sealing,
    secrets: &[Stored],
    keys: Option<&[SealedDataKey]>,
) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    secrets.iter().try_for_each(|stored| rows::put(&transaction, stored, sealing))?;
    if let Some(keys) = keys {
        data_keys::replace(&transaction, keys)?;
    }
    transaction.execute(WRITE_META, (META_TRACES, 1))?;
    transaction.commit()
}

/// Wipes what was there before, if there may be any of it. Needs space for a second file for a moment, and that nobody reads
/// what was there before: where that is not so it is said, and done by the next one who opens the file.
pub(super) fn wipe(connection: &Connection) {
    match try_to_wipe(connection) {
        Ok(true) => {}
        Ok(false) => warn!(
            "somebody reads the file of the store, so what lay in it in plain text, or under an older key, cannot be wiped \
             yet: the next start does it"
        ),
        Err(cause) => warn!(
            error = %cause,
            "what lay in the file of the store in plain text, or under an older key, cannot be wiped yet: the next start does it"
        ),
    }
}

/// Returns whether nothing is left.
fn try_to_wipe(connection: &Connection) -> rusqlite::Result<bool> {
    let traces: Option<i64> = connection.query_row(READ_META, [META_TRACES], |row| row.get(0)).optional()?;
    if traces.is_none() {
        return Ok(true);
    }
    // All pages are written anew, those that hold nothing are given back, and the log is cut to nothing.
    connection.execute_batch("VACUUM")?;
    if !is_cut(connection)? {
        return Ok(false);
    }
    connection.execute("DELETE FROM meta WHERE key = ?1", [META_TRACES])?;
    Ok(true)
}

fn is_cut(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| Ok(row.get::<_, i64>(0)? == 0))
}
