//! Private keys that sign for a public half.

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair,
    },
};

use super::{KeyProblem, PublicKey, in_size};
use crate::{Algorithm, der, pem};

/// What stands in a PKCS#8 key for RSA, for an elliptic curve, for P-256 (the curve follows) and for Ed25519.
const RSA: &[u8] = &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
const CURVE: &[u8] = &[0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const P256: &[u8] = &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const ED25519: &[u8] = &[0x06, 0x03, 0x2b, 0x65, 0x70];

const PKCS1: &str = "RSA keys must be PKCS#1, which `openssl rsa -traditional` writes";
const PKCS8: &str = "PKCS#8 (`PRIVATE KEY`) is needed, which `openssl pkcs8 -topk8 -nocrypt` writes";
const CURVES: &str = "P-256 and Ed25519 are";

/// A key that signs. Which algorithm is what the key is made for.
pub(crate) enum PrivateKey {
    /// Signs RS256.
    Rsa(RsaKeyPair),
    /// Signs ES256.
    P256(EcdsaKeyPair),
    /// Signs EdDSA.
    Ed25519(Ed25519KeyPair),
}

impl PrivateKey {
    /// Reads what a secret holds: PEM, or PKCS#1 of an RSA key as DER.
    pub(crate) fn parse(data: &[u8]) -> Result<Self, KeyProblem> {
        match pem::decode(data) {
            Some(_) => Self::from_pem(data),
            None => rsa(data).map(Self::Rsa),
        }
    }

    /// Reads PEM: PKCS#1 of an RSA key, PKCS#8 of the others.
    pub(crate) fn from_pem(data: &[u8]) -> Result<Self, KeyProblem> {
        let block = pem::decode(data).ok_or(KeyProblem::NotPrivate)?;
        let unreadable = |found, needed| Err(KeyProblem::Unreadable { found, needed });
        match block.label {
            "RSA PRIVATE KEY" => rsa(&block.der).map(Self::Rsa),
            "PRIVATE KEY" => Self::from_pkcs8(&block.der),
            "EC PRIVATE KEY" => unreadable("an elliptic curve key as SEC 1 (`EC PRIVATE KEY`)", PKCS8),
            "ENCRYPTED PRIVATE KEY" => unreadable("a key that is encrypted with a passphrase", PKCS8),
            _ => Err(KeyProblem::NotPrivate),
        }
    }

    /// Reads PKCS#1 as PEM.
    pub(crate) fn rsa_from_pem(data: &[u8]) -> Result<Self, KeyProblem> {
        match pem::decode(data) {
            Some(block) if block.label == "RSA PRIVATE KEY" => rsa(&block.der).map(Self::Rsa),
            Some(_) | None => Err(KeyProblem::NotPrivate),
        }
    }

    fn from_pkcs8(der: &[u8]) -> Result<Self, KeyProblem> {
        let unreadable = |found, needed| Err(KeyProblem::Unreadable { found, needed });
        if !der::is_one_sequence(der) {
            return Err(KeyProblem::NotPrivate);
        }
        let algorithm = der::pkcs8_algorithm(der).ok_or(KeyProblem::NotPrivate)?;
        if algorithm == ED25519 {
            return Ed25519KeyPair::from_pkcs8(der).map(Self::Ed25519).ok().ok_or(KeyProblem::NotPrivate);
        }
        match algorithm.strip_prefix(CURVE) {
            Some(P256) => {
                let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der);
                pair.map(Self::P256).ok().ok_or(KeyProblem::NotPrivate)
            }
            Some(_) => unreadable("a key on another elliptic curve", CURVES),
            None if algorithm.starts_with(RSA) => unreadable("an RSA key as PKCS#8 (`PRIVATE KEY`)", PKCS1),
            None => unreadable("a key for another algorithm", "RSA, P-256 and Ed25519 are"),
        }
    }

    /// The one algorithm that it signs.
    pub(crate) fn algorithm(&self) -> Algorithm {
        match self {
            Self::Rsa(_) => Algorithm::Rs256,
            Self::P256(_) => Algorithm::Es256,
            Self::Ed25519(_) => Algorithm::EdDsa,
        }
    }

    /// The half that verifies.
    pub(crate) fn public(&self) -> Result<PublicKey, KeyProblem> {
        match self {
            Self::Rsa(pair) => PublicKey::rsa(pair.public_key().as_ref()),
            Self::P256(pair) => PublicKey::p256(pair.public_key().as_ref()),
            Self::Ed25519(pair) => PublicKey::ed25519(pair.public_key().as_ref()),
        }
    }

    /// Returns the signature as it stands in a token, or nothing if the provider fails.
    pub(crate) fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature).ok()?;
                Some(signature)
            }
            Self::P256(pair) => Some(pair.sign(&SystemRandom::new(), message).ok()?.as_ref().to_vec()),
            Self::Ed25519(pair) => Some(pair.try_sign(message).ok()?.as_ref().to_vec()),
        }
    }
}

fn rsa(der: &[u8]) -> Result<RsaKeyPair, KeyProblem> {
    if der.is_empty() {
        return Err(KeyProblem::Empty);
    }
    if !der::is_one_sequence(der) {
        return Err(KeyProblem::NotPrivate);
    }
    in_size(der::private_modulus_bits(der).ok_or(KeyProblem::NotPrivate)?)?;
    RsaKeyPair::from_der(der).ok().ok_or(KeyProblem::NotPrivate)
}
