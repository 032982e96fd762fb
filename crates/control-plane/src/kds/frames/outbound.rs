//! What a stream sends: messages in their order, and an end that overtakes them.
//!
//! A stream that has to end does not wait for a peer that does not read, and what is queued is not delivered any more. It
//! never ends with OK, not even when its task is gone: a zone takes that for an end for good (contract: kds 1.6).
//!
//! The queue is the HTTP/2 body itself: a message that was encoded once for all zones goes out as the same bytes, and a
//! quiet stream holds no buffer.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use bytes::{BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Response, header};
use http_body::Frame;
use prometheus_client::metrics::counter::Counter;
use tonic::{Code, Status, body::Body};

/// Responses that may wait for a slow peer. One unacknowledged response a kind bounds what is put in here.
pub(crate) const FRAMES: usize = 160;
/// Messages up to this size are copied together: a zone that connects gets some forty of a hundred bytes at once.
const SMALL: usize = 2 * 1024;
/// Copied messages go out when they are so many bytes: as many as one HTTP/2 frame takes.
const TOGETHER: usize = 16 * 1024;
/// Flag and length in front of each message.
const HEADER: usize = 5;

/// The handler's end of a stream. Dropping it ends the stream too.
pub(crate) struct Frames {
    shared: Arc<Mutex<Shared>>,
    /// Counts the messages.
    sent: Counter,
}

/// A channel of its own kind: those of the runtime hold a kilobyte for messages to come, which most streams never send.
#[derive(Default)]
struct Shared {
    messages: VecDeque<Bytes>,
    /// What it ends with, until that goes out.
    end: Option<Box<HeaderMap>>,
    /// It was ended: the first who does so says why.
    ended: bool,
    /// The peer is gone.
    gone: bool,
    /// Who waits for a message or the end.
    waiting: Option<Waker>,
}

/// The peer cannot take more now, or is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotSent {
    /// Its queue is full: it does not read.
    Full,
    Gone,
}

/// A place for one message. There is one handler, so it stays free.
pub(crate) struct Room<'a>(&'a mut Frames);

impl Room<'_> {
    pub(crate) fn send(self, message: Bytes) {
        let mut shared = lock(&self.0.shared);
        shared.messages.push_back(message);
        wake(shared);
        self.0.sent.inc();
    }
}

impl Frames {
    /// Returns both ends.
    pub(crate) fn new(sent: Counter) -> (Self, Outbound) {
        let shared = Arc::<Mutex<Shared>>::default();
        let outbound = Outbound { shared: Arc::clone(&shared), large: None, over: false, ended: None };
        (Self { shared, sent }, outbound)
    }

    /// Returns a place for one message.
    pub(crate) fn reserve(&mut self) -> Result<Room<'_>, NotSent> {
        let shared = lock(&self.shared);
        if shared.gone {
            return Err(NotSent::Gone);
        }
        if shared.messages.len() >= FRAMES {
            return Err(NotSent::Full);
        }
        drop(shared);
        Ok(Room(self))
    }

    /// Sends one message, if there is room for it.
    pub(crate) fn send(&mut self, message: Bytes) -> Result<(), NotSent> {
        self.reserve().map(|place| place.send(message))
    }

    /// Ends the stream with this status, or as one whose peer is gone; returns the code that it ended with.
    pub(crate) fn end_with(self, status: Option<Status>) -> Code {
        let Some(status) = status else { return Code::Cancelled };
        let code = status.code();
        self.end(&status);
        code
    }

    /// Ends the stream with this status, if nobody has ended it before. What is still queued is not sent any more.
    pub(crate) fn end(self, status: &Status) {
        lock(&self.shared).end(|| trailers(status));
    }

    /// Returns what ends the stream from elsewhere.
    pub(crate) fn ender(&self) -> Ender {
        Ender(Arc::clone(&self.shared))
    }
}

/// Ends a stream at once, while its handler may be busy or has not heard of it yet.
pub(crate) struct Ender(Arc<Mutex<Shared>>);

impl Ender {
    /// Ends the stream with these trailers of a status, if nobody has ended it before.
    pub(crate) fn end(&self, trailers: HeaderMap) {
        let mut shared = lock(&self.0);
        shared.end(|| trailers);
        wake(shared);
    }
}

impl Shared {
    fn end(&mut self, trailers: impl FnOnce() -> HeaderMap) {
        if !self.ended {
            self.ended = true;
            self.end = Some(Box::new(trailers()));
        }
    }
}

