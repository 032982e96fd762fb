//! Keys that sign and are not in the store: the settings name what signs with them, and their public half.
//!
//! Signing is all that a [`Signer`] does. Tokens are verified with the public half alone, which is in the ring as those of all
//! keys of settings are. Nothing is believed of a signer: a signature that the public half does not verify never leaves.

use std::{collections::BTreeMap, fmt, sync::Arc};

use aws_lc_rs::digest;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;
use thiserror::Error;

use crate::{
    Algorithm, der, jws,
    key::{Key, KeyProblem, PrivateKey, PublicKey},
    static_key_problem::StaticKeyProblem,
};

/// What a signer is asked to sign to show that it has the key.
const PROBE: &[u8] = b"arctos asks whether this key signs";
/// Both numbers of a signature of P-256, as they stand in a token.
const P256_SIGNATURE: usize = 64;

/// Has a private key, or reaches whoever has it.
pub trait Signer: Send + Sync {
    /// Returns the signature over a message, or why there is none: PKCS#1 v1.5 with SHA-256 for an RSA key; r and s, 32 bytes
    /// each, or both in DER, over SHA-256 for one on P-256; 64 bytes for one on Ed25519. May block for as long as it says itself.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, String>;
}

/// Why nothing was signed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SigningProblem {
    /// There is no signature.
    #[error("{reason}")]
    Failed {
        /// Why.
        reason: String,
    },
    /// There is one, and it is not of this key.
    #[error("what it returned is no {algorithm} signature of the public key that is set for it")]
    WrongSignature {
        /// What it should be.
        algorithm: &'static str,
    },
}

/// A key that is not in the store: its public half, and what signs with the other one. Cheap to clone.
#[derive(Clone)]
pub struct OutsideKey {
    kid: String,
    key: Arc<Key>,
    algorithm: Algorithm,
    signer: Arc<dyn Signer>,
}

impl OutsideKey {
    /// Takes the public half (PEM) and what signs. Without a `kid` its tokens name it by its thumbprint (RFC 7638).
    pub fn new(kid: Option<&str>, public: &[u8], signer: Arc<dyn Signer>) -> Result<Self, StaticKeyProblem> {
        let named = kid.unwrap_or_default().to_owned();
        let public = PublicKey::parse(public).map_err(|problem| StaticKeyProblem::Key { kid: named, problem })?;
        let kid = kid.map_or_else(|| thumbprint(&public), str::to_owned);
        if !jws::is_kid(&kid) {
            return Err(StaticKeyProblem::Kid { kid });
        }
        let algorithm = public.algorithm();
        Ok(Self { kid, key: Arc::new(Key::Public(public)), algorithm, signer })
    }

    /// What its tokens call it.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// What it signs.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Has something signed that says nothing: whether the signer works, and has the private half of this key. Blocks.
    pub fn probe(&self) -> Result<(), SigningProblem> {
        self.sign(PROBE).map(drop)
    }

    /// Returns the signature as it stands in a token; never one of another key.
    pub(crate) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SigningProblem> {
        let signed = self.signer.sign(message).map_err(|reason| SigningProblem::Failed { reason })?;
        let signature = match self.algorithm {
            Algorithm::Es256 if signed.len() != P256_SIGNATURE => der::p256_signature(&signed).unwrap_or_default(),
            _ => signed,
        };
        let is_good = self.key.public().is_some_and(|public| public.verifies(message, &signature));
        let algorithm = self.algorithm.as_str();
        if is_good { Ok(signature) } else { Err(SigningProblem::WrongSignature { algorithm }) }
    }

    /// Whether it is the same key under the same name.
    pub fn is(&self, other: &Self) -> bool {
        let prints = self.key.fingerprint().zip(other.key.fingerprint());
        self.kid == other.kid && prints.is_some_and(|(left, right)| left.is(right))
    }

    pub(crate) fn key(&self) -> &Arc<Key> {
        &self.key
    }
}

impl fmt::Debug for OutsideKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutsideKey").field("kid", &self.kid).finish_non_exhaustive()
    }
}

/// A private key in memory.
pub struct PemSigner(PrivateKey);

impl PemSigner {
    /// Reads PEM: PKCS#1 of an RSA key, PKCS#8 of the others.
    pub fn read(pem: &[u8]) -> Result<Self, KeyProblem> {
        PrivateKey::from_pem(pem).map(Self)
    }

    /// The public half, as PEM.
    pub fn public(&self) -> Result<String, KeyProblem> {
        self.0.public().map(|public| public.to_pem())
    }
}

impl Signer for PemSigner {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, String> {
        self.0.sign(message).ok_or_else(|| "the cryptography failed".to_owned())
    }
}

impl fmt::Debug for PemSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PemSigner").finish_non_exhaustive()
    }
}

/// Returns what a public half (PEM) verifies, and so what its private half signs.
pub fn public_algorithm(public: &[u8]) -> Result<Algorithm, KeyProblem> {
    PublicKey::parse(public).map(|public| public.algorithm())
}

