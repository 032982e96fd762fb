//! The order to end a call that is passed on, with the status that the near side hears.

use std::{
    future::Future as _,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
};

use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::{Code, Status};

/// Ends the calls that were given a clone of it. The first status counts.
#[derive(Clone, Default)]
pub(crate) struct Ending(Arc<Inner>);

#[derive(Default)]
struct Inner {
    status: OnceLock<Status>,
    given: CancellationToken,
}

impl Ending {
    /// Ends the calls with this status; OK is none that a zone comes back after.
    pub(crate) fn end(&self, status: Status) {
        let status = if status.code() == Code::Ok { Status::unavailable("the stream was ended") } else { status };
        let _only_the_first = self.0.status.set(status);
        self.0.given.cancel();
    }

    /// Resolves with the status when the order was given. Cancel safe.
    pub(crate) async fn given(&self) -> Status {
        self.waits().given().await
    }

    /// Waits for the order.
    pub(super) fn waits(&self) -> Waits {
        Waits { ending: self.clone(), given: Box::pin(self.0.given.clone().cancelled_owned()) }
    }

    fn status(&self) -> Status {
        self.0.status.get().cloned().unwrap_or_else(|| Status::unavailable("the stream was ended"))
    }
}

/// One who waits for the order to end.
pub(super) struct Waits {
    ending: Ending,
    given: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl Waits {
    /// Returns the status once the order was given. Must not be polled after that.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Status> {
        self.given.as_mut().poll(context).map(|()| self.ending.status())
    }

    /// Resolves when the order is given. Cancel safe; must not be asked again after that.
    pub(super) async fn given(&mut self) -> Status {
        std::future::poll_fn(|context| self.poll(context)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_status_counts_and_ok_is_none() {
        let ending = Ending::default();
        let mut waits = ending.waits();
        ending.end(Status::ok(""));
        ending.end(Status::aborted("later"));
        assert_eq!(waits.given().await.code(), Code::Unavailable);
        assert_eq!(ending.waits().given().await.code(), Code::Unavailable);
    }
}
