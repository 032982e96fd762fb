//! Making keys that sign.
#![expect(clippy::disallowed_methods, reason = "work that blocks, and whoever asked for it waits for it")]

use thiserror::Error;
use tokens::{Algorithm, PemKey, SigningKey};

/// A key was not made: the thread that makes it came to an end before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("cannot make a signing key")]
pub struct KeyNotMade;

/// Makes a signing key beside the executor, which it would hold up for tens of milliseconds.
pub(crate) async fn new_signing_key() -> Result<PemKey, KeyNotMade> {
    tokio::task::spawn_blocking(tokens::generate_signing_key).await.map_err(|_panicked| KeyNotMade)
}

/// The same for a key of any algorithm.
pub(crate) async fn new_key_of(algorithm: Algorithm) -> Result<SigningKey, KeyNotMade> {
    tokio::task::spawn_blocking(move || tokens::generate_key(algorithm)).await.map_err(|_panicked| KeyNotMade)
}
