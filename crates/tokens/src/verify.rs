//! Verifies the token of a zone control plane (contract: tokens 1.4, 2.5, 2.8; decisions: 3 and 4).

use std::time::Duration;

use jiff::Timestamp;
use model::ZoneName;
use serde_json::Value;
use thiserror::Error;

use crate::{
    claims::{self, Registered, Untimely, is_expired},
    jws::Unverified,
    key::{self, Family, Fingerprint, KeyId},
    ring::KeyRing,
};

/// Which tokens admit a zone control plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accept {
    /// Control plane tokens, and zone tokens with scope `cp`.
    CpToken,
    /// Zone tokens with scope `cp` only.
    ZoneToken,
}

/// What a token must prove.
#[derive(Clone, Copy, Debug)]
pub struct Want<'a> {
    /// The zone that the peer says it is.
    pub zone: &'a str,
    /// Which tokens count.
    pub accept: Accept,
    /// How long past `exp` and before `nbf` a token is good.
    pub leeway: Duration,
}

/// What kind of token it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IssuedAs {
    /// A control plane token of this key serial.
    ControlPlaneToken {
        /// The serial.
        serial: u64,
    },
    /// A zone token.
    ZoneToken,
}

/// The proof that a token was verified. Comes only out of [`verify`].
#[derive(Clone, Debug)]
pub struct VerifiedZone {
    zone: ZoneName,
    key: KeyId,
    fingerprint: Fingerprint,
    token_id: Option<String>,
    expires: Option<Timestamp>,
    issued_as: IssuedAs,
}

/// Why a token does not admit its bearer. `Display` is what the peer is told.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Rejection {
    /// There is none.
    #[error(
        "Zone CP did not provide a zone token. 1) Generate a token on the global control plane: \
         `kumactl generate control-plane-token --zone=<zone>`. 2) Set KUMA_MULTIZONE_ZONE_KDS_AUTH_TOKEN_PATH or \
         KUMA_MULTIZONE_ZONE_KDS_AUTH_TOKEN_INLINE on the zone control plane"
    )]
    Missing,
    /// There are several.
    #[error("authorization header has {count} values. Expected 1 value")]
    TooMany {
        /// How many.
        count: usize,
    },
    /// It is no token.
    #[error("invalid zone token: {text}")]
    Malformed {
        /// What is wrong.
        text: String,
    },
    /// Its key is not here.
    #[error("invalid zone token: {text}")]
    UnknownKey {
        /// Which key, and what to do.
        text: String,
    },
    /// Its signature is wrong.
    #[error("invalid zone token: could not parse token: token signature is invalid")]
    BadSignature,
    /// It is past its time.
    #[error("invalid zone token: could not parse token: token has invalid claims: token is expired")]
    Expired,
    /// It is before its time.
    #[error(
        "invalid zone token: token is not yet valid: 'valid_from' date is in the future. Check if the system clock on \
         the instance that issued the token is set correctly"
    )]
    NotYetValid,
    /// It is revoked.
    #[error("invalid zone token: token is revoked")]
    Revoked,
    /// It is another zone's.
    #[error("token is signed for \"{signed_for}\" zone, but connected CP advertised as \"{advertised}\"")]
    WrongZone {
        /// The zone of the token.
        signed_for: String,
        /// The zone of the peer.
        advertised: String,
    },
    /// It is not for control planes.
    #[error("token cannot be used to authenticate zone CP (cp is out of token's scope: [{scope}])")]
    WrongScope {
        /// What it is for.
        scope: String,
    },
}

impl Rejection {
    /// One word for metrics, logs and status.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::TooMany { .. } | Self::Malformed { .. } => "malformed",
            Self::UnknownKey { .. } => "unknown-key",
            Self::BadSignature => "bad-signature",
            Self::Expired => "expired",
            Self::NotYetValid => "not-yet-valid",
            Self::Revoked => "revoked",
            Self::WrongZone { .. } => "wrong-zone",
            Self::WrongScope { .. } => "wrong-scope",
        }
    }

    /// Whether the token is good and only not for this: PermissionDenied and not Unauthenticated.
    pub fn is_permission_denied(&self) -> bool {
        matches!(self, Self::WrongZone { .. } | Self::WrongScope { .. })
    }
}

