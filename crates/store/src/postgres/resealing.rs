//! Seals the secrets of a database anew while stores work with it.
//!
//! ```text
//! data keys under the new key ──► a new data key ──► row by row, some at a time ──► log, old data keys and traces go
//!                            │                   │ under the lock of the revision: whoever writes after it sees it
//!                            └ every store must have the new key, or it could not open the new data key
//! ```
//!
//! Whoever writes looks, under the lock, which data key is the newest, and seals with it; so after the new one is there
//! no row comes under an older one, and an old one goes in the transaction that found no row under it. Each step leaves a
//! database that opens; a run that was stopped is run again, with another new data key.

use std::sync::Arc;

use tokio::task::block_in_place;
use tokio_postgres::{Client, Row};
use tracing::info;

use super::{
    OpenError,
    connections::{Connections, Held},
    data_keys::{self, FORGET, LOCK_REVISION, UNHURRIED},
    error::Trouble,
    log::CHANNEL,
    migrations::{self, Older, STEPS},
    rows,
    settings::Settings,
    wiping,
};
use crate::sealing::{Column, DataKeyId, Renew, Sealer, SealerError, Sealing, SealingError};

/// Whoever seals a database anew holds this lock of it.
const ALONE: &str = "SELECT pg_try_advisory_lock(7743104571913687810)";
/// Rows that are sealed under another data key than this one, some of them: writers wait meanwhile.
const OLD_ROWS: &str = r"
    SELECT kind, mesh, name, spec, status FROM resources
    WHERE (substring(spec FOR 2) = '\x0001'::bytea AND substring(spec FROM 3 FOR 4) <> $1)
       OR (substring(status FOR 2) = '\x0001'::bytea AND substring(status FROM 3 FOR 4) <> $1)
    LIMIT 100";
const RESEAL: &str = "UPDATE resources SET spec = $1, status = $2 WHERE kind = $3 AND mesh = $4 AND name = $5";
const OTHERS: &str = "
    SELECT count(DISTINCT pid) FROM pg_catalog.pg_stat_activity
    WHERE datname = current_database() AND starts_with(application_name, $1) AND application_name <> $2";

/// How a store that works with a database says there which key it has, in the list of sessions.
const SAYS_ITS_KEY: &str = "kuma-cp key ";

/// The statement with which a store says which key it has.
pub(super) fn say_key(sealing: &Sealing) -> String {
    format!("SET application_name = '{}'", says_its_key(sealing))
}

/// What a store says that has this key.
fn says_its_key(sealing: &Sealing) -> String {
    let name: String = sealing.name().unwrap_or_default().chars().filter(char::is_ascii_alphanumeric).collect();
    format!("{SAYS_ITS_KEY}{name}")
}

/// Why it was not done; the database opens all the same.
enum Refusal {
    Trouble(Trouble),
    Open(OpenError),
}

impl From<Trouble> for Refusal {
    fn from(trouble: Trouble) -> Self {
        Self::Trouble(trouble)
    }
}

impl From<tokio_postgres::Error> for Refusal {
    fn from(cause: tokio_postgres::Error) -> Self {
        Self::Trouble(cause.into())
    }
}

/// Seals a database for a new sealer in place of the present one.
pub(super) async fn reseal(
    connections: &Connections,
    settings: &Settings,
    sealing: &Sealing,
    sealer: Arc<dyn Sealer>,
    renew: Renew,
) -> Result<(), OpenError> {
    migrations::prepare(connections, settings, Older::Refuse, STEPS).await?;
    let done = async {
        let held = connections.get().await?;
        let place = settings.place();
        seal(&held, &place, sealing, sealer, renew).await?;
        held.give_back();
        Ok(())
    };
    done.await.map_err(|refusal| match refusal {
        Refusal::Trouble(trouble) => trouble.while_opening(settings.place()),
        Refusal::Open(refused) => refused,
    })
}

