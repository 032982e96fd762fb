//! The key ring as it is now: rebuilt from the store whenever a secret changes, published to all who verify.
//!
//! While the store is behind nobody here knows whether a key was deleted elsewhere. What is done then is decided here: for a
//! while tokens are taken as before, afterwards nobody new is let in and is told to come again. For users, and for whoever
//! signs, the while is [`LONGEST_BEHIND`] ([`Keys::to_admit`]): a call is easily made again, and one of an administrator can
//! do anything. For zones it is a setting ([`Keys::to_admit_within`]): one that cannot come back is cut off. Sessions stay:
//! what they were let in for was good, they end with their token, and the sweep with the first fresh ring ends those whose
//! key is gone.

mod heard;

use std::{sync::Arc, time::Duration};

use anyhow::anyhow;
use model::{Key, Kind, secret};
use store::{Change, Freshness, Kinds, Mirror, Picture, ResourceStore, WatchEnded};
use thiserror::Error;
use tokens::{KeyRing, SecretEntry, SecretName, StaticKeys};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};
use tracing::{error, info, warn};

use self::heard::Heard;
use crate::tasks::{OnError, Tasks};

/// For how long the keys of users, and those that sign, are relied on after the store was last known to be fresh: longer than
/// a database takes to fail over, and as long as the deletion of such a key elsewhere may go unnoticed here.
pub const LONGEST_BEHIND: Duration = Duration::from_secs(30);

/// A handle on the current ring. Cheap to clone.
#[derive(Clone)]
pub struct Keys {
    ring: watch::Receiver<Arc<KeyRing>>,
    /// How fresh the ring is. `None` for one that somebody else keeps.
    freshness: Option<watch::Receiver<Freshness>>,
    heard: Heard,
}

/// Nobody knows whether the keys that are known here are still good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("tokens cannot be checked: for {} s it is not known here whether their keys were deleted, try again later", .since.elapsed().as_secs())]
pub struct KeysBehind {
    since: Instant,
}

impl Keys {
    /// Reads the secrets and keeps the ring up to date from then on. Returns when the first ring is complete.
    pub async fn start(store: &Arc<dyn ResourceStore>, tasks: &Tasks) -> Result<Self, WatchEnded> {
        Self::start_beside(Arc::default(), store, tasks).await
    }

    /// The same, with the keys of the settings in every ring.
    pub async fn start_beside(
        settings: Arc<StaticKeys>,
        store: &Arc<dyn ResourceStore>,
        tasks: &Tasks,
    ) -> Result<Self, WatchEnded> {
        let mut secrets = Mirror::of(&**store, Kinds::Only(vec![Kind::SECRET, Kind::GLOBAL_SECRET]));
        secrets.changes().await?;
        let (rings, ring) = watch::channel(Arc::new(build(1, secrets.picture(), &settings)));
        let (said, freshness) = watch::channel(secrets.freshness());
        let heard = Heard::default();
        let following = follow(secrets, settings, rings, said, heard.clone(), tasks.clone());
        tasks.spawn("keys", OnError::StopProgram, following);
        Ok(Self { ring, freshness: Some(freshness), heard })
    }

    /// Keys of which somebody else says what they are.
    pub fn of(ring: watch::Receiver<Arc<KeyRing>>) -> Self {
        Self { ring, freshness: None, heard: Heard::default() }
    }

    /// The ring of now, as far as it is known: for everything but letting somebody in.
    pub fn ring(&self) -> Arc<KeyRing> {
        Arc::clone(&self.ring.borrow())
    }

    /// The ring that decides which user is let in, and that signs; none if it may be too old for that.
    pub fn to_admit(&self) -> Result<Arc<KeyRing>, KeysBehind> {
        self.to_admit_within(LONGEST_BEHIND)
    }

    /// The ring that decides who is let in; none if the store is behind for so long.
    pub fn to_admit_within(&self, longest: Duration) -> Result<Arc<KeyRing>, KeysBehind> {
        // Before the ring: a fresh ring is there before it is said to be fresh.
        let behind = self.freshness.as_ref().and_then(|freshness| freshness.borrow().behind_since());
        match behind {
            Some(since) if since.elapsed() >= longest => Err(KeysBehind { since }),
            _ => Ok(self.ring()),
        }
    }

