//! What can be set about a store.

use std::num::NonZeroUsize;

/// Settings that every backend has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// How many events wait for a slow watcher before it is given a new picture instead.
    pub watch_queue: NonZeroUsize,
    /// What to do where there is no store yet. Backends without files have nothing to refuse.
    pub missing: Missing,
}

/// What opening does when there is no store in its place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Missing {
    /// Make an empty one.
    #[default]
    Create,
    /// Refuse: something else says that there was one, and an empty one would have other keys.
    Refuse,
}

impl Default for Options {
    fn default() -> Self {
        // some seconds of a busy control plane; an event is a pointer to a resource that is held anyway
        Self { watch_queue: NonZeroUsize::MIN.saturating_add(4095), missing: Missing::Create }
    }
}
