//! Keys that verify and sign with the same bytes.

use aws_lc_rs::hmac;

use super::{Fingerprint, KeyProblem};
use crate::secrecy;

/// The least number of bytes in a key for HS256: as many as its digest has (RFC 7518, 3.2).
pub(crate) const LEAST_HMAC_BYTES: usize = 32;

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
