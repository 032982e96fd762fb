//! Makes signing keys and shows their public halves.

use aws_lc_rs::{
    encoding::AsDer as _,
    rand,
    rsa::KeySize,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, RsaKeyPair},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use zeroize::{Zeroize as _, Zeroizing};

use crate::{
    Algorithm, der,
    key::{HmacKey, KeyProblem, LEAST_HMAC_BYTES, PrivateKey},
    pem,
};

/// An RSA key as PEM: PKCS#1, `RSA PRIVATE KEY`, with a final newline.
pub struct PemKey(Zeroizing<String>);

impl PemKey {
    /// The text of the key.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// The text as base64 without line breaks: what goes into `data` of a secret.
    pub fn base64(&self) -> Zeroizing<String> {
        Zeroizing::new(STANDARD.encode(self.0.as_bytes()))
    }
}

/// A new key for any algorithm, as a secret holds it: PEM, or random bytes for HS256.
pub struct SigningKey {
    algorithm: Algorithm,
    bytes: Zeroizing<Vec<u8>>,
}

impl SigningKey {
    /// What it signs.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The bytes of the secret.
    pub fn reveal(&self) -> &[u8] {
        &self.bytes
    }

    /// The text of the key, if it is one.
    pub fn pem(&self) -> Option<&str> {
        match self.algorithm {
            Algorithm::Hs256 => None,
            Algorithm::Rs256 | Algorithm::Es256 | Algorithm::EdDsa => std::str::from_utf8(&self.bytes).ok(),
        }
    }

    /// The bytes as base64 without line breaks: what goes into `data` of a secret.
    pub fn base64(&self) -> Zeroizing<String> {
        Zeroizing::new(STANDARD.encode(&*self.bytes))
    }
}

/// Makes a key for an algorithm. One for RS256 takes tens of milliseconds.
#[expect(clippy::expect_used, reason = "takes nothing from outside; the provider ends the process without entropy")]
pub fn generate_key(algorithm: Algorithm) -> SigningKey {
    let pkcs8 = |der: &[u8]| Zeroizing::new(pem::encode("PRIVATE KEY", der).as_bytes().to_vec());
    let bytes = match algorithm {
        Algorithm::Hs256 => random_bytes(),
        Algorithm::Rs256 => Zeroizing::new(generate_signing_key().reveal().as_bytes().to_vec()),
        Algorithm::Es256 => {
            let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a curve that is supported");
            pkcs8(pair.to_pkcs8v1().expect("a key that was just made").as_ref())
        }
        Algorithm::EdDsa => {
            let pair = Ed25519KeyPair::generate().expect("a curve that is supported");
            // Without the public half: the older form, which everybody reads.
            pkcs8(pair.to_pkcs8v1().expect("a key that was just made").as_ref())
        }
    };
    SigningKey { algorithm, bytes }
}

/// Makes an RSA key of 2048 bits. Takes tens of milliseconds.
#[expect(clippy::expect_used, reason = "takes nothing from outside; the provider ends the process without entropy")]
pub fn generate_signing_key() -> PemKey {
    let pair = RsaKeyPair::generate(KeySize::Rsa2048).expect("a size that is supported");
    let pkcs8 = pair.as_der().expect("a key that was just made");
    let mut pkcs8 = Zeroizing::new(pkcs8.as_ref().to_vec());
    let pkcs1 = der::pkcs1_in_pkcs8(&pkcs8).expect("PKCS#8 of an RSA key holds PKCS#1");
    let key = PemKey(pem::encode("RSA PRIVATE KEY", pkcs1));
    pkcs8.zeroize();
    key
}

/// Draws the bytes of a key for HS256; again where by chance they look like something else that they could be (a text, the
/// beginning of DER), which a secret would be refused for.
#[expect(clippy::expect_used, reason = "takes nothing from outside; the provider ends the process without entropy")]
fn random_bytes() -> Zeroizing<Vec<u8>> {
    loop {
        let mut bytes = Zeroizing::new(vec![0; LEAST_HMAC_BYTES]);
        rand::fill(&mut bytes).expect("the provider has entropy");
        if HmacKey::parse(&bytes).is_ok() {
            return bytes;
        }
    }
}

