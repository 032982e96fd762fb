//! What the checks look at: plain values of one moment.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::{
    config::{AuthMode, AuthType},
    zones::insight::LET_IN,
};

/// All that is known at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    pub(crate) now: Timestamp,
    /// Whether zones join here at all.
    pub(crate) is_global: bool,
    pub(crate) auth: AuthType,
    pub(crate) mode: AuthMode,
    /// How far clocks may be apart.
    pub(crate) leeway: Duration,
    pub(crate) legacy_tokens_until: Option<Timestamp>,
    pub(crate) keys: Vec<KeyFacts>,
    /// Keys outside of the store that sign.
    pub(crate) signers: Vec<SignerFacts>,
    pub(crate) zones: Vec<ZoneFacts>,
    /// Who was refused under a name that is no zone here, by that name.
    pub(crate) strangers: Vec<(String, Refusal)>,
    /// The tokens that were issued, have not ended and are signed with a key that is there.
    pub(crate) tokens: Vec<TokenFacts>,
    pub(crate) rotations: Vec<RotationFacts>,
    pub(crate) certificates: Vec<Certificate>,
    /// Secrets, lists and records that cannot be used, each with the reason.
    pub(crate) unusable: Vec<String>,
    /// Why the token in the secret of the administrator is refused, if there is one and it is.
    pub(crate) admin_token_refused: Option<String>,
    /// Since when the store does not show what others wrote.
    pub(crate) store_behind_for: Option<Duration>,
    /// Why there is no connection to a global control plane, where there should be one.
    pub(crate) no_global: Option<String>,
    /// How many secrets lie in the store as they are.
    pub(crate) plain_secrets: usize,
}

/// A key that verifies.
#[derive(Clone, Debug)]
pub(crate) struct KeyFacts {
    /// The word for its family, with the mesh behind a blank where there is one.
    pub(crate) family: String,
    pub(crate) serial: u64,
    pub(crate) signs: bool,
}

/// A key outside of the store that signs.
#[derive(Clone, Debug)]
pub(crate) struct SignerFacts {
    /// The word for its family, as of keys.
    pub(crate) family: String,
    pub(crate) kid: String,
    /// `file`, `command` or `pkcs11`.
    pub(crate) by: &'static str,
    /// Why it signed nothing when it was asked last.
    pub(crate) problem: Option<String>,
}

/// What a zone stands on.
#[derive(Clone, Debug)]
pub(crate) struct StandsOn {
    pub(crate) family: String,
    /// The serial, or the name of a key of the settings.
    pub(crate) key: String,
    pub(crate) token_id: String,
    pub(crate) expires_at: Option<Timestamp>,
    /// `yes`, `no` or `no (file)`.
    pub(crate) renews: String,
    /// Since when.
    pub(crate) since: Timestamp,
}

/// A zone.
#[derive(Clone, Debug)]
pub(crate) struct ZoneFacts {
    pub(crate) name: String,
    pub(crate) online: bool,
    /// `None` for one that is connected without a token, or never was.
    pub(crate) stands_on: Option<StandsOn>,
    /// The last refusal.
    pub(crate) refused: Option<Refusal>,
    /// Somebody was let in under its name although the token was not good for it.
    pub(crate) would_be_refused: Option<Refusal>,
    /// How far its clock is before ours, as its last ping said.
    pub(crate) clock_ahead: Option<SignedDuration>,
}

/// Why somebody was refused, or would have been.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    pub(crate) at: Timestamp,
    pub(crate) reason: String,
    pub(crate) text: String,
}

impl Refusal {
    /// Returns whether nothing came of it: in shadow nobody is kept out.
    pub(crate) fn is_shadow(&self) -> bool {
        self.text.starts_with(LET_IN)
    }

    /// Returns what came of it.
    pub(crate) fn happened(&self) -> &'static str {
        if self.is_shadow() { "would have been refused (shadow)" } else { "was refused" }
    }

    /// Returns the reason and what is wrong, without the sentences that say what to do: a finding has a remedy of its own.
    pub(crate) fn told(&self) -> String {
        let text = self.text.strip_prefix(LET_IN).unwrap_or(&self.text);
        let wrong = text.split_once(". ").map_or(text, |(first, _)| first);
        format!("{}: {wrong}", self.reason)
    }
}

/// A token that was issued.
#[derive(Clone, Debug)]
pub(crate) struct TokenFacts {
    pub(crate) id: String,
    /// `zone west`, `user jo`, …
    pub(crate) of: String,
    pub(crate) ends: bool,
}

/// A rotation that is under way.
#[derive(Clone, Debug)]
pub(crate) struct RotationFacts {
    pub(crate) family: String,
    pub(crate) phase: String,
    /// Why it goes no further by itself, if it should.
    pub(crate) stopped: Option<String>,
    /// What stands in its way, in words.
    pub(crate) blockers: Vec<String>,
    /// Some of that does not go away by itself.
    pub(crate) needs_a_hand: bool,
    /// A key that signs and has no part in it.
    pub(crate) beside: Option<u64>,
}

/// A certificate that this control plane shows.
#[derive(Clone, Debug)]
pub(crate) struct Certificate {
    pub(crate) file: String,
    pub(crate) ends: Timestamp,
}
