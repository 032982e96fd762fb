//! Verifies tokens.
//!
//! Order: shape, kind of signature, key, signature; then the claims: times, revocation, zone, scope. Nothing a token
//! says is believed before its signature is good, except which key it asks for. The key, never the token, says how a
//! signature is checked: without `kid` HS256 with the bytes of a control plane key, with `kid` as the public half of the key
//! is made for.

use std::time::Duration;

use jiff::Timestamp;
use model::ZoneName;

use crate::{
    Algorithm, KeyRing, Rejection,
    claims::{self, Registered, Scope},
    jws::{self, Unverified},
    name::{Family, KeyId},
    ring::NoKey,
    verified::{Proof, SignedBy, VerifiedUser, VerifiedZone},
};

/// Which tokens let a zone in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accept {
    /// Control plane tokens, and zone tokens with the scope `cp`.
    CpToken,
    /// Zone tokens with the scope `cp`.
    ZoneToken,
}

/// What a token must be good for.
#[derive(Clone, Copy, Debug)]
pub struct Want<'a> {
    /// The zone that the peer says it is.
    pub zone: &'a str,
    /// The kinds of token that are accepted.
    pub accept: Accept,
    /// How far clocks may be apart.
    pub leeway: Duration,
}

const NO_KID: &str = "JWT token must have kid header";
const NO_SERIAL: &str =
    "could not parse token: token has invalid claims: TokenSerialNumber must be the serial number of a signing key";
const NO_EXPIRY: &str =
    "could not parse token: token has invalid claims: token is missing required claim: exp claim is required";
const BAD_ZONE: &str = "could not parse token: token has invalid claims: Zone must be the name of a zone";
const BAD_SCOPE: &str = "could not parse token: token has invalid claims: Scope must be a list of strings";
const BAD_NAME: &str = "could not parse token: token has invalid claims: Name must be a string that is not empty";
const BAD_GROUPS: &str = "could not parse token: token has invalid claims: Groups must be a list of strings";

/// Verifies the token of a zone.
pub fn verify(raw: &str, ring: &KeyRing, now: Timestamp, want: &Want<'_>) -> Result<VerifiedZone, Rejection> {
    let token = jws::parse(raw)?;
    let by = match (&token.kid, want.accept) {
        (Some(kid), accept) => signed_by_kid(&token, kid, &families(&token, accept), ring)?,
        (None, Accept::CpToken) => signed_by_serial(&token, ring)?,
        (None, Accept::ZoneToken) => return Err(Rejection::Malformed { text: NO_KID }),
    };
    let is_zone_token = by.key.family == Family::Zone;
    let proof = proof(&token, by)?;
    proof.check(ring, now, want.leeway)?;
    let zone = claims::text(&token.claims, "Zone", BAD_ZONE)?;
    let scope = if is_zone_token { claims::texts(&token.claims, "Scope", BAD_SCOPE)? } else { None };
    if zone != want.zone {
        return Err(Rejection::WrongZone { token: zone.to_owned(), peer: want.zone.to_owned() });
    }
    let zone = ZoneName::parse(zone).ok().ok_or(Rejection::Malformed { text: BAD_ZONE })?;
    if is_zone_token && !scope.iter().flatten().any(|word| word == Scope::Cp.as_str()) {
        return Err(Rejection::WrongScope { scope: scope.unwrap_or_default() });
    }
    Ok(VerifiedZone { zone, scope, proof })
}

/// Verifies the token of a user.
pub fn verify_user(raw: &str, ring: &KeyRing, now: Timestamp, leeway: Duration) -> Result<VerifiedUser, Rejection> {
    let (token, proof) = verify_with_kid(raw, ring, now, leeway, Family::User)?;
    let name = claims::text(&token.claims, "Name", BAD_NAME)?;
    if name.is_empty() {
        return Err(Rejection::Malformed { text: BAD_NAME });
    }
    let groups = claims::texts(&token.claims, "Groups", BAD_GROUPS)?.unwrap_or_default();
    Ok(VerifiedUser { name: name.to_owned(), groups, proof })
}

fn verify_with_kid<'a>(
    raw: &'a str,
    ring: &KeyRing,
    now: Timestamp,
    leeway: Duration,
    family: Family,
) -> Result<(Unverified<'a>, Proof), Rejection> {
    let token = jws::parse(raw)?;
    let kid = token.kid.as_deref().ok_or(Rejection::Malformed { text: NO_KID })?;
    let by = signed_by_kid(&token, kid, &[family], ring)?;
    let proof = proof(&token, by)?;
    proof.check(ring, now, leeway)?;
    Ok((token, proof))
}

