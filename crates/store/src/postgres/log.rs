//! The log of changes, which stores follow: what is appended in one transaction, read from where a store stands, and cut.
//!
//! ```text
//! write    lock the revision -> read what others wrote -> resources, changes, commits, revision, NOTIFY -> COMMIT
//! follow   is the commit that I know there? -> changes after it
//!                                           \-> not there: everything anew
//! ```
//!
//! A commit is known by its revision and a number that whoever wrote it chose. So a store notices that the database is not
//! the one it followed (a backup, a replica that had not everything), and finds out whether a commit is there whose answer
//! got lost.

use std::{pin::pin, time::Duration};

use futures::{StreamExt as _, TryStreamExt as _, future};
use tokio_postgres::{Client, types::ToSql};

use super::{
    connections::{Held, within},
    data_keys::{self, NEWEST},
    error::Trouble,
    identity::{self, Found},
    rows::{self, COLUMNS, Changes, Unknown},
};
use crate::{Epoch, Event, Stored, Version, index::Index, sealing::Sealing};

/// Where it is told that there is something new.
pub(super) const CHANNEL: &str = "store_changes";

/// A commit: where a store stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Point {
    pub(super) version: Version,
    pub(super) write_id: i64,
}

/// What the log says to a store.
pub(super) enum Since {
    /// It goes on from where the store stands; nothing new if that is where it ends.
    Changes(Vec<Event>, Point),
    /// The commit that the store knows is not in the log.
    Lost,
}

/// What a transaction finds in which nobody else writes.
pub(super) struct Locked {
    pub(super) since: Since,
    /// Who leads, to its end.
    pub(super) epoch: Epoch,
}

/// Whatever is usual in the database: after the lock a transaction must see what was committed before it.
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE";
const LOCK: &str = "SELECT revision FROM store_revision FOR UPDATE";

/// Must be quick on a database that never counted its rows, and in a plan that is kept from the time when there were few: the
/// one row is said to be one, and an end above all revisions has the planner expect a few changes, where it would expect a third
/// of them all.
fn read_since() -> String {
    let columns: Vec<String> = COLUMNS.split(", ").map(|column| format!("change.{column}")).collect();
    format!(
        "SELECT latest.epoch, latest.revision, latest.write_id, known.revision IS NOT NULL, change.revision, ({NEWEST}), {}
         FROM (SELECT epoch, revision, write_id FROM store_revision LIMIT 1) latest
         LEFT JOIN commits known ON known.revision = $1 AND known.write_id = $2
         LEFT JOIN changes change
             ON known.revision IS NOT NULL AND change.revision > $1 AND change.revision <= {last}
         ORDER BY change.revision, change.position",
        columns.join(", "),
        last = i64::MAX
    )
}

/// The columns of a change begin here.
const FIRST: usize = 6;
/// The data key to seal with.
const NEWEST_KEY: usize = 5;

fn append() -> String {
    let puts: Vec<String> = COLUMNS.split(", ").skip(3).map(|column| format!("{column} = excluded.{column}")).collect();
    format!(
        "WITH given AS (
             SELECT * FROM unnest(
                 $1::bigint[], $2::integer[], $3::boolean[], $4::text[], $5::text[], $6::text[], $7::text[],
                 $8::bytea[], $9::bytea[], $10::text[], $11::text[], $12::text[], $13::text[], $14::text[]
             ) AS given (revision, position, is_last, {COLUMNS})
         ), logged AS (
             INSERT INTO changes (revision, position, {COLUMNS}) SELECT revision, position, {COLUMNS} FROM given
         ), gone AS (
             DELETE FROM resources USING given WHERE given.is_last AND given.spec IS NULL
                 AND resources.kind = given.kind AND resources.mesh = given.mesh AND resources.name = given.name
         ), put AS (
             INSERT INTO resources ({COLUMNS}, version)
             SELECT {COLUMNS}, revision FROM given WHERE is_last AND spec IS NOT NULL
             ON CONFLICT (kind, mesh, name) DO UPDATE SET {puts}, version = excluded.version
         ), noted AS (
             INSERT INTO commits (revision, write_id, at) VALUES ($15, $16, clock_timestamp())
         ), moved AS (
             UPDATE store_revision SET revision = $15, write_id = $16
         )
         SELECT pg_notify('{CHANNEL}', $15::bigint::text)",
        puts = puts.join(", ")
    )
}