/// What tells a status at the end of a stream.
pub(crate) fn trailers(status: &Status) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    if let Err(untold) = status.add_header(&mut trailers) {
        // A text that no header can hold; the code is what matters.
        trailers.clear();
        trailers.insert(Status::GRPC_STATUS, HeaderValue::from(untold.code() as i32));
    }
    trailers
}

impl Drop for Frames {
    fn drop(&mut self) {
        let mut shared = lock(&self.shared);
        shared.end(|| trailers(&Status::unavailable("stream unavailable")));
        // A peer that does not read must not make an ended stream hold what nobody will send.
        shared.messages = VecDeque::new();
        wake(shared);
    }
}

/// The peer's end of a stream: the body of the answer to its call.
pub(crate) struct Outbound {
    shared: Arc<Mutex<Shared>>,
    /// A message whose header went out.
    large: Option<Bytes>,
    /// Nothing comes after the end.
    over: bool,
    /// Is called when the end goes out.
    ended: Option<Box<dyn FnOnce() + Send>>,
}

impl Outbound {
    /// Has this called when the end goes out, which it does not to a peer that is gone.
    pub(crate) fn on_end(mut self, ended: impl FnOnce() + Send + 'static) -> Self {
        self.ended = Some(Box::new(ended));
        self
    }

    /// Returns the answer to the call.
    pub(crate) fn into_response(self) -> Response<Body> {
        let mut response = Response::new(Body::new(self));
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        response
    }
}

impl Drop for Outbound {
    fn drop(&mut self) {
        let mut shared = lock(&self.shared);
        shared.gone = true;
        shared.messages = VecDeque::new();
    }
}

impl http_body::Body for Outbound {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        // Also before an end: a peer that has a header waits for its message.
        if let Some(message) = self.large.take() {
            return Poll::Ready(Some(Ok(Frame::data(message))));
        }
        if self.over {
            return Poll::Ready(None);
        }
        let mut shared = lock(&self.shared);
        if let Some(trailers) = shared.end.take() {
            drop(shared);
            self.over = true;
            if let Some(ended) = self.ended.take() {
                ended();
            }
            return Poll::Ready(Some(Ok(Frame::trailers(*trailers))));
        }
        if shared.messages.is_empty() {
            shared.waiting = Some(context.waker().clone());
            return Poll::Pending;
        }
        let (data, large) = together(&mut shared.messages);
        drop(shared);
        self.large = large;
        Poll::Ready(Some(Ok(Frame::data(data))))
    }
}

