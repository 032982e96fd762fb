//! From a request to a [`Caller`].

use std::{net::SocketAddr, sync::Arc, time::Duration};

use http::{HeaderMap, header::AUTHORIZATION, request::Parts};
use jiff::Timestamp;
use tokens::{KeyRing, Rejection};
use tokio::sync::watch;
use tracing::debug;

use super::{
    Caller,
    localhost::{self, Sign},
};

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
pub struct Peer {
    /// Its address.
    pub remote: SocketAddr,
    /// How it came.
    pub transport: Transport,
}

/// Finds out who sent a request.
#[derive(Clone)]
pub struct Authenticator {
    localhost_is_admin: bool,
    ring: watch::Receiver<Arc<KeyRing>>,
}

impl Authenticator {
    /// Returns an authenticator that checks tokens with the ring of the moment.
    pub fn new(localhost_is_admin: bool, ring: watch::Receiver<Arc<KeyRing>>) -> Self {
        Self { localhost_is_admin, ring }
    }

    /// Returns who sent a request, or why the token in it is refused.
    ///
    /// `host` is the authority that the request names. A token is looked at only if the caller is not the
    /// administrator already; no token at all makes an anonymous caller.
    pub fn authenticate(&self, peer: Peer, host: &str, head: &Parts, now: Timestamp) -> Result<Caller, Rejection> {
        if self.localhost_is_admin {
            match localhost::sign_of_another(peer.remote.ip(), host, head) {
                None => return Ok(Caller::admin()),
                Some(Sign::Remote) => {}
                Some(sign) => debug!(target: "api-server", ?sign, "a caller on this machine is not its administrator"),
            }
        }
        let Some(raw) = bearer(&head.headers) else { return Ok(Caller::anonymous()) };
        let ring = self.ring.borrow().clone();
        // No leeway: the peer that wrote a user token and the one that reads it share a clock.
        let user = tokens::verify_user(&raw, &ring, now, Duration::ZERO)?;
        Ok(Caller::user(&user))
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
