//! What can be set about a store.

use std::num::NonZeroUsize;

/// Settings that every backend has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// How many events wait for a slow watcher before it is given a new picture instead.
    pub watch_queue: NonZeroUsize,
}

impl Default for Options {
    fn default() -> Self {
        // some seconds of a busy control plane; an event is a pointer to a resource that is held anyway
        Self { watch_queue: NonZeroUsize::MIN.saturating_add(4095) }
    }
}
