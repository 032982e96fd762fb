//! Issues tokens: with the newest key of a ring, or offline with the key in a file.

use std::{fmt, time::Duration};

use jiff::{SignedDuration, Timestamp};
use model::ZoneName;
use serde_json::{Map, Value, json};
use thiserror::Error;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::{
    Algorithm, KeyProblem, KeyRing,
    claims::{Claims, Scope},
    jws,
    key::{HmacKey, Key, PrivateKey},
    name::{Family, KeyId, wanted_secret},
    rejection::no_signing_key,
    ring::NoKey,
};

/// How long before now a token becomes good: clocks differ.
const BACKDATED: SignedDuration = SignedDuration::from_secs(5);
/// The header of a control plane token.
const HS256_HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;

/// A token. Its text is erased when it is dropped, and is never printed.
pub struct Token {
    text: Zeroizing<String>,
    id: Option<String>,
    key: KeyId,
    algorithm: Algorithm,
    expires_at: Option<Timestamp>,
}

impl Token {
    /// The token itself.
    pub fn reveal(&self) -> &str {
        &self.text
    }

    /// Its id. The oldest form of control plane tokens has none.
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// The key that signed it.
    pub fn key(&self) -> &KeyId {
        &self.key
    }

    /// How it is signed.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// When it ends.
    pub fn expires_at(&self) -> Option<Timestamp> {
        self.expires_at
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("id", &self.id).field("key", &self.key).finish_non_exhaustive()
    }
}

/// Why no token was made.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum IssueError {
    /// There is no key to sign with.
    #[error("{}", no_signing_key(&.serial.to_string(), .secret))]
    NoKey {
        /// The serial that the first key would have.
        serial: u64,
        /// The secret that would hold it, in words.
        secret: String,
    },
    /// The newest key is no key.
    #[error("newest signing key {name:?} cannot be used")]
    BadKey {
        /// The secret.
        name: String,
        /// What is wrong with it.
        #[source]
        problem: KeyProblem,
    },
    /// The key to sign with offline is none.
    #[error("provided signing key cannot be used")]
    BadKeyFile {
        /// What is wrong with it.
        #[source]
        problem: KeyProblem,
    },
    /// A token cannot be good for so long, or so short.
    #[error("{reason}")]
    BadValidity {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A user must have a name.
    #[error("name of the user cannot be empty")]
    NoName,
    /// What the token says is more than what is accepted.
    #[error("token would be longer than {} bytes, which is refused everywhere", jws::LONGEST)]
    TooLong,
    /// The cryptography failed.
    #[error("signing failed")]
    Failed,
}

/// Returns how long a token is good, if it is good for at least a second.
pub fn validity(duration: SignedDuration) -> Result<Duration, IssueError> {
    Duration::try_from(duration).ok().filter(|duration| *duration >= Duration::from_secs(1)).ok_or(TOO_SHORT)
}

const TOO_SHORT: IssueError = IssueError::BadValidity { reason: "must be at least 1s" };
const TOO_LONG: IssueError = IssueError::BadValidity { reason: "is too long" };

/// Issues a control plane token: HS256, without end unless one is asked for, and then with a `jti`.
pub fn issue_control_plane(
    ring: &KeyRing,
    zone: &ZoneName,
    valid_for: Option<Duration>,
    now: Timestamp,
    jti: Uuid,
) -> Result<Token, IssueError> {
    let (id, key) = newest(ring, &Family::ControlPlane)?;
    let hmac = key.hmac().ok_or_else(|| no_key(&Family::ControlPlane))?;
    let (text, expires_at) = control_plane_token(hmac, id.serial, zone, valid_for, now, jti)?;
    let jti = expires_at.map(|_| jti.to_string());
    Ok(Token { text, id: jti, key: id.clone(), algorithm: Algorithm::Hs256, expires_at })
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
    issue(ring, &Claims::Zone { zone, scope }, valid_for, now, jti)
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
    issue(ring, &Claims::User { name, groups }, valid_for, now, jti)
}

