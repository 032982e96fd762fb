//! What verification leaves behind. Only [`verify`](crate::verify()) and its like make these values.

use std::{sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use model::ZoneName;

use crate::{
    Algorithm, Rejection,
    claims::Registered,
    key::{Fingerprint, Key},
    name::{Family, KeyId, wanted_of_settings, wanted_secret},
    revocation::rule::TokenFacts,
    ring::{KeyRing, NoKey},
    token_id::TokenId,
};

/// The key that a signature was found good with.
#[derive(Clone)]
pub(crate) struct SignedBy {
    pub(crate) key: KeyId,
    /// What the token calls it: its serial, or the name that settings give it.
    pub(crate) kid: String,
    pub(crate) algorithm: Algorithm,
    pub(crate) fingerprint: Fingerprint,
}

/// A good signature and the claims about when and whether it counts: all that a later check needs.
pub(crate) struct Proof {
    pub(crate) by: SignedBy,
    pub(crate) registered: Registered,
    pub(crate) id: TokenId,
}

/// Whether a proof counts, beside what it says itself.
#[derive(Clone, Copy)]
struct Terms<'a> {
    /// The zone that the token is for.
    zone: Option<&'a str>,
    /// When it ends if it does not say so itself.
    legacy_until: Option<Timestamp>,
}

impl Proof {
    /// Checks time and revocation.
    fn check(&self, terms: Terms<'_>, ring: &KeyRing, now: Timestamp, leeway: Duration) -> Result<(), Rejection> {
        // A leeway that is no duration is none.
        let leeway = SignedDuration::try_from(leeway).unwrap_or(SignedDuration::ZERO);
        match (self.registered.expires_at, terms.legacy_until) {
            (Some(end), _) if now.duration_since(end) >= leeway => {
                return Err(Rejection::Expired { by: now.duration_since(end) });
            }
            (None, Some(until)) if now.duration_since(until) >= leeway => {
                return Err(Rejection::LegacyEnded { until });
            }
            (Some(_), _) | (None, _) => {}
        }
        if self.registered.not_before.is_some_and(|start| start.duration_since(now) > leeway) {
            return Err(Rejection::NotYetValid);
        }
        let Some(revocations) = ring.revocations(&self.by.key.family) else { return Ok(()) };
        if let Some(name) = &revocations.unreadable {
            return Err(Rejection::UnreadableRevocations { name: name.clone() });
        }
        let (id, issued_at) = (self.id.as_str(), self.registered.issued_at);
        let facts = TokenFacts { key: &self.by.key, id, zone: terms.zone, issued_at };
        if revocations.revokes(&facts) { Err(Rejection::Revoked) } else { Ok(()) }
    }

    /// Checks that the key is still the one that was used.
    fn key_is_the_same(&self, ring: &KeyRing) -> Result<(), Rejection> {
        let key = ring.key(&self.by.key).map_err(|reason| reason.rejection(&self.by.key.family, &self.by.kid))?;
        match key.fingerprint_for(self.by.algorithm) {
            None => Err(self.no_longer_of(key)),
            Some(fingerprint) if fingerprint.is(&self.by.fingerprint) => Ok(()),
            Some(_) => Err(Rejection::BadSignature),
        }
    }
}

impl Proof {
    /// What a token hears whose key checks nothing that is signed as it is.
    fn no_longer_of(&self, key: &Key) -> Rejection {
        match (self.by.algorithm, key.public()) {
            (Algorithm::Hs256, _) | (_, None) => NoKey::Absent.rejection(&self.by.key.family, &self.by.kid),
            (found, Some(public)) => Rejection::UnsupportedAlgorithm {
                found: found.as_str().to_owned(),
                allowed: public.algorithm().as_str(),
            },
        }
    }
}

