//! How tokens are signed (RFC 7518, 3.1; RFC 8037, 3.1).

use std::{fmt, str::FromStr};

use thiserror::Error;

/// How tokens of a key are signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// HMAC with SHA-256.
    Hs256,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// ECDSA over P-256 with SHA-256.
    Es256,
    /// Ed25519.
    EdDsa,
}

/// A word that is no algorithm.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{word:?} is not one of {:?}", Algorithm::ALL.map(Algorithm::as_str))]
pub struct UnknownAlgorithm {
    /// The word.
    pub word: String,
}

impl Algorithm {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 4] = [Self::Rs256, Self::Es256, Self::EdDsa, Self::Hs256];

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
            assert_eq!(algorithm.as_str().parse(), Ok(algorithm));
        }
        let error = "rs256".parse::<Algorithm>().unwrap_err();
        assert_eq!(error.to_string(), r#""rs256" is not one of ["RS256", "ES256", "EdDSA", "HS256"]"#);
    }
}
