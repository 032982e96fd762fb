//! What may be ordered.

use serde::{Deserialize, Serialize};

use super::text;
use crate::algorithm::Algorithm;

/// What an operator orders.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "camelCase")]
pub enum Command {
    /// Begin a rotation.
    Start {
        /// Make all further steps as the evidence for them comes in.
        automatic: bool,
        /// What the new key signs with; what is usual for the family if it is not said.
        #[serde(with = "text::option")]
        algorithm: Option<Algorithm>,
    },
    /// Make the next step.
    Advance,
    /// Go back to the key that there was before.
    Rollback,
}

impl Command {
    /// The word for it.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Start { .. } => "start",
            Self::Advance => "advance",
            Self::Rollback => "rollback",
        }
    }
}
