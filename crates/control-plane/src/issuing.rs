//! Issuing tokens, without HTTP: whoever may have one orders it here, and only here something is signed.
//!
//! ```text
//! permit + order ─► may they? ─► issued here? ─► the key that signs now ─► token, and a line in the log
//! ```
//!
//! An [`Order`] is whole and valid; reading one from a request, and wording what is wrong with it, is left to whoever
//! takes requests. What is logged of a token is its id and its key, never the token. Nothing is kept of it here.

mod next;
mod order;
mod signing_key;

use thiserror::Error;
use tokens::{Family, IssueError, Scope, Token};
use tracing::info;
use uuid::Uuid;

use crate::{
    access::{Denied, Permit, TokenKind},
    clock::Clock,
    keys::{Keys, KeysBehind},
    observe::shown,
};

pub(crate) use next::Reason;
pub(crate) use order::Order;
pub(crate) use signing_key::{KeyNotMade, new_signing_key};

/// Which kinds of tokens are issued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Issuers {
    /// `dpServer.authn.dpProxy.dpToken.enableIssuer`.
    pub dataplane: bool,
    /// `dpServer.authn.zoneProxy.zoneToken.enableIssuer`.
    pub zone: bool,
    /// `apiServer.authn.tokens.enableIssuer`.
    pub user: bool,
    /// `kmesh.multizone.global.kds.auth.cpToken.enableIssuer`.
    pub control_plane: bool,
}

impl Default for Issuers {
    fn default() -> Self {
        Self { dataplane: true, zone: true, user: true, control_plane: true }
    }
}

impl Issuers {
    fn has(self, kind: TokenKind) -> bool {
        match kind {
            TokenKind::Dataplane => self.dataplane,
            TokenKind::Zone => self.zone,
            TokenKind::User => self.user,
            TokenKind::ControlPlane => self.control_plane,
        }
    }
}

/// Why no token was issued.
#[derive(Clone, Debug, PartialEq, Error)]
pub(crate) enum NotIssued {
    /// The caller may not.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// Tokens of this kind are not issued here.
    #[error("issuing tokens using the control plane is disabled.")]
    Off,
    /// It is not known here whether the key that would sign is still good.
    #[error(transparent)]
    KeysBehind(#[from] KeysBehind),
    /// There is no key for it, or no token can say what was ordered.
    #[error(transparent)]
    Failed(#[from] IssueError),
}

/// Issues tokens for callers. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Issuer {
    keys: Keys,
    clock: Clock,
    issuers: Issuers,
}

impl Issuer {
    /// Returns what issues with the key that signs at the time.
    pub(crate) fn new(keys: Keys, clock: Clock, issuers: Issuers) -> Self {
        Self { keys, clock, issuers }
    }

    /// Returns whether a caller may have a token of a kind for the zone that zone and control plane tokens name.
    ///
    /// For a request that is not read yet: [`Issuer::issue`] asks again for what is ordered.
    pub(crate) fn may_issue(&self, permit: &Permit, kind: TokenKind, zone: &str) -> Result<(), NotIssued> {
        permit.issue(kind, zone)?;
        if self.issuers.has(kind) { Ok(()) } else { Err(NotIssued::Off) }
    }

    /// The public halves of the keys of these families, as a JSON Web Key Set: for everybody.
    pub(crate) fn public_keys(&self, wanted: impl Fn(&Family) -> bool) -> serde_json::Value {
        tokens::jwk_set(&self.keys.ring(), wanted)
    }

    pub(crate) fn issue(&self, permit: &Permit, order: &Order) -> Result<Token, NotIssued> {
        self.may_issue(permit, order.kind(), order.zone())?;
        self.fill(order, &permit.caller().to_string())
    }

    fn fill(&self, order: &Order, caller: &str) -> Result<Token, NotIssued> {
        let kind = order.kind();
        // With this scope it lets a control plane in, as a control plane token does.
        if !self.issuers.has(kind) || (order.lets_control_planes_in() && !self.issuers.has(TokenKind::ControlPlane)) {
            return Err(NotIssued::Off);
        }
        let token = order.sign(&*self.keys.to_admit()?, self.clock.now(), Uuid::new_v4())?;
        let (key, expires) = (token.key().to_string(), token.expires_at());
        let expires = expires.map_or_else(|| "never".to_owned(), |expires| expires.to_string());
        info!(
            caller = %shown::name(caller), token = ?kind, zone = order.zone(),
            scope = scopes(order), name = &*shown::name(order.name()), token_id = token.id(), key,
            expires, "token issued"
        );
        Ok(token)
    }
}

fn scopes(order: &Order) -> String {
    order.scopes().iter().copied().map(Scope::as_str).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests;
