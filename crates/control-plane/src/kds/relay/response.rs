//! What comes back from the far side: its frames, unchanged, until it ends, is lost, or the call has to end.

use std::{
    error::Error,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use tonic::Status;

use super::{
    ending::{Ending, Waits},
    untaken::Near,
};

/// Is told once how a call ended.
pub(super) type Told = Box<dyn FnOnce(Status) + Send>;

/// The body of a response on its way.
pub(super) struct ResponseBody<B> {
    inner: Option<B>,
    waits: Waits,
    /// The end, as far as it is known.
    end: Option<Status>,
    told: Option<Told>,
    near: Option<Near>,
}

impl<B> ResponseBody<B> {
    /// Returns the body of a response with these headers, which may say all already.
    pub(super) fn new(inner: B, headers: &HeaderMap, ending: &Ending, told: Told, near: Near) -> Self {
        let end = Status::from_header_map(headers);
        Self { inner: Some(inner), waits: ending.waits(), end, told: Some(told), near: Some(near) }
    }

    fn over(&mut self, end: Status) {
        self.inner = None;
        self.near = None;
        self.end = Some(end);
        self.tell();
    }

    fn tell(&mut self) {
        if let Some(told) = self.told.take() {
            told(self.end.take().unwrap_or_else(|| Status::cancelled("the near side gave up")));
        }
    }

    fn end(&mut self, status: &Status) -> Result<Frame<Bytes>, Status> {
        self.over(status.clone());
        let mut trailers = HeaderMap::new();
        status.add_header(&mut trailers)?;
        Ok(Frame::trailers(trailers))
    }
}

impl<B> Drop for ResponseBody<B> {
    fn drop(&mut self) {
        self.tell();
    }
}

fn unknown() -> Status {
    Status::unknown("the call ended without a status")
}

/// What the near side hears of a call that the far side did not end: nothing but a reset where that reset the call, or the
/// status of a connection that was lost.
pub(super) fn lost(error: &(dyn Error + 'static)) -> Option<Status> {
    let mut next = Some(error);
    while let Some(one) = next {
        if one.downcast_ref::<h2::Error>().is_some_and(|h2| h2.is_reset() && h2.is_remote()) {
            return None;
        }
        next = one.source();
    }
    Some(Status::unavailable("the connection to the global control plane was lost"))
}

impl<B> Body for ResponseBody<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Error + Send + Sync + 'static,
{
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = &mut *self;
        let Some(inner) = &mut this.inner else { return Poll::Ready(None) };
        if let Poll::Ready(status) = this.waits.poll(context) {
            return Poll::Ready(Some(this.end(&status).map_err(Into::into)));
        }
        match std::task::ready!(Pin::new(inner).poll_frame(context)) {
            Some(Ok(frame)) => {
                if let Some(trailers) = frame.trailers_ref() {
                    this.over(Status::from_header_map(trailers).unwrap_or_else(unknown));
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(error)) => match lost(&error) {
                None => {
                    this.over(unknown());
                    Poll::Ready(Some(Err(error.into())))
                }
                Some(status) => Poll::Ready(Some(this.end(&status).map_err(Into::into))),
            },
            None => {
                let end = this.end.take().unwrap_or_else(unknown);
                this.over(end);
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        // What comes may be cut short: only an end that is there already is promised.
        if self.is_end_stream() { SizeHint::with_exact(0) } else { SizeHint::default() }
    }
}