/// Starts a transaction in which nobody else writes, and returns what others wrote before it.
pub(super) async fn lock(held: &Held, known: Point, sealing: &Sealing) -> Result<Locked, Trouble> {
    let lock = held.prepare_cached(LOCK).await?;
    let read = held.prepare_cached(&read_since()).await?;
    let revision = rows::revision_of(known.version)?;
    // Sent together: the second is not looked at before the first is done, and then sees what was committed meanwhile.
    let begun = held.batch_execute(BEGIN);
    let locked = held.execute(&lock, &[]);
    let parameters: [&(dyn ToSql + Sync); 2] = [&revision, &known.write_id];
    let read = held.query(&read, &parameters);
    let (begun, locked, read) = future::join3(begun, locked, read).await;
    begun?;
    locked?;
    let read = read?;
    Ok(Locked { since: since(held, &read, known, sealing).await?, epoch: rows::epoch(first_of(&read)?, 0)? })
}

/// Returns what was written after a commit, however much that is. Gives up when nothing comes for `silence`.
pub(super) async fn follow(held: &Held, known: Point, silence: Duration, sealing: &Sealing) -> Result<Since, Trouble> {
    let begun = async {
        let read = held.prepare_cached(&read_since()).await?;
        let revision = rows::revision_of(known.version)?;
        Ok(held.query_raw(&read, [revision, known.write_id]).await?)
    };
    let mut found = pin!(within(silence, begun).await?.map_err(Trouble::from));
    let mut rows = Vec::new();
    while let Some(row) = within(silence, async { found.next().await.transpose() }).await? {
        rows.push(row);
    }
    since(held, &rows, known, sealing).await
}

fn first_of(rows: &[tokio_postgres::Row]) -> Result<&tokio_postgres::Row, Trouble> {
    rows.first().ok_or_else(|| Trouble::Corrupt("table `store_revision` is empty".to_owned()))
}

async fn since(held: &Held, rows: &[tokio_postgres::Row], known: Point, sealing: &Sealing) -> Result<Since, Trouble> {
    let first = first_of(rows)?;
    data_keys::learn(held, sealing, first.try_get(NEWEST_KEY)?).await?;
    let latest = Point { version: rows::version(first, 1)?, write_id: first.try_get(2)? };
    let continues: bool = first.try_get(3)?;
    if !continues {
        return Ok(Since::Lost);
    }
    if latest == known {
        return Ok(Since::Changes(Vec::new(), latest));
    }
    let mut unknown = Unknown::default();
    let mut events = Vec::with_capacity(rows.len());
    for row in rows {
        // A batch without changes has none.
        if row.try_get::<_, Option<i64>>(4)?.is_none() {
            continue;
        }
        let version = rows::version(row, 4)?;
        if let Some(key) = rows::key(row, FIRST, &mut unknown)? {
            events.push(rows::event(row, FIRST, key, version, sealing)?);
        }
    }
    Ok(Since::Changes(events, latest))
}

/// Writes changes and ends the transaction that [`lock`] began. An error that is not of the way says that they are not
/// there.
pub(super) async fn commit(held: &Held, changes: &Changes<'_>, point: Point) -> Result<(), Trouble> {
    let append = held.prepare_cached(&append()).await?;
    let revision = rows::revision_of(point.version)?;
    let mut parameters = changes.parameters().to_vec();
    parameters.extend([&revision as &(dyn ToSql + Sync), &point.write_id]);
    // Sent together: the end of a transaction with an error in it undoes it.
    let (appended, committed) = future::join(held.query(&append, &parameters), held.batch_execute("COMMIT")).await;
    // That the connection ended says nothing of the statement before.
    match (appended, committed) {
        (Ok(_), Ok(())) => Ok(()),
        (Err(cause), _) | (Ok(_), Err(cause)) => Err(cause.into()),
    }
}

/// Whether a commit is there. Waits until whoever tried it cannot come back with it.
pub(super) async fn is_there(held: &Held, point: Point) -> Result<bool, Trouble> {
    const IS_THERE: &str = "SELECT EXISTS (SELECT FROM commits WHERE revision = $1 AND write_id = $2)";
    let revision = rows::revision_of(point.version)?;
    held.batch_execute(BEGIN).await?;
    // Its transaction holds this lock until it has ended.
    held.execute(LOCK, &[]).await?;
    let found = held.query_one(IS_THERE, &[&revision, &point.write_id]).await?;
    held.batch_execute("ROLLBACK").await?;
    Ok(found.try_get(0)?)
}