/// Returns the token of the `authorization` values: exactly one, with or without `Bearer ` in front.
pub fn bearer<'a>(values: &[&'a str]) -> Result<&'a str, Rejection> {
    match values {
        [] => Err(Rejection::Missing),
        [one] => {
            let raw = one.strip_prefix("Bearer ").or_else(|| one.strip_prefix("bearer ")).unwrap_or(one);
            if raw.is_empty() { Err(Rejection::Missing) } else { Ok(raw) }
        }
        many => Err(Rejection::TooMany { count: many.len() }),
    }
}

/// Verifies a token. The signature comes before every claim; the algorithm follows from the key and never from the token.
pub fn verify(raw: &str, ring: &KeyRing, now: Timestamp, want: &Want<'_>) -> Result<VerifiedZone, Rejection> {
    let token = Unverified::read(raw).map_err(|not| Rejection::Malformed { text: not.0 })?;
    if token.header.contains_key("crit") {
        return Err(malformed("the header has critical extensions that are not understood"));
    }
    let key = match (token.header.get("kid"), want.accept) {
        (None, Accept::CpToken) => by_serial_claim(&token, ring)?,
        (None, Accept::ZoneToken) => return Err(malformed("JWT token must have kid header")),
        (Some(Value::String(kid)), _) => by_kid(&token, kid, ring, want.accept)?,
        (Some(_), _) => return Err(malformed("JWT token kid header must be a string")),
    };
    let registered = Registered::read(&token.claims).map_err(|what| malformed(&what))?;
    match registered.timely(now, want.leeway) {
        Ok(()) => {}
        Err(Untimely::Expired) => return Err(Rejection::Expired),
        Err(Untimely::NotYet) => return Err(Rejection::NotYetValid),
    }
    if ring.revokes(&key.id.family, registered.id.as_deref()) {
        return Err(Rejection::Revoked);
    }
    let issued_as = match key.id.family {
        Family::ControlPlane => IssuedAs::ControlPlaneToken { serial: key.id.serial },
        Family::Zone | Family::User | Family::Dataplane { .. } => IssuedAs::ZoneToken,
    };
    if token.header.contains_key("kid") && registered.expires.is_none() {
        // The documented token without a kid has no times at all; every other one must end some day.
        return Err(malformed("token has no exp claim"));
    }
    let signed_for = claims::text(&token.claims, "Zone").map_err(|what| malformed(&what))?;
    if signed_for != want.zone {
        return Err(Rejection::WrongZone { signed_for: signed_for.chars().take(63).collect(), advertised: want.zone.to_owned() });
    }
    if issued_as == IssuedAs::ZoneToken {
        let scope = claims::texts(&token.claims, "Scope").map_err(|what| malformed(&what))?;
        if !scope.iter().any(|one| one == "cp") {
            return Err(Rejection::WrongScope { scope: scope.join(" ").chars().take(128).collect() });
        }
    }
    let zone = ZoneName::parse(signed_for).map_err(|wrong| malformed(&format!("Zone {wrong}")))?;
    Ok(VerifiedZone {
        zone,
        fingerprint: key.fingerprint,
        key: key.id,
        token_id: registered.id,
        expires: registered.expires,
        issued_as,
    })
}

struct Signer {
    id: KeyId,
    fingerprint: Fingerprint,
}