    /// When the first of the changes was heard that made the ring another one than that of this generation.
    pub fn heard_after(&self, generation: u64) -> Option<Instant> {
        self.heard.after(generation)
    }

    /// Tells when the ring changes.
    pub fn subscribe(&self) -> watch::Receiver<Arc<KeyRing>> {
        self.ring.clone()
    }
}

async fn follow(
    mut secrets: Mirror,
    settings: Arc<StaticKeys>,
    rings: watch::Sender<Arc<KeyRing>>,
    said: watch::Sender<Freshness>,
    heard: Heard,
    tasks: Tasks,
) -> anyhow::Result<()> {
    let mut generation = 1;
    let mut age = Age::default();
    age.is(secrets.freshness());
    loop {
        let changes = tokio::select! {
            () = tasks.stopping() => return Ok(()),
            changes = secrets.changes() => changes.map_err(|_ended| anyhow!("the store's watch of secrets ended"))?,
            () = age.too_old() => continue,
        };
        // What is ready together makes one ring: each one parses every key.
        if changes.iter().any(matters) {
            generation += 1;
            heard.note(generation, Instant::now());
            rings.send_replace(Arc::new(build(generation, secrets.picture(), &settings)));
            info!(generation, "key ring rebuilt");
        }
        age.is(secrets.freshness());
        said.send_replace(secrets.freshness());
    }
}

/// How old the ring may be, and what the log knows of it: each turn is told once.
#[derive(Default)]
struct Age {
    behind_since: Option<Instant>,
    told_too_old: bool,
}

impl Age {
    fn is(&mut self, freshness: Freshness) {
        let since = freshness.behind_since();
        match (self.behind_since, since) {
            (None, Some(_)) => {
                let seconds = LONGEST_BEHIND.as_secs();
                warn!(seconds, "the store is behind: tokens are checked with the keys of before for so long");
            }
            (Some(behind), None) => {
                let seconds = behind.elapsed().as_secs();
                info!(seconds, "the store is no longer behind, tokens are checked with the keys of now");
            }
            (None, None) | (Some(_), Some(_)) => {}
        }
        self.behind_since = since;
        self.told_too_old &= since.is_some();
    }

    /// Resolves once, after telling it, when the ring is too old to let somebody in. Cancel safe.
    async fn too_old(&mut self) {
        match self.behind_since {
            Some(since) if !self.told_too_old => sleep_until(since + LONGEST_BEHIND).await,
            _ => return std::future::pending().await,
        }
        self.told_too_old = true;
        error!(
            "the store is behind for too long: no user is let in with a token and nothing is signed until it is fresh"
        );
    }
}

/// The ring of the secrets that the `tokens` crate reads, by their store key, and the keys of the settings.
fn build(generation: u64, secrets: &Picture, settings: &Arc<StaticKeys>) -> KeyRing {
    let decoded: Vec<_> =
        secrets.stored().map(|stored| (&stored.resource.key, secret::decode(&stored.resource.spec))).collect();
    let entries: Vec<_> = decoded
        .iter()
        .map(|(key, data)| SecretEntry {
            mesh: &key.mesh,
            name: &key.name,
            data: data.as_ref().map(|data| data.as_slice()),
        })
        .collect();
    let (ring, problems) = KeyRing::build(generation, &entries);
    for problem in problems {
        error!(problem = %problem, "a secret that verifies tokens cannot be used");
    }
    ring.with_static_keys(Arc::clone(settings))
}

/// Whether a change can change a verdict.
fn matters(change: &Change) -> bool {
    let differs = match change {
        Change::Set { was: Some(was), now } => was.resource.spec != now.resource.spec,
        Change::Set { was: None, .. } | Change::Gone { .. } => true,
    };
    differs && verifies(change.key())
}

/// Whether the secret is one that tokens are verified with.
fn verifies(key: &Key) -> bool {
    SecretName::parse(&key.mesh, &key.name).is_some()
}

#[cfg(test)]
mod tests;
