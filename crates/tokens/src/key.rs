//! Key material: what a secret must hold to be a key, and the parsed form that signs and verifies.

use aws_lc_rs::{
    digest, hmac,
    rand::SystemRandom,
    signature::{
        KeyPair as _, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair, RsaSubjectPublicKey,
    },
};
use subtle::ConstantTimeEq;
use thiserror::Error;

use crate::{
    der,
    name::{Family, Half, KeyName, SecretName, signing_key_name},
    pem, revocation, secrecy,
};

/// The least number of bytes in a key for HS256: as many as its digest has (RFC 7518, 3.2).
const LEAST_HMAC_BYTES: usize = 32;
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
    /// Not an RSA key in a form that is read.
    #[error(
        "not an RSA private key: PKCS#1 as PEM (`RSA PRIVATE KEY`) or DER is needed; `kumactl generate signing-key` makes one"
    )]
    NotPrivate,
    /// Not the public half of an RSA key.
    #[error("not an RSA public key: PEM (`RSA PUBLIC KEY` or `PUBLIC KEY`) or PKCS#1 DER is needed")]
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

/// A key for HS256.
pub(crate) struct HmacKey {
    key: hmac::Key,
    pub(crate) fingerprint: Fingerprint,
}

impl HmacKey {
    /// Makes a key of the bytes of a secret, unaltered.
    pub(crate) fn parse(data: &[u8]) -> Result<Self, KeyProblem> {
        if data.is_empty() {
            return Err(KeyProblem::Empty);
        }
        if data.len() < LEAST_HMAC_BYTES {
            return Err(KeyProblem::TooShort { found: data.len() });
        }
        secrecy::check(data)?;
        Ok(Self { key: hmac::Key::new(hmac::HMAC_SHA256, data), fingerprint: Fingerprint::of(data) })
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        hmac::sign(&self.key, message).as_ref().to_vec()
    }

    /// Compares in constant time.
    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        hmac::verify(&self.key, message, signature).is_ok()
    }
}

/// The public half of a key for RS256.
pub(crate) struct RsaPublic {
    key: ParsedPublicKey,
    pub(crate) fingerprint: Fingerprint,
}

impl RsaPublic {
    fn parse(data: &[u8]) -> Result<Self, KeyProblem> {
        let block = pem::decode(data);
        let der = match &block {
            Some(block) if matches!(block.label, "RSA PUBLIC KEY" | "PUBLIC KEY") => &block.der,
            Some(_) => return Err(KeyProblem::NotPublic),
            None => data,
        };
        Self::from_der(der)
    }

    fn from_der(der: &[u8]) -> Result<Self, KeyProblem> {
        let public = RsaSubjectPublicKey::from_der(der).ok().ok_or(KeyProblem::NotPublic)?;
        let pkcs1 = public.as_ref();
        in_size(der::public_modulus_bits(pkcs1).ok_or(KeyProblem::NotPublic)?)?;
        let key = ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, pkcs1).ok().ok_or(KeyProblem::NotPublic)?;
        Ok(Self { key, fingerprint: Fingerprint::of(pkcs1) })
    }

    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        self.key.verify_sig(message, signature).is_ok()
    }
}

/// A key that signs RS256.
pub(crate) struct RsaPrivate(RsaKeyPair);

impl RsaPrivate {
    /// Reads PKCS#1, as PEM or DER.
    pub(crate) fn parse(data: &[u8]) -> Result<Self, KeyProblem> {
        match pem::decode(data) {
            Some(_) => Self::from_pem(data),
            None => Self::from_der(data),
        }
    }

    /// Reads PKCS#1 as PEM.
    pub(crate) fn from_pem(data: &[u8]) -> Result<Self, KeyProblem> {
        match pem::decode(data) {
            Some(block) if block.label == "RSA PRIVATE KEY" => Self::from_der(&block.der),
            Some(_) | None => Err(KeyProblem::NotPrivate),
        }
    }

    fn from_der(der: &[u8]) -> Result<Self, KeyProblem> {
        if der.is_empty() {
            return Err(KeyProblem::Empty);
        }
        if !der::is_one_sequence(der) {
            return Err(KeyProblem::NotPrivate);
        }
        in_size(der::private_modulus_bits(der).ok_or(KeyProblem::NotPrivate)?)?;
        RsaKeyPair::from_der(der).map(Self).ok().ok_or(KeyProblem::NotPrivate)
    }

    /// The public half as PKCS#1 DER.
    pub(crate) fn public_der(&self) -> &[u8] {
        self.0.public_key().as_ref()
    }

    fn public(&self) -> Result<RsaPublic, KeyProblem> {
        RsaPublic::from_der(self.public_der())
    }