/// Takes what goes out at once: small messages with their headers, and a large one whose header is the last of these.
fn together(messages: &mut VecDeque<Bytes>) -> (Bytes, Option<Bytes>) {
    let mut data = BytesMut::new();
    while data.len() < TOGETHER
        && let Some(message) = messages.pop_front()
    {
        let small = message.len() <= SMALL;
        data.reserve(HEADER + if small { message.len() } else { 0 });
        data.put_u8(0);
        // A response is cut to the size of a message long before it gets here.
        data.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
        if !small {
            return (data.freeze(), Some(message));
        }
        data.put_slice(&message);
    }
    if messages.is_empty() {
        // What a burst needed is not kept.
        *messages = VecDeque::new();
    }
    (data.freeze(), None)
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

fn wake(mut shared: MutexGuard<'_, Shared>) {
    let waiting = shared.waiting.take();
    drop(shared);
    if let Some(waker) = waiting {
        waker.wake();
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    async fn data(outbound: &mut Outbound) -> Bytes {
        outbound.frame().await.unwrap().unwrap().into_data().unwrap()
    }

    async fn status(outbound: &mut Outbound) -> Code {
        let trailers = outbound.frame().await.unwrap().unwrap().into_trailers().unwrap();
        Status::from_header_map(&trailers).unwrap().code()
    }

    #[tokio::test]
    async fn an_end_overtakes_what_is_queued() {
        let (mut frames, mut outbound) = Frames::new(Counter::default());
        frames.send(Bytes::from_static(b"late")).unwrap();
        frames.end(&Status::unauthenticated("revoked"));
        assert_eq!(status(&mut outbound).await, Code::Unauthenticated);
        assert!(outbound.frame().await.is_none());
    }

    #[test]
    fn an_ended_stream_holds_nothing_for_a_peer_that_does_not_read() {
        for ended in [true, false] {
            let (mut frames, outbound) = Frames::new(Counter::default());
            let message = Bytes::from(vec![7; 70_000]);
            frames.send(message.clone()).unwrap();
            assert!(!message.is_unique());
            if ended {
                frames.end(&Status::unauthenticated("revoked"));
            } else {
                drop(frames);
            }
            assert!(message.is_unique());
            drop(outbound);
        }
    }

    #[tokio::test]
    async fn who_ends_first_says_why_and_who_waits_hears_it() {
        let (frames, mut outbound) = Frames::new(Counter::default());
        let ender = frames.ender();
        let (code, ()) =
            tokio::join!(status(&mut outbound), async { ender.end(trailers(&Status::unauthenticated("revoked"))) });
        assert_eq!(code, Code::Unauthenticated);
        frames.end(&Status::unavailable("late"));
        ender.end(trailers(&Status::unavailable("later")));
        assert!(outbound.frame().await.is_none());
    }

    #[tokio::test]
    async fn an_end_does_not_cut_a_message_in_half() {
        let (mut frames, mut outbound) = Frames::new(Counter::default());
        frames.send(Bytes::from_static(b"x")).unwrap();
        frames.send(Bytes::from(vec![7; 70_000])).unwrap();
        assert_eq!(data(&mut outbound).await.as_ref(), [0, 0, 0, 0, 1, b'x', 0, 0, 1, 0x11, 0x70]);
        frames.end(&Status::unauthenticated("revoked"));
        assert_eq!(data(&mut outbound).await.as_ref(), [7; 70_000]);
        assert_eq!(status(&mut outbound).await, Code::Unauthenticated);
    }

    #[tokio::test]
    async fn a_stream_whose_task_is_gone_does_not_end_with_ok() {
        let (frames, mut outbound) = Frames::new(Counter::default());
        drop(frames);
        assert_eq!(status(&mut outbound).await, Code::Unavailable);
    }

    #[tokio::test]
    async fn a_peer_that_does_not_read_is_noticed() {
        let (mut frames, outbound) = Frames::new(Counter::default());
        for _ in 0..FRAMES {
            frames.send(Bytes::new()).unwrap();
        }
        assert_eq!(frames.send(Bytes::new()), Err(NotSent::Full));
        drop(outbound);
        assert_eq!(frames.send(Bytes::new()), Err(NotSent::Gone));
    }

    #[tokio::test]
    async fn who_waits_hears_of_a_message_and_of_the_end() {
        let (mut frames, mut outbound) = Frames::new(Counter::default());
        let (heard, ()) = tokio::join!(data(&mut outbound), async { frames.send(Bytes::new()).unwrap() });
        assert_eq!(heard.len(), HEADER);
        let (code, ()) = tokio::join!(status(&mut outbound), async { frames.end(&Status::aborted("replaced")) });
        assert_eq!(code, Code::Aborted);
    }

    #[tokio::test]
    async fn who_wants_to_know_is_told_when_the_end_goes_out_and_not_before() {
        let (frames, outbound) = Frames::new(Counter::default());
        let told = Arc::new(Mutex::new(false));
        let telling = Arc::clone(&told);
        let mut outbound = outbound.on_end(move || *telling.lock().unwrap() = true);
        frames.end(&Status::unauthenticated("revoked"));
        assert!(!*told.lock().unwrap());
        status(&mut outbound).await;
        assert!(*told.lock().unwrap());
        let (frames, outbound) = Frames::new(Counter::default());
        drop(outbound.on_end(|| panic!("the peer is gone")));
        frames.end(&Status::unauthenticated("revoked"));
    }

    #[tokio::test]
    async fn small_messages_go_out_together_and_a_large_one_is_not_copied() {
        let (mut frames, mut outbound) = Frames::new(Counter::default());
        for message in [&b"a"[..], b"", b"bc"] {
            frames.send(Bytes::copy_from_slice(message)).unwrap();
        }
        assert_eq!(data(&mut outbound).await.as_ref(), b"\0\0\0\0\x01a\0\0\0\0\0\0\0\0\0\x02bc");
        let large = Bytes::from(vec![7; SMALL + 1]);
        frames.send(large.clone()).unwrap();
        data(&mut outbound).await;
        assert_eq!(data(&mut outbound).await.as_ptr(), large.as_ptr());
    }
}
