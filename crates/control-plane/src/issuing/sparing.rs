//! A token without an end that nobody got yet, where all that was issued before a moment is revoked.
//!
//! It says nothing of its age, so a rule about a moment names it by its key. Whoever revokes what was issued before means
//! what somebody has; what is issued now, and is not in the ledger, was not. The rule is told so before the token is handed
//! out: from then on the ledger knows it, and the next one of these bytes is the same one.

use std::time::Duration;

use store::{Batch, Precondition, StoreError};
use tokens::{Family, KeyId, KeyRing, TokenFacts};
use tokio::time::timeout;

use super::{Issuer, NotIssued, Order};
use crate::{
    ledger::NotRecorded,
    records::{self, revocation::Revocation},
};

/// For how long a token waits until the rules are read again.
const IN_FORCE_WITHIN: Duration = Duration::from_secs(5);

impl Issuer {
    /// Has the rules spare the token of this id that an order is about, if nobody got it before. Returns whether it is to
    /// be tried again.
    pub(super) async fn spare(&self, order: &Order, ring: &KeyRing, id: &str) -> Result<bool, NotIssued> {
        let family = Family::ControlPlane;
        let Some(serial) = ring.signs(&family).filter(|_| self.ledger.get(&family, id).is_none()) else {
            return Ok(false);
        };
        let key = KeyId { family, serial };
        let facts = TokenFacts { key: &key, id, zone: Some(order.zone()), issued_at: None };
        let now = self.clock.now();
        let mut writes = Vec::new();
        for stored in records::stored::<Revocation>(self.ledger.store()).await.map_err(NotRecorded::Store)? {
            let Ok(mut revocation) = records::read::<Revocation>(&stored.resource) else { continue };
            if revocation.rule.revokes(&facts) {
                revocation.rule.spared.insert(id.to_owned());
                let write = records::write(&revocation, Precondition::Version(stored.version), now);
                writes.push(write.map_err(|problem| NotRecorded::NoRecord { problem: problem.to_string() })?);
            }
        }
        match self.ledger.store().apply(Batch::for_safety(writes)).await {
            // Of what somebody else wrote meanwhile the next try hears.
            Ok(_) | Err(StoreError::Conflict { .. } | StoreError::NotFound { .. }) => {}
            Err(refusal) => return Err(NotRecorded::Store(refusal).into()),
        }
        let mut rings = self.keys.subscribe();
        let _next_try_says_it = timeout(IN_FORCE_WITHIN, rings.wait_for(|ring| !ring.revokes(&facts))).await;
        Ok(true)
    }
}
