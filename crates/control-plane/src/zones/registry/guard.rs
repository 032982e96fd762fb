//! What whoever serves a stream holds of it.

use std::sync::Arc;

use tokens::Rejection;
use tokio::{sync::watch, time::Instant};

use super::{CloseReason, Registry, StreamId};
use crate::zones::caller::ZoneCaller;

/// What a stream is told.
pub(super) struct Told {
    /// It has to end.
    pub(super) close: Option<Closing>,
    /// On what it stands now.
    pub(super) caller: Arc<ZoneCaller>,
}

/// Why a stream has to end, and since when it should have.
#[derive(Clone, Debug)]
pub(super) struct Closing {
    pub(super) reason: CloseReason,
    /// When that was heard which ends it; nothing where nobody waits for the end.
    pub(super) since: Option<Instant>,
}

/// Outlives a stream, and tells since when it should have ended.
pub struct Enforcement(watch::Receiver<Told>);

impl Enforcement {
    /// When that was heard which ended the stream.
    pub fn since(&self) -> Option<Instant> {
        self.0.borrow().close.as_ref()?.since
    }
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
    pub(super) would_be_refused: Option<Rejection>,
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
        let reason = told.ok().and_then(|told| Some(told.close.as_ref()?.reason.clone()));
        reason.unwrap_or(CloseReason::Draining)
    }

    /// Why it would not be here, were its zone not in shadow.
    pub fn would_be_refused(&self) -> Option<&Rejection> {
        self.would_be_refused.as_ref()
    }

    /// Tells, also when this is gone, since when the stream should have ended.
    pub fn enforcement(&self) -> Enforcement {
        Enforcement(self.told.clone())
    }

    /// Resolves when the stream has to end, as [`StreamGuard::closed`] does, and when it stands on a newer token than was
    /// told. Cancel safe.
    pub async fn news(&mut self) -> News {
        let known = Arc::clone(&self.known);
        let is_new = |told: &Told| told.close.is_some() || !Arc::ptr_eq(&told.caller, &known);
        let Ok(told) = self.told.wait_for(is_new).await else { return News::Closed(CloseReason::Draining) };
        if let Some(closing) = &told.close {
            return News::Closed(closing.reason.clone());
        }
        self.known = Arc::clone(&told.caller);
        News::Renewed(Arc::clone(&self.known))
    }

    /// Why it has to end, if it was told so.
    #[cfg(test)]
    pub(super) fn close_reason(&self) -> Option<CloseReason> {
        self.told.borrow().close.as_ref().map(|closing| closing.reason.clone())
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
