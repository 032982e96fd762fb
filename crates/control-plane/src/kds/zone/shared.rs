//! What the instances of a zone keep in their store for whichever of them leads next: the token that was renewed last, and
//! which kinds have joined. A zone whose store is of one program keeps both in its work folder.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use serde::{Deserialize, Serialize};
use store::{Batch, Precondition, ResourceStore, StoreError};
use thiserror::Error;

use super::token::Token;
use crate::{
    clock::Clock,
    cluster::Epoch,
    records::{self, Record, RecordError},
};

/// Where they keep it.
pub(crate) struct Shared {
    store: Arc<dyn ResourceStore>,
    clock: Clock,
    /// That of the leader who writes: this instance, while it leads.
    epoch: AtomicU64,
}

/// Why something is not kept.
#[derive(Debug, Error)]
pub(super) enum NotKept {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("it cannot be written down")]
    Unwritable(#[from] serde_json::Error),
}

/// The kinds of which global decides, by name.
#[derive(Serialize, Deserialize)]
struct Joined {
    kinds: BTreeSet<String>,
}

impl Record for Joined {
    const FRONT: &'static str = "zone-joined";

    fn rest(&self) -> String {
        "kinds".to_owned()
    }
}

/// The token that global accepted last. Never printed.
#[derive(Serialize, Deserialize)]
struct Accepted {
    token: String,
}

impl Record for Accepted {
    const FRONT: &'static str = "zone-token";

    fn rest(&self) -> String {
        "accepted".to_owned()
    }
}

impl Drop for Accepted {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.token);
    }
}

impl Shared {
    pub(crate) fn new(store: Arc<dyn ResourceStore>, clock: Clock) -> Arc<Self> {
        Arc::new(Self { store, clock, epoch: AtomicU64::new(Epoch::ALONE.0) })
    }

    /// What is written from now on is written by the leader of this epoch, or refused.
    pub(super) fn leads(&self, epoch: Epoch) {
        self.epoch.store(epoch.0, Ordering::Relaxed);
    }

    /// The token that global accepted last.
    pub(super) async fn token(&self) -> Result<Option<Token>, RecordError> {
        let kept = records::get::<Accepted>(&*self.store, "accepted").await?;
        Ok(kept.and_then(|kept| Token::new(&kept.record.token)))
    }

    /// Keeps a token that global accepted, or gave.
    pub(super) async fn keep_token(&self, token: &Token) -> Result<(), NotKept> {
        self.keep(&Accepted { token: token.reveal().to_owned() }).await
    }

    /// The kinds that have joined.
    pub(super) async fn joined(&self) -> Result<BTreeSet<String>, RecordError> {
        let kept = records::get::<Joined>(&*self.store, "kinds").await?;
        Ok(kept.map(|kept| kept.record.kinds).unwrap_or_default())
    }

    /// Keeps which kinds have joined.
    pub(super) async fn keep_joined(&self, kinds: BTreeSet<String>) -> Result<(), NotKept> {
        self.keep(&Joined { kinds }).await
    }

    /// A zone without a global has none any more.
    pub(crate) async fn left(&self) -> Result<(), StoreError> {
        match self.store.delete(&records::key::<Joined>("kinds"), Precondition::Any).await {
            Ok(_) | Err(StoreError::NotFound { .. }) => Ok(()),
            Err(problem) => Err(problem),
        }
    }

    async fn keep<R: Record>(&self, record: &R) -> Result<(), NotKept> {
        let write = records::write(record, Precondition::Any, self.clock.now())?;
        let epoch = Epoch(self.epoch.load(Ordering::Relaxed));
        self.store.apply(Batch::of(vec![write]).fenced(epoch)).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use store::memory::MemoryStore;

    use super::*;

    #[tokio::test]
    async fn what_one_keeps_the_next_leader_finds_and_a_former_one_writes_nothing() {
        let store: Arc<dyn ResourceStore> = Arc::new(MemoryStore::new());
        let clock = Clock::starting_at(jiff::Timestamp::UNIX_EPOCH);
        let [one, next] = [(); 2].map(|()| Shared::new(Arc::clone(&store), clock.clone()));
        assert!(next.token().await.unwrap().is_none() && next.joined().await.unwrap().is_empty());
        one.keep_token(&Token::new("secret").unwrap()).await.unwrap();
        one.keep_joined(BTreeSet::from(["Mesh".to_owned()])).await.unwrap();
        assert!(next.token().await.unwrap().is_some_and(|token| token.reveal() == "secret"));
        assert_eq!(next.joined().await.unwrap(), BTreeSet::from(["Mesh".to_owned()]));
        // The store of one program has one epoch: this is one of somebody else.
        one.leads(Epoch(7));
        let refused = one.keep_token(&Token::new("stale").unwrap()).await;
        assert!(matches!(refused, Err(NotKept::Store(StoreError::Deposed { epoch: Epoch(7) }))));
        assert!(next.token().await.unwrap().is_some_and(|token| token.reveal() == "secret"));
        for _ in 0..2 {
            next.left().await.unwrap();
            assert!(one.joined().await.unwrap().is_empty());
        }
    }
}
