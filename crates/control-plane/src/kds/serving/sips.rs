//! Reads a connection in sips, so that the calls that came with one are answered before the next one is read.
//!
//! What a connection knows of its streams is kept in tables that grow and never shrink. HTTP/2 takes streams for as long as
//! there are bytes, and only then lets them run: without this a stranger makes tens of thousands of streams, and tens of
//! megabytes, with some hundred kilobytes that are all answered with a refusal.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A sip: some hundred streams, or a frame with data.
const SIP: usize = 16 * 1024;

/// A stream of bytes from which nothing is read when the sip is over.
pub(crate) struct Sips<S> {
    inner: S,
    sip: Sip,
}

/// What is left of the sip of one stream. Whoever polls what reads the stream pours the next one.
#[derive(Clone)]
pub(crate) struct Sip(Arc<AtomicUsize>);

impl Sip {
    /// Lets the next bytes through. Whoever reads must be polled after that.
    pub(crate) fn pour(&self) {
        self.0.store(SIP, Ordering::Relaxed);
    }

    /// Whether there may be more to read than was let through.
    pub(crate) fn is_over(&self) -> bool {
        self.left() == 0
    }

    fn left(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl<S> Sips<S> {
    /// Returns the stream without a sip to read, and what pours them.
    pub(crate) fn new(inner: S) -> (Self, Sip) {
        let sip = Sip(Arc::default());
        (Self { inner, sip: sip.clone() }, sip)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Sips<S> {
    /// Wakes nobody when the sip is over: whoever pours the next one polls.
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let left = self.sip.left();
        if left == 0 {
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.inner).poll_read(context, buffer);
        self.sip.0.store(left.saturating_sub(buffer.filled().len() - before), Ordering::Relaxed);
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Sips<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}
