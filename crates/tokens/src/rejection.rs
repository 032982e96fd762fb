//! Why a token is refused: a short reason for metrics and status, and the text that helps the peer.

use std::fmt;

use jiff::{SignedDuration, Timestamp};

/// Why a token is refused. `Display` is what the peer of a refused zone reads.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rejection {
    /// There is no token.
    Missing,
    /// There is more than one `authorization` value.
    TooManyValues {
        /// How many.
        count: usize,
    },
    /// The token has not the shape of one.
    Malformed {
        /// What is wrong with it.
        text: &'static str,
    },
    /// The token is signed in a way that is not accepted.
    UnsupportedAlgorithm {
        /// What its header says.
        found: String,
        /// What its key is for.
        allowed: &'static str,
    },
    /// The token was good until some time ago.
    Expired {
        /// How long ago.
        by: SignedDuration,
    },
    /// The token has no end, and tokens without one were good until some time ago.
    LegacyEnded {
        /// Until when.
        until: Timestamp,
    },
    /// The token is not good yet.
    NotYetValid,
    /// The id of the token is in a list, or a rule names the token.
    Revoked,
    /// Nobody can say if the token is revoked.
    UnreadableRevocations {
        /// The list.
        name: String,
    },
    /// There is no such key.
    UnknownKey {
        /// What the token asks for.
        kid: String,
        /// The secret that would hold it, in words.
        secret: String,
        /// A rotation took it away.
        retired: bool,
    },
    /// There is a secret for the key, and it is no use.
    UnusableKey {
        /// What the token asks for.
        kid: String,
    },
    /// The signature is not that of the key.
    BadSignature,
    /// The token is for another zone.
    WrongZone {
        /// The zone of the token.
        token: String,
        /// The zone that the peer says it is.
        peer: String,
    },
    /// The token is for something else.
    WrongScope {
        /// What it is for.
        scope: Vec<String>,
    },
}

impl Rejection {
    /// The reason in one word, one of ten.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::TooManyValues { .. } | Self::Malformed { .. } | Self::UnsupportedAlgorithm { .. } => "malformed",
            Self::Expired { .. } | Self::LegacyEnded { .. } => "expired",
            Self::NotYetValid => "not-yet-valid",
            Self::Revoked | Self::UnreadableRevocations { .. } => "revoked",
            Self::UnknownKey { retired: true, .. } => "key-retired",
            Self::UnknownKey { .. } | Self::UnusableKey { .. } => "unknown-key",
            Self::BadSignature => "bad-signature",
            Self::WrongZone { .. } => "wrong-zone",
            Self::WrongScope { .. } => "wrong-scope",
        }
    }

    /// Tells if the token is good, but not for this. Otherwise the peer has not shown who it is.
    pub fn is_permission_denied(&self) -> bool {
        matches!(self, Self::WrongZone { .. } | Self::WrongScope { .. })
    }

    /// The text without the words about a zone token before it: for the log of refused user tokens.
    pub fn validator_text(&self) -> String {
        match self {
            Self::Missing => MISSING.to_owned(),
            Self::TooManyValues { count } => {
                format!("authorization header has {count} values. Expected 1 value")
            }
            Self::Malformed { text } => (*text).to_owned(),
            Self::UnsupportedAlgorithm { found, allowed } => {
                format!("unsupported token alg {found}. Allowed algorithm is {allowed}")
            }
            Self::Expired { by } => format!("could not parse token: token is expired by {}", go_seconds(*by)),
            Self::LegacyEnded { until } => format!(
                "token has no end (claim exp), and tokens without one are accepted until {until} only. Generate one that \
                 has an end (--valid-for) and give it to the zone control plane"
            ),
            Self::NotYetValid => "token is not yet valid: 'valid_from' date is in the future. Check if the system \
                                  clock on the instance that issued the token is set correctly"
                .to_owned(),
            Self::Revoked => "token is revoked".to_owned(),
            Self::UnreadableRevocations { name } => {
                format!("list of revoked tokens {name:?} cannot be read, so no token of this kind is accepted")
            }
            Self::UnknownKey { kid, secret, retired: true } => {
                format!("key retired by a rotation: {}", no_signing_key(kid, secret))
            }
            Self::UnknownKey { kid, secret, retired: false } => no_signing_key(kid, secret),
            Self::UnusableKey { kid } => {
                format!("signing key with KID {kid} cannot be used. The log of the control plane says why")
            }
            Self::BadSignature => "could not parse token: token signature is invalid".to_owned(),
            Self::WrongZone { token, peer } => {
                format!("token is signed for {token:?} zone, but connected CP advertised as {peer:?}")
            }
            Self::WrongScope { scope } => format!(
                "token cannot be used to authenticate zone CP (cp is out of token's scope: [{}])",
                scope.join(" ")
            ),
        }
    }
}

