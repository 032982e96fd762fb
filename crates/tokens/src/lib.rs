//! Signs and verifies tokens. Pure: bytes, keys and a time in, an answer out.
//!
//! ```text
//! secrets ──► KeyRing ──► verify(raw, ring, now, want) ──► VerifiedZone | Rejection
//!                  └────► issue_*(ring, …, now)        ──► Token
//! ```
//!
//! Nothing here does IO or asks the time. Keys and tokens have no way to be printed. [`VerifiedZone`] has private
//! fields and no public constructor: whoever holds one has verified.

mod claims;
mod der;
mod issue;
mod jws;
mod key;
mod pem;
mod revocations;
mod ring;
mod user;
mod verify;

pub use issue::{
    DataplaneClaims, IssueError, OfflineClaims, OfflineError, Scope, Token, issue_control_plane, issue_dataplane, issue_user,
    issue_zone, sign_offline,
};
pub use key::{Family, KeyId, KeyProblem, PemKey, check_key, generate_signing_key, key_name, public_half};
pub use ring::{KeyRing, RingProblem, SecretEntry};
pub use user::{UserRejection, VerifiedUser, verify_user};
pub use verify::{Accept, IssuedAs, Rejection, VerifiedZone, Want, bearer, verify};
