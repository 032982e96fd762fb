//! Issues tokens (contract: tokens 1.1, 2.1; rest-and-cli 2.3; decisions 3 to 5).

use std::{collections::BTreeMap, fmt, time::Duration};

use jiff::{SignedDuration, Timestamp};
use model::ZoneName;
use serde::Serialize;
use thiserror::Error;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::{
    jws,
    key::{Family, KeyId, KeyProblem, RsaKey},
    ring::KeyRing,
};

/// How far `iat` and `nbf` lie before the time of issue, for clocks that differ a little.
const BACKDATED: SignedDuration = SignedDuration::from_secs(5);

/// A token that was just issued. Has no way to be printed but [`Token::reveal`].
pub struct Token {
    raw: Zeroizing<String>,
    id: Option<String>,
    key: KeyId,
    key_name: String,
    expires: Option<Timestamp>,
}

impl Token {
    /// The text, for the one who asked for it.
    pub fn reveal(&self) -> &str {
        &self.raw
    }

    /// Its `jti`, for the audit.
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// The key that signed it.
    pub fn key(&self) -> &KeyId {
        &self.key
    }

    /// The name of the secret that holds the key.
    pub fn key_name(&self) -> &str {
        &self.key_name
    }

    /// When it expires.
    pub fn expires_at(&self) -> Option<Timestamp> {
        self.expires
    }
}

/// What a zone token may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// A zone control plane.
    Cp,
    /// A zone ingress.
    Ingress,
    /// A zone egress.
    Egress,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 3] = [Self::Cp, Self::Ingress, Self::Egress];

    /// Returns the scope of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == name)
    }

    /// The name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cp => "cp",
            Self::Ingress => "ingress",
            Self::Egress => "egress",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why no token was issued.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum IssueError {
    /// There is no signing key.
    #[error("there is no signing key with KID 1. {kind} of name \"{name}\" {mesh}is not found. If signing key was rotated, regenerate the token")]
    NoKey {
        /// `GlobalSecret` or `Secret`.
        kind: &'static str,
        /// The name of the first key.
        name: String,
        /// `in mesh "…" ` for keys of a mesh.
        mesh: String,
    },
    /// The newest signing key cannot be used.
    #[error("the newest signing key `{name}` cannot be used")]
    BadKey {
        /// Its secret.
        name: String,
    },
    /// A validity of nothing, or one that ends outside of time.
    #[error("the validity must be positive and end before the year 9999")]
    BadValidity,
}

impl IssueError {
    fn no_key(family: &Family) -> Self {
        let (kind, mesh) = match family {
            Family::Dataplane { mesh } => ("Secret", format!("in mesh \"{mesh}\" ")),
            Family::ControlPlane | Family::Zone | Family::User => ("GlobalSecret", String::new()),
        };
        let first = KeyId { family: family.clone(), serial: 1 };
        Self::NoKey { kind, name: first.to_string(), mesh }
    }
}

#[derive(Serialize)]
struct Times {
    exp: i64,
    nbf: i64,
    iat: i64,
    jti: String,
}

impl Times {
    fn new(now: Timestamp, valid_for: Duration, jti: Uuid) -> Result<(Self, Timestamp), IssueError> {
        if valid_for < Duration::from_millis(1) {
            return Err(IssueError::BadValidity);
        }
        let valid_for = SignedDuration::try_from(valid_for).map_err(|_too_long| IssueError::BadValidity)?;
        let expires = now.checked_add(valid_for).map_err(|_too_late| IssueError::BadValidity)?;
        let from = now.saturating_sub(BACKDATED).unwrap_or(now).as_second();
        let times = Self { exp: expires.as_second(), nbf: from, iat: from, jti: jti.to_string() };
        Ok((times, Timestamp::from_second(expires.as_second()).unwrap_or(expires)))
    }
}

/// Issues a control plane token: HS256 with the bytes of the newest key, no `kid`; without `valid_for` it has exactly
/// the two documented claims and never expires.
pub fn issue_control_plane(
    ring: &KeyRing,
    zone: &ZoneName,
    valid_for: Option<Duration>,
    now: Timestamp,
    jti: Uuid,
) -> Result<Token, IssueError> {
    #[derive(Serialize)]
    struct Claims<'a> {
        #[serde(rename = "Zone")]
        zone: &'a str,
        #[serde(rename = "TokenSerialNumber")]
        serial: u64,
        #[serde(flatten)]
        times: Option<Times>,
    }
    let (serial, key) = ring.newest_control_plane().ok_or_else(|| IssueError::NoKey {
        kind: "GlobalSecret",
        name: KeyId { family: Family::ControlPlane, serial: 1 }.to_string(),
        mesh: String::new(),
    })?;
    let id = KeyId { family: Family::ControlPlane, serial };
    let key_name = ring.secret_name(&id);
    let key = key.ok_or_else(|| IssueError::BadKey { name: key_name.clone() })?;
    let timed = valid_for.map(|valid_for| Times::new(now, valid_for, jti)).transpose()?;
    let (times, expires) = timed.map_or((None, None), |(times, expires)| (Some(times), Some(expires)));
    let token_id = times.as_ref().map(|times| times.jti.clone());
    let claims = json(&Claims { zone: zone.as_str(), serial, times });
    let raw = jws::sign_hmac(r#"{"alg":"HS256","typ":"JWT"}"#, &claims, &key.hmac);
    Ok(Token { raw, id: token_id, key: id, key_name, expires })
}

#[derive(Serialize)]
struct ZoneClaims<'a> {
    #[serde(rename = "Zone")]
    zone: &'a str,
    #[serde(rename = "Scope")]
    scope: Option<&'a [Scope]>,
    #[serde(flatten)]
    times: Times,
}

