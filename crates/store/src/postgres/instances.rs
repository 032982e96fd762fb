//! The instances in a database: a row each, and one lock for the leader, both of one connection that is used for nothing else.
//!
//! ```text
//! row in `instances`        heard at, on which session      a stopped process is seen by it
//! advisory lock             held by the session             a killed process lets go of it at once
//! epoch in `store_revision` one more with each leader       what a former leader writes is refused
//! ```
//!
//! The lock alone would not do: a process that is stopped, or a network that swallows everything, keeps a session open for as
//! long as it takes. Whoever wants to lead ends the session that has the lock when no instance that is there is heard on it.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio::{
    runtime::Handle,
    sync::{Mutex, MutexGuard},
    task::AbortHandle,
};
use tokio_postgres::Client;
use tracing::info;

use super::{
    connections::{Connections, within},
    error::Trouble,
    identity::{self, Found},
    rows,
};
use crate::{
    Epoch, StoreError,
    instances::{Instances, Present, Renewed, Said, Seen},
};

/// Who leads holds this lock of the database.
const LEADER: i64 = 0x6b75_6d61_2d63_7002;

const RENEW: &str = "
    INSERT INTO instances (name, life, inter_cp, keys, backend, heartbeat)
    VALUES ($1, $2, $3, $4, pg_backend_pid(), clock_timestamp())
    ON CONFLICT (name) DO UPDATE SET inter_cp = excluded.inter_cp, keys = excluded.keys, backend = excluded.backend,
        heartbeat = excluded.heartbeat
    WHERE instances.life = excluded.life";
const LOOK: &str = "
    SELECT name, inter_cp, keys, (extract(epoch FROM heartbeat) * 1000000)::bigint FROM instances ORDER BY name";
const EPOCH: &str = "SELECT epoch, leader FROM store_revision";
const LOCK: &str = "SELECT pg_try_advisory_lock($1)";
const LEAD: &str = "UPDATE store_revision SET epoch = epoch + 1, leader = $1 RETURNING epoch";
/// A session says that it is there before it asks for the lock, so one with the lock and without an instance is nobody's.
const END_SILENT: &str = "
    SELECT pg_terminate_backend(held.pid) FROM pg_locks held
    WHERE held.locktype = 'advisory' AND held.granted AND held.objsubid = 1
        AND held.database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND (held.classid::bigint << 32) | held.objid::bigint = $1
        AND NOT EXISTS (SELECT FROM instances WHERE instances.backend = held.pid AND NOT instances.name = ANY($2))";
/// The name of who leads, if somebody does: the lock ends with its process, what the row says stays.
const LEADS: &str = "
    SELECT coalesce(leader, '') FROM store_revision WHERE EXISTS (
        SELECT FROM pg_locks held
        WHERE held.locktype = 'advisory' AND held.granted AND held.objsubid = 1
            AND held.database = (SELECT oid FROM pg_database WHERE datname = current_database())
            AND (held.classid::bigint << 32) | held.objid::bigint = $1)";
const FORGET: &str = "
    DELETE FROM instances USING unnest($1::text[], $2::bigint[]) AS gone (name, beat)
    WHERE instances.name = gone.name AND (extract(epoch FROM heartbeat) * 1000000)::bigint = gone.beat";
const LEAVE: &str = "DELETE FROM instances WHERE life = $1";
const LET_GO: &str = "SELECT pg_advisory_unlock_all()";

/// One instance among those of a database.
pub(super) struct Sessions {
    runtime: Handle,
    connections: Arc<Connections>,
    found: Found,
    /// How long an answer may take.
    answer: Duration,
    /// Which process this is.
    life: i64,
    session: Mutex<Option<Session>>,
}

/// The connection that is used for nothing else.
struct Session {
    client: Client,
    driver: AbortHandle,
    /// What this instance said that it is called.
    name: String,
    epoch: Option<Epoch>,
}

impl Drop for Session {
    /// Whatever is on the way is not waited for: the lock is to be free.
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Sessions {
    /// One of a database that is this one's. Connects to nobody yet.
    pub(super) fn new(runtime: Handle, connections: Arc<Connections>, found: Found, answer: Duration) -> Self {
        Self { runtime, connections, found, answer, life: rand::random(), session: Mutex::default() }
    }

    /// Asks on the session that there is. One that failed is closed.
    async fn ask<T>(
        &self,
        mut session: MutexGuard<'_, Option<Session>>,
        question: impl AsyncFnOnce(&mut Session) -> Result<T, Trouble>,
    ) -> Result<T, StoreError> {
        let Some(open) = session.as_mut() else {
            return Err(Trouble::Way("there is no connection".to_owned()).while_running());
        };
        let answer = within(self.answer, question(open)).await;
        answer.map_err(|trouble| {
            *session = None;
            trouble.while_running()
        })
    }

    /// The session, made if there is none.
    async fn session(&self, name: &str) -> Result<MutexGuard<'_, Option<Session>>, StoreError> {
        let mut session = self.session.lock().await;
        if session.as_ref().is_none_or(|session| session.client.is_closed()) {
            *session = None;
            *session = Some(within(self.answer, self.connect(name)).await.map_err(|trouble| trouble.while_running())?);
        }
        Ok(session)
    }

