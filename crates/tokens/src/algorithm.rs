//! How a token is signed.

use std::{fmt, str::FromStr};

use thiserror::Error;

/// The algorithms that tokens are signed with (RFC 7518, 3.1, and RFC 8037). Which one is meant is for a key to say, never
/// for the header of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// HMAC with SHA-256: who can verify can sign.
    Hs256,
    /// RSA, PKCS#1 v1.5, with SHA-256.
    Rs256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// Ed25519.
    EdDsa,
}

/// A word that names no algorithm.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{word:?} is not one of {:?}", Algorithm::ALL.map(Algorithm::as_str))]
pub struct UnknownAlgorithm {
    /// The word.
    pub word: String,
}

impl Algorithm {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Hs256, Self::Rs256, Self::Es256, Self::EdDsa];

    /// The word in the header of a token.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Algorithm {
    type Err = UnknownAlgorithm;

    fn from_str(word: &str) -> Result<Self, UnknownAlgorithm> {
        let found = Self::ALL.into_iter().find(|algorithm| algorithm.as_str() == word);
        found.ok_or_else(|| UnknownAlgorithm { word: word.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn algorithms_are_four_words() {
        for algorithm in Algorithm::ALL {
            assert_eq!(algorithm.to_string().parse(), Ok(algorithm));
        }
        for bad in ["", "none", "rs256", "RS512", "ES256K", "Ed25519", " RS256"] {
            let error = bad.parse::<Algorithm>().unwrap_err();
            assert_eq!(error.to_string(), format!(r#"{bad:?} is not one of ["HS256", "RS256", "ES256", "EdDSA"]"#));
        }
    }
}
