//! The next token of a zone that shows the one it has: of the same kind, for the same zone, good for the same.

use std::time::Duration;

use tokens::{IssueError, IssuedAs, Token, VerifiedZone};

use super::{By, Issuer, NotIssued, Order};
use crate::ledger::How;

/// Why a zone takes its next token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// The one it has is about to end.
    Due,
    /// The key of the one it has is being retired.
    KeyDrains,
}

impl Issuer {
    /// Issues the next token for the zone that proved itself with one; `valid_for` is how long it is good, and without an
    /// end only what has none today. Needs no permit: nothing is given that the zone does not have.
    pub(crate) async fn renew(
        &self,
        proof: &VerifiedZone,
        valid_for: Option<Duration>,
        reason: Reason,
    ) -> Result<Token, NotIssued> {
        let how = match reason {
            Reason::Due => How::Renewal,
            Reason::KeyDrains => How::Rotation,
        };
        let without_end = IssueError::BadValidity { reason: "must be given, because the token of before has an end" };
        let order = Order::next(proof, valid_for).ok_or(without_end)?;
        let whom = format!("zone {}", proof.zone());
        self.fill(&order, &whom, &By { whom: whom.clone(), how }).await
    }
}

impl Order {
    /// The order of what a proof was made with; none without an end where the proof has one.
    fn next(proof: &VerifiedZone, valid_for: Option<Duration>) -> Option<Self> {
        if valid_for.is_none() && proof.token_expires_at().is_some() {
            return None;
        }
        let zone = proof.zone().clone();
        match proof.issued_as() {
            IssuedAs::ControlPlaneToken { .. } => Some(Self::ControlPlane { zone, valid_for }),
            // What a token says beside the scopes that there are is good for nothing, and is not said again.
            IssuedAs::ZoneToken => {
                let scope = proof.scope().map(|scope| scope.iter().filter_map(|word| word.parse().ok()).collect());
                Some(Self::Zone { zone, scope, valid_for: valid_for? })
            }
        }
    }
}
