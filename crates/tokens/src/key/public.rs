//! Public halves: what verifies, and may be known by everybody.
//!
//! The algorithm is that of the key. An RSA key verifies RS256, one on P-256 ES256, one on Ed25519 EdDSA, and nothing else.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RsaSubjectPublicKey,
    VerificationAlgorithm,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value};

use super::{Fingerprint, KeyProblem, in_size};
use crate::{Algorithm, der, pem};

/// What stands in front of the point in the `SubjectPublicKeyInfo` of a key on P-256 (RFC 5480). DER has one form only, so
/// that this is a comparison and not a parser.
const P256_SPKI: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
/// A point of P-256, not compressed: 4, x, y.
const P256_POINT: usize = 65;
/// The same for Ed25519 (RFC 8410).
const ED25519_SPKI: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
const ED25519_BYTES: usize = 32;

/// The public half of a key.
pub(crate) struct PublicKey {
    algorithm: Algorithm,
    key: ParsedPublicKey,
    /// PKCS#1 of an RSA key, the point of one on P-256, the 32 bytes of one on Ed25519.
    bytes: Box<[u8]>,
    pub(crate) fingerprint: Fingerprint,
}

impl PublicKey {
    /// Reads PEM, or PKCS#1 of an RSA key as DER.
    pub(crate) fn parse(data: &[u8]) -> Result<Self, KeyProblem> {
        let Some(block) = pem::decode(data) else { return Self::rsa(data) };
        match block.label {
            "RSA PUBLIC KEY" => Self::rsa(&block.der),
            "PUBLIC KEY" => Self::from_spki(&block.der),
            _ => Err(KeyProblem::NotPublic),
        }
    }

    fn from_spki(der: &[u8]) -> Result<Self, KeyProblem> {
        if let Some(point) = der.strip_prefix(&P256_SPKI) {
            return Self::p256(point);
        }
        match der.strip_prefix(&ED25519_SPKI) {
            Some(bytes) => Self::ed25519(bytes),
            None => Self::rsa(der),
        }
    }

    /// Takes PKCS#1 or `SubjectPublicKeyInfo`.
    pub(super) fn rsa(der: &[u8]) -> Result<Self, KeyProblem> {
        let public = RsaSubjectPublicKey::from_der(der).ok().ok_or(KeyProblem::NotPublic)?;
        let pkcs1 = public.as_ref();
        in_size(der::public_modulus_bits(pkcs1).ok_or(KeyProblem::NotPublic)?)?;
        Self::new(Algorithm::Rs256, &RSA_PKCS1_2048_8192_SHA256, pkcs1)
    }

    pub(super) fn p256(point: &[u8]) -> Result<Self, KeyProblem> {
        if point.len() != P256_POINT {
            return Err(KeyProblem::NotPublic);
        }
        Self::new(Algorithm::Es256, &ECDSA_P256_SHA256_FIXED, point)
    }

    pub(super) fn ed25519(bytes: &[u8]) -> Result<Self, KeyProblem> {
        if bytes.len() != ED25519_BYTES {
            return Err(KeyProblem::NotPublic);
        }
        Self::new(Algorithm::EdDsa, &ED25519, bytes)
    }

    fn new(
        algorithm: Algorithm,
        verifier: &'static dyn VerificationAlgorithm,
        bytes: &[u8],
    ) -> Result<Self, KeyProblem> {
        let key = ParsedPublicKey::new(verifier, bytes).ok().ok_or(KeyProblem::NotPublic)?;
        Ok(Self { algorithm, key, bytes: bytes.into(), fingerprint: Fingerprint::of(bytes) })
    }

    /// The one algorithm that it verifies.
    pub(crate) fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        self.key.verify_sig(message, signature).is_ok()
    }

    /// What a JSON Web Key says of it (RFC 7518, 6, and RFC 8037); nothing of a key that is none, which there is not.
    pub(crate) fn jwk_members(&self) -> Option<Map<String, Value>> {
        let (kty, curve, numbers) = match self.algorithm {
            Algorithm::Rs256 => {
                let (modulus, exponent) = der::public_numbers(&self.bytes)?;
                ("RSA", None, vec![("n", modulus), ("e", exponent)])
            }
            Algorithm::Es256 => {
                let (x, y) = self.bytes.strip_prefix(&[4])?.split_at_checked(P256_POINT / 2)?;
                ("EC", Some("P-256"), vec![("x", x), ("y", y)])
            }
            Algorithm::EdDsa => ("OKP", Some("Ed25519"), vec![("x", &*self.bytes)]),
            Algorithm::Hs256 => return None,
        };
        let mut members = Map::new();
        members.insert("kty".to_owned(), kty.into());
        members.extend(curve.map(|curve| ("crv".to_owned(), curve.into())));
        members.extend(numbers.iter().map(|(name, bytes)| ((*name).to_owned(), URL_SAFE_NO_PAD.encode(bytes).into())));
        Some(members)
    }

    /// As PEM: `RSA PUBLIC KEY` (PKCS#1) of an RSA key, `PUBLIC KEY` of the others.
    pub(crate) fn to_pem(&self) -> String {
        let spki = |front: &[u8]| pem::encode("PUBLIC KEY", &[front, &*self.bytes].concat());
        let text = match self.algorithm {
            Algorithm::Es256 => spki(&P256_SPKI),
            Algorithm::EdDsa => spki(&ED25519_SPKI),
            Algorithm::Rs256 | Algorithm::Hs256 => pem::encode("RSA PUBLIC KEY", &self.bytes),
        };
        text.to_string()
    }
}