/// Everything, as of one moment.
pub(super) struct Everything {
    pub(super) index: Index,
    pub(super) point: Point,
    /// What lies there as it is, and should be sealed.
    pub(super) plain: Vec<Stored>,
}

/// Reads everything, as of one moment. Gives up when nothing comes for `silence`.
///
/// Of a database that is not this one's, nothing is read: everything that is known would be taken for gone.
pub(super) async fn read_all(
    held: &Held,
    of: &Found,
    silence: Duration,
    sealing: &Sealing,
) -> Result<Everything, Trouble> {
    held.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
    let found = identity::read(held).await?;
    if found.as_ref() != Some(of) {
        let found = found.map_or_else(|| "nobody".to_owned(), |found| found.to_string());
        return Err(Trouble::OfAnother { found, ours: of.clone() });
    }
    // As of the same moment: a row is under none that came later.
    data_keys::take_in_all(held, sealing).await?;
    let row = held.query_opt("SELECT revision, write_id FROM store_revision", &[]).await?;
    let row = row.ok_or_else(|| Trouble::Corrupt("table `store_revision` is empty".to_owned()))?;
    let point = Point { version: rows::version(&row, 0)?, write_id: row.try_get(1)? };
    let mut index = Index::default();
    index.raise_version(point.version);
    let (mut unknown, mut plain) = (Unknown::default(), Vec::new());
    let read = format!("SELECT version, {COLUMNS} FROM resources");
    let mut found = pin!(held.query_raw(&read, std::iter::empty::<i64>()).await?.map_err(Trouble::from));
    while let Some(row) = within(silence, async { found.next().await.transpose() }).await? {
        let version = rows::version(&row, 0)?;
        if let Some(key) = rows::key(&row, 1, &mut unknown)? {
            let (stored, is_plain) = rows::stored(&row, 1, key, version, sealing)?;
            if is_plain && sealing.seals(&stored.resource.key) {
                plain.push(stored.clone());
            }
            index.restore(stored);
        }
    }
    unknown.tell();
    held.batch_execute("COMMIT").await?;
    Ok(Everything { index, point, plain })
}

/// Forgets changes that are older than this; the last commit stays.
pub(super) async fn cut(client: &Client, age: Duration) -> Result<u64, Trouble> {
    const CUT: &str = "
        WITH old AS (
            SELECT max(revision) AS revision FROM commits
            WHERE at < now() - $1 * interval '1 second' AND revision < (SELECT revision FROM store_revision)
        ), forgotten AS (
            DELETE FROM commits USING old WHERE commits.revision <= old.revision
        )
        DELETE FROM changes USING old WHERE changes.revision <= old.revision";
    Ok(client.execute(CUT, &[&age.as_secs_f64()]).await?)
}

#[cfg(test)]
mod tests {
    use testkit::postgres::database;

    use super::*;
    use crate::postgres::migrations::STEPS;

    #[test]
    fn changes_are_found_by_their_index_in_a_log_that_has_just_grown() {
        let Some(database) = database() else { return };
        database.execute(&STEPS.join(";"));
        // Rows that nobody counted, more of them than the planner reads on a guess.
        database.execute(
            "ALTER TABLE commits SET (autovacuum_enabled = false);
             ALTER TABLE changes SET (autovacuum_enabled = false);
             INSERT INTO commits SELECT number, 1, now() FROM generate_series(1, 20000) number;
             INSERT INTO changes (revision, position, kind, mesh, name, spec)
             SELECT number, 0, 'Zone', '', 'z', '\\x00' FROM generate_series(1, 20000) number",
        );
        let explained = |mode: &str| {
            let read = read_since();
            database.ask(&format!(
                "CREATE TEMPORARY TABLE told (line json);
                 SET plan_cache_mode = {mode}; SET jit = on;
                 PREPARE read (bigint, bigint) AS {read};
                 DO $$ DECLARE line json; BEGIN
                     EXECUTE 'EXPLAIN (FORMAT JSON) EXECUTE read (20000, 1)' INTO line; INSERT INTO told VALUES (line);
                 END $$;
                 SELECT line FROM told"
            ))
        };
        let quick = |plan: &str| {
            let has = |words: &str| plan.contains(words);
            assert!(has("\"changes_pkey\"") && has("\"commits_pkey\""), "{plan}");
            assert!(!has("\"JIT\""), "{plan}");
        };
        for counted in ["", "ANALYZE"] {
            database.execute(counted);
            for mode in ["force_custom_plan", "force_generic_plan"] {
                quick(&explained(mode));
            }
        }
    }
}
