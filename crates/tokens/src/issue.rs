//! Issues tokens: with the newest key of a ring, with what signs outside of the store, or offline with the key in a file.

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
    revocation::rule::TokenFacts,
    ring::NoKey,
    signer::SigningProblem,
    token_id::TokenId,
};

/// How long before now a token becomes good: clocks differ.
const BACKDATED: SignedDuration = SignedDuration::from_secs(5);
/// The header of a control plane token.
const HS256_HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;

/// A token. Its text is erased when it is dropped, and is never printed.
pub struct Token {
    text: Zeroizing<String>,
    id: TokenId,
    key: KeyId,
    kid: Option<String>,
    issued_at: Option<Timestamp>,
    algorithm: Algorithm,
    expires_at: Option<Timestamp>,
}

impl Token {
    fn new(
        text: Zeroizing<String>,
        jti: Option<Uuid>,
        key: &KeyId,
        algorithm: Algorithm,
        dates: Option<Dates>,
    ) -> Self {
        let id = TokenId::of(&text, jti.map(|jti| jti.to_string()));
        let (issued_at, expires_at) = dates.map(|dates| (dates.issued_at, dates.expires_at)).unzip();
        Self { text, id, key: key.clone(), kid: None, algorithm, issued_at, expires_at }
    }

    /// What is revoked is not handed out.
    fn unless_revoked(self, ring: &KeyRing, zone: Option<&str>) -> Result<Self, IssueError> {
        let facts = TokenFacts { key: &self.key, id: self.id(), zone, issued_at: self.issued_at };
        match (ring.revokes(&facts), self.issued_at) {
            (false, _) => Ok(self),
            (true, None) => {
                let (id, by_age_alone) = (self.id().to_owned(), ring.revokes_by_age_alone(&facts));
                Err(IssueError::RevokedWithoutEnd { id, by_age_alone })
            }
            (true, Some(_)) => Err(IssueError::Revoked),
        }
    }

    /// The token itself.
    pub fn reveal(&self) -> &str {
        &self.text
    }

    /// What it is called: its `jti`, or, as the oldest form of control plane tokens has none, `sha256:` and a part of the
    /// hash of its text.
    pub fn id(&self) -> &str {
        self.id.as_str()
    }

    /// Its `jti`.
    pub fn token_id(&self) -> Option<&str> {
        self.id.claimed()
    }

    /// The key that signed it.
    pub fn key(&self) -> &KeyId {
        &self.key
    }

    /// What the settings call the key that signed it, if they name it.
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// When it was issued, as it says itself: a little before it was, because clocks differ.
    pub fn issued_at(&self) -> Option<Timestamp> {
        self.issued_at
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
        f.debug_struct("Token").field("id", &self.id.as_str()).field("key", &self.key).finish_non_exhaustive()
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
    /// A token without end is the same bytes each time, and these are revoked.
    #[error(
        "this token is revoked: without an end it is the same each time it is issued. Give it an end (`--valid-for`), or \
         rotate the signing key"
    )]
    RevokedWithoutEnd {
        /// Its id.
        id: String,
        /// It is revoked because its key had signed at a moment, and for nothing else: if it was never handed out before
        /// that, it is not meant.
        by_age_alone: bool,
    },
    /// A revocation without a time names it.
    #[error("this token would be revoked, whenever it is issued; take the revocation back that names such tokens")]
    Revoked,
    /// What the token says is more than what is accepted.
    #[error("token would be longer than {} bytes, which is refused everywhere", jws::LONGEST)]
    TooLong,
    /// What signs outside of the store did not.
    #[error("the key {kid:?} of the settings signed nothing")]
    Outside {
        /// The name of the key.
        kid: String,
        /// Why.
        #[source]
        problem: SigningProblem,
    },
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
    let dates =
        valid_for.map(|valid_for| Dates::of(valid_for, now, good_from(ring, id, Some(zone.as_str())))).transpose()?;
    let text = control_plane_token(hmac, id.serial, zone, dates.as_ref(), jti)?;
    let jti = dates.as_ref().map(|_| jti);
    Token::new(text, jti, id, Algorithm::Hs256, dates).unless_revoked(ring, Some(zone.as_str()))
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

