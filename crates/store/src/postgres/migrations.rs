//! The schema of a database: numbered steps, one SQL file each, from nothing to what this program writes.
//!
//! A released step is never changed: databases that took it are out there. What changes is a step more. An empty database
//! takes all steps at the start; one that lacks some takes them when an operator says so, for older programs refuse it from
//! then on. All steps are taken in one transaction under a lock, so several programs may start at once.

use std::time::Duration;

use tokio_postgres::Client;
use tracing::info;

use super::{
    OpenError,
    connections::{Connections, within},
    error::Trouble,
    identity::{self, Found},
    settings::Settings,
};
use crate::{
    Missing,
    schema::{self, Lacking, READ_VERSION, Tables, VERSION_TABLE, lacking, set_version},
};

/// The steps; the schema version of a database is how many of them it took.
pub(super) const STEPS: &[&str] =
    &[include_str!("migrations/0001_resources.sql"), include_str!("migrations/0002_instances.sql")];

/// Who looks at the schema or changes it holds this lock of the database.
const LOCK: i64 = 0x6b75_6d61_2d63_7001;
/// Another one may be migrating, and a migration may rewrite tables.
const LIMIT: Duration = Duration::from_secs(10 * 60);

/// What to do with a database that lacks steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Older {
    /// Leave it as it is.
    Refuse,
    /// Take them.
    Migrate,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Prepared {
    pub(super) found: Found,
    /// The schema version of before; zero if the database was empty.
    pub(super) from: i32,
    pub(super) to: i32,
}

/// Makes the database one that this program can use, or says why it is none and leaves it as it is.
pub(super) async fn prepare(
    connections: &Connections,
    settings: &Settings,
    older: Older,
    steps: &[&str],
) -> Result<Prepared, OpenError> {
    let failed = |trouble: Trouble| trouble.while_opening(settings.place());
    let prepared = within(LIMIT, async {
        let held = connections.get().await?;
        held.batch_execute("BEGIN; SET LOCAL lock_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0")
            .await?;
        held.query_one("SELECT pg_advisory_xact_lock($1)", &[&LOCK]).await?;
        let prepared = take_steps(&held, settings, older, steps).await?;
        held.batch_execute(if prepared.is_ok() { "COMMIT" } else { "ROLLBACK" }).await?;
        held.give_back();
        Ok(prepared)
    });
    let prepared = prepared.await.map_err(failed)??;
    if prepared.from != prepared.to {
        info!(
            database = settings.database,
            from = prepared.from,
            to = prepared.to,
            cluster = prepared.found.cluster,
            "the database has another schema now"
        );
    }
    Ok(prepared)
}

/// The outer error is of the database, the inner one of what is in it.
async fn take_steps(
    client: &Client,
    settings: &Settings,
    older: Older,
    steps: &[&str],
) -> Result<Result<Prepared, OpenError>, Trouble> {
    let place = || settings.place();
    let known = i32::try_from(steps.len()).map_err(|cause| Trouble::Corrupt(cause.to_string()))?;
    let from = match Tables::of(&tables(client).await?, &[VERSION_TABLE]) {
        Tables::Ours => version(client).await?,
        Tables::OfKuma => return Ok(Err(OpenError::OfKuma { place: place() })),
        Tables::Foreign(tables) => return Ok(Err(OpenError::Foreign { place: place(), tables })),
        Tables::None if settings.options.missing == Missing::Refuse => {
            return Ok(Err(OpenError::Empty { place: place() }));
        }
        Tables::None => 0,
    };
    let is_empty = from == 0;
    let found = if is_empty {
        settings.identity.of_new()
    } else {
        let found = identity::read(client).await?;
        found.ok_or_else(|| Trouble::Corrupt("table `store_identity` is empty".to_owned()))?
    };
    if let Some(ours) = settings.identity.other_than(&found) {
        return Ok(Err(OpenError::OfAnother { place: place(), found: Box::new(found), ours: Box::new(ours) }));
    }
    let taken = usize::try_from(from).map_err(|cause| Trouble::Corrupt(cause.to_string()))?;
    match lacking(steps, taken) {
        Lacking::Newer if settings.tolerate_newer => return Ok(Ok(Prepared { found, from, to: from })),
        Lacking::Newer => return Ok(Err(OpenError::NewerSchema { place: place(), found: from, known })),
        Lacking::Nothing => {}
        Lacking::Steps(_) if !is_empty && older == Older::Refuse => {
            return Ok(Err(OpenError::OlderSchema { place: place(), found: from, known }));
        }
        Lacking::Steps(script) => {
            client.batch_execute(&script).await?;
            client.batch_execute(&set_version(steps)).await?;
            if is_empty {
                identity::write(client, &found).await?;
            }
        }
    }
    Ok(Ok(Prepared { found, from, to: known }))
}

