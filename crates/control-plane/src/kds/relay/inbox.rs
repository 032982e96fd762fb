//! What a near side says on a stream before it is known who takes it, or to this program itself. No more than a window of it.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Body, Frame};
use tonic::Status;

/// The body of a request. Its clones are the same.
#[derive(Clone, Default)]
pub(crate) struct Inbox(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    data: BytesMut,
    trailers: Option<HeaderMap>,
    is_ended: bool,
    reset: Option<Status>,
    waker: Option<Waker>,
}

/// What had come.
pub(super) struct Came {
    pub(super) data: Bytes,
    pub(super) trailers: Option<HeaderMap>,
    pub(super) is_ended: bool,
}

impl Inbox {
    pub(super) fn push(&self, data: &[u8], is_ended: bool) {
        self.change(|state| {
            state.data.extend_from_slice(data);
            state.is_ended |= is_ended;
        });
    }

    pub(super) fn end(&self, trailers: Option<HeaderMap>) {
        self.change(|state| (state.trailers, state.is_ended) = (trailers, true));
    }

    /// Nothing more will come, for this reason.
    pub(super) fn reset(&self, why: Status) {
        self.change(|state| state.reset = Some(why));
    }

    /// What came and was not read.
    pub(super) fn take(&self) -> Came {
        let mut state = self.lock();
        let data = std::mem::take(&mut state.data).freeze();
        Came { data, trailers: state.trailers.take(), is_ended: state.is_ended }
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.lock();
        change(&mut state);
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Body for Inbox {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let mut state = self.lock();
        if !state.data.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut state.data).freeze()))));
        }
        if let Some(why) = &state.reset {
            return Poll::Ready(Some(Err(why.clone())));
        }
        if let Some(trailers) = state.trailers.take() {
            return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
        }
        if state.is_ended {
            return Poll::Ready(None);
        }
        state.waker = Some(context.waker().clone());
        Poll::Pending
    }
}