/// Issues a token with these claims, with the newest key of its family and as that one signs.
pub fn issue(
    ring: &KeyRing,
    claims: &Claims<'_>,
    valid_for: Duration,
    now: Timestamp,
    jti: Uuid,
) -> Result<Token, IssueError> {
    let family = match claims {
        Claims::Zone { .. } => Family::Zone,
        Claims::User { .. } => Family::User,
        Claims::Dataplane { mesh, .. } => Family::Dataplane { mesh: (*mesh).to_owned() },
    };
    let (id, key) = newest(ring, &family)?;
    let Key::Private { private, .. } = key else { return Err(no_key(&family)) };
    let (text, expires_at) = token_with_kid(private, &id.serial.to_string(), claims, valid_for, now, jti)?;
    let algorithm = private.algorithm();
    Ok(Token { text, id: Some(jti.to_string()), key: id.clone(), algorithm, expires_at: Some(expires_at) })
}

/// Signs a token with the private key of a PEM file, to be verified under the name `kid`.
pub fn sign_offline(
    pem: &[u8],
    kid: &str,
    claims: &Claims<'_>,
    valid_for: Duration,
    now: Timestamp,
    jti: Uuid,
) -> Result<Zeroizing<String>, IssueError> {
    let private = PrivateKey::from_pem(pem).map_err(|problem| IssueError::BadKeyFile { problem })?;
    token_with_kid(&private, kid, claims, valid_for, now, jti).map(|(text, _)| text)
}

fn newest<'a>(ring: &'a KeyRing, family: &Family) -> Result<(&'a KeyId, &'a Key), IssueError> {
    ring.signing_key(family).map_err(|reason| match reason {
        NoKey::Absent | NoKey::NotInSettings => no_key(family),
        NoKey::Broken { name, problem } => IssueError::BadKey { name, problem },
    })
}

fn no_key(family: &Family) -> IssueError {
    IssueError::NoKey { serial: 1, secret: wanted_secret(family, "1") }
}

fn control_plane_token(
    key: &HmacKey,
    serial: u64,
    zone: &ZoneName,
    valid_for: Option<Duration>,
    now: Timestamp,
    jti: Uuid,
) -> Result<(Zeroizing<String>, Option<Timestamp>), IssueError> {
    let mut members = Map::new();
    members.insert("Zone".to_owned(), zone.as_str().into());
    members.insert("TokenSerialNumber".to_owned(), serial.into());
    let expires_at = match valid_for {
        None => None,
        Some(valid_for) => Some(add_registered(&mut members, valid_for, now, jti)?),
    };
    let signed = jws::to_sign(HS256_HEADER, &Value::Object(members).to_string());
    let signature = key.sign(signed.as_bytes());
    Ok((checked(jws::with_signature(signed, &signature))?, expires_at))
}

fn token_with_kid(
    key: &PrivateKey,
    kid: &str,
    claims: &Claims<'_>,
    valid_for: Duration,
    now: Timestamp,
    jti: Uuid,
) -> Result<(Zeroizing<String>, Timestamp), IssueError> {
    if matches!(claims, Claims::User { name: "", .. }) {
        return Err(IssueError::NoName);
    }
    let mut members = claims.members();
    let expires_at = add_registered(&mut members, valid_for, now, jti)?;
    let header = json!({"alg": key.algorithm().as_str(), "kid": kid, "typ": "JWT"}).to_string();
    let signed = jws::to_sign(&header, &Value::Object(members).to_string());
    let signature = key.sign(signed.as_bytes()).ok_or(IssueError::Failed)?;
    Ok((checked(jws::with_signature(signed, &signature))?, expires_at))
}

/// Adds `exp`, `nbf`, `iat` and `jti`, and returns when the token ends.
fn add_registered(
    members: &mut Map<String, Value>,
    valid_for: Duration,
    now: Timestamp,
    jti: Uuid,
) -> Result<Timestamp, IssueError> {
    let valid_for = validity(SignedDuration::try_from(valid_for).ok().ok_or(TOO_LONG)?)?;
    let expires_at = now.checked_add(valid_for).ok().ok_or(TOO_LONG)?;
    let start = now.checked_sub(BACKDATED).unwrap_or(now).as_second();
    members.insert("exp".to_owned(), expires_at.as_second().into());
    members.insert("nbf".to_owned(), start.into());
    members.insert("iat".to_owned(), start.into());
    members.insert("jti".to_owned(), jti.to_string().into());
    Timestamp::from_second(expires_at.as_second()).ok().ok_or(TOO_LONG)
}

fn checked(text: String) -> Result<Zeroizing<String>, IssueError> {
    let text = Zeroizing::new(text);
    if text.len() > jws::LONGEST { Err(IssueError::TooLong) } else { Ok(text) }
}
