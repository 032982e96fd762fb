//! Key material: what a secret must hold to be a key, and the parsed form that signs and verifies.
//!
//! What the bytes are says which algorithm the key is for: an RSA key signs RS256, one on P-256 ES256, one on Ed25519 EdDSA,
//! and the bytes of a control plane key sign HS256. No key has two, but for a control plane key that is an RSA key in PEM:
//! it verifies RS256 for tokens with a `kid`, and never with the bytes that verify HS256.

mod hmac;
mod private;
mod public;

use aws_lc_rs::digest;
use subtle::ConstantTimeEq;
use thiserror::Error;

pub(crate) use self::{
    hmac::{HmacKey, LEAST_HMAC_BYTES},
    private::PrivateKey,
    public::PublicKey,
};
use crate::{
    Algorithm,
    name::{Family, Half, KeyName, SecretName, signing_key_name},
    revocation,
};

/// The least size of an RSA key (RFC 7518, 3.3), and the largest one that the provider takes.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// Why data is no key, or no list, that can be used under its name.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum KeyProblem {
    /// There is nothing in it.
    #[error("signing key is empty")]
    Empty,
    /// Too short for HS256.
    #[error(
        "control plane signing key has {found} bytes, at least 32 are needed; `kumactl generate signing-key` makes one"
    )]
    TooShort {
        /// How long it is.
        found: usize,
    },
    /// Data that is in no form that a secret key has.
    #[error(
        "signing key of control planes must be an RSA private key (PKCS#1, PEM or DER) or random bytes, but this is {found}; `kumactl generate signing-key` makes one"
    )]
    NotSecret {
        /// What it seems to be.
        found: &'static str,
    },
    /// No private key at all.
    #[error(
        "not a private key: RSA (PKCS#1 as PEM `RSA PRIVATE KEY` or DER), P-256 or Ed25519 (PKCS#8 as PEM `PRIVATE KEY`) is needed, for random bytes sign control plane tokens only; `kumactl generate signing-key` makes one"
    )]
    NotPrivate,
    /// A private key that is not read.
    #[error("{found} is not read here: {needed}")]
    Unreadable {
        /// What it is.
        found: &'static str,
        /// What is read.
        needed: &'static str,
    },
    /// No public key.
    #[error(
        "not a public key: RSA (PEM `RSA PUBLIC KEY` or `PUBLIC KEY`, or PKCS#1 as DER), P-256 or Ed25519 (PEM `PUBLIC KEY`) is needed"
    )]
    NotPublic,
    /// The key is too small, or too large.
    #[error("RSA key has {bits} bits, 2048 to 8192 are needed")]
    Size {
        /// How many it has.
        bits: usize,
    },
    /// The name has no serial.
    #[error("name of a signing key must end in its serial number, for example {example:?}")]
    NoSerial {
        /// A name that has one.
        example: String,
    },
    /// Two secrets have one serial.
    #[error("signing keys {names:?} have the same serial number; delete all but one of them")]
    SharedSerial {
        /// Their names.
        names: Vec<String>,
    },
    /// The settings have another key with the `kid` of its tokens.
    #[error(
        "the settings have another key with kid {kid:?} (publicKeys), and that one counts: nothing is signed with this one, for \
         it would be refused. Give the key of the settings another kid, or make a signing key with another serial"
    )]
    NamedInSettings {
        /// The name of both.
        kid: String,
    },
    /// A list of revoked ids that is no text.
    #[error("list of revoked token ids is not text; ids are separated by commas or line ends")]
    UnreadableList,
    /// A list of revoked ids without one.
    #[error("list of revoked token ids names none; to take all revocations back, delete the secret")]
    EmptyList,
    /// Something in a list of revoked ids that can be no id.
    #[error("entry {place} of the list of revoked token ids, {entry:?}…, can be no id of a token: {problem}")]
    NoTokenId {
        /// Which entry, counted from 1.
        place: usize,
        /// How it begins.
        entry: String,
        /// What is wrong with it.
        problem: &'static str,
    },
}

/// Says whether `data` can be used in a secret of this mesh (empty: a global secret) and name; what is neither a key nor
/// a list by its name holds what it likes.
pub fn check_key(mesh: &str, name: &str, data: &[u8]) -> Result<(), KeyProblem> {
    match SecretName::parse(mesh, name) {
        None => Ok(()),
        Some(SecretName::Revocations(_)) => revocation::list::check(data),
        Some(SecretName::Key(name)) => Key::parse(&name, data).map(|_| ()),
    }
}

