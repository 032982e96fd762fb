//! What verification leaves behind. Only [`verify`](crate::verify()) and its like make these values.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use model::ZoneName;

use crate::{
    Algorithm, Rejection,
    claims::Registered,
    key::Fingerprint,
    name::{KeyId, wanted_secret},
    ring::{KeyRing, NoKey},
};

/// The key that a signature was found good with.
#[derive(Clone)]
pub(crate) struct SignedBy {
    pub(crate) key: KeyId,
    pub(crate) algorithm: Algorithm,
    pub(crate) fingerprint: Fingerprint,
}

/// A good signature and the claims about when and whether it counts: all that a later check needs.
#[derive(Clone)]
pub(crate) struct Proof {
    pub(crate) by: SignedBy,
    pub(crate) registered: Registered,
}

impl Proof {
    /// Checks time and revocation.
    pub(crate) fn check(&self, ring: &KeyRing, now: Timestamp, leeway: Duration) -> Result<(), Rejection> {
        // A leeway that is no duration is none.
        let leeway = SignedDuration::try_from(leeway).unwrap_or(SignedDuration::ZERO);
        if let Some(expires_at) = self.registered.expires_at {
            let by = now.duration_since(expires_at);
            if by >= leeway {
                return Err(Rejection::Expired { by });
            }
        }
        if self.registered.not_before.is_some_and(|start| start.duration_since(now) > leeway) {
            return Err(Rejection::NotYetValid);
        }
        let Some(revocations) = ring.revocations(&self.by.key.family) else { return Ok(()) };
        if let Some(name) = &revocations.unreadable {
            return Err(Rejection::UnreadableRevocations { name: name.clone() });
        }
        match &self.registered.id {
            Some(id) if revocations.contains(id) => Err(Rejection::Revoked),
            Some(_) | None => Ok(()),
        }
    }

    /// Checks again what [`check`](Self::check) does, and that the key is still the one that was used.
    fn still_good(&self, ring: &KeyRing, now: Timestamp, leeway: Duration) -> Result<(), Rejection> {
        let key = ring.key(&self.by.key).map_err(|reason| reason.rejection(&self.by.key))?;
        let fingerprint = match self.by.algorithm {
            Algorithm::Hs256 => key.hmac().map(|key| &key.fingerprint),
            Algorithm::Rs256 | Algorithm::Es256 | Algorithm::EdDsa => key.public().map(|key| &key.fingerprint),
        };
        match fingerprint {
            None => Err(NoKey::Absent.rejection(&self.by.key)),
            Some(fingerprint) if fingerprint.is(&self.by.fingerprint) => self.check(ring, now, leeway),
            Some(_) => Err(Rejection::BadSignature),
        }
    }
}

impl NoKey {
    /// What the owner of a token hears that asks for the key.
    pub(crate) fn rejection(&self, id: &KeyId) -> Rejection {
        let kid = id.serial.to_string();
        match self {
            Self::Absent => Rejection::UnknownKey { secret: wanted_secret(&id.family, &kid), kid },
            Self::Broken { .. } => Rejection::UnusableKey { kid },
        }
    }
}

/// What kind of token let a zone in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IssuedAs {
    /// A control plane token, signed with the key of this serial.
    ControlPlaneToken {
        /// The serial.
        serial: u64,
    },
    /// A zone token with the scope `cp`.
    ZoneToken,
}

macro_rules! proven {
    ($name:ident) => {
        impl $name {
            /// The id of the token, if it has one.
            pub fn token_id(&self) -> Option<&str> {
                self.proof.registered.id.as_deref()
            }

            /// The key that signed it.
            pub fn key(&self) -> &KeyId {
                &self.proof.by.key
            }

            /// How it is signed.
            pub fn algorithm(&self) -> Algorithm {
                self.proof.by.algorithm
            }

            /// When it was issued, as it says itself.
            pub fn issued_at(&self) -> Option<Timestamp> {
                self.proof.registered.issued_at
            }

            /// When it ends, leeway not counted.
            pub fn expires_at(&self) -> Option<Timestamp> {
                self.proof.registered.expires_at
            }

            /// Verifies again without the token: the key is there and the same, the id is not revoked, and the time
            /// is right. Says what a new verification of the token would say.
            pub fn still_good(&self, ring: &KeyRing, now: Timestamp, leeway: Duration) -> Result<(), Rejection> {
                self.proof.still_good(ring, now, leeway)
            }
        }
    };
}

/// A zone that has shown who it is.
#[derive(Clone)]
pub struct VerifiedZone {
    pub(crate) zone: ZoneName,
    pub(crate) scope: Option<Vec<String>>,
    pub(crate) proof: Proof,
}

proven!(VerifiedZone);

impl VerifiedZone {
    /// The name of the zone.
    pub fn zone(&self) -> &ZoneName {
        &self.zone
    }

    /// The scope of a zone token; control plane tokens have none.
    pub fn scope(&self) -> Option<&[String]> {
        self.scope.as_deref()
    }

    /// The kind of token.
    pub fn issued_as(&self) -> IssuedAs {
        match self.key().family {
            crate::Family::ControlPlane => IssuedAs::ControlPlaneToken { serial: self.key().serial },
            crate::Family::Zone | crate::Family::User | crate::Family::Dataplane { .. } => IssuedAs::ZoneToken,
        }
    }
}

/// A user who has shown who they are.
#[derive(Clone)]
pub struct VerifiedUser {
    pub(crate) name: String,
    pub(crate) groups: Vec<String>,
    pub(crate) proof: Proof,
}

proven!(VerifiedUser);

impl VerifiedUser {
    /// The name of the user.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Their groups, as the token says.
    pub fn groups(&self) -> &[String] {
        &self.groups
    }
}

macro_rules! shown {
    ($name:ident, $($field:ident),+) => {
        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                let mut shown = f.debug_struct(stringify!($name));
                $(shown.field(stringify!($field), &self.$field);)+
                shown.field("key", self.key()).field("token_id", &self.token_id()).finish_non_exhaustive()
            }
        }
    };
}

shown!(VerifiedZone, zone, scope);
shown!(VerifiedUser, name, groups);