impl NoKey {
    /// What the owner of a token hears that asks for the key.
    pub(crate) fn rejection(&self, family: &Family, kid: &str) -> Rejection {
        let unknown = |secret, retired| Rejection::UnknownKey { secret, kid: kid.to_owned(), retired };
        match self {
            Self::Retired => unknown(wanted_secret(family, kid), true),
            Self::Absent => unknown(wanted_secret(family, kid), false),
            Self::NotInSettings => unknown(wanted_of_settings(family, kid), false),
            Self::Broken { .. } => Rejection::UnusableKey { kid: kid.to_owned() },
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

/// What a token for a zone says.
pub(crate) struct ZoneFacts {
    pub(crate) zone: ZoneName,
    pub(crate) scope: Option<Vec<String>>,
    pub(crate) proof: Proof,
}

/// What the token of a user says.
pub(crate) struct UserFacts {
    pub(crate) name: String,
    pub(crate) groups: Vec<String>,
    pub(crate) proof: Proof,
}

macro_rules! proven {
    ($name:ident) => {
        impl $name {
            /// What the token is called: its `jti`, or `sha256:` and a part of the hash of its text.
            pub fn id(&self) -> &str {
                self.facts.proof.id.as_str()
            }

            /// The `jti` of the token, if it has one.
            pub fn token_id(&self) -> Option<&str> {
                self.facts.proof.id.claimed()
            }

            /// The key that signed it.
            pub fn key(&self) -> &KeyId {
                &self.facts.proof.by.key
            }

            /// What the token calls its key: the serial, or for a key of the settings its name.
            pub fn kid(&self) -> &str {
                &self.facts.proof.by.kid
            }

            /// How it is signed.
            pub fn algorithm(&self) -> Algorithm {
                self.facts.proof.by.algorithm
            }

            /// When it was issued, as it says itself.
            pub fn issued_at(&self) -> Option<Timestamp> {
                self.facts.proof.registered.issued_at
            }

            /// When it ends, as it says itself.
            pub fn token_expires_at(&self) -> Option<Timestamp> {
                self.facts.proof.registered.expires_at
            }

            /// When it is not accepted any more, leeway not counted.
            pub fn expires_at(&self) -> Option<Timestamp> {
                self.token_expires_at().or(self.terms().legacy_until)
            }

            /// Verifies again without the token: the key is there and the same, nothing revokes it, and the time is right.
            /// Says what a new verification of the token would say.
            pub fn still_good(&self, ring: &KeyRing, now: Timestamp, leeway: Duration) -> Result<(), Rejection> {
                self.facts.proof.key_is_the_same(ring)?;
                self.check(ring, now, leeway)
            }

            /// Checks time and revocation.
            pub(crate) fn check(&self, ring: &KeyRing, now: Timestamp, leeway: Duration) -> Result<(), Rejection> {
                self.facts.proof.check(self.terms(), ring, now, leeway)
            }
        }
    };
}

/// A zone that has shown who it is.
#[derive(Clone)]
pub struct VerifiedZone {
    facts: Arc<ZoneFacts>,
    legacy_until: Option<Timestamp>,
}

proven!(VerifiedZone);

impl VerifiedZone {
    pub(crate) fn of(facts: &Arc<ZoneFacts>, legacy_until: Option<Timestamp>) -> Self {
        Self { facts: Arc::clone(facts), legacy_until }
    }

    fn terms(&self) -> Terms<'_> {
        Terms { zone: Some(self.facts.zone.as_str()), legacy_until: self.legacy_until }
    }

    /// The name of the zone.
    pub fn zone(&self) -> &ZoneName {
        &self.facts.zone
    }

    /// The scope of a zone token; control plane tokens have none.
    pub fn scope(&self) -> Option<&[String]> {
        self.facts.scope.as_deref()
    }

    /// The kind of token.
    pub fn issued_as(&self) -> IssuedAs {
        match self.key().family {
            Family::ControlPlane => IssuedAs::ControlPlaneToken { serial: self.key().serial },
            Family::Zone | Family::User | Family::Dataplane { .. } => IssuedAs::ZoneToken,
        }
    }
}

/// A user who has shown who they are.
#[derive(Clone)]
pub struct VerifiedUser {
    facts: Arc<UserFacts>,
}

proven!(VerifiedUser);

impl VerifiedUser {
    pub(crate) fn of(facts: &Arc<UserFacts>) -> Self {
        Self { facts: Arc::clone(facts) }
    }

    fn terms(&self) -> Terms<'_> {
        Terms { zone: None, legacy_until: None }
    }

    /// The name of the user.
    pub fn name(&self) -> &str {
        &self.facts.name
    }

    /// Their groups, as the token says.
    pub fn groups(&self) -> &[String] {
        &self.facts.groups
    }
}

macro_rules! shown {
    ($name:ident, $($field:ident),+) => {
        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                let mut shown = f.debug_struct(stringify!($name));
                $(shown.field(stringify!($field), &self.facts.$field);)+
                shown.field("key", self.key()).field("id", &self.id()).finish_non_exhaustive()
            }
        }
    };
}

shown!(VerifiedZone, zone, scope);
shown!(VerifiedUser, name, groups);