/// Says whether a secret of this mesh, name and data holds a key that zones verify with, and that real ones cannot read: they
/// know RSA alone.
pub fn only_ours_read(mesh: &str, name: &str, data: &[u8]) -> bool {
    let Some(name) = KeyName::parse(mesh, name) else { return false };
    let verified_in_zones = match &name.family {
        Family::Zone | Family::Dataplane { .. } => true,
        Family::ControlPlane | Family::User => false,
    };
    let algorithm = |key: &Key| key.public().map(PublicKey::algorithm);
    verified_in_zones
        && Key::parse(&name, data)
            .is_ok_and(|key| algorithm(&key).is_some_and(|algorithm| algorithm != Algorithm::Rs256))
}

/// SHA-256 of what a signature is checked with. Says if two keys are one without holding either.
#[derive(Clone)]
pub(crate) struct Fingerprint([u8; 32]);

impl Fingerprint {
    fn of(bytes: &[u8]) -> Self {
        let mut print = [0; 32];
        print.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
        Self(print)
    }

    pub(crate) fn is(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

fn in_size(bits: usize) -> Result<(), KeyProblem> {
    if RSA_BITS.contains(&bits) { Ok(()) } else { Err(KeyProblem::Size { bits }) }
}

/// A key of a ring, parsed once.
pub(crate) enum Key {
    /// Signs HS256; verifies HS256, and RS256 if the bytes are a private key in PEM.
    ControlPlane {
        /// The bytes as they are.
        hmac: Box<HmacKey>,
        /// The public half of the key that the bytes are in PEM.
        public: Option<PublicKey>,
    },
    /// Signs and verifies.
    Private {
        /// What signs.
        private: Box<PrivateKey>,
        /// What verifies.
        public: PublicKey,
    },
    /// Verifies.
    Public(PublicKey),
}

impl Key {
    /// Reads the key that a secret of this name must hold.
    pub(crate) fn parse(name: &KeyName, data: &[u8]) -> Result<Self, KeyProblem> {
        if name.serial.is_none() {
            return Err(KeyProblem::NoSerial { example: signing_key_name(&name.family, 2) });
        }
        match (name.half, &name.family) {
            (Half::Private, Family::ControlPlane) => {
                let hmac = Box::new(HmacKey::parse(data)?);
                let public = PrivateKey::rsa_from_pem(data).and_then(|private| private.public()).ok();
                Ok(Self::ControlPlane { hmac, public })
            }
            (Half::Private, Family::Zone | Family::User | Family::Dataplane { .. }) => {
                let private = Box::new(PrivateKey::parse(data)?);
                let public = private.public()?;
                Ok(Self::Private { private, public })
            }
            (Half::Public, _) => PublicKey::parse(data).map(Self::Public),
        }
    }

    /// What verifies HS256.
    pub(crate) fn hmac(&self) -> Option<&HmacKey> {
        match self {
            Self::ControlPlane { hmac, .. } => Some(hmac),
            Self::Private { .. } | Self::Public(_) => None,
        }
    }

    /// What tells the public half from another one.
    pub(crate) fn fingerprint(&self) -> Option<&Fingerprint> {
        self.public().map(|public| &public.fingerprint)
    }

    /// What verifies tokens with a `kid`, as its algorithm says.
    pub(crate) fn public(&self) -> Option<&PublicKey> {
        match self {
            Self::ControlPlane { public, .. } => public.as_ref(),
            Self::Private { public, .. } | Self::Public(public) => Some(public),
        }
    }

    /// What tells the key that checks this algorithm from another one; none if it checks others only.
    pub(crate) fn fingerprint_for(&self, algorithm: Algorithm) -> Option<&Fingerprint> {
        match algorithm {
            Algorithm::Hs256 => self.hmac().map(|key| &key.fingerprint),
            Algorithm::Rs256 | Algorithm::Es256 | Algorithm::EdDsa => {
                self.public().filter(|public| public.algorithm() == algorithm).map(|public| &public.fingerprint)
            }
        }
    }
}

#[cfg(test)]
mod tests;
