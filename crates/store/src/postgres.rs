//! Resources in a PostgreSQL database that any number of control planes share.
//!
//! ```text
//! apply ── writer thread ── transaction: lock the revision, take over what others wrote, write, commit
//!                                              │ NOTIFY
//! get, list, watch ── index in memory ◄── changes by revision ── every other store on the database
//! ```
//!
//! Reads never touch the database, so they work on when it is away; [`Freshness`] says since when they may be old. The
//! database decides who writes first: whoever holds the lock on the revision has seen all commits before his, so conditions
//! are tried on the index of that moment. Versions are revisions: their order is that of the commits.
//!
//! All connections live in a runtime of the store's own, so that it works the same whatever the caller's does.

mod connections;
mod data_keys;
mod error;
mod following;
mod identity;
mod instances;
mod journal;
mod log;
mod migrations;
mod resealing;
mod rows;
mod settings;
mod tls;
mod wiping;

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use model::Key;
use tokio::{
    runtime::{Builder, Runtime},
    sync::watch,
};

use self::{
    connections::Connections,
    instances::Sessions,
    journal::Remote,
    migrations::{Older, STEPS},
};
pub use self::{
    error::OpenError,
    identity::{Found, Identity},
    settings::{Password, Pool, Settings, Times, Tls, TlsMode},
};
use crate::{
    Applied, Batch, Freshness, Instances, Kinds, Missing, Page, Query, ResourceStore, StoreError, Stored, Watch,
    journaled::Journaled,
    sealing::{Renew, Sealer, Sealing},
};

/// A store in a database. Dropping it waits for the batches that are already asked for.
pub struct PostgresStore {
    found: Found,
    connections: Arc<Connections>,
    /// Dropped before what its connections live in.
    journaled: Journaled,
    executor: Executor,
    /// What it is called in errors.
    place: String,
}

impl PostgresStore {
    /// Opens the database, sets it up if it is empty, and reads everything; nothing in it is sealed.
    pub async fn open(settings: Settings) -> Result<Self, OpenError> {
        Self::open_sealed(settings, Arc::default()).await
    }

    /// The same; what is secret is sealed in it, also what was there before and was not.
    pub async fn open_sealed(settings: Settings, sealing: Arc<Sealing>) -> Result<Self, OpenError> {
        let executor = Executor::start()?;
        let connections = Arc::new(Connections::new(&settings)?);
        let (place, options, times) = (settings.place(), settings.options, settings.times);
        let (opening, of, seal) = (Arc::clone(&connections), settings.clone(), Arc::clone(&sealing));
        let opened = executor.run(async move {
            let prepared = migrations::prepare(&opening, &of, Older::Refuse, STEPS).await?;
            let read = async {
                let held = opening.get().await?;
                if let Err(cause) = data_keys::prepare(&held, &seal).await? {
                    return Ok(Err(OpenError::Sealed { place: of.place(), cause }));
                }
                let read = log::read_all(&held, &prepared.found, times.answer, &seal).await?;
                if read.plain.is_empty() {
                    wiping::finish(&held).await?;
                } else {
                    data_keys::seal_plain(&held, &seal, &read.plain).await?;
                }
                held.give_back();
                Ok(Ok(read))
            };
            let read = read.await.map_err(|trouble: error::Trouble| trouble.while_opening(of.place()))??;
            Ok((prepared, read.index, read.point))
        });
        let (prepared, index, known) = opened.await?;
        // A control plane never deletes the last of what it has: somebody emptied the tables.
        if options.missing == Missing::Refuse && index.is_empty() {
            return Err(OpenError::Empty { place });
        }
        let remote = Remote::new(
            executor.handle(),
            Arc::clone(&connections),
            times,
            prepared.found.clone(),
            Arc::clone(&sealing),
            known,
        );
        let journaled = Journaled::start(remote, index, options).map_err(OpenError::Thread)?;
        let hub = Arc::downgrade(journaled.hub());
        let following = following::run(Arc::clone(&connections), journaled.waker(), hub, sealing, settings);
        executor.handle().spawn(following);
        Ok(Self { found: prepared.found, connections, journaled, executor, place })
    }

