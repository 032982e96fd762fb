//! Which zones are in shadow: nobody of them is refused, and what would have been refused is counted and told.
//!
//! A zone is in shadow by a label of its Zone. What is not exactly that label is none: unknown never means yes.

use model::{Labels, labels};

/// The value of the label [`labels::AUTH`] that puts a zone into shadow.
const SHADOW: &str = "shadow";

/// Whether these labels of a Zone put it into shadow.
pub(super) fn is_asked_for(labels: &Labels) -> bool {
    labels.get(labels::AUTH).is_some_and(|value| value == SHADOW)
}
