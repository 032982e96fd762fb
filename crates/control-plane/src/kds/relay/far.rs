//! The connection to the far side that the calls of one near connection share.
//!
//! One for each near connection: what one zone does to its connection no other one feels, and both ends see each other go.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use hyper::client::conn::http2::SendRequest;
use model::causes;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;
use tonic::{Status, body::Body};

use super::untaken::Untaken;
use crate::{
    kds::dial::{Connected, Windows},
    tasks::Tasks,
};

/// Streams that are under way when their connection has to go may take so long to hear of it.
const FAREWELL: Duration = Duration::from_secs(2);

/// How much of what global says waits here for a zone that does not read. A full sync of 10 MiB still takes few round trips,
/// and a thousand zones that read nothing hold half a gigabyte at the very most.
pub(crate) const WINDOWS: Windows = Windows { stream: 256 * 1024, connection: 512 * 1024 };

/// A connection that was dialled. When it is dropped the connection goes.
pub(crate) struct Far {
    requests: SendRequest<Body>,
    gone: CancellationToken,
    released: CancellationToken,
    untaken: Untaken,
}

/// Moves the bytes of a [`Far`]. Must be run, or nothing happens on it.
pub(crate) struct Driver {
    connected: Connected,
    gone: CancellationToken,
    released: CancellationToken,
    untaken: Untaken,
}

impl Far {
    /// Returns both halves of a connection.
    pub(crate) fn new(connected: Connected) -> (Self, Driver) {
        let (gone, released) = (CancellationToken::new(), CancellationToken::new());
        let untaken = Untaken::default();
        let requests = connected.requests.clone();
        let far = Self { requests, gone: gone.clone(), released: released.clone(), untaken: untaken.clone() };
        (far, Driver { connected, gone, released, untaken })
    }

    /// The requesting half.
    pub(crate) fn requests(&self) -> SendRequest<Body> {
        self.requests.clone()
    }

    /// Where calls on it are counted that cannot be ended.
    pub(crate) fn untaken(&self) -> Untaken {
        self.untaken.clone()
    }

    /// Resolves when it is lost or gone.
    pub(crate) fn gone(&self) -> impl Future<Output = ()> + Send + use<> {
        self.gone.clone().cancelled_owned()
    }

    /// Resolves when nobody needs it any more, or it is gone.
    pub(crate) fn released(&self) -> impl Future<Output = ()> + Send + use<> {
        let (released, gone) = (self.released.clone(), self.gone.clone());
        async move {
            tokio::select! {
                () = released.cancelled() => {}
                () = gone.cancelled() => {}
            }
        }
    }

    /// Whether it was lost.
    pub(crate) fn is_gone(&self) -> bool {
        self.gone.is_cancelled()
    }
}

impl Drop for Far {
    fn drop(&mut self) {
        self.released.cancel();
    }
}

impl Driver {
    /// Runs until the connection is lost or was released; returns why it was lost, if it was.
    pub(crate) async fn run(self, tasks: &Tasks) -> Option<String> {
        let Self { connected: Connected { requests, driver, .. }, gone, released, untaken } = self;
        // Dropped however this ends, also when whoever polls it loses patience.
        let _gone = gone.drop_guard();
        drop(requests);
        tokio::pin!(driver);
        // Biased: a connection that nobody needs any more ends by itself, and is not lost.
        tokio::select! {
            biased;
            () = released.cancelled() => {}
            () = tasks.stopping() => {}
            () = untaken.too_long() => return Some("it does not take what calls said that are over".to_owned()),
            lost = &mut driver => {
                return Some(lost.err().map_or_else(|| "closed by the other side".to_owned(), |error| causes::on_one_line(&error)));
            }
        }
        let _late = tokio::time::timeout(FAREWELL, driver).await;
        None
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
