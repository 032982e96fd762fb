//! Issuing tokens, without HTTP: whoever may have one orders it here, and only here something is signed.
//!
//! ```text
//! permit + order ─► may they? ─► issued here? ─┐
//! proof of a zone ─► the next one of the same ─┴► the key that signs now ─► entry in the ledger ─► token, and a line in the log
//! ```
//!
//! An [`Order`] is whole and valid; reading one from a request, and wording what is wrong with it, is left to whoever
//! takes requests. What is logged and kept of a token is its id and its key, never the token. Nobody gets a token whose
//! entry in the [ledger](crate::ledger) is not durable.

mod next;
mod order;
mod signed;
mod signing_key;
mod sparing;

use std::sync::Arc;

use jiff::Timestamp;
use thiserror::Error;
use tokens::{Family, IssueError, KeyRing, Scope, Token};
use tracing::{info, warn};
use uuid::Uuid;

use crate::{
    access::{Denied, Permit, TokenKind},
    clock::Clock,
    keys::{Keys, KeysBehind},
    ledger::{How, Ledger, NotRecorded, Recorded},
    observe::shown,
    signers::Signers,
};

pub(crate) use next::Reason;
pub(crate) use order::Order;
pub(crate) use signed::{By, Signed};
pub(crate) use signing_key::{KeyNotMade, new_key_of, new_signing_key};

/// How often a token is signed anew because the keys changed meanwhile.
const ATTEMPTS: usize = 4;

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
    /// `multizone.global.kds.auth.legacyTokensUntil`: from then on tokens without an end are refused, and none is issued.
    pub without_end_until: Option<Timestamp>,
}

