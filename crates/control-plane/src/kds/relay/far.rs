//! The connection to the far side that the calls of one near connection share.
//!
//! One for each near connection: what one zone does to its connection no other one feels, and both ends see each other go.
//! The task of the near connection moves its bytes.

use std::{
    sync::{Arc, Weak, atomic::Ordering},
    time::Duration,
};

use bytes::Bytes;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};

use super::{
    call::Calls,
    end::{End, Keepalive},
    http2::{Limits, Origin},
    orders::{Adopted, Number, Order, Orders},
    standing::{Lost, Standing},
};
use crate::kds::dial::Reached;

/// How much of what global says waits here for a zone that does not read. A full sync of 10 MiB still takes few round trips,
/// and a thousand zones that read nothing hold half a gigabyte at the very most.
const LIMITS: Limits = Limits { streams: 0, stream_window: 256 * 1024, connection_window: 512 * 1024 };
/// A real global ends connections that ping more often than every 15 s, so stay clear of that.
const KEEPALIVE: Keepalive = Keepalive { interval: Duration::from_secs(20), timeout: Duration::from_secs(15) };

/// A connection that was dialled. When it is dropped no further call goes on it, and it goes with the last that does.
pub(crate) struct Far {
    number: Number,
    orders: Orders,
    state: Arc<Standing>,
    released: CancellationToken,
}

/// Ends all calls on a far connection, and those that would come, but for our own. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Ending {
    far: Number,
    orders: Orders,
    state: Arc<Standing>,
}

impl Far {
    /// Has a connection that was dialled moved by the task of the near one. `lost` hears why it was lost, if it was.
    pub(crate) fn adopt(orders: &Orders, reached: Reached, lost: impl FnOnce(String) + Send + 'static) -> Self {
        let Reached { io, origin, .. } = reached;
        let state = Arc::new(Standing::default());
        let number = orders.number();
        let text = |part: Option<&str>| Bytes::copy_from_slice(part.unwrap_or_default().as_bytes());
        let origin =
            Origin { scheme: text(origin.scheme_str()), authority: text(origin.authority().map(|name| name.as_str())) };
        let lost = Lost::new(Arc::clone(&state), Box::new(lost));
        let end = End::of_server(io, LIMITS, KEEPALIVE);
        orders.give(Order::Adopt(Box::new(Adopted { far: number, end, origin, lost })));
        Self { number, orders: orders.clone(), state, released: CancellationToken::new() }
    }

    pub(super) fn number(&self) -> Number {
        self.number
    }

    /// Makes calls on it.
    pub(crate) fn calls(&self) -> Calls {
        Calls::new(self.number, self.orders.clone())
    }

    /// What ends the calls on it.
    pub(crate) fn ending(&self) -> Ending {
        Ending { far: self.number, orders: self.orders.clone(), state: Arc::clone(&self.state) }
    }

    /// Resolves when it is lost or gone.
    pub(crate) fn gone(&self) -> impl Future<Output = ()> + Send + use<> {
        self.state.gone.clone().cancelled_owned()
    }

    /// Resolves when nobody needs it any more, or it is gone.
    pub(crate) fn released(&self) -> impl Future<Output = ()> + Send + use<> {
        let (released, gone) = (self.released.clone(), self.state.gone.clone());
        async move {
            tokio::select! {
                () = released.cancelled() => {}
                () = gone.cancelled() => {}
            }
        }
    }

    /// Whether it takes no more calls.
    fn is_gone(&self) -> bool {
        self.state.gone.is_cancelled() || self.state.is_closing.load(Ordering::Relaxed)
    }
}

impl Drop for Far {
    fn drop(&mut self) {
        self.released.cancel();
        self.orders.give(Order::Release(self.number));
    }
}

impl Ending {
    /// Ends the calls with this status; OK is none that a zone comes back after. The first one counts.
    pub(crate) fn end(&self, status: Status) {
        let status = if status.code() == Code::Ok { Status::unavailable("the stream was ended") } else { status };
        self.orders.give(Order::EndAll { far: self.far, status });
        self.state.is_ended.cancel();
    }

    /// Resolves when the calls were ended. Cancel safe.
    pub(crate) async fn given(&self) {
        self.state.is_ended.cancelled().await;
    }
}

impl AsRef<Self> for Far {
    fn as_ref(&self) -> &Self {
        self
    }
}
/// The place of the far connection of one near connection, with what belongs to it. Cheap to clone.
pub(crate) struct Slot<T = Far>(Arc<Mutex<Option<Arc<T>>>>);

/// A place that goes with its near connection.
pub(crate) struct WeakSlot<T = Far>(Weak<Mutex<Option<Arc<T>>>>);

impl<T: AsRef<Far>> Slot<T> {
    /// Returns the connection that stands, or opens one. Calls that come meanwhile wait for the same one: it is opened
    /// under the lock, by somebody with a deadline.
    pub(crate) async fn get(&self, open: impl AsyncFnOnce() -> Result<Arc<T>, Status>) -> Result<Arc<T>, Status> {
        let mut place = self.0.lock().await;
        if let Some(stands) = place.as_ref().filter(|stands| !T::as_ref(stands).is_gone()) {
            return Ok(Arc::clone(stands));
        }
        let opened = open().await?;
        *place = Some(Arc::clone(&opened));
        Ok(opened)
    }

    /// Refers to the place without keeping it.
    pub(crate) fn downgrade(&self) -> WeakSlot<T> {
        WeakSlot(Arc::downgrade(&self.0))
    }
}

impl<T> WeakSlot<T> {
    /// Puts another connection into the place of the one that stands, if the near connection is still there.
    pub(crate) async fn replace(&self, by: Arc<T>) {
        if let Some(place) = self.0.upgrade() {
            *place.lock().await = Some(by);
        }
    }

    /// Takes the connection away that this is said of, so that the next call opens one; whether it stood there.
    pub(crate) async fn vacate(&self, is_it: impl Fn(&T) -> bool) -> bool {
        let Some(place) = self.0.upgrade() else { return false };
        let mut place = place.lock().await;
        let stands = place.as_deref().is_some_and(is_it);
        if stands {
            *place = None;
        }
        stands
    }
}

impl<T> Clone for Slot<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Clone for WeakSlot<T> {
    fn clone(&self) -> Self {
        Self(Weak::clone(&self.0))
    }
}

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(None)))
    }
}

impl<T> std::fmt::Debug for Slot<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Slot").finish_non_exhaustive()
    }
}