/// A token without `kid`: HS256, with the control plane key whose serial it claims.
fn by_serial_claim(token: &Unverified<'_>, ring: &KeyRing) -> Result<Signer, Rejection> {
    if token.header_text("alg") != Some("HS256") {
        let alg = token.header_text("alg").unwrap_or("").chars().take(32).collect::<String>();
        return Err(malformed(&format!("unsupported token alg {alg}. Allowed algorithm is HS256 without kid and RS256 with it")));
    }
    let serial = token.claims.get("TokenSerialNumber").and_then(Value::as_u64);
    let serial = serial.ok_or_else(|| malformed("TokenSerialNumber is missing or no number"))?;
    let id = KeyId { family: Family::ControlPlane, serial };
    let key = ring.control_plane(serial).ok_or_else(|| unknown(&id))?;
    if !token.is_hmac(&key.hmac) {
        return Err(Rejection::BadSignature);
    }
    Ok(Signer { id, fingerprint: key.fingerprint })
}

/// A token with `kid`: RS256, with the zone token key of that serial, or the control plane key if that is PEM.
fn by_kid(token: &Unverified<'_>, kid: &str, ring: &KeyRing, accept: Accept) -> Result<Signer, Rejection> {
    if token.header_text("alg") != Some("RS256") {
        let alg = token.header_text("alg").unwrap_or("").chars().take(32).collect::<String>();
        return Err(malformed(&format!("unsupported token alg {alg}. Allowed algorithm is RS256")));
    }
    let shown = || kid.chars().take(64).collect::<String>();
    let no_key = || Rejection::UnknownKey {
        text: format!(
            "there is no signing key with KID {0}. GlobalSecret of name \"zone-token-signing-key-{0}\" is not found. If \
             signing key was rotated, regenerate the token",
            shown()
        ),
    };
    let serial = key::serial(kid).ok_or_else(no_key)?;
    let mut found = false;
    let families: &[Family] = match accept {
        Accept::CpToken => &[Family::Zone, Family::ControlPlane],
        Accept::ZoneToken => &[Family::Zone],
    };
    for family in families {
        let key = match family {
            Family::ControlPlane => ring.control_plane(serial).and_then(|key| key.rsa.as_ref()),
            family => ring.rsa(family, serial),
        };
        let Some(key) = key else { continue };
        found = true;
        if token.is_rsa(key.public()) {
            return Ok(Signer { id: KeyId { family: family.clone(), serial }, fingerprint: key.fingerprint });
        }
    }
    Err(if found { Rejection::BadSignature } else { no_key() })
}

fn malformed(text: &str) -> Rejection {
    Rejection::Malformed { text: text.to_owned() }
}

fn unknown(id: &KeyId) -> Rejection {
    Rejection::UnknownKey {
        text: format!(
            "there is no signing key with serial number {}. GlobalSecret of name \"{id}\" is not found. If signing key was \
             rotated, regenerate the token",
            id.serial
        ),
    }
}

impl VerifiedZone {
    /// The zone.
    pub fn zone(&self) -> &ZoneName {
        &self.zone
    }

    /// The token's `jti`, if it has one.
    pub fn token_id(&self) -> Option<&str> {
        self.token_id.as_deref()
    }

    /// The key that signed it.
    pub fn key(&self) -> &KeyId {
        &self.key
    }

    /// When it expires, if ever.
    pub fn expires_at(&self) -> Option<Timestamp> {
        self.expires
    }

    /// What kind of token it was.
    pub fn issued_as(&self) -> IssuedAs {
        self.issued_as
    }

    /// Checks a live session against a newer ring, without the token: the key is there and the same, the token is not
    /// revoked and not expired.
    pub fn still_good(&self, ring: &KeyRing, now: Timestamp, leeway: Duration) -> Result<(), Rejection> {
        if ring.fingerprint(&self.key) != Some(self.fingerprint) {
            return Err(unknown(&self.key));
        }
        if ring.revokes(&self.key.family, self.token_id.as_deref()) {
            return Err(Rejection::Revoked);
        }
        if self.expires.is_some_and(|expires| is_expired(expires, now, leeway)) {
            return Err(Rejection::Expired);
        }
        Ok(())
    }
}
