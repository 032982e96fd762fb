//! The certificate of an instance for the others: made in memory from the authority in the store, and made anew long before
//! it ends, or when there is another authority.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::anyhow;
use jiff::Timestamp;
use model::{Key, Kind, secret};
use store::{Kinds, Mirror, ResourceStore, WatchEnded};
use thiserror::Error;
use tracing::{info, warn};
use zeroize::Zeroizing;

use crate::{
    clock::Clock,
    tasks::Tasks,
    tls::{Mutual, OwnAuthority, Protocols},
};

/// The global secret that holds the authority: its certificate and its key, PEM.
pub(super) const AUTHORITY: &str = "inter-cp-ca";
/// What every instance is called in its certificate: which one it is, a request says.
pub(super) const NAME: &str = "inter-cp";
/// How long a certificate is good; the next one is made after half of it.
const LIFE: Duration = Duration::from_secs(24 * 3600);

/// Why there is no certificate.
#[derive(Debug, Error)]
pub(crate) enum Unusable {
    /// The secret is not there.
    #[error("the global secret `{AUTHORITY}` is not there: start a global control plane again, and it makes one")]
    Missing,
    /// The secret holds no authority.
    #[error(
        "the global secret `{AUTHORITY}` holds no authority that can be used ({0}): delete it and start a global control plane \
         again, which makes one"
    )]
    NoAuthority(String),
}

/// What this instance shows the others, and whom it believes. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Credentials(Arc<Shared>);

struct Shared {
    clock: Clock,
    protocols: Protocols,
    state: Mutex<State>,
}

struct State {
    /// PEM, as it is in the store.
    authority: Zeroizing<Vec<u8>>,
    current: Mutual,
    renew_at: Timestamp,
}

impl Credentials {
    /// Makes the first certificate from an authority.
    pub(super) fn of(authority: Zeroizing<Vec<u8>>, protocols: Protocols, clock: Clock) -> Result<Self, Unusable> {
        let (current, renew_at) = make(&authority, &protocols, &clock)?;
        let state = Mutex::new(State { authority, current, renew_at });
        Ok(Self(Arc::new(Shared { clock, protocols, state })))
    }

    /// Makes the first certificate from what is stored. The mirror has to be given to [`Credentials::follow`].
    pub(crate) async fn start(
        store: &dyn ResourceStore,
        protocols: Protocols,
        clock: Clock,
    ) -> anyhow::Result<(Self, Mirror)> {
        let mut secrets = Mirror::of(store, Kinds::Only(vec![Kind::GLOBAL_SECRET]));
        secrets.changes().await?;
        let authority = stored(&secrets).ok_or(Unusable::Missing)?;
        Ok((Self::of(authority, protocols, clock)?, secrets))
    }

    /// Takes another authority when there is one, until the program stops. Without a good one the last one stays.
    pub(crate) async fn follow(self, mut secrets: Mirror, tasks: Tasks) -> anyhow::Result<()> {
        loop {
            tokio::select! {
                () = tasks.stopping() => return Ok(()),
                changes = secrets.changes() => {
                    changes.map_err(|WatchEnded| anyhow!("the store's watch of secrets ended"))?;
                }
            }
            let Some(authority) = stored(&secrets) else { continue };
            if authority == self.lock().authority {
                continue;
            }
            match make(&authority, &self.0.protocols, &self.0.clock) {
                Ok((current, renew_at)) => {
                    *self.lock() = State { authority, current, renew_at };
                    info!("instances believe each other by a new authority");
                }
                Err(reason) => warn!(%reason, "the new authority cannot be used, the old one stays in use"),
            }
        }
    }

    /// What is shown and believed now.
    pub(super) fn current(&self) -> Mutual {
        let mut state = self.lock();
        if self.0.clock.now() >= state.renew_at
            // An authority that was good once is good again.
            && let Ok((current, renew_at)) = make(&state.authority, &self.0.protocols, &self.0.clock)
        {
            (state.current, state.renew_at) = (current, renew_at);
        }
        state.current.clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn stored(secrets: &Mirror) -> Option<Zeroizing<Vec<u8>>> {
    let stored = secrets.picture().get(&Key::global(Kind::GLOBAL_SECRET, AUTHORITY))?;
    secret::decode(&stored.resource.spec)
}

/// Makes a certificate, and says when to make the next one.
fn make(authority: &[u8], protocols: &Protocols, clock: &Clock) -> Result<(Mutual, Timestamp), Unusable> {
    let wrong = |what: &dyn ToString| Unusable::NoAuthority(what.to_string());
    let authority = OwnAuthority::read(authority).map_err(|error| wrong(&error))?;
    let now = clock.now();
    let shown = authority.sign_for_both_ends(&[NAME.to_owned()], now, LIFE).map_err(|error| wrong(&error.chain()))?;
    let mutual =
        Mutual::new(authority.certificate().clone(), shown, protocols, clock).map_err(|error| wrong(&error))?;
    Ok((mutual, now.saturating_add(LIFE / 2).unwrap_or(Timestamp::MAX)))
}
