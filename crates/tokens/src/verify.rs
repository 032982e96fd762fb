//! Verifies tokens.
//!
//! ```text
//! text ──check──► shape, kind of signature, key, signature, shape of the claims    the same until the keys change
//!      ──judge──► times, revocation, zone, scope                                   anew each time
//! ```
//!
//! Nothing a token says is believed before its signature is good, except which key it asks for. The key, never the token,
//! says how a signature is checked: without `kid` HS256 with the bytes of a control plane key, with `kid` as the public half
//! of the key is made for.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use model::ZoneName;

use crate::{
    Algorithm, KeyRing, Rejection,
    claims::{self, Registered, Scope},
    jws::{self, Unverified},
    name::{Family, KeyId},
    ring::NoKey,
    token_id::TokenId,
    verified::{Proof, SignedBy, UserFacts, VerifiedUser, VerifiedZone, ZoneFacts},
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
    /// Until when tokens without an end are accepted, leeway not counted; for ever if nothing is said.
    pub legacy_until: Option<Timestamp>,
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
    SignedZone::check(raw, ring, want)?.judge(ring, now, want)
}

/// Verifies the token of a user.
pub fn verify_user(raw: &str, ring: &KeyRing, now: Timestamp, leeway: Duration) -> Result<VerifiedUser, Rejection> {
    SignedUser::check(raw, ring)?.judge(ring, now, leeway)
}

/// A token for a zone whose signature is good. What it is good for is not said.
#[derive(Clone)]
pub struct SignedZone(Arc<ZoneFacts>);

impl SignedZone {
    /// Checks what stays as it is for as long as the ring does.
    pub fn check(raw: &str, ring: &KeyRing, want: &Want<'_>) -> Result<Self, Rejection> {
        let token = jws::parse(raw)?;
        let by = match (&token.kid, want.accept) {
            (Some(kid), accept) => signed_by_kid(&token, kid, &families(&token, accept), ring)?,
            (None, Accept::CpToken) => signed_by_serial(&token, ring)?,
            (None, Accept::ZoneToken) => return Err(Rejection::Malformed { text: NO_KID }),
        };
        let is_zone_token = by.key.family == Family::Zone;
        let proof = proof(raw, &token, by)?;
        let zone = claims::text(&token.claims, "Zone", BAD_ZONE)?;
        let scope = if is_zone_token { claims::texts(&token.claims, "Scope", BAD_SCOPE)? } else { None };
        match ZoneName::parse(zone) {
            Ok(zone) => Ok(Self(Arc::new(ZoneFacts { zone, scope, proof }))),
            Err(_) if zone == want.zone => Err(Rejection::Malformed { text: BAD_ZONE }),
            Err(_) => Err(Rejection::WrongZone { token: zone.to_owned(), peer: want.zone.to_owned() }),
        }
    }

    /// Tells if such a token may let a zone in where these are accepted.
    pub(crate) fn is_kind(&self, accept: Accept) -> bool {
        match accept {
            Accept::CpToken => true,
            Accept::ZoneToken => self.0.proof.by.key.family == Family::Zone,
        }
    }

    /// Judges what changes with time, with what is revoked, and with what is wanted.
    pub fn judge(&self, ring: &KeyRing, now: Timestamp, want: &Want<'_>) -> Result<VerifiedZone, Rejection> {
        let Self(facts) = self;
        let verified = VerifiedZone::of(facts, want.legacy_until);
        verified.check(ring, now, want.leeway)?;
        if facts.zone.as_str() != want.zone {
            let (token, peer) = (facts.zone.as_str().to_owned(), want.zone.to_owned());
            return Err(Rejection::WrongZone { token, peer });
        }
        let lets_in = |word: &String| word == Scope::Cp.as_str();
        if facts.proof.by.key.family == Family::Zone && !facts.scope.iter().flatten().any(lets_in) {
            return Err(Rejection::WrongScope { scope: facts.scope.clone().unwrap_or_default() });
        }
        Ok(verified)
    }
}

/// A token of a user whose signature is good.
#[derive(Clone)]
pub struct SignedUser(Arc<UserFacts>);

impl SignedUser {
    /// Checks what stays as it is for as long as the ring does.
    pub fn check(raw: &str, ring: &KeyRing) -> Result<Self, Rejection> {
        let token = jws::parse(raw)?;
        let kid = token.kid.as_deref().ok_or(Rejection::Malformed { text: NO_KID })?;
        let by = signed_by_kid(&token, kid, &[Family::User], ring)?;
        let proof = proof(raw, &token, by)?;
        let name = claims::text(&token.claims, "Name", BAD_NAME)?;
        if name.is_empty() {
            return Err(Rejection::Malformed { text: BAD_NAME });
        }
        let groups = claims::texts(&token.claims, "Groups", BAD_GROUPS)?.unwrap_or_default();
        Ok(Self(Arc::new(UserFacts { name: name.to_owned(), groups, proof })))
    }

    /// Judges what changes with time and with what is revoked.
    pub fn judge(&self, ring: &KeyRing, now: Timestamp, leeway: Duration) -> Result<VerifiedUser, Rejection> {
        let verified = VerifiedUser::of(&self.0);
        verified.check(ring, now, leeway)?;
        Ok(verified)
    }
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
fn proof(raw: &str, token: &Unverified<'_>, by: SignedBy) -> Result<Proof, Rejection> {
    let mut registered = Registered::read(&token.claims)?;
    let id = TokenId::of(raw, registered.id.take());
    match (by.algorithm, registered.expires_at) {
        (Algorithm::Rs256 | Algorithm::Es256 | Algorithm::EdDsa, None) => Err(Rejection::Malformed { text: NO_EXPIRY }),
        (Algorithm::Rs256 | Algorithm::Es256 | Algorithm::EdDsa, Some(_)) | (Algorithm::Hs256, _) => {
            Ok(Proof { by, registered, id })
        }
    }
}
