//! Whether what a store shows is what is true now.

use tokio::time::Instant;

/// How old what a store shows may be.
///
/// A store that shares its data with other processes shows what it heard last while it cannot hear them. It says so here,
/// and not in each watch: it is a fact of the store and the same for all that read it, and a watcher that is slow must not
/// be the last to hear of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// What was written anywhere is shown here, apart from the time that it takes.
    Fresh,
    /// What others wrote since then may be missing.
    Behind {
        /// When it was up to date last.
        since: Instant,
    },
}

impl Freshness {
    /// Returns since when something may be missing, if it may.
    pub fn behind_since(self) -> Option<Instant> {
        match self {
            Self::Fresh => None,
            Self::Behind { since } => Some(since),
        }
    }
}