/// RFC 7638: the hash of the members that make the key, in the order of their names.
fn thumbprint(public: &PublicKey) -> String {
    let members: BTreeMap<String, Value> = public.jwk_members().unwrap_or_default().into_iter().collect();
    let text = Value::Object(members.into_iter().collect()).to_string();
    URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{generate_key, pem, public_half};

    /// Signs whatever it is asked with one key, and returns it as a function makes it.
    struct Bent<F>(PemSigner, F);

    impl<F: Fn(Vec<u8>) -> Result<Vec<u8>, String> + Send + Sync> Signer for Bent<F> {
        fn sign(&self, message: &[u8]) -> Result<Vec<u8>, String> {
            self.1(self.0.sign(message)?)
        }
    }

    fn bent(
        algorithm: Algorithm,
        bend: impl Fn(Vec<u8>) -> Result<Vec<u8>, String> + Send + Sync + 'static,
    ) -> Result<(), SigningProblem> {
        let key = generate_key(algorithm);
        let public = public_half(key.reveal()).unwrap();
        assert_eq!(public_algorithm(public.as_bytes()), Ok(algorithm));
        let signer = Arc::new(Bent(PemSigner::read(key.reveal()).unwrap(), bend));
        OutsideKey::new(Some("a"), public.as_bytes(), signer).unwrap().probe()
    }

    /// Both numbers of a signature in DER, as key services return them.
    fn in_der(signature: &[u8]) -> Vec<u8> {
        let number = |bytes: &[u8]| {
            let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
            let mut content = bytes[zeros..].to_vec();
            if content.first().is_none_or(|first| *first > 0x7f) {
                content.insert(0, 0);
            }
            [&[2, u8::try_from(content.len()).unwrap()], &content[..]].concat()
        };
        let both = [number(&signature[..32]), number(&signature[32..])].concat();
        [&[0x30, u8::try_from(both.len()).unwrap()], &both[..]].concat()
    }

    #[test]
    fn keys_of_all_algorithms_sign_outside() {
        for algorithm in [Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa] {
            assert_eq!(bent(algorithm, Ok), Ok(()), "{algorithm}");
        }
        for _ in 0..50 {
            assert_eq!(bent(Algorithm::Es256, |signature| Ok(in_der(&signature))), Ok(()));
        }
    }

    #[test]
    fn what_the_public_half_does_not_verify_is_no_signature() {
        for algorithm in [Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa] {
            let wrong = Err(SigningProblem::WrongSignature { algorithm: algorithm.as_str() });
            let flipped = |mut signature: Vec<u8>| {
                signature[7] ^= 1;
                Ok(signature)
            };
            assert_eq!(bent(algorithm, flipped), wrong, "{algorithm}");
            assert_eq!(bent(algorithm, |_| Ok(Vec::new())), wrong);
            assert_eq!(bent(algorithm, |_| Ok(b"Signature ok\n".to_vec())), wrong);
            assert_eq!(bent(algorithm, |signature| Ok([&signature[..], b"\n"].concat())), wrong);
            let other = generate_key(algorithm);
            let other = PemSigner::read(other.reveal()).unwrap().sign(PROBE).unwrap();
            assert_eq!(bent(algorithm, move |_| Ok(other.clone())), wrong, "of another key");
        }
        let cut = bent(Algorithm::Es256, |signature| Ok(in_der(&signature)[..40].to_vec()));
        assert!(cut.is_err());
    }

    #[test]
    fn a_signer_that_fails_says_why() {
        let failed = bent(Algorithm::EdDsa, |_| Err("the key service is away".to_owned())).unwrap_err();
        assert_eq!(failed.to_string(), "the key service is away");
    }

    #[test]
    fn the_name_of_a_key_is_its_thumbprint_unless_it_has_one() {
        // RFC 8037, A.3
        let okp = URL_SAFE_NO_PAD.decode("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo").unwrap();
        let spki = [&[0x30, 0x2a, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 0x21, 0][..], &okp].concat();
        let public = pem::encode("PUBLIC KEY", &spki);
        let signer = || Arc::new(PemSigner::read(generate_key(Algorithm::EdDsa).reveal()).unwrap());
        let kid = |kid| OutsideKey::new(kid, public.as_bytes(), signer()).map(|key| key.kid().to_owned());
        assert_eq!(kid(None).as_deref(), Ok("kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"));
        assert_eq!(kid(Some("2026-q1")).as_deref(), Ok("2026-q1"));
        assert_eq!(kid(Some("a b")), Err(StaticKeyProblem::Kid { kid: "a b".to_owned() }));
    }

    #[test]
    fn nothing_of_a_key_is_printed() {
        let key = generate_key(Algorithm::EdDsa);
        let signer = PemSigner::read(key.reveal()).unwrap();
        assert_eq!(format!("{signer:?}"), "PemSigner { .. }");
        let public = signer.public().unwrap();
        let outside = OutsideKey::new(Some("a"), public.as_bytes(), Arc::new(signer)).unwrap();
        assert_eq!(format!("{outside:?}"), r#"OutsideKey { kid: "a", .. }"#);
    }
}
