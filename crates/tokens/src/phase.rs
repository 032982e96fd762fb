//! The phases of a key: known before it signs, signing, and still good when another one signs.
//!
//! ```text
//! staged ──► signing ──► retiring ──► deleted
//! ```
//!
//! Whoever verifies must know a key before somebody signs with it, and for as long as a token of it is about: so all
//! phases verify, and one signs.

use std::collections::BTreeMap;

use crate::name::KeyId;

/// How far a key has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// Verifies, and does not sign yet.
    Staged,
    /// Verifies; signs if no key of its family with a higher serial does.
    #[default]
    Signing,
    /// Verifies, and signs no more.
    Retiring,
}

/// The phases of keys; one that is not in here is in the phase to sign.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Phases(BTreeMap<KeyId, Phase>);

impl Phases {
    /// The phase of a key.
    pub fn of(&self, id: &KeyId) -> Phase {
        self.0.get(id).copied().unwrap_or_default()
    }
}

impl FromIterator<(KeyId, Phase)> for Phases {
    fn from_iter<I: IntoIterator<Item = (KeyId, Phase)>>(phases: I) -> Self {
        Self(phases.into_iter().collect())
    }
}
