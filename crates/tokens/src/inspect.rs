//! What a token says and whether it would be accepted, for whoever wants to know before a peer is refused.
//!
//! What comes out never holds the signature, and so never a token.

use std::{fmt, time::Duration};

use jiff::Timestamp;
use model::ZoneName;
use serde_json::{Map, Value};

use crate::{
    Accept, KeyId, KeyRing, Rejection, Want,
    claims::Registered,
    jws,
    name::Family,
    token_id::TokenId,
    verify::{verify, verify_user},
};

/// What stands in a token. Nothing of it is proven.
#[derive(Clone, Debug)]
pub struct Decoded {
    /// What it is called: its `jti`, or the hash of its text.
    pub id: String,
    /// Its header.
    pub header: Map<String, Value>,
    /// Its claims.
    pub claims: Map<String, Value>,
    /// When it says that it was issued.
    pub issued_at: Option<Timestamp>,
    /// When it says that it ends.
    pub expires_at: Option<Timestamp>,
}

impl Decoded {
    /// The families whose tokens look like this.
    pub fn families(&self) -> Vec<Family> {
        let mesh = self.claims.get("Mesh").and_then(Value::as_str).filter(|mesh| !mesh.is_empty());
        match (self.is_for_a_zone(), mesh) {
            (true, _) => vec![Family::ControlPlane, Family::Zone],
            (false, Some(mesh)) => vec![Family::Dataplane { mesh: mesh.to_owned() }],
            (false, None) => vec![Family::User],
        }
    }

    fn is_for_a_zone(&self) -> bool {
        self.claims.contains_key("Zone")
    }

    fn is_for_a_proxy(&self) -> bool {
        self.claims.contains_key("Mesh")
    }
}

/// Reads a token without asking whether it is good.
pub fn decode(raw: &str) -> Result<Decoded, Rejection> {
    let jws::Parts { header, claims, .. } = jws::parts(raw)?;
    let registered = Registered::read(&claims).ok();
    let jti = claims.get("jti").and_then(Value::as_str).filter(|jti| !jti.is_empty()).map(str::to_owned);
    Ok(Decoded {
        id: TokenId::of(raw, jti).as_str().to_owned(),
        header,
        claims,
        issued_at: registered.as_ref().and_then(|registered| registered.issued_at),
        expires_at: registered.as_ref().and_then(|registered| registered.expires_at),
    })
}

/// On which terms a control plane lets zones in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ZoneTerms {
    /// The kinds of token that are accepted.
    pub accept: Accept,
    /// How far clocks may be apart.
    pub leeway: Duration,
    /// Until when tokens without an end are accepted; for ever if nothing is said.
    pub legacy_until: Option<Timestamp>,
}

/// Whom a token lets in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holder {
    /// The control plane of a zone.
    ZoneControlPlane(ZoneName),
    /// A user.
    User(String),
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ZoneControlPlane(zone) => write!(f, "zone control plane {zone}"),
            Self::User(name) => write!(f, "user {name}"),
        }
    }
}

/// Why a token lets nobody in here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotTaken {
    /// It is refused.
    Rejected(Rejection),
    /// No zones connect to this control plane.
    NoZonesHere,
    /// No data plane proxies connect to this control plane.
    NoProxiesHere,
}

impl NotTaken {
    /// The reason in one word.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Rejected(rejection) => rejection.reason(),
            Self::NoZonesHere | Self::NoProxiesHere => "not-here",
        }
    }
}

impl fmt::Display for NotTaken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rejected(rejection) => f.write_str(&rejection.validator_text()),
            Self::NoZonesHere => {
                f.write_str("it is the token of a zone, and zones connect to a global control plane; ask that one")
            }
            Self::NoProxiesHere => f.write_str("it is the token of a data plane proxy, and none connects here"),
        }
    }
}

/// Whether a token would be accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It would.
    Accepted {
        /// Whom it lets in.
        holder: Holder,
        /// The key that signed it.
        key: KeyId,
    },
    /// It would not.
    Refused(NotTaken),
}

/// A token that was looked at.
#[derive(Clone, Debug)]
pub struct Inspected {
    /// What stands in it.
    pub decoded: Decoded,
    /// Whether it would be accepted.
    pub verdict: Verdict,
}

/// Looks at a token as a control plane would that has this ring, and lets zones in on these terms or not at all. What
/// cannot be decoded is no token.
pub fn inspect(raw: &str, ring: &KeyRing, now: Timestamp, zones: Option<&ZoneTerms>) -> Result<Inspected, Rejection> {
    let decoded = decode(raw)?;
    let verdict = match judge(raw, &decoded, ring, now, zones) {
        Ok((holder, key)) => Verdict::Accepted { holder, key },
        Err(why) => Verdict::Refused(why),
    };
    Ok(Inspected { decoded, verdict })
}

fn judge(
    raw: &str,
    decoded: &Decoded,
    ring: &KeyRing,
    now: Timestamp,
    zones: Option<&ZoneTerms>,
) -> Result<(Holder, KeyId), NotTaken> {
    if decoded.is_for_a_zone() {
        let ZoneTerms { accept, leeway, legacy_until } = *zones.ok_or(NotTaken::NoZonesHere)?;
        // It is asked by the zone that it names.
        let zone = decoded.claims.get("Zone").and_then(Value::as_str).unwrap_or_default();
        let want = Want { zone, accept, leeway, legacy_until };
        let verified = verify(raw, ring, now, &want).map_err(NotTaken::Rejected)?;
        return Ok((Holder::ZoneControlPlane(verified.zone().clone()), verified.key().clone()));
    }
    if decoded.is_for_a_proxy() {
        return Err(NotTaken::NoProxiesHere);
    }
    let verified = verify_user(raw, ring, now, Duration::ZERO).map_err(NotTaken::Rejected)?;
    Ok((Holder::User(verified.name().to_owned()), verified.key().clone()))
}