async fn tables(client: &Client) -> Result<Vec<String>, Trouble> {
    const TABLES: &str =
        "SELECT tablename::text FROM pg_catalog.pg_tables WHERE schemaname = current_schema() ORDER BY tablename";
    let rows = client.query(TABLES, &[]).await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

async fn version(client: &Client) -> Result<i32, Trouble> {
    let row = client.query_opt(READ_VERSION, &[]).await?;
    let found: Option<i32> = row.map(|row| row.try_get(0)).transpose()?;
    schema::version(found, VERSION_TABLE).map_err(Trouble::Corrupt)
}

#[cfg(test)]
mod tests {
    use testkit::postgres::{Database, database};

    use super::*;
    use crate::{
        Options,
        postgres::{Identity, Password, Pool, Times, Tls},
    };

    const NOTE: &str = "ALTER TABLE resources ADD COLUMN note text NOT NULL DEFAULT 'old'";

    fn settings(database: &Database) -> Settings {
        let place = database.place();
        Settings {
            host: place.host.clone(),
            port: place.port,
            user: place.user.clone(),
            password: Password::new(place.password.clone()),
            database: place.database.clone(),
            tls: Tls::default(),
            connect_timeout: Duration::from_secs(60),
            pool: Pool::default(),
            identity: Identity { mode: "global".to_owned(), zone: None, cluster: None, new_cluster: "c1".to_owned() },
            tolerate_newer: false,
            times: Times { answer: Duration::from_secs(60), ..Times::default() },
            options: Options::default(),
        }
    }

    async fn prepared(database: &Database, older: Older, steps: &[&str]) -> Result<Prepared, OpenError> {
        let settings = settings(database);
        prepare(&Connections::new(&settings).unwrap(), &settings, older, steps).await
    }

    #[tokio::test]
    async fn an_older_database_waits_for_the_command_and_is_migrated_whole_or_not_at_all() {
        let Some(database) = database() else { return };
        prepared(&database, Older::Refuse, &STEPS[..1]).await.unwrap();
        let more = [STEPS[0], NOTE];
        let refused = prepared(&database, Older::Refuse, &more).await.unwrap_err();
        assert!(matches!(refused, OpenError::OlderSchema { found: 1, known: 2, .. }), "{refused:?}");
        assert!(refused.to_string().contains("`kuma-cp migrate up`"), "{refused}");
        let version = || database.ask("SELECT version FROM schema_version");
        let columns = || database.ask("SELECT count(*) FROM information_schema.columns WHERE column_name = 'note'");
        let wrong = prepared(&database, Older::Migrate, &[STEPS[0], NOTE, "no SQL"]).await.unwrap_err();
        assert!(!wrong.is_retryable(), "{wrong:?}");
        assert_eq!((version(), columns()), ("1".to_owned(), "0".to_owned()), "the steps before it are undone, too");
        let migrated = prepared(&database, Older::Migrate, &more).await.unwrap();
        assert_eq!((migrated.from, migrated.to, migrated.found.cluster.as_str()), (1, 2, "c1"));
        assert_eq!((version(), columns()), ("2".to_owned(), "1".to_owned()));
        let again = prepared(&database, Older::Migrate, &more).await.unwrap();
        assert_eq!((again.from, again.to), (2, 2));
    }

    #[test]
    fn every_step_has_a_file_of_its_number() {
        schema::tests::check_files("src/postgres/migrations", STEPS);
    }
}
