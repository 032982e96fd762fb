//! What a stream sends: frames in their order, and an end that overtakes them.
//!
//! A stream that has to end does not wait for a peer that does not read, and what is queued is not delivered any more. It
//! never ends with OK, not even when its task is gone: a zone takes that for an end for good (contract: kds 1.6).

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures::Stream;
use tokio::sync::{
    mpsc::{self, error::TrySendError},
    oneshot,
};
use tonic::Status;

/// Responses that may wait for a slow peer. One unacknowledged response a kind bounds what is put in here.
pub(crate) const FRAMES: usize = 160;

/// The handler's end of a stream.
pub(crate) struct Frames {
    queue: mpsc::Sender<Bytes>,
    end: Option<oneshot::Sender<Status>>,
}

/// The peer cannot take more now, or is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotSent {
    /// Its queue is full: it does not read.
    Full,
    /// It is gone.
    Gone,
}

impl Frames {
    /// Returns both ends.
    pub(crate) fn new() -> (Self, Outbound) {
        let (queue, frames) = mpsc::channel(FRAMES);
        let (end, ended) = oneshot::channel();
        (Self { queue, end: Some(end) }, Outbound { frames, ended: Some(ended) })
    }

    /// Returns a place for one frame.
    pub(crate) fn reserve(&self) -> Result<mpsc::Permit<'_, Bytes>, NotSent> {
        self.queue.try_reserve().map_err(|full| match full {
            TrySendError::Full(()) => NotSent::Full,
            TrySendError::Closed(()) => NotSent::Gone,
        })
    }

    /// Sends one frame, if there is room for it.
    pub(crate) fn send(&self, frame: Bytes) -> Result<(), NotSent> {
        self.reserve().map(|place| place.send(frame))
    }

    /// Ends the stream with this status, before everything that is still queued.
    pub(crate) fn end(mut self, status: Status) {
        if let Some(end) = self.end.take() {
            let _peer_gone = end.send(status);
        }
    }
}

/// The peer's end of a stream.
pub(crate) struct Outbound {
    frames: mpsc::Receiver<Bytes>,
    /// Nothing comes after the end.
    ended: Option<oneshot::Receiver<Status>>,
}

impl Stream for Outbound {
    type Item = Result<Bytes, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(ended) = &mut self.ended else { return Poll::Ready(None) };
        if let Poll::Ready(end) = Pin::new(ended).poll(context) {
            self.ended = None;
            return Poll::Ready(Some(Err(end.unwrap_or_else(|_gone| Status::unavailable("stream unavailable")))));
        }
        match self.frames.poll_recv(context) {
            Poll::Ready(Some(frame)) => Poll::Ready(Some(Ok(frame))),
            // The end follows at once: both senders live and die together.
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt as _;

    use super::*;

    #[tokio::test]
    async fn an_end_overtakes_what_is_queued() {
        let (frames, mut outbound) = Frames::new();
        frames.send(Bytes::from_static(b"late")).unwrap();
        frames.end(Status::unauthenticated("revoked"));
        assert_eq!(outbound.next().await.unwrap().unwrap_err().code(), tonic::Code::Unauthenticated);
        assert!(outbound.next().await.is_none());
    }

    #[tokio::test]
    async fn a_stream_whose_task_is_gone_does_not_end_with_ok() {
        let (frames, mut outbound) = Frames::new();
        drop(frames);
        assert_eq!(outbound.next().await.unwrap().unwrap_err().code(), tonic::Code::Unavailable);
    }

    #[tokio::test]
    async fn a_peer_that_does_not_read_is_noticed() {
        let (frames, _outbound) = Frames::new();
        for _ in 0..FRAMES {
            frames.send(Bytes::new()).unwrap();
        }
        assert_eq!(frames.send(Bytes::new()), Err(NotSent::Full));
    }
}
