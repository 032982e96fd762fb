//! Data keys: what rows are sealed under, and how they lie in the database themselves.

use std::fmt;

use aws_lc_rs::rand;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use thiserror::Error;
use zeroize::{Zeroize as _, Zeroizing};

use super::cipher::KEY;

/// Which data key; the newest has the greatest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DataKeyId(u32);

impl DataKeyId {
    /// The first one of a database.
    pub const FIRST: Self = Self(1);

    /// Returns the id of this number, as a database holds it.
    pub fn of(number: u32) -> Self {
        Self(number)
    }

    /// The number of this id.
    pub fn number(self) -> u32 {
        self.0
    }

    /// The one after it.
    pub(super) fn next(self) -> Option<Self> {
        self.0.checked_add(1).map(Self)
    }
}

impl fmt::Display for DataKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A key that rows are sealed under. Wiped when dropped, and never shown.
pub struct DataKey(Box<[u8; KEY]>);

/// What is no data key: it has not the length of one, or is not written in base64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("it is no data key: 32 bytes in base64 are needed")]
pub struct NotADataKey;

impl DataKey {
    /// Makes one; nothing if the system has no random bytes.
    pub fn generate() -> Option<Self> {
        let mut key = Self(Box::new([0; KEY]));
        rand::fill(&mut *key.0).ok()?;
        Some(key)
    }

    /// Reads one from base64, with or without white space around it.
    pub fn parse(text: &str) -> Result<Self, NotADataKey> {
        bytes_of(text).map(Self).ok_or(NotADataKey)
    }

    /// Takes over the bytes of one.
    pub(super) fn of(bytes: &[u8]) -> Result<Self, NotADataKey> {
        let mut key = Self(Box::new([0; KEY]));
        if bytes.len() != KEY {
            return Err(NotADataKey);
        }
        key.0.copy_from_slice(bytes);
        Ok(key)
    }

    /// The key in base64, for whoever seals it.
    pub fn base64(&self) -> Zeroizing<String> {
        Zeroizing::new(STANDARD.encode(self.0.as_slice()))
    }

    pub(super) fn reveal(&self) -> &[u8; KEY] {
        &self.0
    }
}

impl Drop for DataKey {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DataKey(*****)")
    }
}

/// A data key as it lies in the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedDataKey {
    /// Which one.
    pub id: DataKeyId,
    /// What sealed it: the fingerprint of a key, or the word for a command.
    pub sealed_by: String,
    /// What it was sealed to.
    pub sealed: Vec<u8>,
}

/// Reads 32 bytes from base64.
pub(super) fn bytes_of(text: &str) -> Option<Box<[u8; KEY]>> {
    // Decoders ask for room for whole groups of three bytes.
    let mut room = Zeroizing::new([0; KEY + 4]);
    let length = STANDARD.decode_slice(text.trim(), &mut *room).ok()?;
    let mut bytes = Box::new([0; KEY]);
    bytes.copy_from_slice(room.get(..length).filter(|found| found.len() == KEY)?);
    Some(bytes)
}
