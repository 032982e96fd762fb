//! Whether a far connection stands: said where its bytes are moved, and known to those who use it.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tokio_util::sync::CancellationToken;

/// What is known of it where its bytes are moved.
#[derive(Default)]
pub(super) struct Standing {
    pub(super) gone: CancellationToken,
    /// It takes no more calls.
    pub(super) is_closing: AtomicBool,
    /// All calls on it are ended.
    pub(super) is_ended: CancellationToken,
}

/// Is there while the connection stands, and hears why it was lost, if it was.
pub(super) struct Lost {
    state: Arc<Standing>,
    told: Option<Box<dyn FnOnce(String) + Send>>,
}

impl Lost {
    pub(super) fn new(state: Arc<Standing>, told: Box<dyn FnOnce(String) + Send>) -> Self {
        Self { state, told: Some(told) }
    }

    /// It takes no more calls.
    pub(super) fn closing(&self) {
        self.state.is_closing.store(true, Ordering::Relaxed);
    }

    /// It was lost.
    pub(super) fn tell(&mut self, why: String) {
        if let Some(told) = self.told.take() {
            told(why);
        }
    }
}

impl Drop for Lost {
    fn drop(&mut self) {
        self.state.gone.cancel();
    }
}