    async fn connect(&self, name: &str) -> Result<Session, Trouble> {
        let (connections, runtime) = (Arc::clone(&self.connections), self.runtime.clone());
        let connecting = self.runtime.spawn(async move {
            let (client, connection) = connections.raw().await?;
            // What goes wrong with it is heard by whoever asks.
            let driver = runtime.spawn(async move { drop(connection.await) }).abort_handle();
            Ok::<_, Trouble>((client, driver))
        });
        let connected = connecting.await.unwrap_or_else(|ended| Err(Trouble::Way(ended.to_string())));
        let (client, driver) = connected?;
        let session = Session { client, driver, name: name.to_owned(), epoch: None };
        let found = identity::read(&session.client).await?;
        if found.as_ref() != Some(&self.found) {
            let found = found.map_or_else(|| "nobody".to_owned(), |found| found.to_string());
            return Err(Trouble::OfAnother { found, ours: self.found.clone() });
        }
        Ok(session)
    }
}

#[async_trait]
impl Instances for Sessions {
    async fn renew(&self, said: &Said) -> Result<Renewed, StoreError> {
        let session = self.session(&said.name).await?;
        self.ask(session, async |session| {
            let keys = rows::revision_of(said.keys)?;
            let written = session.client.execute(RENEW, &[&said.name, &self.life, &said.inter_cp, &keys]).await?;
            Ok(if written > 0 { Renewed::Heard } else { Renewed::NameTaken })
        })
        .await
    }

    async fn look(&self) -> Result<Seen, StoreError> {
        let session = self.session.lock().await;
        self.ask(session, async |session| {
            let (present, lead) = futures::join!(session.client.query(LOOK, &[]), session.client.query_one(EPOCH, &[]));
            let present = present?.iter().map(present_of).collect::<Result<_, Trouble>>()?;
            let lead = lead?;
            let (epoch, leader) = (rows::epoch(&lead, 0)?, lead.try_get(1)?);
            if session.epoch.is_some_and(|ours| ours != epoch) {
                // The lock is to be free, too.
                return Err(Trouble::Way("another instance leads".to_owned()));
            }
            Ok(Seen { present, leads: session.epoch, leader })
        })
        .await
    }

    async fn lead(&self, gone: &BTreeSet<String>) -> Result<Option<Epoch>, StoreError> {
        let session = self.session.lock().await;
        self.ask(session, async |session| {
            if session.epoch.is_some() {
                return Ok(session.epoch);
            }
            if session.client.query_one(LOCK, &[&LEADER]).await?.try_get(0)? {
                session.epoch = Some(rows::epoch(&session.client.query_one(LEAD, &[&session.name]).await?, 0)?);
                return Ok(session.epoch);
            }
            let gone: Vec<&str> = gone.iter().map(String::as_str).collect();
            let ended = session.client.query(END_SILENT, &[&LEADER, &gone]).await?;
            if !ended.is_empty() {
                info!("the session of the instance that led is ended: it was not heard for the length of its lease");
            }
            Ok(None)
        })
        .await
    }

    async fn forget(&self, gone: &[Present]) -> Result<(), StoreError> {
        let session = self.session.lock().await;
        self.ask(session, async |session| {
            let names: Vec<&str> = gone.iter().map(|one| one.said.name.as_str()).collect();
            let beats: Vec<i64> = gone.iter().map(|one| one.beat).collect();
            session.client.execute(FORGET, &[&names, &beats]).await?;
            Ok(())
        })
        .await
    }

    async fn leave(&self) -> Result<(), StoreError> {
        let session = self.session.lock().await;
        self.ask(session, async |session| {
            session.client.execute(LEAVE, &[&self.life]).await?;
            session.client.batch_execute(LET_GO).await?;
            session.epoch = None;
            Ok(())
        })
        .await
    }
}

/// Returns the name of the instance that leads now.
pub(super) async fn leader(client: &Client) -> Result<Option<String>, Trouble> {
    let row = client.query_opt(LEADS, &[&LEADER]).await?;
    Ok(row.map(|row| row.try_get(0)).transpose()?)
}

fn present_of(row: &tokio_postgres::Row) -> Result<Present, Trouble> {
    let said = Said { name: row.try_get(0)?, inter_cp: row.try_get(1)?, keys: rows::version(row, 2)? };
    Ok(Present { said, beat: row.try_get(3)? })
}
