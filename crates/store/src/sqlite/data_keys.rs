//! The data keys in a file: read when it is opened, made where there is none, and replaced together.

use rusqlite::{Connection, Transaction, TransactionBehavior};

use crate::sealing::{DataKeyId, SealedDataKey};

const READ: &str = "SELECT id, sealed_by, sealed FROM data_keys ORDER BY id";
const INSERT: &str = "INSERT INTO data_keys (id, sealed_by, sealed) VALUES (?1, ?2, ?3)";

/// Returns the data keys of a file.
pub(super) fn read(connection: &Connection) -> rusqlite::Result<Vec<SealedDataKey>> {
    let mut statement = connection.prepare(READ)?;
    let rows = statement.query_map([], |row| {
        Ok(SealedDataKey { id: DataKeyId::of(row.get(0)?), sealed_by: row.get(1)?, sealed: row.get(2)? })
    })?;
    rows.collect()
}

/// Adds a data key. It is durable when this returns, and before anything is sealed with it.
pub(super) fn add(connection: &mut Connection, key: &SealedDataKey) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    insert(&transaction, key)?;
    transaction.commit()
}

/// Puts these in the place of all that there are.
pub(super) fn replace(transaction: &Transaction<'_>, keys: &[SealedDataKey]) -> rusqlite::Result<()> {
    transaction.execute("DELETE FROM data_keys", [])?;
    keys.iter().try_for_each(|key| insert(transaction, key))
}

fn insert(transaction: &Transaction<'_>, key: &SealedDataKey) -> rusqlite::Result<()> {
    transaction.execute(INSERT, (key.id.number(), &key.sealed_by, &key.sealed)).map(drop)
}
