//! One end of a connection with the bytes beneath it, and the signs of life of the peer.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use thiserror::Error;
use tokio::{
    io::{AsyncRead as _, AsyncWrite as _, ReadBuf},
    time::Instant,
};

use super::http2::{Connection, Cut, Limits};
use crate::kds::frames::ByteStream;

/// So much is read at a time: what came with it is answered before more is read.
pub(super) const SIP: usize = 16 * 1024;
/// What ended streams have to say may wait so long for a peer that takes nothing.
const PATIENCE: Duration = Duration::from_secs(2);

/// How often a peer is asked for a sign of life, and how long it may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Keepalive {
    pub(super) interval: Duration,
    pub(super) timeout: Duration,
}

/// One end.
pub(super) struct End {
    io: Box<dyn ByteStream>,
    pub(super) cut: Cut,
    pub(super) connection: Connection,
    keepalive: Keepalive,
    /// When the peer was asked last, or when it came.
    asked: Instant,
    /// It has not answered yet.
    is_asked: bool,
    /// By when the peer has to take so many of the bytes that are on their way.
    until: Option<(Instant, usize)>,
    unflushed: bool,
}

/// Why a peer is not waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(super) enum Late {
    #[error("it gives no sign of life")]
    Silent,
    #[error("it does not take what calls said that are over")]
    TakesNothing,
}

impl End {
    pub(super) fn of_client(io: Box<dyn ByteStream>, limits: Limits, keepalive: Keepalive) -> Self {
        Self::new(io, Cut::from_client(), Connection::server(limits), keepalive)
    }

    pub(super) fn of_server(io: Box<dyn ByteStream>, limits: Limits, keepalive: Keepalive) -> Self {
        Self::new(io, Cut::from_server(), Connection::client(limits), keepalive)
    }

    fn new(io: Box<dyn ByteStream>, cut: Cut, connection: Connection, keepalive: Keepalive) -> Self {
        let asked = Instant::now();
        Self { io, cut, connection, keepalive, asked, is_asked: false, until: None, unflushed: false }
    }

    /// Reads into the buffer; nothing at the end.
    pub(super) fn poll_read(&mut self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(context, buffer)
    }

    /// Writes what is on its way; whether any of it went.
    pub(super) fn write(&mut self, context: &mut Context<'_>) -> io::Result<bool> {
        let mut moved = false;
        while !self.connection.output().is_empty() {
            let Poll::Ready(written) = Pin::new(&mut self.io).poll_write(context, self.connection.output().waiting())
            else {
                return Ok(moved);
            };
            match written? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                count => {
                    self.connection.output().advance(count);
                    let until = self.until.map(|(until, left)| (until, left.saturating_sub(count)));
                    self.until = until.filter(|(_, left)| *left > 0);
                }
            }
            (moved, self.unflushed) = (true, true);
        }
        if self.unflushed && Pin::new(&mut self.io).poll_flush(context)?.is_ready() {
            (self.unflushed, self.until) = (false, None);
        }
        Ok(moved)
    }

    /// Whether all is written.
    pub(super) fn is_written(&mut self) -> bool {
        self.connection.output().is_empty() && !self.unflushed
    }

    /// Says that nothing more is written.
    pub(super) fn poll_shutdown(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }

    /// What is on its way now has to be taken soon.
    pub(super) fn hurry(&mut self) {
        if self.until.is_none() {
            self.until = Some((Instant::now() + PATIENCE, self.connection.output().waiting().len()));
        }
    }

    /// When it has to be looked at again.
    pub(super) fn next(&self) -> Instant {
        let life = self.asked + if self.is_asked { self.keepalive.timeout } else { self.keepalive.interval };
        self.until.map_or(life, |(until, _)| until.min(life))
    }

    /// Looks at it now: asks for a sign of life, or says why it is not waited for.
    pub(super) fn look(&mut self, now: Instant) -> Option<Late> {
        if self.until.is_some_and(|(until, _)| until <= now) {
            self.until = None;
            return Some(Late::TakesNothing);
        }
        // A byte now and then is no answer.
        self.is_asked &= !self.connection.take_pong();
        if self.is_asked && self.asked + self.keepalive.timeout <= now {
            return Some(Late::Silent);
        }
        if !self.is_asked && self.asked + self.keepalive.interval <= now {
            self.connection.ping();
            self.connection.forgive();
            (self.asked, self.is_asked) = (now, true);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, DuplexStream, duplex};

    use super::*;

    const KEEPALIVE: Keepalive = Keepalive { interval: Duration::from_secs(20), timeout: Duration::from_secs(15) };
    const LIMITS: Limits = Limits { streams: 1, stream_window: 65_535, connection_window: 65_535 };

    /// An end whose first words do not fit into what is between it and its peer.
    fn end() -> (End, DuplexStream) {
        let (ours, theirs) = duplex(16);
        (End::of_server(Box::new(ours), LIMITS, KEEPALIVE), theirs)
    }

    async fn write(end: &mut End) {
        std::future::poll_fn(|context| Poll::Ready(end.write(context))).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_does_not_take_what_has_to_be_taken_is_late() {
        let (mut end, _peer) = end();
        write(&mut end).await;
        end.hurry();
        assert_eq!(end.next(), Instant::now() + PATIENCE);
        tokio::time::advance(PATIENCE).await;
        assert_eq!(end.look(Instant::now()), Some(Late::TakesNothing));
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_it_in_time_is_not_late_whatever_comes_after_it() {
        let (mut end, mut peer) = end();
        write(&mut end).await;
        let before = end.connection.output().waiting().len();
        end.hurry();
        end.connection.ping();
        let mut taken = 0;
        while taken < before {
            taken += peer.read(&mut [0; 16]).await.unwrap();
            write(&mut end).await;
        }
        assert!(!end.is_written(), "the ping waits");
        tokio::time::advance(PATIENCE).await;
        assert_eq!(end.look(Instant::now()), None);
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_answer_is_asked_once_and_is_late() {
        let (mut end, _peer) = end();
        tokio::time::advance(KEEPALIVE.interval).await;
        assert_eq!(end.look(Instant::now()), None);
        assert_eq!(end.next(), Instant::now() + KEEPALIVE.timeout);
        tokio::time::advance(KEEPALIVE.timeout).await;
        assert_eq!(end.look(Instant::now()), Some(Late::Silent));
    }
}