    /// Returns this instance among those that work with the database. What it asks is answered within this time, or not.
    pub fn instances(&self, answer: Duration) -> Arc<dyn Instances> {
        let (runtime, found) = (self.executor.handle(), self.found.clone());
        Arc::new(Sessions::new(runtime, Arc::clone(&self.connections), found, answer))
    }

    /// Returns the name of the instance that leads: who runs on this database, one of them leads.
    pub async fn leader(&self) -> Result<Option<String>, OpenError> {
        let (connections, place) = (Arc::clone(&self.connections), self.place.clone());
        let asking = async move {
            let asked = async {
                let held = connections.get().await?;
                let leader = instances::leader(&held).await?;
                held.give_back();
                Ok(leader)
            };
            asked.await.map_err(|trouble: error::Trouble| trouble.while_opening(place))
        };
        self.executor.run(asking).await
    }

    /// Whose the database is.
    pub fn identity(&self) -> &Found {
        &self.found
    }
}

/// Takes the steps that a database lacks, and returns its schema version of before and the one of now.
pub async fn migrate(settings: Settings) -> Result<(i32, i32), OpenError> {
    let executor = Executor::start()?;
    let connections = Connections::new(&settings)?;
    let migrating = async move { migrations::prepare(&connections, &settings, Older::Migrate, STEPS).await };
    let prepared = executor.run(migrating).await?;
    Ok((prepared.from, prepared.to))
}

/// Seals a database for a new sealer in place of the present one. Whoever works with the database goes on; for new data
/// keys everybody must have the new key already.
pub async fn reseal(
    settings: Settings,
    sealing: Arc<Sealing>,
    sealer: Arc<dyn Sealer>,
    renew: Renew,
) -> Result<(), OpenError> {
    let executor = Executor::start()?;
    let connections = Connections::new(&settings)?;
    let work = async move { resealing::reseal(&connections, &settings, &sealing, sealer, renew).await };
    executor.run(work).await
}

/// What the connections live in. Whatever is left in it ends when it is dropped, and nobody waits for it.
struct Executor(Option<Runtime>);

impl Executor {
    fn start() -> Result<Self, OpenError> {
        let runtime = Builder::new_multi_thread().worker_threads(1).thread_name("store-database").enable_all().build();
        runtime.map(Some).map(Self).map_err(OpenError::Thread)
    }

    #[expect(clippy::expect_used, reason = "it is taken when this is dropped")]
    fn handle(&self) -> tokio::runtime::Handle {
        self.0.as_ref().expect("a runtime until it is dropped").handle().clone()
    }

    /// Runs something there.
    async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, OpenError>> + Send + 'static,
    ) -> Result<T, OpenError> {
        let done = self.handle().spawn(work).await;
        done.unwrap_or_else(|cause| Err(OpenError::Thread(std::io::Error::other(cause))))
    }
}

impl Drop for Executor {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStore").field("of", &self.found).finish_non_exhaustive()
    }
}

#[async_trait]
impl ResourceStore for PostgresStore {
    async fn get(&self, key: &Key) -> Result<Option<Stored>, StoreError> {
        self.journaled.get(key).await
    }

    async fn list(&self, query: &Query) -> Result<Page, StoreError> {
        self.journaled.list(query).await
    }

    async fn apply(&self, batch: Batch) -> Result<Applied, StoreError> {
        self.journaled.apply(batch).await
    }

    fn watch(&self, kinds: Kinds) -> Watch {
        self.journaled.watch(kinds)
    }

    /// Behind when the database was not heard for a while: a heartbeat asks it.
    fn freshness(&self) -> watch::Receiver<Freshness> {
        self.journaled.freshness()
    }

    async fn settled(&self) -> Result<(), StoreError> {
        self.journaled.settled().await
    }
}
