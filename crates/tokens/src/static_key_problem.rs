//! What may be wrong with a key of the settings.

use thiserror::Error;

use crate::key::KeyProblem;

/// Why a key of the settings cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum StaticKeyProblem {
    /// The name cannot stand in a token that is accepted.
    #[error("kid {kid:?} must be 1 to 64 letters, digits, dots, dashes and underscores")]
    Kid {
        /// The name.
        kid: String,
    },
    /// Two keys of a family have one name.
    #[error("kid {kid:?} stands twice; each key needs one of its own")]
    SharedKid {
        /// The name.
        kid: String,
    },
    /// Two keys are to sign for a family.
    #[error(
        "a signer stands twice for {family}s; one of them signs, and the public keys of the others may stand in publicKeys"
    )]
    SharedFamily {
        /// The word for its tokens.
        family: &'static str,
    },
    /// It is no public key.
    #[error("key with kid {kid:?} cannot be used: {problem}")]
    Key {
        /// The name.
        kid: String,
        /// What is wrong with it.
        problem: KeyProblem,
    },
}
