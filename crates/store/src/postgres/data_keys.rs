//! The data keys in a database: made, taken in when others made some, and what is sealed with them that was not before.

use tokio::task::block_in_place;
use tokio_postgres::Client;
use tracing::info;

use super::{error::Trouble, rows, wiping};
use crate::{
    Stored,
    sealing::{Column, DataKeyId, SealedDataKey, SealerError, Sealing, SealingError},
};

const READ: &str = "SELECT id, sealed_by, sealed FROM data_keys ORDER BY id";
const INSERT: &str = "INSERT INTO data_keys (id, sealed_by, sealed) VALUES ($1, $2, $3)";
/// Several programs may start at once on an empty database: one of them makes the first key.
const LOCK: &str = "LOCK TABLE data_keys IN EXCLUSIVE MODE";
/// Nobody writes meanwhile.
pub(super) const LOCK_REVISION: &str = "SELECT revision FROM store_revision FOR UPDATE";
/// Begins a transaction that waits for whoever is in the way, and may take a while.
pub(super) const UNHURRIED: &str =
    "BEGIN; SET LOCAL lock_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0";
/// The data key that is to be sealed with.
pub(super) const NEWEST: &str = "SELECT max(id) FROM data_keys";
const SEAL: &str =
    "UPDATE resources SET spec = $1, status = $2 WHERE kind = $3 AND mesh = $4 AND name = $5 AND version = $6";
/// Stores that were behind read everything anew.
pub(super) const FORGET: &str =
    "DELETE FROM changes; DELETE FROM commits WHERE revision < (SELECT revision FROM store_revision)";

/// Takes in the data keys of a database; makes the first one. The inner error is of what seals them.
pub(super) async fn prepare(client: &Client, sealing: &Sealing) -> Result<Result<(), SealerError>, Trouble> {
    client.batch_execute(&format!("{UNHURRIED}; {LOCK}")).await?;
    let mut keys = read(client).await?;
    if keys.is_empty() && sealing.is_on() {
        // A command may take a while to answer.
        match block_in_place(|| sealing.new_data_key()) {
            Ok(key) => {
                insert(client, &key).await?;
                keys.push(key);
            }
            Err(refused) => return Ok(Err(refused)),
        }
    }
    client.batch_execute("COMMIT").await?;
    Ok(block_in_place(|| sealing.take_in(&keys)))
}

/// Takes in what others made, if the newest data key is not the one that is sealed with here. Whoever calls before he
/// writes has the lock of the revision: what is sealed with another one than the newest may be lost.
pub(super) async fn learn(client: &Client, sealing: &Sealing, newest: Option<i64>) -> Result<(), Trouble> {
    let ours = sealing.newest().map(|id| i64::from(id.number()));
    if newest.is_none() || newest == ours {
        return Ok(());
    }
    take_in_all(client, sealing).await
}

/// Takes in all data keys that there are.
pub(super) async fn take_in_all(client: &Client, sealing: &Sealing) -> Result<(), Trouble> {
    let keys = read(client).await?;
    // A command may take a while to answer.
    block_in_place(|| sealing.take_in(&keys)).map_err(Trouble::Sealed)
}

/// Puts these in the place of all that there are.
pub(super) async fn replace(client: &Client, keys: &[SealedDataKey]) -> Result<(), Trouble> {
    client.batch_execute("BEGIN; DELETE FROM data_keys").await?;
    for key in keys {
        insert(client, key).await?;
    }
    wiping::note(client).await?;
    client.batch_execute("COMMIT").await?;
    wiping::wipe(client).await;
    Ok(())
}

/// Seals what lies in the database as it is, and leaves nothing of it in its tables.
pub(super) async fn seal_plain(client: &Client, sealing: &Sealing, plain: &[Stored]) -> Result<(), Trouble> {
    client.batch_execute(&format!("{UNHURRIED}; {LOCK_REVISION}")).await?;
    learn(client, sealing, client.query_one(NEWEST, &[]).await?.try_get(0)?).await?;
    for stored in plain {
        let resource = &stored.resource;
        let key = &resource.key;
        let unable = |cause: SealingError| Trouble::Corrupt(format!("{key} cannot be sealed: {cause}"));
        let spec = sealing.seal(key, Column::Spec, &resource.spec).map_err(unable)?;
        let status = resource.status.as_deref().map(|status| sealing.seal(key, Column::Status, status));
        let status = status.transpose().map_err(unable)?;
        let (mesh, name) = (rows::to_column(&key.mesh), rows::to_column(&key.name));
        let version = rows::revision_of(stored.version)?;
        client.execute(SEAL, &[&spec, &status, &key.kind.name, &mesh, &name, &version]).await?;
    }
    client.batch_execute(FORGET).await?;
    wiping::note(client).await?;
    client.batch_execute("COMMIT").await?;
    wiping::wipe(client).await;
    info!(rows = plain.len(), "secrets that lay in the store in plain text are sealed now");
    Ok(())
}

async fn read(client: &Client) -> Result<Vec<SealedDataKey>, Trouble> {
    let rows = client.query(READ, &[]).await?;
    let key = |row: &tokio_postgres::Row| -> Result<SealedDataKey, Trouble> {
        let id: i64 = row.try_get(0)?;
        let id = u32::try_from(id).map_err(|cause| Trouble::Corrupt(format!("data key {id}: {cause}")))?;
        Ok(SealedDataKey { id: DataKeyId::of(id), sealed_by: row.try_get(1)?, sealed: row.try_get(2)? })
    };
    rows.iter().map(key).collect()
}

pub(super) async fn insert(client: &Client, key: &SealedDataKey) -> Result<(), Trouble> {
    let id = i64::from(key.id.number());
    client.execute(INSERT, &[&id, &key.sealed_by, &key.sealed]).await?;
    Ok(())
}
