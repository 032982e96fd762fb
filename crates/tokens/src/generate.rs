//! Makes signing keys and shows their public halves.

use aws_lc_rs::{encoding::AsDer as _, rsa::KeySize, signature::RsaKeyPair};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use zeroize::{Zeroize as _, Zeroizing};

use crate::{
    der,
    key::{KeyProblem, RsaPrivate},
    pem,
};

/// A private key as PEM: PKCS#1, `RSA PRIVATE KEY`, with a final newline.
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

/// Returns the public half of a private key (PEM or DER) as PEM: PKCS#1, `RSA PUBLIC KEY`.
pub fn public_half(pem_or_der: &[u8]) -> Result<String, KeyProblem> {
    let private = RsaPrivate::parse(pem_or_der)?;
    Ok(pem::encode("RSA PUBLIC KEY", private.public_der()).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_keys_are_pkcs1_pem_and_differ() {
        let key = generate_signing_key();
        assert!(key.reveal().starts_with("-----BEGIN RSA PRIVATE KEY-----\n"));
        assert!(key.reveal().ends_with("-----END RSA PRIVATE KEY-----\n"));
        assert_eq!(STANDARD.decode(key.base64().as_bytes()).unwrap(), key.reveal().as_bytes());
        assert_eq!(der::private_modulus_bits(&pem::decode(key.reveal().as_bytes()).unwrap().der), Some(2048));
        assert_ne!(generate_signing_key().reveal(), key.reveal());
    }

    #[test]
    fn public_half_is_pkcs1_pem() {
        let key = generate_signing_key();
        let public = public_half(key.reveal().as_bytes()).unwrap();
        assert!(public.starts_with("-----BEGIN RSA PUBLIC KEY-----\n"));
        assert!(public.ends_with("-----END RSA PUBLIC KEY-----\n"));
        let der = pem::decode(key.reveal().as_bytes()).unwrap().der;
        assert_eq!(public_half(&der), Ok(public.clone()));
        assert_eq!(public_half(public.as_bytes()), Err(KeyProblem::NotPrivate));
        assert_eq!(public_half(b"x"), Err(KeyProblem::NotPrivate));
    }
}
