//! Calls of our own on a far connection: a request and its answer, both short and whole.

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, response};
use http_body::Frame;
use http_body_util::{BodyExt as _, Limited, StreamBody};
use tokio::sync::oneshot;
use tonic::{Status, body::Body};

use super::orders::{Number, Order, Orders, OwnCall, Reply};

/// What this program says or hears itself is short.
pub(super) const LARGEST_OWN: usize = 64 * 1024;

/// Makes calls on one far connection. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Calls {
    far: Number,
    orders: Orders,
}

/// An answer as it comes.
pub(super) struct Coming {
    pub(super) number: Number,
    reply: Reply,
    head: Option<response::Parts>,
    data: BytesMut,
}

/// Takes a call back when nobody waits for it.
struct Waits {
    far: Number,
    call: Number,
    orders: Orders,
    is_over: bool,
}

impl Calls {
    pub(super) fn new(far: Number, orders: Orders) -> Self {
        Self { far, orders }
    }

    /// Makes a call: of the URI of a request the path counts.
    pub(crate) async fn call<B>(&self, request: http::Request<B>) -> Result<http::Response<Body>, Status>
    where
        B: http_body::Body<Data = Bytes> + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (head, body) = request.into_parts();
        let body = Limited::new(body, LARGEST_OWN).collect().await;
        let body = body.map_err(|broken| Status::internal(broken.to_string()))?.to_bytes();
        let (reply, answer) = oneshot::channel();
        let (far, number, orders) = (self.far, self.orders.number(), self.orders.clone());
        orders.give(Order::Call(Box::new(OwnCall { far, number, head, body, reply })));
        let mut waits = Waits { far, call: number, orders, is_over: false };
        let answer = answer.await;
        waits.is_over = true;
        answer.map_err(|_gone| lost())
    }
}

/// What is said of a call whose connection is gone.
pub(super) fn lost() -> Status {
    Status::unavailable("the connection to the global control plane was lost")
}

impl Drop for Waits {
    fn drop(&mut self) {
        if !self.is_over {
            self.orders.give(Order::Abandon { far: self.far, call: self.call });
        }
    }
}

impl Coming {
    pub(super) fn new(number: Number, reply: Reply) -> Self {
        Self { number, reply, head: None, data: BytesMut::new() }
    }

    pub(super) fn begin(&mut self, head: response::Parts) {
        self.head = Some(head);
    }

    /// Takes data; whether that is not too much.
    pub(super) fn push(&mut self, data: &[u8]) -> bool {
        self.data.extend_from_slice(data);
        self.data.len() <= LARGEST_OWN
    }

    /// The answer is whole.
    pub(super) fn end(self, trailers: Option<HeaderMap>) {
        let Self { reply, head: Some(head), data, .. } = self else { return };
        let data = Some(data.freeze()).filter(|data| !data.is_empty()).map(Frame::data);
        let frames = data.into_iter().chain(trailers.map(Frame::trailers)).map(Ok::<_, Status>);
        let body = Body::new(StreamBody::new(futures::stream::iter(frames)));
        let _nobody_waits = reply.send(http::Response::from_parts(head, body));
    }
}
