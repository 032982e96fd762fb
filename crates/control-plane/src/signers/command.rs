//! A command that signs: whoever runs a key service writes one for it.

use std::time::Duration;

use tokens::Signer;

use crate::programs::Program;

/// A key service far away answers in a second or two.
pub(super) const DEADLINE: Duration = Duration::from_secs(10);

/// Runs a command for each signature.
pub(super) struct CommandSigner(Program);

impl CommandSigner {
    /// The program and its arguments.
    pub(super) fn of(words: &[String], deadline: Duration) -> Self {
        Self(Program::of(words, deadline))
    }
}

impl Signer for CommandSigner {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, String> {
        let printed = self.0.run(&[], message);
        printed.map(|printed| printed.to_vec()).map_err(|why| format!("command `{}`: {why}", self.0.name()))
    }
}