#[derive(Serialize)]
struct UserClaims<'a> {
    #[serde(rename = "Name")]
    name: &'a str,
    #[serde(rename = "Groups")]
    groups: Option<&'a [String]>,
    #[serde(flatten)]
    times: Times,
}

/// What a dataplane token says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DataplaneClaims {
    /// The name of the proxy, or empty.
    pub name: String,
    /// The mesh.
    pub mesh: String,
    /// Tags the proxy must have.
    pub tags: BTreeMap<String, Vec<String>>,
    /// The type of the proxy, or empty.
    pub proxy_type: String,
    /// The workload, or empty.
    pub workload: String,
}

#[derive(Serialize)]
struct ProxyClaims<'a> {
    #[serde(rename = "Name")]
    name: &'a str,
    #[serde(rename = "Mesh")]
    mesh: &'a str,
    #[serde(rename = "Tags")]
    tags: &'a BTreeMap<String, Vec<String>>,
    #[serde(rename = "Type")]
    proxy_type: &'a str,
    #[serde(rename = "Workload")]
    workload: &'a str,
    #[serde(flatten)]
    times: Times,
}

/// Issues a zone token.
pub fn issue_zone(
    ring: &KeyRing,
    zone: &ZoneName,
    scope: Option<&[Scope]>,
    valid_for: Duration,
    now: Timestamp,
    jti: Uuid,
) -> Result<Token, IssueError> {
    let (times, expires) = Times::new(now, valid_for, jti)?;
    let claims = json(&ZoneClaims { zone: zone.as_str(), scope, times });
    from_ring(ring, Family::Zone, &claims, jti, expires)
}

/// Issues a user token.
pub fn issue_user(
    ring: &KeyRing,
    name: &str,
    groups: Option<&[String]>,
    valid_for: Duration,
    now: Timestamp,
    jti: Uuid,
) -> Result<Token, IssueError> {
    let (times, expires) = Times::new(now, valid_for, jti)?;
    let claims = json(&UserClaims { name, groups, times });
    from_ring(ring, Family::User, &claims, jti, expires)
}

/// Issues a dataplane token.
pub fn issue_dataplane(
    ring: &KeyRing,
    proxy: &DataplaneClaims,
    valid_for: Duration,
    now: Timestamp,
    jti: Uuid,
) -> Result<Token, IssueError> {
    let (times, expires) = Times::new(now, valid_for, jti)?;
    let claims = json(&proxy_claims(proxy, times));
    from_ring(ring, Family::Dataplane { mesh: proxy.mesh.clone() }, &claims, jti, expires)
}

fn proxy_claims(proxy: &DataplaneClaims, times: Times) -> ProxyClaims<'_> {
    ProxyClaims {
        name: &proxy.name,
        mesh: &proxy.mesh,
        tags: &proxy.tags,
        proxy_type: &proxy.proxy_type,
        workload: &proxy.workload,
        times,
    }
}

/// What a token that is signed without a control plane says.
#[derive(Clone, Debug)]
pub enum OfflineClaims {
    /// A zone token.
    Zone {
        /// The zone.
        zone: ZoneName,
        /// The scope.
        scope: Option<Vec<Scope>>,
    },
    /// A user token.
    User {
        /// The user.
        name: String,
        /// The groups.
        groups: Option<Vec<String>>,
    },
    /// A dataplane token.
    Dataplane(DataplaneClaims),
}

/// Why a token could not be signed offline.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum OfflineError {
    /// The key is unusable.
    #[error(transparent)]
    Key(#[from] KeyProblem),
    /// The validity is.
    #[error(transparent)]
    Issue(#[from] IssueError),
}

/// Signs a token with a private key in PEM, as RS256 with this `kid`.
pub fn sign_offline(
    key: &[u8],
    kid: &str,
    claims: &OfflineClaims,
    valid_for: Duration,
    now: Timestamp,
    jti: Uuid,
) -> Result<Zeroizing<String>, OfflineError> {
    let key = RsaKey::read(key)?;
    let (times, _) = Times::new(now, valid_for, jti)?;
    let claims = match claims {
        OfflineClaims::Zone { zone, scope } => json(&ZoneClaims { zone: zone.as_str(), scope: scope.as_deref(), times }),
        OfflineClaims::User { name, groups } => json(&UserClaims { name, groups: groups.as_deref(), times }),
        OfflineClaims::Dataplane(proxy) => json(&proxy_claims(proxy, times)),
    };
    let signed = jws::sign_rsa(&header(kid), &claims, &key.pair);
    Ok(signed.ok_or_else(|| IssueError::BadKey { name: kid.to_owned() })?)
}

fn from_ring(ring: &KeyRing, family: Family, claims: &str, jti: Uuid, expires: Timestamp) -> Result<Token, IssueError> {
    let (serial, key) = ring.newest_rsa(&family).ok_or_else(|| IssueError::no_key(&family))?;
    let id = KeyId { family, serial };
    let key_name = ring.secret_name(&id);
    let bad = || IssueError::BadKey { name: key_name.clone() };
    let key = key.ok_or_else(bad)?;
    let raw = jws::sign_rsa(&header(&serial.to_string()), claims, &key.pair).ok_or_else(bad)?;
    Ok(Token { raw, id: Some(jti.to_string()), key: id, key_name, expires: Some(expires) })
}

/// The header of a token with `kid`, members in this order.
fn header(kid: &str) -> String {
    format!(r#"{{"alg":"RS256","kid":{},"typ":"JWT"}}"#, json(&kid))
}

#[expect(clippy::expect_used, reason = "texts, numbers and maps with text keys always serialise")]
fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("claims serialise")
}
