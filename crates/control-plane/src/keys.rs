//! The key ring as it is now: rebuilt whenever a secret or a record changes that decides which tokens are good, published to
//! all who verify.
//!
//! ```text
//! secrets: keys, lists ───┐
//! records: revocations ───┴► Mirror ─► Sources ─► KeyRing
//! ```
//!
//! While the store is behind nobody here knows whether a key was deleted elsewhere. What is done then is decided here: for a
//! while tokens are taken as before, afterwards nobody new is let in and is told to come again. For users, and for whoever
//! signs, the while is [`LONGEST_BEHIND`] ([`Keys::to_admit`]): a call is easily made again, and one of an administrator can
//! do anything. For zones it is a setting ([`Keys::to_admit_within`]): one that cannot come back is cut off. Sessions stay:
//! what they were let in for was good, they end with their token, and the sweep with the first fresh ring ends those whose
//! key is gone.

mod heard;
mod sources;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use anyhow::anyhow;
use model::{Key, Kind};
use store::{Change, Freshness, Kinds, Mirror, ResourceStore, Version, WatchEnded};
use thiserror::Error;
use tokens::{KeyRing, StaticKeys};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until, timeout},
};
use tracing::{error, info, warn};

pub use self::sources::{Instead, Sort, Unreadable};
use self::{heard::Heard, sources::Sources};
use crate::{
    records::{self, revocation::Revocation, rotation::Rotations},
    tasks::{OnError, Tasks},
};

/// For how long the keys of users, and those that sign, are relied on after the store was last known to be fresh: longer than
/// a database takes to fail over, and as long as the deletion of such a key elsewhere may go unnoticed here.
pub const LONGEST_BEHIND: Duration = Duration::from_secs(30);

/// For how long somebody who wrote a revocation waits until it is in the ring here.
const IN_FORCE_WITHIN: Duration = Duration::from_secs(5);

/// A handle on the current ring. Cheap to clone.
#[derive(Clone)]
pub struct Keys {
    ring: watch::Receiver<Arc<KeyRing>>,
    /// What else is known of the ring. `None` for one that somebody else keeps.
    known: Option<Known>,
}

/// What is known of a ring beside what it says.
#[derive(Clone)]
struct Known {
    freshness: watch::Receiver<Freshness>,
    heard: Heard,
    /// The names of the records of revocations that are in it.
    revocations: watch::Receiver<Arc<BTreeSet<String>>>,
    unreadable: watch::Receiver<Arc<[Unreadable]>>,
    version: watch::Receiver<Version>,
}

/// The other ends of [`Known`] and of the ring.
struct Told {
    rings: watch::Sender<Arc<KeyRing>>,
    freshness: watch::Sender<Freshness>,
    heard: Heard,
    revocations: watch::Sender<Arc<BTreeSet<String>>>,
    unreadable: watch::Sender<Arc<[Unreadable]>>,
    version: watch::Sender<Version>,
}

/// Nobody knows whether the keys that are known here are still good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("tokens cannot be checked: for {} s it is not known here whether their keys were deleted, try again later", .since.elapsed().as_secs())]
pub struct KeysBehind {
    since: Instant,
}

impl Keys {
    /// Reads secrets and records and keeps the ring up to date from then on. Returns when the first ring is complete.
    pub async fn start(store: &Arc<dyn ResourceStore>, tasks: &Tasks) -> Result<Self, WatchEnded> {
        Self::start_beside(watch::channel(Arc::default()).1, store, tasks).await
    }

    /// The same, with the keys of the settings of the time in every ring.
    pub async fn start_beside(
        mut settings: watch::Receiver<Arc<StaticKeys>>,
        store: &Arc<dyn ResourceStore>,
        tasks: &Tasks,
    ) -> Result<Self, WatchEnded> {
        let mut stored = Mirror::of(&**store, Kinds::Only(vec![Kind::SECRET, Kind::GLOBAL_SECRET, Kind::RECORD]));
        let first = stored.changes().await?;
        let mut sources = Sources::beside(Arc::clone(&settings.borrow_and_update()));
        let (rings, ring) = watch::channel(Arc::new(sources.ring(1, stored.picture())));
        let (said, freshness) = watch::channel(stored.freshness());
        let (revoked, revocations) = watch::channel(Arc::new(names(&sources)));
        let (damaged, unreadable) = watch::channel(sources.unreadable().into());
        let heard = Heard::default();
        let (taken, version) = watch::channel(newest(&first).unwrap_or(Version(0)));
        let told = Told {
            rings,
            freshness: said,
            heard: heard.clone(),
            revocations: revoked,
            unreadable: damaged,
            version: taken,
        };
        tasks.spawn("keys", OnError::StopProgram, follow(stored, settings, sources, told, tasks.clone()));
        Ok(Self { ring, known: Some(Known { freshness, heard, revocations, unreadable, version }) })
    }

