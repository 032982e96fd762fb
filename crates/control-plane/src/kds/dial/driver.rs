//! What moves the bytes of a connection, and takes all that belongs to it along when it goes.
#![expect(clippy::disallowed_types, reason = "the tasks of a connection end with it, and Tasks owns the connection")]

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use futures::{FutureExt as _, future::select};
use hyper::{client::conn::http2, rt::Executor};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::body::Body;

use crate::kds::frames::ByteStream;

/// What came together with the end of a connection may take so long to be heard.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// The half of a connection that must be polled. When it is dropped the connection goes, whatever the other side takes.
pub(crate) struct Driver {
    connection: http2::Connection<TokioIo<Box<dyn ByteStream>>, Body, Beside>,
    _gone: DropGuard,
}

/// Runs what HTTP/2 runs beside the driver, for little longer than that is there. A request that the other side does not take
/// waits for it, and would keep the connection for ever.
#[derive(Clone, Default)]
pub(super) struct Beside(CancellationToken);

impl<F> Executor<F> for Beside
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, beside: F) {
        let gone = self.0.clone();
        let late = async move {
            gone.cancelled_owned().await;
            Box::pin(tokio::time::sleep(LAST_WORDS)).await;
        };
        TokioExecutor::new().execute(select(Box::pin(beside), Box::pin(late)).map(drop));
    }
}

impl Driver {
    pub(super) fn new(
        connection: http2::Connection<TokioIo<Box<dyn ByteStream>>, Body, Beside>,
        beside: Beside,
    ) -> Self {
        Self { connection, _gone: beside.0.drop_guard() }
    }
}

impl Future for Driver {
    type Output = hyper::Result<()>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.connection).poll(context)
    }
}
