//! What whoever serves a stream holds of it.

use std::sync::Arc;

use tokio::sync::watch;

use super::{CloseReason, Registry, StreamId};
use crate::zones::caller::ZoneCaller;

/// An admitted stream: leaves the registry when dropped.
pub struct StreamGuard {
    pub(super) id: StreamId,
    pub(super) registry: Registry,
    pub(super) caller: Arc<ZoneCaller>,
    /// It is one call and no stream.
    pub(super) unary: bool,
    pub(super) closed: watch::Receiver<Option<CloseReason>>,
    pub(super) opens_session: bool,
}

impl StreamGuard {
    /// The name of the stream.
    pub fn id(&self) -> StreamId {
        self.id
    }

    /// Who came. The zone stays; the token is the one of that time, also when a newer proof was taken since.
    pub fn caller(&self) -> &ZoneCaller {
        &self.caller
    }

    /// Whether this is the first stream of its session.
    pub fn opens_session(&self) -> bool {
        self.opens_session
    }

    /// Resolves with the reason when the stream has to end. Cancel safe.
    pub async fn closed(&mut self) -> CloseReason {
        match self.closed.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or(CloseReason::Draining),
            Err(_) => CloseReason::Draining,
        }
    }
}

impl Drop for StreamGuard {
    fn drop(&mut self) {
        let mut state = self.registry.lock();
        state.remove(self.id);
        if !self.unary {
            state.changed.send_modify(|count| *count += 1);
        }
    }
}
