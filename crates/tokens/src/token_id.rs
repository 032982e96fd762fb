//! What a token is called in logs, lists and ledgers: its `jti`, or a part of the hash of its text.

use aws_lc_rs::digest;

/// The bytes of the hash in the id of a token without `jti`: enough to tell tokens apart, too few to be one.
const HASH_BYTES: usize = 8;

/// The id of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TokenId {
    /// The claim `jti`.
    Claimed(String),
    /// `sha256:` and 16 digits of the hash of the whole text.
    Hash(String),
}

impl TokenId {
    /// The id of a token of this text and `jti`.
    pub(crate) fn of(text: &str, jti: Option<String>) -> Self {
        jti.map_or_else(|| Self::hash(text), Self::Claimed)
    }

    fn hash(text: &str) -> Self {
        let hash = digest::digest(&digest::SHA256, text.as_bytes());
        let digits: String = hash.as_ref().iter().take(HASH_BYTES).map(|byte| format!("{byte:02x}")).collect();
        Self::Hash(format!("sha256:{digits}"))
    }

    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::Claimed(id) | Self::Hash(id) => id,
        }
    }

    /// The `jti`.
    pub(crate) fn claimed(&self) -> Option<&str> {
        match self {
            Self::Claimed(id) => Some(id),
            Self::Hash(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_without_jti_is_called_by_its_hash() {
        // The first example of FIPS 180-2.
        let id = TokenId::of("abc", None);
        assert_eq!((id.as_str(), id.claimed()), ("sha256:ba7816bf8f01cfea", None));
        let id = TokenId::of("abc", Some("an-id".to_owned()));
        assert_eq!((id.as_str(), id.claimed()), ("an-id", Some("an-id")));
    }
}
