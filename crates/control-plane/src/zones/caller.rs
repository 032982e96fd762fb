//! The proof that a caller is the zone it says it is.

use std::{net::SocketAddr, time::Duration};

use jiff::Timestamp;
use model::ZoneName;
use tokens::{KeyId, KeyRing, Rejection, VerifiedZone};

/// Who called. Every handler of the KDS port takes one, so none can run without the authentication before it.
#[derive(Clone, Debug)]
pub enum ZoneCaller {
    /// The token said so; comes only out of [`tokens::verify`].
    Verified(VerifiedZone),
    /// Authentication is switched off and the peer said so itself.
    Unverified(ZoneName),
    /// Authentication of the zone is in shadow, the peer said so itself and proved nothing.
    Shadowed {
        /// The zone that it says it is.
        zone: ZoneName,
        /// Why it would be refused.
        why: Rejection,
    },
}

impl ZoneCaller {
    /// The zone. From here and never from a payload.
    pub fn zone(&self) -> &ZoneName {
        match self {
            Self::Verified(verified) => verified.zone(),
            Self::Unverified(zone) | Self::Shadowed { zone, .. } => zone,
        }
    }

    /// Which token it is; nothing without authentication.
    pub fn token(&self) -> Option<TokenIdentity> {
        match self {
            Self::Verified(verified) => {
                Some(TokenIdentity { key: verified.key().clone(), id: verified.id().to_owned() })
            }
            Self::Unverified(_) | Self::Shadowed { .. } => None,
        }
    }

    /// Says why it is not who it says it is, judged by this ring, if that is so.
    pub(super) fn rejection(&self, ring: &KeyRing, now: Timestamp, leeway: Duration) -> Option<Rejection> {
        match self {
            Self::Verified(verified) => verified.still_good(ring, now, leeway).err(),
            Self::Shadowed { why, .. } => Some(why.clone()),
            Self::Unverified(_) => None,
        }
    }
}

/// Whether a zone asks for its next token by itself, as it says in the header [`Renews::HEADER`] of its calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Renews {
    /// It does.
    Yes,
    /// It does not, or does not say.
    #[default]
    No,
    /// It would, and cannot write the file that its token is in.
    NotTheFile,
}

impl Renews {
    /// The header.
    pub const HEADER: &'static str = "arctos-token-renewal";

    /// All of them.
    const ALL: [Self; 3] = [Self::Yes, Self::No, Self::NotTheFile];

    /// Reads the value of the header. Another one than these says nothing.
    pub fn of(value: Option<&str>) -> Self {
        Self::ALL.into_iter().find(|renews| value == Some(renews.as_str())).unwrap_or_default()
    }

    /// What the header says, and `RENEWS` of `kumactl inspect zones`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::No => "no",
            Self::NotTheFile => "no (file)",
        }
    }
}

/// Where a call comes from, and what the zone says of its token there.
#[derive(Clone, Copy, Debug)]
pub struct Origin {
    /// The address of the zone, or of what stands in front of it.
    pub address: SocketAddr,
    /// Whether it asks for its next token by itself.
    pub renews: Renews,
}

/// Tells one token from another without showing it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TokenIdentity {
    /// The key that signed it.
    pub key: KeyId,
    /// What it is called: its own id, or that of its text.
    pub id: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_renews_only_if_it_says_so_word_for_word() {
        for renews in Renews::ALL {
            assert_eq!(Renews::of(Some(renews.as_str())), renews);
        }
        for other in [None, Some(""), Some("Yes"), Some("yes "), Some("true")] {
            assert_eq!(Renews::of(other), Renews::No, "{other:?}");
        }
    }
}
