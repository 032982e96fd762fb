//! What one end knows of a connection.

use std::collections::{HashMap, VecDeque};

use http::{HeaderMap, request, response};

use super::{
    Code,
    frame::{PREFACE, kind},
    hpack::{Decoder, Encoder},
    output::Output,
    settings::{self, DEFAULT_WINDOW, Peer},
    stream::Stream,
};

/// All fields of a header block, in bytes as HTTP/2 counts them; and a block as it comes.
pub(super) const HEADER_LIST: usize = 64 * 1024;
/// The table of a peer that has not heard yet that it may use none (RFC 9113, 6.5.2).
const HEADER_TABLE: usize = 4096;
/// Places for streams are given back when there are more than these, and four times as many as are in use.
pub(super) const FEW: usize = 64;

/// What a peer may do at most.
#[derive(Clone, Copy, Debug)]
pub(in crate::kds::relay) struct Limits {
    /// How many streams it may have open.
    pub(in crate::kds::relay) streams: u32,
    /// How much of a stream may wait here to be passed on, in bytes.
    pub(in crate::kds::relay) stream_window: u32,
    /// How much of all streams together; at least what HTTP/2 begins with.
    pub(in crate::kds::relay) connection_window: u32,
}

/// One end of a connection.
pub(in crate::kds::relay) struct Connection {
    pub(super) is_server: bool,
    pub(super) limits: Limits,
    pub(super) decoder: Decoder,
    pub(super) encoder: Encoder,
    /// A header block that has not come whole.
    pub(super) block: Option<Box<Block>>,
    pub(super) output: Output,
    /// How much data the peer takes on all streams together.
    pub(super) send: i64,
    /// How much it may send.
    pub(super) receive: u32,
    pub(super) owed: u32,
    pub(super) peer: Peer,
    pub(super) streams: HashMap<u32, Stream>,
    /// The last stream that was opened.
    pub(super) highest: u32,
    /// The last stream of the peer that was looked at.
    pub(super) last_taken: u32,
    /// Streams with something to say for which there is room in the window of each.
    pub(super) row: VecDeque<u32>,
    /// Streams that are over and were not told of.
    over: Vec<u32>,
    pub(super) heard_settings: bool,
    /// The peer goes and takes no more streams.
    pub(super) peer_leaves: bool,
    /// This end goes and takes no more streams.
    pub(super) leaves: bool,
    pub(super) faults: u32,
    /// The peer answered a ping.
    pub(super) ponged: bool,
}

/// A header block as it comes.
pub(super) struct Block {
    pub(super) stream: u32,
    pub(super) end: bool,
    pub(super) bytes: Vec<u8>,
    pub(super) parts: u32,
}

/// What a frame means to whoever passes it on.
#[derive(Debug)]
pub(in crate::kds::relay) enum Event<'f> {
    /// Nothing: it was of this connection alone, or of a stream that is over.
    Nothing,
    /// A client opens a stream.
    Request { stream: u32, head: request::Parts, end: bool },
    /// A server begins to answer.
    Response { stream: u32, head: response::Parts, end: bool },
    /// Data; may be empty.
    Data { stream: u32, data: &'f [u8], end: bool },
    /// The end of what is said on a stream.
    Trailers { stream: u32, trailers: HeaderMap },
    /// A stream is over: the peer reset it, or what it said was malformed and it was reset here.
    Reset { stream: u32, code: Code },
    /// The peer goes. Streams after `last` were not looked at.
    Leaves { last: u32, code: Code },
}

impl Connection {
    /// The end of a server.
    pub(in crate::kds::relay) fn server(limits: Limits) -> Self {
        Self::new(true, limits)
    }

    /// The end of a client.
    pub(in crate::kds::relay) fn client(limits: Limits) -> Self {
        Self::new(false, limits)
    }

    fn new(is_server: bool, limits: Limits) -> Self {
        let mut output = Output::default();
        if !is_server {
            output.raw(PREFACE);
        }
        let ours = settings::ours(is_server, limits.stream_window, limits.streams, HEADER_LIST);
        output.frame(kind::SETTINGS, 0, 0, &ours);
        let larger = limits.connection_window.saturating_sub(DEFAULT_WINDOW);
        if larger > 0 {
            output.window_update(0, larger);
        }
        Self {
            is_server,
            limits,
            decoder: Decoder::new(HEADER_TABLE),
            encoder: Encoder::new(),
            block: None,
            output,
            send: i64::from(DEFAULT_WINDOW),
            receive: DEFAULT_WINDOW.saturating_add(larger),
            owed: 0,
            peer: Peer::default(),
            streams: HashMap::new(),
            highest: 0,
            last_taken: 0,
            row: VecDeque::new(),
            over: Vec::new(),
            heard_settings: false,
            peer_leaves: false,
            leaves: false,
            faults: 0,
            ponged: false,
        }
    }

    /// What is on its way out.
    pub(in crate::kds::relay) fn output(&mut self) -> &mut Output {
        &mut self.output
    }

    /// Whether a stream is not over.
    pub(in crate::kds::relay) fn has(&self, stream: u32) -> bool {
        self.streams.contains_key(&stream)
    }

    /// Whether no stream is open.
    pub(in crate::kds::relay) fn is_idle(&self) -> bool {
        self.streams.is_empty()
    }

    /// The streams that are over since it was asked last.
    pub(in crate::kds::relay) fn take_over(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.over)
    }

    /// Whether the peer answered a ping since it was asked last.
    pub(in crate::kds::relay) fn take_pong(&mut self) -> bool {
        std::mem::take(&mut self.ponged)
    }

    /// Forgets faults, and how much was said in headers. To be called from time to time.
    pub(in crate::kds::relay) fn forgive(&mut self) {
        self.faults = 0;
        self.decoder.forgive();
    }

    pub(super) fn insert(&mut self, id: u32, stream: Stream) {
        let windows = Stream { send: self.peer.window.into(), receive: self.limits.stream_window, ..stream };
        self.streams.insert(id, windows);
    }

    /// Forgets a stream; whether it was there.
    pub(super) fn remove(&mut self, id: u32) -> bool {
        let Some(stream) = self.streams.remove(&id) else { return false };
        self.owe(stream.held);
        self.over.push(id);
        if self.streams.capacity() > FEW && self.streams.len() * 4 < self.streams.capacity() {
            self.streams.shrink_to(FEW.max(self.streams.len() * 2));
        }
        true
    }

    /// So much of what came on a stream has gone on: the peer may say as much again.
    pub(in crate::kds::relay) fn forwarded(&mut self, id: u32, count: usize) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        let count = u32::try_from(count).unwrap_or(u32::MAX).min(stream.held);
        stream.held -= count;
        stream.owed += count;
        if !stream.heard_end && stream.owed >= self.limits.stream_window / 2 {
            self.output.window_update(id, stream.owed);
            stream.receive += std::mem::take(&mut stream.owed);
        }
        self.owe(count);
        self.settle(id);
    }

    /// So much of what the connection may have under way has gone on.
    pub(super) fn owe(&mut self, count: u32) {
        self.owed += count;
        if self.owed >= self.limits.connection_window / 2 {
            self.output.window_update(0, self.owed);
            self.receive += std::mem::take(&mut self.owed);
        }
    }
}
