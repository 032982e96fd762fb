//! The ledger: an entry for every token that this control plane handed out, and never the token.
//!
//! ```text
//! issuing ──record──► store ──follow──► index ──► who asks: by id, by key, by zone
//!                      ▲ ▲                │
//! streams, pings ─seen─┘ └────pruning─────┘
//! ```
//!
//! An entry is durable before the owner of the token gets it, so a token that is not here was not issued here. Tokens that
//! were seen, and those that ended long ago, are written and deleted by tasks, off the way of whoever is served. What
//! cannot be read stays a fault that is told, and is no missing entry.

mod entry;
mod index;
mod pruning;
mod seeing;

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use anyhow::anyhow;
use model::Kind;
use store::{Batch, Importance, Kinds, Mirror, Precondition, ResourceStore, StoreError, WatchEnded, Write};
use thiserror::Error;
use tokens::{Family, KeyId};
use tokio::sync::mpsc;

use crate::{
    clock::Clock,
    records,
    tasks::{OnError, Tasks},
};

pub(crate) use entry::{Entry, How};
use index::Index;
pub(crate) use index::Known;

/// How many first sights may wait to be written; who finds no room is noted when it is seen next.
const WAITING: usize = 1024;

/// The ledger of one control plane. Cheap to clone.
#[derive(Clone)]
pub struct Ledger(Arc<Inner>);

struct Inner {
    store: Arc<dyn ResourceStore>,
    index: RwLock<Index>,
    seen: mpsc::Sender<(Family, String)>,
}

/// Why an entry was not written.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum NotRecorded {
    /// The store refused it.
    #[error("the entry of the token was not written into the ledger")]
    Store(#[from] StoreError),
    /// It cannot be written as a record.
    #[error("the entry of the token cannot be written as a record: {problem}")]
    NoRecord {
        /// Why.
        problem: String,
    },
}

/// Whether a token is in the ledger for the first time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Recorded {
    /// It is new.
    New,
    /// It was handed out before: the same bytes, and the entry of the first time stays.
    Before,
}

impl Ledger {
    /// Reads the entries and keeps up with them from then on. Returns when all are known.
    pub async fn start(store: &Arc<dyn ResourceStore>, clock: &Clock, tasks: &Tasks) -> Result<Self, WatchEnded> {
        let mut mirror = Mirror::of(&**store, Kinds::Only(vec![Kind::RECORD]));
        let (seen, to_write) = mpsc::channel(WAITING);
        let ledger = Self(Arc::new(Inner { store: Arc::clone(store), index: RwLock::default(), seen }));
        ledger.take(&mirror.changes().await?);
        tasks.spawn("ledger", OnError::StopProgram, follow(ledger.clone(), mirror, tasks.clone()));
        let writing = seeing::run(ledger.clone(), to_write, clock.clone(), tasks.clone());
        tasks.spawn("ledger-seen", OnError::Log, writing);
        tasks.spawn("ledger-pruning", OnError::Log, pruning::run(ledger.clone(), clock.clone(), tasks.clone()));
        Ok(ledger)
    }

    /// Writes an entry; it is durable and known here when this returns.
    pub(crate) async fn record(&self, entry: Entry) -> Result<Recorded, NotRecorded> {
        let at = entry.issued_at;
        let write = records::write(&entry, Precondition::Absent, at)
            .map_err(|problem| NotRecorded::NoRecord { problem: problem.to_string() })?;
        // Who revoked something on a full disk needs a token next. What zones get by themselves has no part in the space
        // that is kept back for that.
        let importance = if entry.how == How::Command { Importance::Safety } else { Importance::Usual };
        match self.0.store.apply(Batch { importance, ..Batch::of(vec![write]) }).await {
            Ok(applied) => {
                self.write().put(Arc::new(entry), applied.version);
                Ok(Recorded::New)
            }
            Err(StoreError::AlreadyExists { .. }) => Ok(Recorded::Before),
            Err(refusal) => Err(NotRecorded::Store(refusal)),
        }
    }

    /// Takes the entry of a token out that was recorded and not handed out after all.
    pub(crate) async fn strike(&self, entry: &Entry) -> Result<(), StoreError> {
        let key = records::key::<Entry>(&records::Record::rest(entry));
        let applied = self.0.store.apply(Batch::of(vec![Write::Delete { key, expect: Precondition::Any }])).await?;
        self.write().remove(entry, applied.version);
        Ok(())
    }

    /// Where it is kept, together with what judges the tokens.
    pub(crate) fn store(&self) -> &dyn ResourceStore {
        &*self.0.store
    }

    /// Notes that somebody who may showed a token of a family. Costs two look-ups for one that is known and was seen.
    pub(crate) fn seen(&self, family: &Family, id: &str) {
        let index = self.read();
        if index.see(family, id) && self.0.seen.try_send((family.clone(), id.to_owned())).is_err() {
            index.not_written(family, id);
        }
    }

    /// All tokens, by family and id.
    pub(crate) fn all(&self) -> Vec<Known> {
        self.read().all()
    }

    /// One token.
    pub(crate) fn get(&self, family: &Family, id: &str) -> Option<Known> {
        self.read().get(family, id)
    }

    /// The tokens that a key signed.
    pub(crate) fn of_key(&self, key: &KeyId) -> Vec<Known> {
        self.read().of_key(key)
    }

    /// The tokens for a zone, of all families.
    pub(crate) fn of_zone(&self, zone: &str) -> Vec<Known> {
        self.read().of_zone(zone)
    }

    /// The names of entries that cannot be read. Nobody knows which tokens they are about.
    pub(crate) fn unreadable(&self) -> Vec<String> {
        self.read().unreadable()
    }

    fn take(&self, changes: &[store::Change]) {
        let mut index = self.write();
        changes.iter().for_each(|change| index.take(change));
    }

    fn read(&self) -> RwLockReadGuard<'_, Index> {
        self.0.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Index> {
        self.0.index.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps up with what others write.
async fn follow(ledger: Ledger, mut mirror: Mirror, tasks: Tasks) -> anyhow::Result<()> {
    loop {
        let changes = tokio::select! {
            () = tasks.stopping() => return Ok(()),
            changes = mirror.changes() => changes.map_err(|_ended| anyhow!("the store's watch of the ledger ended"))?,
        };
        ledger.take(&changes);
    }
}

#[cfg(test)]
mod tests;
