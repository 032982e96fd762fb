//! One HTTP/1.1 connection, with a time limit for each of its phases.
//!
//! ```text
//! head ──► busy ──► idle ──► head …
//! ```
//!
//! The head of a request has a limit from the moment its connection is there, or its first byte came; an idle connection
//! has one too. While a request is answered, the handler looks at the time that its body takes, and [`Stalls`] at the
//! answer. A connection that is too late is closed without a word, as the usual control planes do it.

use std::{
    convert::Infallible,
    future::Future,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep},
};
use tracing::debug;

use super::{Place, Proof, Stalls};
use crate::tasks::Tasks;

/// So much of an answer has to go out in each `write`: 2 KiB a second with the usual one.
const LEAST_WRITTEN: usize = 64 * 1024;
/// A quiet client of a program that stops has this long to take the rest of its answer.
const FAREWELL: Duration = Duration::from_secs(5);

/// How long a client may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeouts {
    /// For the head of a request.
    pub(crate) head: Duration,
    /// For taking more of an answer.
    pub(crate) write: Duration,
    /// Between two requests.
    pub(crate) idle: Duration,
}

/// What the connection waits for, and since when.
struct Phase {
    what: What,
    since: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Head,
    Busy,
    Idle,
}

#[derive(Clone)]
struct Phases(Arc<Mutex<Phase>>);

impl Phases {
    fn new() -> Self {
        Self(Arc::new(Mutex::new(Phase { what: What::Head, since: Instant::now() })))
    }

    fn enter(&self, what: What) {
        *self.lock() = Phase { what, since: Instant::now() };
    }

    /// A byte came.
    fn heard(&self) {
        let mut phase = self.lock();
        if phase.what == What::Idle {
            *phase = Phase { what: What::Head, since: Instant::now() };
        }
    }

    fn deadline(&self, timeouts: Timeouts) -> Option<Instant> {
        let phase = self.lock();
        match phase.what {
            What::Head => Some(phase.since + timeouts.head),
            What::Idle => Some(phase.since + timeouts.idle),
            What::Busy => None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Phase> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Serves a connection until it ends. `stream` may be secured; what is under TLS belongs to `secured`.
pub(crate) async fn serve<S, F, B>(
    stream: S,
    peer: SocketAddr,
    place: Place,
    timeouts: Timeouts,
    tasks: Tasks,
    answer: impl Fn(Request<Incoming>) -> F,
) where
    S: AsyncRead + AsyncWrite + Send + Unpin,
    F: Future<Output = Response<B>>,
    B: Body<Data = Bytes> + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let phases = Phases::new();
    let io = Heard { inner: Stalls::new(stream, timeouts.write, LEAST_WRITTEN), phases: phases.clone() };
    let service = hyper::service::service_fn(|mut request: Request<Incoming>| {
        phases.enter(What::Busy);
        place.touch();
        let answered = Answered { phases: phases.clone(), place: place.clone() };
        let proof = Proof::new(place.clone());
        request.extensions_mut().insert(proof.clone());
        let answer = answer(request);
        async move {
            let answer = answer.await;
            proof.answered();
            Ok::<_, Infallible>(answer.map(|body| Tracked { body: Box::pin(body), _answered: answered }))
        }
    });
    // Its own limit for heads counts idle time as one.
    let serving = hyper::server::conn::http1::Builder::new()
        .header_read_timeout(None)
        // Answers are written from where they are: what waits for a slow reader is what the API counts.
        .writev(true)
        .serve_connection(TokioIo::new(io), service);
    tokio::pin!(serving);
    // Biased: what came while this program was short of time is read before anybody is called late.
    let ended = tokio::select! {
        biased;
        ended = serving.as_mut() => ended,
        () = late(&phases, timeouts) => {
            debug!(peer = %peer, "the client took too long, connection closed");
            return;
        }
        () = place.follow_proof() => return,
        told = place.told() => {
            debug!(peer = %peer, why = told.as_str(), "connection closed");
            return;
        }
        () = tasks.stopping() => {
            serving.as_mut().graceful_shutdown();
            match tokio::time::timeout(FAREWELL, serving).await {
                Ok(ended) => ended,
                Err(_) => return,
            }
        }
    };
    if let Err(error) = ended {
        debug!(peer = %peer, error = %error, "connection lost");
    }
}

/// Resolves when the client is too late. Looks at the phase each time the connection did something.
async fn late(phases: &Phases, timeouts: Timeouts) {
    let mut timer: Option<Pin<Box<Sleep>>> = None;
    std::future::poll_fn(|context| {
        loop {
            let Some(deadline) = phases.deadline(timeouts) else { return Poll::Pending };
            let timer = timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
            if timer.deadline() != deadline {
                timer.as_mut().reset(deadline);
            }
            std::task::ready!(timer.as_mut().poll(context));
            if phases.deadline(timeouts) == Some(deadline) {
                return Poll::Ready(());
            }
        }
    })
    .await;
}

/// Notes when a byte comes.
struct Heard<S> {
    inner: S,
    phases: Phases,
}

impl<S: AsyncRead + Unpin> AsyncRead for Heard<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let outcome = Pin::new(&mut self.inner).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.phases.heard();
        }
        outcome
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Heard<S> {
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

/// Dropped when the answer is out, or its request was given up.
struct Answered {
    phases: Phases,
    place: Place,
}

impl Drop for Answered {
    fn drop(&mut self) {
        self.phases.enter(What::Idle);
        self.place.rest();
    }
}

/// A body whose end is noted.
struct Tracked<B> {
    body: Pin<Box<B>>,
    _answered: Answered,
}

impl<B: Body> Body for Tracked<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        self.body.as_mut().poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests;
