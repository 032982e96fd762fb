//! The proof that a caller is the zone it says it is.

use model::ZoneName;
use tokens::{KeyId, VerifiedZone};

/// Who called. Every handler of the KDS port takes one, so none can run without the authentication before it.
#[derive(Clone, Debug)]
pub enum ZoneCaller {
    /// The token said so; comes only out of [`tokens::verify`].
    Verified(VerifiedZone),
    /// Authentication is switched off and the peer said so itself.
    Unverified(ZoneName),
}

impl ZoneCaller {
    /// The zone. From here and never from a payload.
    pub fn zone(&self) -> &ZoneName {
        match self {
            Self::Verified(verified) => verified.zone(),
            Self::Unverified(zone) => zone,
        }
    }

    /// Which token it is; nothing without authentication.
    pub fn token(&self) -> Option<TokenIdentity> {
        match self {
            Self::Verified(verified) => {
                Some(TokenIdentity { key: verified.key().clone(), id: verified.id().to_owned() })
            }
            Self::Unverified(_) => None,
        }
    }
}

/// Tells one token from another without showing it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TokenIdentity {
    /// The key that signed it.
    pub key: KeyId,
    /// What it is called: its own id, or that of its text.
    pub id: String,
}
