//! A key that seals data keys: 32 bytes in base64, known by a fingerprint.

use std::{fmt, str::FromStr};

use aws_lc_rs::{digest, rand};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use thiserror::Error;
use zeroize::{Zeroize as _, Zeroizing};

use super::{
    DataKey, DataKeyId, SealedDataKey, Sealer, SealerError,
    cipher::{self, KEY},
    data_key::bytes_of,
    no_random,
};

/// How many bytes of the digest of a key are its fingerprint.
const FINGERPRINT: usize = 8;
const BOUND_TO: &[u8] = b"data key";

/// A key that seals data keys. Wiped when dropped, and never shown.
pub struct SealingKey {
    bytes: Box<[u8; KEY]>,
    fingerprint: Fingerprint,
}

/// A key as it stands in its file: one line. Wiped when dropped.
pub struct KeyText(Zeroizing<String>);

impl KeyText {
    /// The line, with its end.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

/// What is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("it is no key: 32 bytes in base64 on one line are needed; `kuma-cp store generate-key` makes one")]
pub struct NotAKey;

impl SealingKey {
    /// Makes a key; nothing if the system has no random bytes.
    pub fn generate() -> Option<Self> {
        let mut bytes = Box::new([0; KEY]);
        rand::fill(&mut *bytes).ok()?;
        Some(Self::of(bytes))
    }

    /// The key as it stands in its file.
    pub fn text(&self) -> KeyText {
        let mut text = Zeroizing::new(String::with_capacity(KEY * 2));
        STANDARD.encode_string(self.bytes.as_slice(), &mut text);
        text.push('\n');
        KeyText(text)
    }

    /// What it is called where it must not be shown.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    fn of(bytes: Box<[u8; KEY]>) -> Self {
        let digest = digest::digest(&digest::SHA256, &*bytes);
        let fingerprint = Fingerprint(digest.as_ref().first_chunk().copied().unwrap_or_default());
        Self { bytes, fingerprint }
    }
}

impl FromStr for SealingKey {
    type Err = NotAKey;

    /// Reads the line of a file, or the same from a setting.
    fn from_str(text: &str) -> Result<Self, NotAKey> {
        bytes_of(text).map(Self::of).ok_or(NotAKey)
    }
}

impl Drop for SealingKey {
    fn drop(&mut self) {
        self.bytes.zeroize();
    }
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealingKey({})", self.fingerprint)
    }
}

impl Sealer for SealingKey {
    fn name(&self) -> Option<String> {
        Some(self.fingerprint.to_string())
    }

    fn seal(&self, id: DataKeyId, key: &DataKey) -> Result<SealedDataKey, SealerError> {
        let mut sealed = Vec::new();
        cipher::seal(&self.bytes, &bound_to(id), key.reveal(), &mut sealed).ok_or_else(no_random)?;
        Ok(SealedDataKey { id, sealed_by: self.fingerprint.to_string(), sealed })
    }

    fn unseal(&self, sealed: &SealedDataKey) -> Result<DataKey, SealerError> {
        let ours = self.fingerprint.to_string();
        if sealed.sealed_by != ours {
            return Err(SealerError::AnotherKey {
                wanted: sealed.sealed_by.clone(),
                found: format!("the key `{ours}`"),
            });
        }
        let damaged = || SealerError::Damaged { id: sealed.id };
        let opened = cipher::open(&self.bytes, &bound_to(sealed.id), &sealed.sealed).map(Zeroizing::new);
        DataKey::of(&opened.ok_or_else(damaged)?).map_err(|_wrong_length| damaged())
    }
}

/// The first 16 hex digits of the SHA-256 of a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fingerprint([u8; FINGERPRINT]);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A data key does not open under the number of another one.
fn bound_to(id: DataKeyId) -> Vec<u8> {
    [BOUND_TO, &id.number().to_be_bytes()].concat()
}
