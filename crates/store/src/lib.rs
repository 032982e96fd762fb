//! Keeps resources and tells who watches.
//!
//! One promise, kept by every backend and checked by one conformance suite: what a call answered with `Ok` survives a
//! crash (for durable backends), a batch happens whole or not at all, and a watcher sees every state it needs to end
//! up with the truth.

#[cfg(feature = "conformance")]
pub mod conformance;
mod error;
mod feed;
mod hub;
mod index;
pub mod memory;
mod options;
mod query;
#[cfg(feature = "sqlite")]
pub mod sqlite;
mod watch;
mod write;

pub use error::StoreError;
pub use options::{Missing, Options};
pub use query::{Page, Query};
pub use watch::{Event, Kinds, Watch};
pub use write::{Applied, Batch, Importance, Outcome, Precondition, Stored, Version, Write};

use async_trait::async_trait;
use model::{Key, Resource};

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
    fn watch(&self, kinds: Kinds) -> Watch;

    /// Waits until all that was asked for before this call is written or refused, and readable if it is written; also
    /// what nobody waits for any more. Writes nothing, so it needs no space.
    async fn settled(&self) -> Result<(), StoreError>;
}
