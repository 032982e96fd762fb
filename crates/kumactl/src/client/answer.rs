//! What a control plane answers.

use serde_json::Value;

use super::error::CallError;

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The HTTP status.
    pub(crate) status: u16,
    /// The body; not text is replaced by a mark.
    pub(crate) body: String,
}

impl Answer {
    /// Returns the answer if its status is one of these, else what the server said against it.
    pub(crate) fn accept(self, statuses: &[u16]) -> Result<Self, CallError> {
        if statuses.contains(&self.status) { Ok(self) } else { Err(CallError::from_answer(self.status, &self.body)) }
    }

    pub(crate) fn json(&self) -> Result<Value, CallError> {
        serde_json::from_str(&self.body).map_err(|error| CallError::not_json(&self.body, &error))
    }
}