/// The families whose keys a token with a `kid` may be signed with.
///
/// Control plane tokens have no `Scope`. One without may still be a zone token, which is then good for nothing: it is
/// looked at to say so. One with a scope is never checked with a control plane key.
fn families(token: &Unverified<'_>, accept: Accept) -> Vec<Family> {
    match accept {
        Accept::CpToken if !token.claims.contains_key("Scope") => vec![Family::Zone, Family::ControlPlane],
        Accept::CpToken | Accept::ZoneToken => vec![Family::Zone],
    }
}

/// Checks a signature with the first public half that fits.
fn signed_by_kid(
    token: &Unverified<'_>,
    kid: &str,
    families: &[Family],
    ring: &KeyRing,
) -> Result<SignedBy, Rejection> {
    let mut rejection = None;
    for family in families {
        match signed_with(token, kid, family, ring) {
            Ok(by) => return Ok(by),
            Err(other) if rejection.as_ref().is_some_and(|first| tells(&other) <= tells(first)) => {}
            Err(other) => rejection = Some(other),
        }
    }
    Err(rejection.unwrap_or(Rejection::BadSignature))
}

/// How much it tells: that a key exists and did not sign is more than that it signs otherwise, and that more than that another
/// one does not exist.
fn tells(rejection: &Rejection) -> (bool, bool) {
    (*rejection == Rejection::BadSignature, matches!(rejection, Rejection::UnsupportedAlgorithm { .. }))
}

fn signed_with(token: &Unverified<'_>, kid: &str, family: &Family, ring: &KeyRing) -> Result<SignedBy, Rejection> {
    let (key, found) = ring.by_kid(family, kid).map_err(|reason| reason.rejection(family, kid))?;
    let public = found.public().ok_or_else(|| NoKey::Absent.rejection(family, kid))?;
    let algorithm = public.algorithm();
    if token.algorithm != algorithm.as_str() {
        let found = token.algorithm.clone();
        return Err(Rejection::UnsupportedAlgorithm { found, allowed: algorithm.as_str() });
    }
    if !public.verifies(token.signed, &token.signature) {
        return Err(Rejection::BadSignature);
    }
    let kid = if key.is_of_settings() { kid.to_owned() } else { key.serial.to_string() };
    Ok(SignedBy { key, kid, algorithm, fingerprint: public.fingerprint.clone() })
}

/// Checks a signature as HS256 with the control plane key that the token names by its serial.
fn signed_by_serial(token: &Unverified<'_>, ring: &KeyRing) -> Result<SignedBy, Rejection> {
    match token.algorithm.as_str() {
        "HS256" => {}
        "RS256" | "ES256" | "EdDSA" => return Err(Rejection::Malformed { text: NO_KID }),
        other => return Err(Rejection::UnsupportedAlgorithm { found: other.to_owned(), allowed: "HS256" }),
    }
    let serial = token.claims.get("TokenSerialNumber").and_then(serde_json::Value::as_u64);
    let serial = serial.ok_or(Rejection::Malformed { text: NO_SERIAL })?;
    let key = KeyId { family: Family::ControlPlane, serial };
    let kid = serial.to_string();
    let found = ring.key(&key).map_err(|reason| reason.rejection(&key.family, &kid))?;
    let hmac = found.hmac().ok_or_else(|| NoKey::Absent.rejection(&key.family, &kid))?;
    if !hmac.verifies(token.signed, &token.signature) {
        return Err(Rejection::BadSignature);
    }
    Ok(SignedBy { key, kid, algorithm: Algorithm::Hs256, fingerprint: hmac.fingerprint.clone() })
}

/// Reads the common claims. Only the oldest form of control plane tokens may be without an end.
fn proof(token: &Unverified<'_>, by: SignedBy) -> Result<Proof, Rejection> {
    let registered = Registered::read(&token.claims)?;
    match (by.algorithm, registered.expires_at) {
        (Algorithm::Rs256 | Algorithm::Es256 | Algorithm::EdDsa, None) => Err(Rejection::Malformed { text: NO_EXPIRY }),
        (Algorithm::Rs256 | Algorithm::Es256 | Algorithm::EdDsa, Some(_)) | (Algorithm::Hs256, _) => {
            Ok(Proof { by, registered })
        }
    }
}
