//! The proof that a caller is the zone it says it is.

use model::ZoneName;
use tokens::VerifiedZone;

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

    /// Tells one token from another without showing it; empty without authentication.
    pub(crate) fn token_identity(&self) -> String {
        match self {
            Self::Verified(verified) => {
                format!("{:?}/{}", verified.key(), verified.token_id().unwrap_or("-"))
            }
            Self::Unverified(_) => String::new(),
        }
    }
}
