//! Verifies user tokens, with which people call the REST API (contract: rest-and-cli 2.3).

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use thiserror::Error;

use crate::{
    claims::{self, Registered, Untimely},
    jws::Unverified,
    key::{self, Family},
    ring::KeyRing,
};

/// Why a user token is not accepted. The caller is told nothing of it; the log is.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum UserRejection {
    /// It is no token.
    #[error("{text}")]
    Malformed {
        /// What is wrong.
        text: String,
    },
    /// Its key is not here.
    #[error(
        "there is no signing key with KID {kid}. GlobalSecret of name \"user-token-signing-key-{kid}\" is not found. If \
         signing key was rotated, regenerate the token"
    )]
    UnknownKey {
        /// The key it names.
        kid: String,
    },
    /// Its signature is wrong.
    #[error("could not parse token: token signature is invalid")]
    BadSignature,
    /// It is past its time.
    #[error("could not parse token: token has invalid claims: token is expired")]
    Expired,
    /// It is before its time.
    #[error("token is not yet valid: 'valid_from' date is in the future. Check if the system clock on the instance that issued the token is set correctly")]
    NotYetValid,
    /// It is revoked.
    #[error("token is revoked")]
    Revoked,
}

/// The proof that a user token was verified. Comes only out of [`verify_user`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedUser {
    name: String,
    groups: Vec<String>,
    token_id: Option<String>,
}

impl VerifiedUser {
    /// The user.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The user's groups, as in the token.
    pub fn groups(&self) -> &[String] {
        &self.groups
    }

    /// The token's `jti`.
    pub fn token_id(&self) -> Option<&str> {
        self.token_id.as_deref()
    }
}

/// Verifies a user token: RS256 only, with a key of the user family.
pub fn verify_user(raw: &str, ring: &KeyRing, now: Timestamp, leeway: Duration) -> Result<VerifiedUser, UserRejection> {
    let malformed = |text: String| UserRejection::Malformed { text };
    let token = Unverified::read(raw).map_err(|not| malformed(not.0))?;
    if token.header.contains_key("crit") {
        return Err(malformed("the header has critical extensions that are not understood".to_owned()));
    }
    let kid = match token.header.get("kid") {
        None => return Err(malformed("JWT token must have kid header".to_owned())),
        Some(Value::String(kid)) => kid,
        Some(_) => return Err(malformed("JWT token kid header must be a string".to_owned())),
    };
    if token.header_text("alg") != Some("RS256") {
        let alg = token.header_text("alg").unwrap_or("").chars().take(32).collect::<String>();
        return Err(malformed(format!("unsupported token alg {alg}. Allowed algorithm is RS256")));
    }
    let configured = ring.public(&Family::User, kid);
    let stored = key::serial(kid).and_then(|serial| ring.rsa(&Family::User, serial));
    if configured.is_none() && stored.is_none() {
        return Err(UserRejection::UnknownKey { kid: kid.chars().take(64).collect() });
    }
    let signed = configured.is_some_and(|key| token.is_rsa(key)) || stored.is_some_and(|key| token.is_rsa(key.public()));
    if !signed {
        return Err(UserRejection::BadSignature);
    }
    let registered = Registered::read(&token.claims).map_err(malformed)?;
    match registered.timely(now, leeway) {
        Ok(()) => {}
        Err(Untimely::Expired) => return Err(UserRejection::Expired),
        Err(Untimely::NotYet) => return Err(UserRejection::NotYetValid),
    }
    if registered.expires.is_none() {
        return Err(malformed("token has no exp claim".to_owned()));
    }
    if ring.revokes(&Family::User, registered.id.as_deref()) {
        return Err(UserRejection::Revoked);
    }
    let name = claims::text(&token.claims, "Name").map_err(malformed)?.to_owned();
    let groups = claims::texts(&token.claims, "Groups").map_err(malformed)?;
    Ok(VerifiedUser { name, groups, token_id: registered.id })
}
