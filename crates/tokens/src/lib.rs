//! Signs and verifies tokens. Pure: bytes, keys and a time in, an answer out.
//!
//! ```text
//! secrets ──► KeyRing ──► verify ──► VerifiedZone | VerifiedUser, or a Rejection
//!                 │
//!                 └─────► issue  ──► Token, or an IssueError
//! ```
//!
//! Nothing here does IO, asks the time or draws a token id; only the making of keys draws random bytes. What cannot be
//! read (a key, a list of revoked ids, a claim) never counts as good. Two kinds of token let a zone in:
//!
//! * **control plane token**: HS256, no `kid`; the key is named by the claim `TokenSerialNumber`, and its bytes are
//!   those of the secret, unaltered. Newer ones are RS256 with a `kid`.
//! * **zone token** with the scope `cp`: `kid` is the serial of the key, which says how it is signed: RS256, ES256 or EdDSA.

mod algorithm;
mod bearer;
mod claims;
mod der;
mod generate;
mod inspect;
mod issue;
mod jwk;
mod jws;
mod key;
mod name;
mod outline;
mod pem;
mod phase;
mod private_half;
mod rejection;
mod revocation;
mod ring;
pub mod rotation;
mod secrecy;
mod signer;
mod static_key_problem;
mod static_keys;
mod strict_json;
mod token_id;
mod verdicts;
mod verified;
mod verify;

pub use algorithm::{Algorithm, UnknownAlgorithm};
pub use bearer::bearer;
pub use claims::{Claims, Scope, UnknownScope};
pub use generate::{PemKey, SigningKey, algorithm_of, generate_key, generate_signing_key, public_half};
pub use inspect::{Decoded, Holder, Inspected, NotTaken, Verdict, ZoneTerms, decode, inspect};
pub use issue::{IssueError, Token, issue, issue_control_plane, issue_user, issue_zone, sign_offline, validity};
pub use jwk::jwk_set;
pub use key::{KeyProblem, check_key, only_ours_read};
pub use name::{Family, Half, KeyId, KeyName, NoFamily, SecretName, looks_like_revocation_list, signing_key_name};
pub use outline::Outline;
pub use phase::{Phase, Phases};
pub use private_half::names_private_half;
pub use rejection::Rejection;
pub use revocation::{
    list::no_token_id,
    rule::{RevocationRule, Revoked, TokenFacts},
};
pub use ring::{KeyRing, RingProblem, RingSources, SecretEntry};
pub use signer::{OutsideKey, PemSigner, Signer, SigningProblem, public_algorithm};
pub use static_key_problem::StaticKeyProblem;
pub use static_keys::StaticKeys;
pub use verdicts::Verdicts;
pub use verified::{IssuedAs, VerifiedUser, VerifiedZone};
pub use verify::{Accept, SignedUser, SignedZone, Want, verify, verify_user};
