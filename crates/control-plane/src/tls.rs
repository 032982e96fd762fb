//! TLS for both ends of the house: who we are ([`ServerIdentity`]), whom we believe ([`ClientTrust`]), what is spoken
//! ([`Protocols`]).
//!
//! Certificates, keys and root files are watched and read again without a restart. A new file that is no good is
//! never used: the old content stays in force and one warning says why. There is one cryptography provider, and
//! nothing here depends on a provider installed for the process.
//!
//! ```text
//! OwnAuthority ──► Leaf, in memory ──┐
//! self_signed ──► cert + key files ──┴► ServerIdentity ──► server_config(Alpn::H2)    KDS
//!                      ▲                                └► server_config(Alpn::None)  REST
//!                  Reloaded ◄── FileChanges
//!                      ▼
//!                 root file ─────────► ClientTrust ─────► client_config(Alpn::H2)    zone dials global
//! ```

mod client_auth;
mod error;
mod explain;
mod files;
mod identity;
mod leaf;
mod machine;
mod mutual;
mod own_authority;
mod pem;
mod protocols;
mod reloaded;
mod self_signed;
#[cfg(test)]
mod tests;
mod trust;

pub(crate) use client_auth::ClientCerts;
pub use error::TlsError;
pub(crate) use files::FileChanges;
pub(crate) use identity::{Certificates, ServerIdentity};
pub(crate) use machine::{address_to_reach, host_names};
pub(crate) use mutual::Mutual;
pub(crate) use own_authority::{NoAuthority, OwnAuthority};
pub(crate) use protocols::Protocols;
pub(crate) use self_signed::{CERT_FILE, PairFiles, SELF_SIGNED_FILES, self_signed};
pub use trust::ClientTrust;
pub(crate) use trust::InsecureTrust;

// The crate, not the module of that name, whose own name is that of its logger.
pub(crate) use ::trust::provider;

/// Which application protocol is offered in the handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alpn {
    /// HTTP/2, which gRPC clients demand.
    H2,
    /// No offer; the REST listener speaks HTTP/1.1 alone.
    None,
}

impl Alpn {
    fn offer(self) -> Vec<Vec<u8>> {
        match self {
            Self::H2 => vec![b"h2".to_vec()],
            Self::None => Vec::new(),
        }
    }
}
