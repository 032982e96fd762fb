//! One stream of a connection: what may be said on it, and what waits for that.

use bytes::BytesMut;

use super::Code;

/// A stream that is not over in both directions.
#[derive(Default)]
pub(super) struct Stream {
    /// How much data the peer takes. Below nothing after it made its windows smaller (RFC 9113, 6.9.2).
    pub(super) send: i64,
    /// How much data the peer may send.
    pub(super) receive: u32,
    /// What came and has not gone on yet, of what is flow-controlled.
    pub(super) held: u32,
    /// What has gone on and the peer was not told of yet.
    pub(super) owed: u32,
    /// The peer has said its head.
    pub(super) heard_head: bool,
    /// The peer has said all.
    pub(super) heard_end: bool,
    /// All is said to the peer, and written or on its way.
    pub(super) said_end: bool,
    /// What waits for windows.
    pub(super) queue: Option<Box<Queue>>,
    /// When all is said on it, a peer that has not said all is told that nobody listens, with this code.
    pub(super) then: Option<Code>,
    /// It was reset: nothing that comes counts any more.
    pub(super) is_reset: bool,
    /// It stands in the row of those that wait.
    pub(super) in_row: bool,
}

/// What waits to be said on a stream.
#[derive(Default)]
pub(super) struct Queue {
    pub(super) data: BytesMut,
    pub(super) end: Option<End>,
}

/// How a stream ends for the peer.
pub(super) enum End {
    /// With the last data.
    Data,
    /// With a header block.
    Trailers(Vec<u8>),
}

impl Stream {
    /// Whether all has been said on it in both directions, and all that came has gone on or nobody waits for it.
    pub(super) fn is_over(&self) -> bool {
        self.heard_end && self.is_said() && (self.held == 0 || self.then.is_some())
    }

    /// Whether all is said, and nothing of it waits.
    pub(super) fn is_said(&self) -> bool {
        self.said_end && self.queue.is_none()
    }
}