async fn seal(
    held: &Held,
    place: &str,
    sealing: &Sealing,
    sealer: Arc<dyn Sealer>,
    renew: Renew,
) -> Result<(), Refusal> {
    let refused = |cause: SealerError| Refusal::Open(OpenError::Sealed { place: place.to_owned(), cause });
    if !held.query_one(ALONE, &[]).await?.try_get::<_, bool>(0)? {
        return Err(Refusal::Open(OpenError::BeingResealed { place: place.to_owned() }));
    }
    data_keys::prepare(held, sealing).await?.map_err(refused)?;
    let (next, keys) = block_in_place(|| sealing.handed_to(sealer)).map_err(refused)?;
    data_keys::replace(held, &keys).await?;
    if renew == Renew::KeyAlone {
        return Ok(());
    }
    let others: i64 = held.query_one(OTHERS, &[&SAYS_ITS_KEY, &says_its_key(&next)]).await?.try_get(0)?;
    if others > 0 {
        let key = next.name().unwrap_or_default();
        return Err(Refusal::Open(OpenError::KeyNotEverywhere { place: place.to_owned(), key, others }));
    }
    let key = block_in_place(|| next.new_data_key()).map_err(refused)?;
    held.batch_execute(&format!("{UNHURRIED}; {LOCK_REVISION}")).await?;
    data_keys::insert(held, &key).await?;
    // Wakes all who listen: they take the key in before they need it.
    held.batch_execute(&format!("NOTIFY {CHANNEL}; COMMIT")).await?;
    block_in_place(|| next.take_in(std::slice::from_ref(&key))).map_err(refused)?;
    let mut count = 0;
    loop {
        let sealed = seal_some(held, &next, key.id).await?;
        count += sealed;
        if sealed == 0 {
            break;
        }
    }
    wiping::wipe(held).await;
    info!(rows = count, data_key = %key.id, "the secrets of the store are sealed under a new data key");
    Ok(())
}

/// Seals some rows anew, and returns how many. With the last ones the old data keys go.
async fn seal_some(client: &Client, sealing: &Sealing, newest: DataKeyId) -> Result<usize, Trouble> {
    let id = i64::from(newest.number());
    let in_row = newest.number().to_be_bytes();
    client.batch_execute(&format!("{UNHURRIED}; {LOCK_REVISION}")).await?;
    let rows = client.query(OLD_ROWS, &[&in_row.as_slice()]).await?;
    for row in &rows {
        seal_row(client, sealing, row).await?;
    }
    if rows.is_empty() {
        client.batch_execute(FORGET).await?;
        client.execute("DELETE FROM data_keys WHERE id <> $1", &[&id]).await?;
        wiping::note(client).await?;
    }
    client.batch_execute("COMMIT").await?;
    Ok(rows.len())
}

async fn seal_row(client: &Client, sealing: &Sealing, row: &Row) -> Result<(), Trouble> {
    let mut unknown = rows::Unknown::default();
    let Some(key) = rows::key(row, 0, &mut unknown)? else {
        let detail = "secrets of a kind that this program does not know are in it: use the program that wrote them";
        return Err(Trouble::Corrupt(detail.to_owned()));
    };
    let unable = |cause: SealingError| Trouble::Corrupt(format!("{key} cannot be sealed anew: {cause}"));
    let anew = |column: Column, found: &[u8]| {
        let opened = sealing.open(&key, column, found).map_err(unable)?;
        Ok::<_, Trouble>(sealing.seal(&key, column, &opened.content).map_err(unable)?.into_owned())
    };
    let spec = anew(Column::Spec, row.try_get(3)?)?;
    let status = row.try_get::<_, Option<&[u8]>>(4)?.map(|status| anew(Column::Status, status)).transpose()?;
    let (mesh, name) = (rows::to_column(&key.mesh), rows::to_column(&key.name));
    client.execute(RESEAL, &[&spec, &status, &key.kind.name, &mesh, &name]).await?;
    Ok(())
}
