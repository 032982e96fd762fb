//! A token that is signed, and what is kept of it.

use jiff::Timestamp;
use tokens::{IssueError, KeyRing, Scope, Token};
use uuid::Uuid;

use super::Order;
use crate::ledger::{Entry, How};

/// Who a token is for is in the order; this is who asked, and why.
#[derive(Clone, Debug)]
pub(crate) struct By {
    /// The name of whoever asked.
    pub(crate) whom: String,
    /// How it came to be.
    pub(crate) how: How,
}

/// A token, and its entry for the ledger.
pub(crate) struct Signed {
    pub(crate) token: Token,
    pub(crate) entry: Entry,
}

impl Order {
    /// Signs it, and makes the entry. Who calls this writes the entry before anybody gets the token.
    pub(crate) fn signed(&self, ring: &KeyRing, by: &By, now: Timestamp, id: Uuid) -> Result<Signed, IssueError> {
        let token = self.sign(ring, now, id)?;
        let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        let scope = match self {
            Self::Zone { scope, .. } => scope.as_deref().map(words),
            Self::ControlPlane { .. } | Self::Dataplane { .. } | Self::User { .. } => None,
        };
        let entry = Entry {
            id: token.id().to_owned(),
            key: token.key().clone(),
            algorithm: token.algorithm(),
            zone: text(self.zone()),
            name: text(self.name()),
            scope,
            issued_at: now,
            iat: token.issued_at(),
            expires_at: token.expires_at(),
            by: by.whom.clone(),
            how: by.how,
            first_seen: None,
        };
        Ok(Signed { token, entry })
    }
}

fn words(scope: &[Scope]) -> Vec<String> {
    scope.iter().copied().map(Scope::as_str).map(str::to_owned).collect()
}
