//! From a request to a [`Caller`].

use std::{future::Future, net::SocketAddr, sync::Arc, time::Duration};

use http::{HeaderMap, header::AUTHORIZATION, request::Parts};
use jiff::Timestamp;
use thiserror::Error;
use tokens::{Rejection, SignedUser};
use tracing::debug;

use super::{
    Caller,
    localhost::{self, Sign},
};
use crate::{
    clock::Clock,
    keys::{Keys, KeysBehind},
    verdicts::Verdicts,
};

/// How often the clock is looked at while a token is good: it may have been set, or the machine slept.
const LOOK: Duration = Duration::from_secs(10);
/// The look at the end of a token may be early by a little.
const SHORTEST: Duration = Duration::from_millis(10);

/// Whether a request came over TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// In the clear.
    Http,
    /// Over TLS.
    Https,
}

/// The other end of the connection a request came on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remote {
    /// Its address.
    pub address: SocketAddr,
    /// How it came.
    pub transport: Transport,
}

/// Why nobody knows who sent a request.
#[derive(Debug, Error)]
pub enum Unproved {
    /// The token in it is refused.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// There is a token in it, and it is not known here whether its key is still good.
    #[error(transparent)]
    KeysBehind(#[from] KeysBehind),
}

/// Finds out who sent a request.
#[derive(Clone)]
pub struct Authenticator {
    localhost_is_admin: bool,
    keys: Keys,
    /// Of tokens that were shown before.
    verdicts: Arc<Verdicts<SignedUser>>,
}

impl Authenticator {
    /// Returns an authenticator that checks tokens with the ring of the moment.
    pub fn new(localhost_is_admin: bool, keys: Keys) -> Self {
        Self { localhost_is_admin, keys, verdicts: Arc::default() }
    }

    /// Returns who sent a request, or why the token in it is refused.
    ///
    /// `host` is the authority that the request names. A token is looked at only if the caller is not the
    /// administrator already; no token at all makes an anonymous caller.
    pub fn authenticate(&self, remote: Remote, host: &str, head: &Parts, now: Timestamp) -> Result<Caller, Unproved> {
        if self.localhost_is_admin {
            match localhost::sign_of_another(remote.address.ip(), host, head) {
                None => return Ok(Caller::admin()),
                Some(Sign::Remote) => {}
                Some(sign) => debug!(?sign, "a caller on this machine is not its administrator"),
            }
        }
        let Some(raw) = bearer(&head.headers) else { return Ok(Caller::anonymous()) };
        let ring = self.keys.to_admit()?;
        // No leeway: the peer that wrote a user token and the one that reads it share a clock.
        let user = self.verdicts.user(&raw, &ring, now, Duration::ZERO)?;
        Ok(Caller::user(user))
    }

    /// Resolves when the token of a caller is not good any more: it is revoked, its key is gone, or it ended. Who needs
    /// none stays who they are.
    pub(crate) fn ended(&self, caller: &Caller, clock: &Clock) -> impl Future<Output = ()> + Send + use<> {
        let (token, mut ring, clock) = (caller.token(), self.keys.subscribe(), clock.clone());
        async move {
            let Some(token) = token else { return std::future::pending().await };
            loop {
                let (current, now) = (ring.borrow_and_update().clone(), clock.now());
                if token.still_good(&current, now, Duration::ZERO).is_err() {
                    return;
                }
                let left =
                    token.expires_at().map(|end| Duration::try_from(end.duration_since(now)).unwrap_or_default());
                tokio::select! {
                    // The ring's owner ends first when the program stops.
                    changed = ring.changed() => if changed.is_err() { return std::future::pending().await },
                    () = tokio::time::sleep(left.map_or(LOOK, |left| left.clamp(SHORTEST, LOOK))) => {}
                }
            }
        }
    }
}

impl Authenticator {
    /// Returns who sent a request to a port where only its head says so; who names two hosts is nobody.
    pub fn caller(&self, remote: Remote, head: &Parts, now: Timestamp) -> Result<Caller, Unproved> {
        match localhost::host_of(head) {
            Ok(host) => self.authenticate(remote, host.unwrap_or_default(), head, now),
            Err(localhost::TwoHosts) => Ok(Caller::anonymous()),
        }
    }
}

/// Returns the token of the request: what follows `Bearer ` (in this case, with one blank).
fn bearer(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(AUTHORIZATION)?.as_bytes();
    let token = value.strip_prefix(b"Bearer ")?.trim_ascii_end();
    if token.is_empty() {
        return None;
    }
    // A token that is no text is a bad token, not none.
    Some(String::from_utf8_lossy(token).into_owned())
}

#[cfg(test)]
mod tests {
    use store::{ResourceStore, testing::Database};

    use super::*;
    use crate::{keys::LONGEST_BEHIND, tasks::Tasks};

    #[tokio::test(start_paused = true)]
    async fn while_keys_may_be_too_old_no_token_is_taken_and_the_administrator_of_the_machine_is() {
        let store = Database::new().instance();
        let shared: Arc<dyn ResourceStore> = Arc::new(store.clone());
        let keys = Keys::start(&shared, &Tasks::new()).await.unwrap();
        let authenticator = Authenticator::new(true, keys);
        let caller = |from: &str, token: Option<&str>| {
            let mut request = http::Request::get("/").header("host", "localhost");
            if let Some(token) = token {
                request = request.header("authorization", format!("Bearer {token}"));
            }
            let (head, ()) = request.body(()).unwrap().into_parts();
            let remote = Remote { address: from.parse().unwrap(), transport: Transport::Http };
            authenticator.authenticate(remote, "localhost", &head, Timestamp::UNIX_EPOCH)
        };
        let remote = "192.0.2.1:4711";
        assert!(matches!(caller(remote, Some("x")), Err(Unproved::Rejected(_))));
        store.fall_behind();
        tokio::time::sleep(LONGEST_BEHIND).await;
        assert!(matches!(caller(remote, Some("x")), Err(Unproved::KeysBehind(_))));
        assert!(caller(remote, None).is_ok(), "who shows nothing is anonymous as before");
        assert!(caller("127.0.0.1:4711", Some("x")).is_ok(), "who needs no key needs none");
    }
}
