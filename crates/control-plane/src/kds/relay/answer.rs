//! How a call is answered: by this program, or by the far side that it is passed on to.

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{HeaderMap, Request, response};
use http_body_util::{BodyExt as _, Limited};
use tonic::{Status, body::Body};

use super::{
    Far, Inspect,
    call::LARGEST_OWN,
    inbox::Inbox,
    orders::{Ender, Number, Orders},
};

/// Is told once how a call ended.
pub(super) type Told = Box<dyn FnOnce(Status) + Send>;

/// A call that arrived.
pub(crate) struct Arriving {
    pub(crate) request: Request<Inbox>,
    /// Ends it, whoever answers.
    pub(crate) ender: Ender,
    /// Where far connections of its connection are adopted.
    pub(crate) orders: Orders,
}

/// Says who answers the calls of one connection.
pub(crate) trait Answers: Unpin {
    fn answer(&self, arriving: Arriving) -> BoxFuture<'static, Answer>;
}

/// Who answers a call.
pub(crate) enum Answer {
    /// This program.
    Here(Box<Whole>),
    /// The far side.
    Pass(Box<Passing>),
}

/// A call on its way to the far side.
pub(crate) struct Passing {
    pub(super) far: Number,
    pub(super) head: http::request::Parts,
    pub(super) inspect: Option<Inspect>,
    pub(super) told: Told,
    pub(super) beside: Option<BoxFuture<'static, ()>>,
}

/// A whole answer.
pub(crate) struct Whole {
    pub(super) head: response::Parts,
    pub(super) data: Bytes,
    pub(super) trailers: Option<HeaderMap>,
}

impl Answer {
    /// Answers with what is there whole, or soon will be; a long answer is none that is given here.
    pub(crate) async fn here(response: http::Response<Body>) -> Self {
        let (head, body) = response.into_parts();
        let whole = match Limited::new(body, LARGEST_OWN).collect().await {
            Ok(body) => {
                let trailers = body.trailers().cloned();
                Whole { head, data: body.to_bytes(), trailers }
            }
            Err(broken) => Whole::of(Status::internal(broken.to_string())),
        };
        Self::Here(Box::new(whole))
    }

    /// Answers with a status and nothing else.
    pub(crate) fn status(status: Status) -> Self {
        Self::Here(Box::new(Whole::of(status)))
    }

    /// Passes a call on, with its head as the far side hears it. What it says is looked at, if `inspect` is there; `told` is
    /// called with the status that it ended with, also where it ended before it was passed on.
    pub(crate) fn pass(
        far: &Far,
        head: http::request::Parts,
        inspect: Option<Inspect>,
        told: impl FnOnce(Status) + Send + 'static,
    ) -> Self {
        Self::Pass(Box::new(Passing { far: far.number(), head, inspect, told: Box::new(told), beside: None }))
    }

    /// Runs what follows a call that is passed on, in the task of its connection. It has to be over soon when the call is.
    pub(crate) fn with(mut self, beside: BoxFuture<'static, ()>) -> Self {
        if let Self::Pass(passing) = &mut self {
            passing.beside = Some(beside);
        }
        self
    }
}

impl Whole {
    fn of(status: Status) -> Self {
        let (head, ()) = status.into_http::<()>().into_parts();
        Self { head, data: Bytes::new(), trailers: None }
    }
}
