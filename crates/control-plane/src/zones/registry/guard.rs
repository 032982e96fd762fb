//! What whoever serves a stream holds of it.

use std::sync::Arc;

use tokio::sync::watch;

use super::{CloseReason, Registry, StreamId};
use crate::zones::caller::ZoneCaller;

/// What a stream is told.
pub(super) struct Told {
    /// It has to end.
    pub(super) close: Option<CloseReason>,
    /// On what it stands now.
    pub(super) caller: Arc<ZoneCaller>,
}

/// What is new for a stream.
#[derive(Debug)]
pub enum News {
    /// It has to end.
    Closed(CloseReason),
    /// It stands on a newer token.
    Renewed(Arc<ZoneCaller>),
}

/// An admitted stream: leaves the registry when dropped.
pub struct StreamGuard {
    pub(super) id: StreamId,
    pub(super) registry: Registry,
    pub(super) caller: Arc<ZoneCaller>,
    /// On what it stands, as far as [`StreamGuard::news`] told.
    pub(super) known: Arc<ZoneCaller>,
    /// It is one call and no stream.
    pub(super) unary: bool,
    pub(super) told: watch::Receiver<Told>,
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
        let told = self.told.wait_for(|told| told.close.is_some()).await;
        told.ok().and_then(|told| told.close.clone()).unwrap_or(CloseReason::Draining)
    }

    /// Resolves when the stream has to end, as [`StreamGuard::closed`] does, and when it stands on a newer token than was
    /// told. Cancel safe.
    pub async fn news(&mut self) -> News {
        let known = Arc::clone(&self.known);
        let is_new = |told: &Told| told.close.is_some() || !Arc::ptr_eq(&told.caller, &known);
        let Ok(told) = self.told.wait_for(is_new).await else { return News::Closed(CloseReason::Draining) };
        if let Some(reason) = &told.close {
            return News::Closed(reason.clone());
        }
        self.known = Arc::clone(&told.caller);
        News::Renewed(Arc::clone(&self.known))
    }

    /// Why it has to end, if it was told so.
    #[cfg(test)]
    pub(super) fn close_reason(&self) -> Option<CloseReason> {
        self.told.borrow().close.clone()
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
