//! What goes to the far side: the frames of the near side, unchanged, once whoever has to has looked at them.

use std::{
    error::Error,
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::{
    ending::{Ending, Waits},
    inspect::Inspect,
    untaken::Call,
};

/// The body of a request on its way.
pub(super) struct RequestBody<B> {
    inner: B,
    ending: Ending,
    waits: Waits,
    inspect: Option<Inspect>,
    over: bool,
    call: Arc<Call>,
}

/// The call was ended here: the far side hears a reset with CANCEL, as from a client that gave up.
#[derive(Debug)]
struct Ended(h2::Error);

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the call was ended by the relay")
    }
}

impl Error for Ended {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.0)
    }
}

fn ended() -> Box<dyn Error + Send + Sync> {
    Box::new(Ended(h2::Reason::CANCEL.into()))
}

impl<B> RequestBody<B> {
    pub(super) fn new(inner: B, ending: Ending, inspect: Option<Inspect>, call: Arc<Call>) -> Self {
        let waits = ending.waits();
        Self { inner, ending, waits, inspect, over: false, call }
    }
}

impl<B> Drop for RequestBody<B> {
    fn drop(&mut self) {
        self.call.taken();
    }
}

impl<B> Body for RequestBody<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = &mut *self;
        // It is asked for more when all is taken.
        this.call.taken();
        if this.over {
            return Poll::Ready(None);
        }
        if this.waits.poll(context).is_ready() {
            this.over = true;
            return Poll::Ready(Some(Err(ended())));
        }
        let frame = match std::task::ready!(Pin::new(&mut this.inner).poll_frame(context)) {
            Some(Ok(frame)) => frame,
            Some(Err(lost)) => {
                this.over = true;
                return Poll::Ready(Some(Err(lost.into())));
            }
            None => {
                this.over = true;
                return Poll::Ready(None);
            }
        };
        if let (Some(inspect), Some(data)) = (&mut this.inspect, frame.data_ref())
            && let Err(refusal) = inspect.look(data)
        {
            // Nothing of the frame goes on: the last byte of the message is in it, so the far side never has all of it.
            this.over = true;
            this.ending.end(refusal);
            return Poll::Ready(Some(Err(ended())));
        }
        this.call.said();
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.over || self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