/// What the peer says of a key that is not there; the answer to a request for a token says it too.
pub(crate) fn no_signing_key(kid: &str, secret: &str) -> String {
    format!(
        "there is no signing key with KID {kid}. {secret} is not found. If signing key was rotated, regenerate the token"
    )
}

const MISSING: &str = "Zone CP did not provide a zone token. 1) Generate a token on the global control plane: \
                       \"kumactl generate zone-token --zone=<zone> --scope=cp --valid-for=720h > /tmp/token\", or \
                       \"kumactl generate control-plane-token --zone=<zone> > /tmp/token\" where control plane tokens \
                       are accepted. 2) Set KUMA_MULTIZONE_ZONE_KDS_AUTH_TOKEN_PATH=/tmp/token, or \
                       KUMA_MULTIZONE_ZONE_KDS_AUTH_TOKEN_INLINE to the token itself, on the zone control plane";

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing | Self::TooManyValues { .. } | Self::WrongZone { .. } | Self::WrongScope { .. } => {}
            Self::Malformed { .. }
            | Self::UnsupportedAlgorithm { .. }
            | Self::Expired { .. }
            | Self::LegacyEnded { .. }
            | Self::NotYetValid
            | Self::Revoked
            | Self::UnreadableRevocations { .. }
            | Self::UnknownKey { .. }
            | Self::UnusableKey { .. }
            | Self::BadSignature => f.write_str("invalid zone token: ")?,
        }
        f.write_str(&self.validator_text())
    }
}

impl std::error::Error for Rejection {}

/// Whole seconds as Go writes them: `1h0m5s`.
fn go_seconds(duration: SignedDuration) -> String {
    let seconds = duration.as_secs().max(0);
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes) {
        (0, 0) => format!("{seconds}s"),
        (0, _) => format!("{minutes}m{seconds}s"),
        _ => format!("{hours}h{minutes}m{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_those_that_peers_know() {
        let check = |rejection: Rejection, expected: &str| assert_eq!(rejection.to_string(), expected);
        check(
            Rejection::WrongZone { token: "A".into(), peer: "B".into() },
            r#"token is signed for "A" zone, but connected CP advertised as "B""#,
        );
        check(
            Rejection::WrongScope { scope: vec!["ingress".into(), "egress".into()] },
            "token cannot be used to authenticate zone CP (cp is out of token's scope: [ingress egress])",
        );
        check(Rejection::TooManyValues { count: 2 }, "authorization header has 2 values. Expected 1 value");
        check(Rejection::Revoked, "invalid zone token: token is revoked");
        check(
            Rejection::UnsupportedAlgorithm { found: "none".into(), allowed: "RS256" },
            "invalid zone token: unsupported token alg none. Allowed algorithm is RS256",
        );
        check(
            Rejection::Expired { by: SignedDuration::from_secs(3661) },
            "invalid zone token: could not parse token: token is expired by 1h1m1s",
        );
        assert!(Rejection::Missing.to_string().starts_with("Zone CP did not provide a zone token. 1) Generate"));
    }

    #[test]
    fn durations_read_as_in_go() {
        for (seconds, expected) in [(-3, "0s"), (0, "0s"), (59, "59s"), (60, "1m0s"), (3600, "1h0m0s")] {
            assert_eq!(go_seconds(SignedDuration::from_secs(seconds)), expected);
        }
    }
}
