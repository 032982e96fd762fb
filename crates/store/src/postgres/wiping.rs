//! Wipes what rows leave behind that were sealed, or sealed anew.
//!
//! ```text
//! one transaction: rows, data keys, "there are traces"  ──►  nobody sees what was before  ──►  VACUUM FULL, no traces
//! ```
//!
//! `VACUUM FULL` takes dead rows along that a transaction of before may still ask for, of a backup or of an analysis, say; so
//! those are waited for. A crash leaves a database that opens, with a note of the traces: the next one who opens it, or seals
//! it anew, wipes them.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_postgres::Client;
use tracing::{info, warn};

use super::error::Trouble;

/// Where what is secret lies, or lay.
const TABLES: [&str; 3] = ["resources", "changes", "data_keys"];
/// Whoever looks at the database by hand reads it, too.
const NOTE: &str =
    "there are traces: pages may hold secrets as they were before they were sealed; VACUUM FULL wipes them";
const NOTES: &str = "SELECT obj_description('store_revision'::regclass, 'pg_class') = $1";
/// A transaction that begins now, and so sees everything that was committed until now.
const NOW: &str = "SELECT (txid_current() % 4294967296)::text";
/// Who may still ask for rows that were dead before this transaction: those who write in any database, for every view begins
/// with the oldest of them; those who look at this one; replicas, and transactions that wait for their second half.
const IN_THE_WAY: &str = "
    WITH looking AS (SELECT $1::text::xid AS since)
    SELECT format('session %s of %s', pid, coalesce(nullif(application_name, ''), usename, backend_type))
        FROM pg_catalog.pg_stat_activity, looking
        WHERE pid <> pg_backend_pid() AND (age(backend_xid) > age(since)
            OR (age(backend_xmin) > age(since) AND (datname IS NULL OR datname = current_database())))
    UNION ALL
    SELECT format('replication slot %s', slot_name) FROM pg_catalog.pg_replication_slots, looking
        WHERE age(xmin) > age(since)
    UNION ALL
    SELECT format('prepared transaction %s', gid) FROM pg_catalog.pg_prepared_xacts, looking
        WHERE age(transaction) > age(since)
    LIMIT 5";

/// So long they are waited for: what is written meanwhile goes on, but an opening waits.
const PATIENCE: Duration = Duration::from_secs(15);
const LOOK: Duration = Duration::from_millis(50);

/// Notes, in a transaction that is open, that pages will hold what was there before. Who does not own the tables may
/// neither note nor wipe it: an administrator does.
pub(super) async fn note(client: &Client) -> Result<(), Trouble> {
    let note = format!("COMMENT ON TABLE store_revision IS '{NOTE}'");
    let sql = format!("DO $$ BEGIN {note}; EXCEPTION WHEN insufficient_privilege THEN NULL; END $$");
    Ok(client.batch_execute(&sql).await?)
}

/// Wipes what somebody noted who did not come to it.
pub(super) async fn finish(client: &Client) -> Result<(), Trouble> {
    let is_noted: Option<bool> = client.query_one(NOTES, &[&NOTE]).await?.try_get(0)?;
    if is_noted == Some(true) {
        wipe(client).await;
    }
    Ok(())
}

/// Leaves nothing of before in the pages of any table. What is in the way is said, and left to the next who opens it.
pub(super) async fn wipe(client: &Client) {
    let wiped = async {
        let in_the_way = wait_until_unseen(client).await?;
        for table in TABLES {
            client.batch_execute(&format!("VACUUM FULL {table}")).await?;
        }
        if in_the_way.is_empty() {
            client.batch_execute("COMMENT ON TABLE store_revision IS NULL").await?;
        }
        Ok::<_, tokio_postgres::Error>(in_the_way)
    };
    let left = match wiped.await {
        Ok(in_the_way) if in_the_way.is_empty() => {
            info!("what was there before is wiped from the pages of the tables");
            return;
        }
        Ok(in_the_way) => format!("still seen by {}", in_the_way.join(", ")),
        Err(cause) => model::causes::on_one_line(&cause),
    };
    let advice = "the next start wipes it, or `VACUUM FULL` of resources, changes, data_keys";
    warn!(error = left, advice, "what was there before it was sealed may still be in pages of the tables");
}

/// Waits until nobody can ask for rows that are dead now, but not for ever; returns who still can.
async fn wait_until_unseen(client: &Client) -> Result<Vec<String>, tokio_postgres::Error> {
    let now: String = client.query_one(NOW, &[]).await?.try_get(0)?;
    let until = Instant::now() + PATIENCE;
    loop {
        let rows = client.query(IN_THE_WAY, &[&now]).await?;
        let in_the_way: Result<Vec<String>, _> = rows.iter().map(|row| row.try_get(0)).collect();
        let in_the_way = in_the_way?;
        if in_the_way.is_empty() || Instant::now() >= until {
            return Ok(in_the_way);
        }
        sleep(LOOK).await;
    }
}
