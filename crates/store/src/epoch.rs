//! Since when somebody leads.

/// The term of a leader among the instances that work with one store: each new leader has a higher one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u64);

impl Epoch {
    /// That of the only one that works with its store.
    pub const ALONE: Self = Self(0);
}