/// Issues a token with these claims, with what signs outside of the store for its family, or else with the newest key of it, and
/// as that one signs. What signs outside may block ([`KeyRing::signs_outside`]).
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
    let zone = claims.zone();
    if let Some((id, outside)) = ring.outside(&family) {
        let dates = Dates::of(valid_for, now, good_from(ring, id, zone))?;
        let text = token_with_kid((outside.kid(), outside.algorithm()), claims, &dates, jti, |message| {
            outside.sign(message).map_err(|problem| IssueError::Outside { kid: outside.kid().to_owned(), problem })
        })?;
        let token = Token::new(text, Some(jti), id, outside.algorithm(), Some(dates));
        return Token { kid: Some(outside.kid().to_owned()), ..token }.unless_revoked(ring, zone);
    }
    let (id, key) = newest(ring, &family)?;
    let Key::Private { private, .. } = key else { return Err(no_key(&family)) };
    let dates = Dates::of(valid_for, now, good_from(ring, id, zone))?;
    let text = signed_here(private, &id.serial.to_string(), claims, &dates, jti)?;
    Token::new(text, Some(jti), id, private.algorithm(), Some(dates)).unless_revoked(ring, zone)
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
    signed_here(&private, kid, claims, &Dates::of(valid_for, now, None)?, jti)
}

fn newest<'a>(ring: &'a KeyRing, family: &Family) -> Result<(&'a KeyId, &'a Key), IssueError> {
    ring.signing_key(family).map_err(|reason| match reason {
        NoKey::Absent | NoKey::Retired | NoKey::NotInSettings => no_key(family),
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
    dates: Option<&Dates>,
    jti: Uuid,
) -> Result<Zeroizing<String>, IssueError> {
    let mut members = Map::new();
    members.insert("Zone".to_owned(), zone.as_str().into());
    members.insert("TokenSerialNumber".to_owned(), serial.into());
    if let Some(dates) = dates {
        dates.add_to(&mut members, jti);
    }
    let signed = jws::to_sign(HS256_HEADER, &Value::Object(members).to_string());
    let signature = key.sign(signed.as_bytes());
    checked(jws::with_signature(signed, &signature))
}

fn signed_here(
    key: &PrivateKey,
    kid: &str,
    claims: &Claims<'_>,
    dates: &Dates,
    jti: Uuid,
) -> Result<Zeroizing<String>, IssueError> {
    let sign = |message: &[u8]| key.sign(message).ok_or(IssueError::Failed);
    token_with_kid((kid, key.algorithm()), claims, dates, jti, sign)
}

fn token_with_kid(
    (kid, algorithm): (&str, Algorithm),
    claims: &Claims<'_>,
    dates: &Dates,
    jti: Uuid,
    sign: impl FnOnce(&[u8]) -> Result<Vec<u8>, IssueError>,
) -> Result<Zeroizing<String>, IssueError> {
    if matches!(claims, Claims::User { name: "", .. }) {
        return Err(IssueError::NoName);
    }
    let mut members = claims.members();
    dates.add_to(&mut members, jti);
    let header = json!({"alg": algorithm.as_str(), "kid": kid, "typ": "JWT"}).to_string();
    let signed = jws::to_sign(&header, &Value::Object(members).to_string());
    let signature = sign(signed.as_bytes())?;
    checked(jws::with_signature(signed, &signature))
}

/// When a token was issued, begins and ends, in whole seconds.
struct Dates {
    issued_at: Timestamp,
    starts_at: Timestamp,
    expires_at: Timestamp,
}

impl Dates {
    /// `good_from` is where the rules end that revoke such tokens: a token that is issued after them is not set back to
    /// before them.
    fn of(valid_for: Duration, now: Timestamp, good_from: Option<Timestamp>) -> Result<Self, IssueError> {
        let valid_for = validity(SignedDuration::try_from(valid_for).ok().ok_or(TOO_LONG)?)?;
        let whole = |time: Timestamp| Timestamp::from_second(time.as_second()).ok().ok_or(TOO_LONG);
        let expires_at = whole(now.checked_add(valid_for).ok().ok_or(TOO_LONG)?)?;
        let starts_at = whole(now.checked_sub(BACKDATED).unwrap_or(now))?;
        let issued_at = good_from.map_or(starts_at, |good_from| good_from.max(starts_at));
        Ok(Self { issued_at, starts_at, expires_at })
    }

    /// Adds `exp`, `nbf`, `iat` and `jti`.
    fn add_to(&self, members: &mut Map<String, Value>, jti: Uuid) {
        members.insert("exp".to_owned(), self.expires_at.as_second().into());
        members.insert("nbf".to_owned(), self.starts_at.as_second().into());
        members.insert("iat".to_owned(), self.issued_at.as_second().into());
        members.insert("jti".to_owned(), jti.to_string().into());
    }
}

/// From when on a token of this zone, that this key signs, is not revoked by its age.
fn good_from(ring: &KeyRing, key: &KeyId, zone: Option<&str>) -> Option<Timestamp> {
    ring.revocations(&key.family)?.good_from(zone, key.serial)
}

fn checked(text: String) -> Result<Zeroizing<String>, IssueError> {
    let text = Zeroizing::new(text);
    if text.len() > jws::LONGEST { Err(IssueError::TooLong) } else { Ok(text) }
}
