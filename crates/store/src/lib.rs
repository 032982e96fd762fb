//! Keeps resources and tells who watches.
//!
//! One promise, kept by every backend and checked by one conformance suite: what a call answered with `Ok` survives a
//! crash (for durable backends), a batch happens whole or not at all, and a watcher sees every state it needs to end
//! up with the truth.

#[cfg(feature = "conformance")]
#[cfg_attr(test, macro_use)]
pub mod conformance;
mod error;
mod feed;
mod freshness;
mod hub;
#[cfg(feature = "journaled")]
mod identity;
mod index;
mod instances;
#[cfg(feature = "journaled")]
mod journal;
#[cfg(feature = "journaled")]
mod journaled;
pub mod memory;
mod mirror;
mod options;
mod picture;
#[cfg(feature = "postgres")]
pub mod postgres;
mod query;
#[cfg(feature = "journaled")]
mod schema;
pub mod sealing;
#[cfg(feature = "sqlite")]
pub mod sqlite;
#[cfg(feature = "testing")]
pub mod testing;
mod watch;
mod write;
#[cfg(feature = "journaled")]
mod writer;

pub use error::StoreError;
pub use freshness::Freshness;
#[cfg(feature = "journaled")]
pub use identity::{Found, Identity};
pub use instances::{Instances, Present, Renewed, Said, Seen};
pub use mirror::{Mirror, WatchEnded};
pub use options::{Missing, Options};
pub use picture::{Change, Picture};
pub use query::{Page, Query};
pub use watch::{Event, Kinds, Watch};
pub use write::{Applied, Batch, Epoch, Importance, Outcome, Precondition, Stored, Version, Write};

use async_trait::async_trait;
use model::{Key, Resource};
use tokio::sync::watch::Receiver;

/// A place that keeps resources. Cheap to share behind an `Arc`.
#[async_trait]
pub trait ResourceStore: Send + Sync + 'static {
    /// Returns one resource, or `None`.
    async fn get(&self, key: &Key) -> Result<Option<Stored>, StoreError>;

    /// Returns the resources that match, sorted by kind, mesh and name.
    async fn list(&self, query: &Query) -> Result<Page, StoreError>;

    /// Writes one resource; durable when it returns.
    async fn put(&self, resource: Resource, expect: Precondition) -> Result<Version, StoreError> {
        let applied = self.apply(Batch::of(vec![Write::Put { resource, expect }])).await?;
        Ok(applied.version)
    }

    /// Deletes one resource and everything it owns, transitively.
    async fn delete(&self, key: &Key, expect: Precondition) -> Result<(), StoreError> {
        self.apply(Batch::of(vec![Write::Delete { key: key.clone(), expect }])).await.map(|_| ())
    }

    /// Applies a batch in one transaction: all of it, or nothing and the first error.
    async fn apply(&self, batch: Batch) -> Result<Applied, StoreError>;

    /// Watches kinds: `Init`, `InitApply*`, `InitDone`, then `Apply` or `Delete`; after a gap `Init` again.
    ///
    /// A picture is always a whole one, of one moment: a store that cannot read all of it tells none, and is behind
    /// meanwhile. The watch ends with the store, or when nothing more can be told on it.
    fn watch(&self, kinds: Kinds) -> Watch;

    /// Follows whether reads and watches show what was written.
    ///
    /// A store that was behind says that it is fresh only after everything that it missed is readable and in its watches.
    fn freshness(&self) -> Receiver<Freshness>;

    /// Waits until all that was asked for before this call is written or refused, and readable if it is written; also
    /// what nobody waits for any more. Writes nothing, so it needs no space.
    async fn settled(&self) -> Result<(), StoreError>;
}
