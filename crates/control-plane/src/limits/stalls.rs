//! A connection whose peer takes nothing of what is sent to it ends with an error, at a price of some bytes while it does.

use std::{
    future::Future as _,
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Sleep,
};

/// A stream under which so many bytes have to get through in each time limit, while there are any to send.
pub(crate) struct Stalls<S> {
    inner: S,
    limit: Duration,
    least: usize,
    /// Only while the peer does not take what is there.
    waiting: Option<Box<Waiting>>,
}

struct Waiting {
    until: Pin<Box<Sleep>>,
    written: usize,
}

impl<S> Stalls<S> {
    /// Watches a stream: while it has something to send, `least` bytes go out in each `limit`.
    pub(crate) fn new(inner: S, limit: Duration, least: usize) -> Self {
        Self { inner, limit, least, waiting: None }
    }

    /// Judges the outcome of a write.
    fn judge(&mut self, context: &mut Context<'_>, outcome: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match outcome {
            Poll::Pending => self.waits(context),
            Poll::Ready(Ok(written)) => {
                if let Some(waiting) = &mut self.waiting {
                    waiting.written = waiting.written.saturating_add(written);
                }
                Poll::Ready(Ok(written))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
        }
    }

    /// The peer has to take something first; an error when it is too late for that.
    fn waits<T>(&mut self, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        let limit = self.limit;
        let new = || Waiting { until: Box::pin(tokio::time::sleep(limit)), written: 0 };
        let waiting = self.waiting.get_or_insert_with(|| Box::new(new()));
        while waiting.until.as_mut().poll(context).is_ready() {
            if waiting.written < self.least {
                let text = "the peer does not take what is sent to it";
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, text)));
            }
            **waiting = new();
        }
        Poll::Pending
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Stalls<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Stalls<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.inner).poll_write(context, bytes);
        self.judge(context, outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.inner).poll_write_vectored(context, bytes);
        self.judge(context, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.inner).poll_flush(context) {
            // All that there was is out.
            Poll::Ready(flushed) => {
                self.waiting = None;
                Poll::Ready(flushed)
            }
            Poll::Pending => self.waits(context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _, duplex},
        time::Instant,
    };

    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_reads_nothing_is_given_up() {
        let (ours, _theirs) = duplex(64);
        let mut ours = Stalls::new(ours, LIMIT, 1);
        let start = Instant::now();
        let error = ours.write_all(&[7; 100]).await.unwrap_err();
        assert_eq!((error.kind(), start.elapsed()), (io::ErrorKind::TimedOut, LIMIT));
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_reads_slowly_is_served_and_one_that_drips_is_not() {
        let check = async |bytes_a_second: usize, is_served: bool| {
            let (ours, mut theirs) = duplex(64);
            let mut ours = Stalls::new(ours, LIMIT, 100);
            let reading = async {
                loop {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    let mut taken = vec![0; bytes_a_second];
                    theirs.read_exact(&mut taken).await.unwrap();
                }
            };
            tokio::select! {
                written = ours.write_all(&[7; 4000]) => assert_eq!(written.is_ok(), is_served, "{bytes_a_second}"),
                () = reading => {}
            }
        };
        check(10, true).await;
        check(1, false).await;
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_written_long_ago_is_no_stall() {
        let (ours, mut theirs) = duplex(64);
        let mut ours = Stalls::new(ours, LIMIT, 64);
        let mut first = [0; 100];
        let (written, read) = tokio::join!(ours.write_all(&[7; 100]), theirs.read_exact(&mut first));
        written.unwrap();
        read.unwrap();
        ours.flush().await.unwrap();
        tokio::time::advance(LIMIT * 3).await;
        let mut second = [0; 100];
        let (written, read) = tokio::join!(ours.write_all(&[7; 100]), theirs.read_exact(&mut second));
        written.unwrap();
        read.unwrap();
    }
}
