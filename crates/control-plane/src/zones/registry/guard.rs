//! What whoever serves a stream holds of it.

use std::{future::poll_fn, pin::pin, sync::Arc, task::Poll};

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

/// Ends what goes out of a stream, and says why.
pub(super) type Ends = Box<dyn FnOnce(&CloseReason) + Send>;

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

    /// Resolves with the reason when the stream has to end. It looks each time when it is polled, also before its handler is
    /// told. Cancel safe.
    pub async fn closed(&mut self) -> CloseReason {
        let reason = |told: &Told| told.close.as_ref().map(|closing| closing.reason.clone());
        look_out(&self.told, reason).await.unwrap_or(CloseReason::Draining)
    }

    /// Why it would not be here, were its zone not in shadow.
    pub fn would_be_refused(&self) -> Option<&Rejection> {
        self.would_be_refused.as_ref()
    }

    /// Has this end what goes out of the stream at the moment when it has to end: its handler may be busy, or one of
    /// thousands that are told. It is called with the registry locked, and once at most.
    pub fn ends_by(&self, end: impl FnOnce(&CloseReason) + Send + 'static) {
        let mut state = self.registry.lock();
        let Some(live) = state.streams.get_mut(&self.id) else { return };
        let reason = live.told.borrow().close.as_ref().map(|closing| closing.reason.clone());
        match reason {
            Some(reason) => end(&reason),
            None => live.ends = Some(Box::new(end)),
        }
    }

    /// Tells, also when this is gone, since when the stream should have ended.
    pub fn enforcement(&self) -> Enforcement {
        Enforcement(self.told.clone())
    }

    /// Resolves when the stream has to end, as [`StreamGuard::closed`] does, and when it stands on a newer token than was
    /// told. Cancel safe.
    pub async fn news(&mut self) -> News {
        let news = |told: &Told| match &told.close {
            Some(closing) => Some(News::Closed(closing.reason.clone())),
            None if Arc::ptr_eq(&told.caller, &self.known) => None,
            None => Some(News::Renewed(Arc::clone(&told.caller))),
        };
        let news = look_out(&self.told, news).await.unwrap_or(News::Closed(CloseReason::Draining));
        if let News::Renewed(newer) = &news {
            self.known = Arc::clone(newer);
        }
        news
    }

    /// Why it has to end, if it was told so.
    #[cfg(test)]
    pub(crate) fn close_reason(&self) -> Option<CloseReason> {
        self.told.borrow().close.as_ref().map(|closing| closing.reason.clone())
    }
}

/// Resolves with the first thing that is found in what a stream is told, or with nothing when nobody will tell any more. It looks
/// whenever it is polled: what was told may be found before this is woken for it.
async fn look_out<T>(told: &watch::Receiver<Told>, find: impl Fn(&Told) -> Option<T>) -> Option<T> {
    let mut changes = told.clone();
    loop {
        let mut changed = pin!(changes.changed());
        let found = poll_fn(|context| match find(&told.borrow()) {
            Some(found) => Poll::Ready(Some(Ok(found))),
            None => changed.as_mut().poll(context).map(|changed| changed.err().map(Err)),
        });
        if let Some(found) = found.await {
            return found.ok();
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