impl Default for Issuers {
    fn default() -> Self {
        Self { dataplane: true, zone: true, user: true, control_plane: true, without_end_until: None }
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
    /// It would be refused from its birth.
    #[error(
        "a token without an end is refused since {until} (multizone.global.kds.auth.legacyTokensUntil); give it an end \
         (`--valid-for`)"
    )]
    WithoutEndOver {
        /// Since when.
        until: Timestamp,
    },
    /// It is for zone proxies, and who verifies those has other keys.
    #[error(
        "without the scope `cp` no zone takes a token of this control plane, for its keys go to no zone: {elsewhere}"
    )]
    NotForProxies {
        /// Where the keys are that zones have.
        elsewhere: Arc<str>,
    },
    /// It is not known here whether the key that would sign is still good.
    #[error(transparent)]
    KeysBehind(#[from] KeysBehind),
    /// There is no key for it, or no token can say what was ordered.
    #[error(transparent)]
    Failed(#[from] IssueError),
    /// It is not in the ledger, so it is not handed out.
    #[error(transparent)]
    NotRecorded(#[from] NotRecorded),
    /// Keys changed all the time while it was made.
    #[error("signing keys or revocations are changing at this moment, and no token was issued; try again")]
    KeysChanging,
}

/// Issues tokens: for callers, and for zones that renew theirs. Cheap to clone.
#[derive(Clone)]
pub struct Issuer {
    keys: Keys,
    clock: Clock,
    issuers: Issuers,
    ledger: Ledger,
    signers: Signers,
    /// Where the keys are that zones have, if those of here go to none.
    proxies_elsewhere: Option<Arc<str>>,
}

impl Issuer {
    /// Returns what issues with the key that signs at the time, and writes into a ledger what it issued.
    pub fn new(keys: Keys, clock: Clock, issuers: Issuers, ledger: Ledger) -> Self {
        Self { keys, clock, issuers, ledger, signers: Signers::default(), proxies_elsewhere: None }
    }

    /// Has these signers know how it went when keys outside of the store signed.
    pub(crate) fn with_signers(self, signers: Signers) -> Self {
        Self { signers, ..self }
    }

    /// Has it issue nothing to zones that is not good here, where they connect: the keys go to no zone. The text says where
    /// those are that do.
    pub(crate) fn without_proxies(self, elsewhere: Option<Arc<str>>) -> Self {
        Self { proxies_elsewhere: elsewhere, ..self }
    }

    /// Returns whether a caller may have a token of a kind for the zone that zone and control plane tokens name.
    ///
    /// For a request that is not read yet: [`Issuer::issue`] asks again for what is ordered.
    pub(crate) fn may_issue(&self, permit: &Permit, kind: TokenKind, zone: &str) -> Result<(), NotIssued> {
        permit.issue(kind, zone)?;
        self.is_on(kind)
    }

    /// The public halves of the keys of these families, as a JSON Web Key Set: for everybody.
    pub(crate) fn public_keys(&self, wanted: impl Fn(&Family) -> bool) -> serde_json::Value {
        tokens::jwk_set(&self.keys.ring(), wanted)
    }

    /// Issues a token for a caller.
    pub(crate) async fn issue(&self, permit: &Permit, order: &Order) -> Result<Token, NotIssued> {
        self.may_issue(permit, order.kind(), order.zone())?;
        let caller = permit.caller();
        self.fill(order, &caller.to_string(), &By { whom: caller.name().to_owned(), how: How::Command }).await
    }

    fn is_on(&self, kind: TokenKind) -> Result<(), NotIssued> {
        if self.issuers.has(kind) { Ok(()) } else { Err(NotIssued::Off) }
    }

    /// Signs, writes into the ledger, and hands out.
    ///
    /// What is signed with a ring is not handed out after another one came: whoever retires a key looks into the ledger
    /// after it signs no more, and nothing of it may come to light later.
    async fn fill(&self, order: &Order, caller: &str, by: &By) -> Result<Token, NotIssued> {
        self.is_on(order.kind())?;
        // With this scope it lets a control plane in, as a control plane token does.
        if order.lets_control_planes_in() {
            self.is_on(TokenKind::ControlPlane)?;
        } else if let (Order::Zone { .. }, Some(elsewhere)) = (order, &self.proxies_elsewhere) {
            return Err(NotIssued::NotForProxies { elsewhere: Arc::clone(elsewhere) });
        }
        if let (Order::ControlPlane { valid_for: None, .. }, Some(until)) = (order, self.issuers.without_end_until)
            && until <= self.clock.now()
        {
            return Err(NotIssued::WithoutEndOver { until });
        }
        for _ in 0..ATTEMPTS {
            let ring = self.keys.to_admit()?;
            let signed = match self.signed(order, &ring, by).await {
                Err(IssueError::RevokedWithoutEnd { id, by_age_alone: true })
                    if self.spare(order, &ring, &id).await? =>
                {
                    continue;
                }
                signed => signed,
            };
            let Signed { token, entry } = signed?;
            let recorded = self.ledger.record(entry.clone()).await?;
            if self.keys.ring().generation() == ring.generation() {
                log(order, caller, by.how, &token, &entry.id);
                return Ok(token);
            }
            if recorded == Recorded::New
                && let Err(problem) = self.ledger.strike(&entry).await
            {
                warn!(token_id = entry.id, %problem, "a token that nobody got stays in the ledger");
            }
        }
        Err(NotIssued::KeysChanging)
    }
}

impl Issuer {
    /// Signs with the key of the ring that does; outside of the store that may take a while.
    async fn signed(&self, order: &Order, ring: &Arc<KeyRing>, by: &By) -> Result<Signed, IssueError> {
        let (now, id) = (self.clock.now(), Uuid::new_v4());
        let family = order.family();
        let Some(kid) = ring.signs_outside(&family) else { return order.signed(ring, by, now, id) };
        let (ring_of_now, order, by) = (Arc::clone(ring), order.clone(), by.clone());
        self.signers.signed(&family, kid, move || order.signed(&ring_of_now, &by, now, id)).await
    }
}

fn log(order: &Order, caller: &str, how: How, token: &Token, id: &str) {
    // The number of a key of the settings counts in this program only.
    let key = match token.kid() {
        Some(kid) => format!("{} {kid}", token.key().family.key_word()),
        None => token.key().to_string(),
    };
    let expires = token.expires_at();
    let expires = expires.map_or_else(|| "never".to_owned(), |expires| expires.to_string());
    info!(
        caller = %shown::name(caller), how = how.as_str(), token = ?order.kind(), zone = order.zone(),
        scope = scopes(order), name = &*shown::name(order.name()), token_id = id, key, expires, "token issued"
    );
}

fn scopes(order: &Order) -> String {
    order.scopes().iter().copied().map(Scope::as_str).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests;