    /// Returns the signature, or nothing if the provider fails.
    pub(crate) fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        let mut signature = vec![0; self.0.public_modulus_len()];
        self.0.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature).ok()?;
        Some(signature)
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
        public: Option<RsaPublic>,
    },
    /// Signs and verifies RS256.
    Private {
        /// What signs.
        private: RsaPrivate,
        /// What verifies.
        public: RsaPublic,
    },
    /// Verifies RS256.
    Public(RsaPublic),
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
                let public = RsaPrivate::from_pem(data).and_then(|private| private.public()).ok();
                Ok(Self::ControlPlane { hmac, public })
            }
            (Half::Private, Family::Zone | Family::User | Family::Dataplane { .. }) => {
                let private = RsaPrivate::parse(data)?;
                let public = private.public()?;
                Ok(Self::Private { private, public })
            }
            (Half::Public, _) => RsaPublic::parse(data).map(Self::Public),
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

    /// What verifies RS256.
    pub(crate) fn public(&self) -> Option<&RsaPublic> {
        match self {
            Self::ControlPlane { public, .. } => public.as_ref(),
            Self::Private { public, .. } | Self::Public(public) => Some(public),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{generate_signing_key, public_half};

    fn check(name: &str, data: &[u8], expected: Result<(), KeyProblem>) {
        let mesh = if name.starts_with("dataplane") { "default" } else { "" };
        assert_eq!((name, check_key(mesh, name, data)), (name, expected));
    }

    #[test]
    fn a_made_key_fits_every_family() {
        let key = generate_signing_key();
        let der = pem::decode(key.reveal().as_bytes()).unwrap().der;
        for name in [
            "control-plane-signing-key-0001",
            "zone-token-signing-key-1",
            "user-token-signing-key-1",
            "dataplane-token-signing-key-default-1",
        ] {
            check(name, key.reveal().as_bytes(), Ok(()));
            check(name, &der, Ok(()));
        }
        check("zone-token-signing-public-key-1", public_half(&der).unwrap().as_bytes(), Ok(()));
        check("anything-else", b"", Ok(()));
    }

    #[test]
    fn control_plane_keys_need_32_secret_bytes() {
        let name = "control-plane-signing-key-0001";
        check(name, b"", Err(KeyProblem::Empty));
        check(name, &[7; 31], Err(KeyProblem::TooShort { found: 31 }));
        check(name, b"WJYYLYHNpsTlUPj5aSwUu0TkXSXS5FaFEDmZL9fLZ2E=", Ok(()));
        check(name, &[7; 32], Err(KeyProblem::NotSecret { found: "bytes that repeat" }));
        let public = public_half(generate_signing_key().reveal().as_bytes()).unwrap();
        check(name, public.as_bytes(), Err(KeyProblem::NotSecret { found: "a public key" }));
    }

    #[test]
    fn other_families_need_an_rsa_private_key() {
        let name = "zone-token-signing-key-1";
        let key = generate_signing_key();
        let der = pem::decode(key.reveal().as_bytes()).unwrap().der;
        check(name, b"", Err(KeyProblem::Empty));
        check(name, b"no key", Err(KeyProblem::NotPrivate));
        check(name, public_half(&der).unwrap().as_bytes(), Err(KeyProblem::NotPrivate));
        check(name, key.reveal().replace("RSA PRIVATE", "PRIVATE").as_bytes(), Err(KeyProblem::NotPrivate));
        let mut longer = der.to_vec();
        longer.push(0);
        check(name, &longer, Err(KeyProblem::NotPrivate));
        let mut broken = der.to_vec();
        broken[40] ^= 1;
        check(name, &broken, Err(KeyProblem::NotPrivate));
    }

    #[test]
    fn small_rsa_keys_are_refused_by_size() {
        // SEQUENCE { INTEGER 0, INTEGER of 1024 bits }
        let mut small = vec![0x30, 0x81, 135, 2, 1, 0, 2, 0x81, 129, 0];
        small.extend([0xff; 128]);
        check("zone-token-signing-key-1", &small, Err(KeyProblem::Size { bits: 1024 }));
        // Its form says that it is to be an RSA key, and as one it is not taken.
        check("control-plane-signing-key-1", &small, Err(KeyProblem::NotSecret { found: "DER of something else" }));
    }

    #[test]
    fn names_without_serial_are_refused() {
        let example = "zone-token-signing-key-2".to_owned();
        check("zone-token-signing-key-foo", b"", Err(KeyProblem::NoSerial { example }));
    }

    #[test]
    fn lists_must_be_text() {
        check("zone-token-revocations", b"a, b\n", Ok(()));
        check("dataplane-token-revocations-default", b"\xff", Err(KeyProblem::UnreadableList));
    }
}
