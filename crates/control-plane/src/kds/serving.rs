//! Runs the streams of a connection in the task of the connection.
//!
//! What a stream has to say is written by its connection. In tasks of their own the streams wake the connection one after the
//! other, and each end, each change costs a record and a system call of its own; in one task all that is there to be said goes
//! out together. It matters most when a key is deleted and thousands of streams have to end at once.
//!
//! Calls that came are run before more is read ([`Sips`]): how many there are at a time is not for the peer to say.

mod sips;
#[cfg(test)]
mod tests;

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use futures::{StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use hyper::{
    body::Incoming,
    rt::Executor,
    server::conn::http2::{Builder, Connection},
    service::HttpService,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tonic::body::Body;

use self::sips::{Sip, Sips};
use crate::kds::frames::ByteStream;

/// Takes the streams of one connection, for [`Serving`] to run them.
#[derive(Clone, Default)]
pub(crate) struct Streams(Arc<Mutex<Vec<BoxFuture<'static, ()>>>>);

impl Streams {
    /// Those that came since it was asked last.
    fn take(&self) -> Vec<BoxFuture<'static, ()>> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Streams {
    fn execute(&self, stream: F) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Box::pin(stream));
    }
}

/// HTTP/2 pings: the peer's own figures (contract: kds 1.4).
const KEEPALIVE: Duration = Duration::from_secs(15);
/// Streams of one connection; a proxy in front may carry many zones over one.
const STREAMS_PER_CONNECTION: u32 = 20_000;
/// How much of a stream may wait here to be read: HTTP/2's own default. What waits is kept track of frame by frame, in
/// tables that grow and never shrink; the first requests of a zone would fill them.
const STREAM_WINDOW: u32 = 65_535;

/// How zones are served: the limits of HTTP/2.
pub(crate) fn http2(streams: Streams) -> Builder<Streams> {
    let mut builder = Builder::new(streams);
    builder
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(KEEPALIVE)
        .initial_stream_window_size(STREAM_WINDOW)
        .max_concurrent_streams(STREAMS_PER_CONNECTION)
        .max_header_list_size(64 * 1024);
    builder
}

type Io = TokioIo<Sips<Box<dyn ByteStream>>>;

/// A connection with its streams. Streams that are left when the connection is over are dropped with it: nobody hears them.
pub(crate) struct Serving<S: HttpService<Incoming, ResBody = Body>> {
    connection: Pin<Box<Connection<Io, S, Streams>>>,
    streams: FuturesUnordered<BoxFuture<'static, ()>>,
    coming: Streams,
    sip: Sip,
}

impl<S> Serving<S>
where
    S: HttpService<Incoming, ResBody = Body> + Unpin,
    S::Future: Send + 'static,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    /// Serves a connection as the builder says that `builder` makes of these streams.
    pub(crate) fn new(builder: impl FnOnce(Streams) -> Builder<Streams>, io: Box<dyn ByteStream>, service: S) -> Self {
        let coming = Streams::default();
        let (io, sip) = Sips::new(io);
        let connection = Box::pin(builder(coming.clone()).serve_connection(TokioIo::new(io), service));
        Self { connection, streams: FuturesUnordered::new(), coming, sip }
    }

    /// Takes no new calls, and is over when those are that it has.
    pub(crate) fn graceful_shutdown(&mut self) {
        self.connection.as_mut().graceful_shutdown();
    }
}

impl<S> Future for Serving<S>
where
    S: HttpService<Incoming, ResBody = Body> + Unpin,
    S::Future: Send + 'static,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Output = hyper::Result<()>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        loop {
            // First, so that what they say goes out with what the connection writes.
            while let Poll::Ready(Some(())) = this.streams.poll_next_unpin(context) {}
            this.sip.pour();
            if let Poll::Ready(ended) = this.connection.as_mut().poll(context) {
                return Poll::Ready(ended);
            }
            let came = this.coming.take();
            // What did not fit into the sip wakes nobody.
            if came.is_empty() && !this.sip.is_over() {
                return Poll::Pending;
            }
            this.streams.extend(came);
        }
    }
}