/// Returns the public half of a private key (PEM, or DER of an RSA key) as PEM: `RSA PUBLIC KEY` (PKCS#1) of an RSA key,
/// `PUBLIC KEY` of the others.
pub fn public_half(pem_or_der: &[u8]) -> Result<String, KeyProblem> {
    Ok(PrivateKey::parse(pem_or_der)?.public()?.to_pem())
}

/// Returns what a private key (PEM, or DER of an RSA key) signs.
pub fn algorithm_of(pem_or_der: &[u8]) -> Result<Algorithm, KeyProblem> {
    PrivateKey::parse(pem_or_der).map(|private| private.algorithm())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_rsa_keys_are_pkcs1_pem_and_differ() {
        let key = generate_signing_key();
        assert!(key.reveal().starts_with("-----BEGIN RSA PRIVATE KEY-----\n"));
        assert!(key.reveal().ends_with("-----END RSA PRIVATE KEY-----\n"));
        assert_eq!(STANDARD.decode(key.base64().as_bytes()).unwrap(), key.reveal().as_bytes());
        assert_eq!(der::private_modulus_bits(&pem::decode(key.reveal().as_bytes()).unwrap().der), Some(2048));
        assert_ne!(generate_signing_key().reveal(), key.reveal());
    }

    #[test]
    fn made_keys_sign_what_they_were_made_for() {
        for (algorithm, label) in [
            (Algorithm::Rs256, "RSA PRIVATE KEY"),
            (Algorithm::Es256, "PRIVATE KEY"),
            (Algorithm::EdDsa, "PRIVATE KEY"),
        ] {
            let key = generate_key(algorithm);
            assert_eq!(algorithm_of(key.reveal()), Ok(algorithm));
            assert_eq!(key.algorithm(), algorithm);
            let text = key.pem().unwrap();
            assert!(text.starts_with(&format!("-----BEGIN {label}-----\n")), "{algorithm}");
            assert!(text.ends_with(&format!("-----END {label}-----\n")), "{algorithm}");
            assert_eq!(STANDARD.decode(key.base64().as_bytes()).unwrap(), text.as_bytes());
            assert_ne!(generate_key(algorithm).reveal(), key.reveal());
        }
    }

    #[test]
    fn made_bytes_are_a_control_plane_key_and_no_other() {
        for _ in 0..100 {
            let key = generate_key(Algorithm::Hs256);
            assert_eq!((key.reveal().len(), key.pem()), (32, None));
            assert_eq!(crate::check_key("", "control-plane-signing-key-0001", key.reveal()), Ok(()));
            assert_eq!(algorithm_of(key.reveal()), Err(KeyProblem::NotPrivate));
        }
    }

    #[test]
    fn public_half_of_an_rsa_key_is_pkcs1_pem() {
        let key = generate_signing_key();
        let public = public_half(key.reveal().as_bytes()).unwrap();
        assert!(public.starts_with("-----BEGIN RSA PUBLIC KEY-----\n"));
        assert!(public.ends_with("-----END RSA PUBLIC KEY-----\n"));
        let der = pem::decode(key.reveal().as_bytes()).unwrap().der;
        assert_eq!(public_half(&der), Ok(public.clone()));
        assert_eq!(public_half(public.as_bytes()), Err(KeyProblem::NotPrivate));
        assert_eq!(public_half(b"x"), Err(KeyProblem::NotPrivate));
    }

    #[test]
    fn public_halves_of_other_keys_are_spki_pem() {
        for algorithm in [Algorithm::Es256, Algorithm::EdDsa] {
            let public = public_half(generate_key(algorithm).reveal()).unwrap();
            assert!(public.starts_with("-----BEGIN PUBLIC KEY-----\n"), "{algorithm}");
            assert_eq!(crate::check_key("", "zone-token-signing-public-key-1", public.as_bytes()), Ok(()));
            assert_eq!(public_half(public.as_bytes()), Err(KeyProblem::NotPrivate));
        }
    }
}
