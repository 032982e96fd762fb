//! Rules that revoke: one token, or all that a zone has, a key signed or a family knows, up to a time.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use super::list;
use crate::name::{Family, KeyId};

/// One rule. What it names is revoked for as long as the rule is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevocationRule {
    /// The kind of token.
    pub family: Family,
    /// Which of them.
    pub what: Revoked,
    /// Tokens that were issued at this time or later stay good; without it none does. For a single token it counts for
    /// nothing.
    ///
    /// `iat` is set back, so that a token may say that it was issued a little before it was; those are [`spared`](Self::spared).
    pub before: Option<Timestamp>,
    /// The ids of tokens that say that they were issued before, and were not.
    pub spared: BTreeSet<String>,
    /// The keys that may have signed what the rule is about: those that had signed when it was made. A token that does not
    /// say when it was issued tells its age by its key alone, and one of a later key is issued later; `None` is any key.
    pub keys: Option<BTreeSet<u64>>,
}

/// What a rule revokes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Revoked {
    /// The token of this id.
    Id(String),
    /// The tokens of this zone.
    Zone(String),
    /// The tokens that the key of this serial signed.
    Key(u64),
    /// All tokens.
    All,
}

/// What is known of a token when somebody asks whether it is revoked.
#[derive(Clone, Copy, Debug)]
pub struct TokenFacts<'a> {
    /// The key that signed it.
    pub key: &'a KeyId,
    /// Its id: the `jti`, or that of its text.
    pub id: &'a str,
    /// The zone it is for, if it is for one.
    pub zone: Option<&'a str>,
    /// When it was issued, as the claim `iat` says.
    pub issued_at: Option<Timestamp>,
}

impl RevocationRule {
    /// Tells if this rule revokes a token.
    pub fn revokes(&self, token: &TokenFacts<'_>) -> bool {
        let names = match &self.what {
            Revoked::Id(id) => return self.family == token.key.family && list::readings(id).any(|id| id == token.id),
            Revoked::Zone(zone) => token.zone == Some(zone),
            Revoked::Key(serial) => token.key.serial == *serial,
            Revoked::All => true,
        };
        self.family == token.key.family && names && self.is_in_time_for(token)
    }

    /// Tells if a token that this rule names by something else than its id is one of those up to its time.
    pub(super) fn is_in_time_for(&self, token: &TokenFacts<'_>) -> bool {
        let is_older = match (token.issued_at, self.before) {
            (Some(issued_at), Some(before)) => issued_at < before,
            // One that says nothing of its age was made any time since its key was, and is made again with the same bytes.
            (None, Some(_)) => {
                token.key.is_of_settings() || self.keys.as_ref().is_none_or(|keys| keys.contains(&token.key.serial))
            }
            (_, None) => true,
        };
        is_older && !self.spared.contains(token.id)
    }
}

/// The second, as claims have them, in which a time is over.
pub(super) fn whole_second(time: Timestamp) -> Timestamp {
    let whole = Timestamp::from_second(time.as_second()).unwrap_or(time);
    if whole < time { whole.checked_add(SignedDuration::from_secs(1)).unwrap_or(time) } else { whole }
}