    /// Keys of which somebody else says what they are.
    pub fn of(ring: watch::Receiver<Arc<KeyRing>>) -> Self {
        Self { ring, known: None }
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
        let behind = self.known.as_ref().and_then(|known| known.freshness.borrow().behind_since());
        match behind {
            Some(since) if since.elapsed() >= longest => Err(KeysBehind { since }),
            _ => Ok(self.ring()),
        }
    }

    /// When the first of the changes was heard that made the ring another one than that of this generation.
    pub fn heard_after(&self, generation: u64) -> Option<Instant> {
        self.known.as_ref()?.heard.after(generation)
    }

    /// Tells when the ring changes.
    pub fn subscribe(&self) -> watch::Receiver<Arc<KeyRing>> {
        self.ring.clone()
    }

    /// Tells of which version the last change is that is in the ring, or in a newer one.
    pub(crate) fn version(&self) -> watch::Receiver<Version> {
        match &self.known {
            Some(known) => known.version.clone(),
            None => watch::Sender::new(Version(0)).subscribe(),
        }
    }

    /// What decides which tokens are good and cannot be read, as far as that is known here; tells when that changes.
    pub fn unreadable(&self) -> Option<watch::Receiver<Arc<[Unreadable]>>> {
        self.known.as_ref().map(|known| known.unreadable.clone())
    }

    /// Waits a moment until a revocation is in the ring; returns whether it is.
    pub(crate) async fn in_force(&self, record: &str) -> bool {
        self.revocations_are(|names| names.contains(record)).await
    }

    /// Waits a moment until a revocation that is taken back is no longer in the ring; returns whether that is so.
    pub(crate) async fn no_longer_in_force(&self, record: &str) -> bool {
        self.revocations_are(|names| !names.contains(record)).await
    }

    async fn revocations_are(&self, so: impl Fn(&BTreeSet<String>) -> bool) -> bool {
        let Some(known) = &self.known else { return false };
        let mut revocations = known.revocations.clone();
        // The ring is there before its names.
        let waited = timeout(IN_FORCE_WITHIN, revocations.wait_for(|names| so(names))).await;
        matches!(waited, Ok(Ok(_)))
    }
}

/// The names of the records of revocations that count.
fn names(sources: &Sources) -> BTreeSet<String> {
    sources.revocations().map(str::to_owned).collect()
}

async fn follow(
    mut stored: Mirror,
    mut settings: watch::Receiver<Arc<StaticKeys>>,
    mut sources: Sources,
    told: Told,
    tasks: Tasks,
) -> anyhow::Result<()> {
    let mut generation = 1;
    let mut age = Age::default();
    age.is(stored.freshness());
    loop {
        let (is_another, version) = tokio::select! {
            () = tasks.stopping() => return Ok(()),
            changes = stored.changes() => {
                let changes = changes.map_err(|_ended| anyhow!("the store's watch of secrets ended"))?;
                // What is ready together makes one ring: each one parses every key.
                (changes.iter().any(matters), newest(&changes))
            }
            () = changed(&mut settings) => {
                sources.now_beside(Arc::clone(&settings.borrow_and_update()));
                (true, None)
            }
            () = age.too_old() => continue,
        };
        if is_another {
            generation += 1;
            told.heard.note(generation, Instant::now());
            told.rings.send_replace(Arc::new(sources.ring(generation, stored.picture())));
            told.revocations.send_replace(Arc::new(names(&sources)));
            told.unreadable.send_replace(sources.unreadable().into());
            info!(generation, "key ring rebuilt");
        }
        if let Some(version) = version {
            told.version.send_if_modified(|known| version > std::mem::replace(known, version.max(*known)));
        }
        age.is(stored.freshness());
        told.freshness.send_replace(stored.freshness());
    }
}

/// Resolves when the keys of the settings are others; never where they do not change. Cancel safe.
async fn changed(settings: &mut watch::Receiver<Arc<StaticKeys>>) {
    if settings.changed().await.is_err() {
        std::future::pending().await
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

/// The version of the last of these changes of what the ring is made of, also of one that makes the same ring. A deletion has
/// none: whoever has what was written since has it, too.
fn newest(changes: &[Change]) -> Option<Version> {
    let version = |change: &Change| match change {
        Change::Set { now, .. } => Some(now.version),
        Change::Gone { .. } => None,
    };
    changes.iter().filter(|change| decides(change.key())).filter_map(version).max()
}

/// Whether a change can change a verdict.
fn matters(change: &Change) -> bool {
    let differs = match change {
        Change::Set { was: Some(was), now } => was.resource.spec != now.resource.spec,
        Change::Set { was: None, .. } | Change::Gone { .. } => true,
    };
    differs && decides(change.key())
}

/// Whether what is kept there decides which tokens are good, or with which key they are signed.
fn decides(key: &Key) -> bool {
    sources::secret_name(key).is_some() || records::is::<Revocation>(key) || records::is::<Rotations>(key)
}

#[cfg(test)]
mod tests;
