//! What one end knows of a connection, and what becomes of a frame that came.

use std::collections::{HashMap, VecDeque};

use http::{HeaderMap, request, response};

use super::{
    Code, Fatal,
    fields::{Bad, Fields},
    frame::{Frame, LARGEST_STREAM, PREFACE, flag, kind},
    hpack::{Decoder, Encoder},
    output::Output,
    settings::{self, DEFAULT_WINDOW, Peer},
    stream::Stream,
};

/// All fields of a header block, in bytes as HTTP/2 counts them; and a block as it comes.
const HEADER_LIST: usize = 64 * 1024;
/// So many frames may make up a header block.
const CONTINUATIONS: u32 = 64;
/// The table of a peer that has not heard yet that it may use none (RFC 9113, 6.5.2).
const HEADER_TABLE: usize = 4096;
/// So many streams that were reset, or were malformed, are forgiven between two times of [`Connection::forgive`].
const FAULTS: u32 = 20_000;
/// Places for streams are given back when there are more than these, and four times as many as are in use.
const FEW: usize = 64;

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
    decoder: Decoder,
    pub(super) encoder: Encoder,
    /// A header block that has not come whole.
    block: Option<Box<Block>>,
    pub(super) output: Output,
    /// How much data the peer takes on all streams together.
    pub(super) send: i64,
    /// How much it may send.
    receive: u32,
    owed: u32,
    pub(super) peer: Peer,
    pub(super) streams: HashMap<u32, Stream>,
    /// The last stream that was opened.
    pub(super) highest: u32,
    /// Streams with something to say for which there is room in the window of each.
    pub(super) row: VecDeque<u32>,
    /// Streams that are over and were not told of.
    over: Vec<u32>,
    heard_settings: bool,
    /// The peer goes and takes no more streams.
    pub(super) peer_leaves: bool,
    /// This end goes and takes no more streams.
    pub(super) leaves: bool,
    faults: u32,
    /// The peer answered a ping.
    ponged: bool,
}

struct Block {
    stream: u32,
    end: bool,
    bytes: Vec<u8>,
    parts: u32,
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
    Leaves { last: u32 },
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

    /// Forgets faults. To be called from time to time.
    pub(in crate::kds::relay) fn forgive(&mut self) {
        self.faults = 0;
    }

    /// Takes a frame of the peer. After an error nothing more may be heard.
    pub(in crate::kds::relay) fn hear<'f>(&mut self, frame: Frame<'f>) -> Result<Event<'f>, Fatal> {
        if let Some(block) = &self.block
            && (frame.kind != kind::CONTINUATION || frame.stream != block.stream)
        {
            return Err(Fatal::protocol("a header block is cut by another frame"));
        }
        if !self.heard_settings && (frame.kind != kind::SETTINGS || frame.has(flag::ACK)) {
            return Err(Fatal::protocol("the peer does not begin with its settings"));
        }
        match frame.kind {
            kind::DATA => self.data_came(frame),
            kind::HEADERS => self.headers_came(frame),
            kind::CONTINUATION => self.continuation_came(frame),
            kind::PRIORITY if frame.stream == 0 => Err(Fatal::protocol("a priority is of no stream")),
            kind::PRIORITY => frame.exactly::<5>().map(|_ignored| Event::Nothing),
            kind::RST_STREAM => self.reset_came(frame),
            kind::SETTINGS => self.settings_came(frame),
            kind::PUSH_PROMISE => Err(Fatal::protocol("the peer pushes")),
            kind::PING => self.ping_came(frame),
            kind::GOAWAY => self.goaway_came(frame),
            kind::WINDOW_UPDATE => self.window_came(frame),
            _ => Ok(Event::Nothing),
        }
    }

    fn data_came<'f>(&mut self, frame: Frame<'f>) -> Result<Event<'f>, Fatal> {
        let (id, end) = (frame.stream, frame.has(flag::END_STREAM));
        let data = frame.unpadded()?;
        // Padding counts.
        let size = u32::try_from(frame.payload.len()).unwrap_or(u32::MAX);
        let too_much = Fatal::new(Code::FLOW_CONTROL_ERROR, "the peer sends more than it may");
        self.check_known(id)?;
        self.receive = self.receive.checked_sub(size).ok_or(too_much)?;
        let Some(stream) = self.streams.get_mut(&id) else {
            self.owe(size);
            return Ok(Event::Nothing);
        };
        let code = match stream.receive.checked_sub(size) {
            _ if stream.is_reset => {
                self.owe(size);
                return Ok(Event::Nothing);
            }
            _ if stream.heard_end => Code::STREAM_CLOSED,
            _ if !stream.heard_head => Code::PROTOCOL_ERROR,
            None => Code::FLOW_CONTROL_ERROR,
            Some(left) => {
                stream.receive = left;
                stream.held += size;
                stream.heard_end = end;
                self.forwarded(id, frame.payload.len() - data.len());
                return Ok(Event::Data { stream: id, data, end });
            }
        };
        self.owe(size);
        self.fail(id, code)
    }

    fn headers_came<'f>(&mut self, frame: Frame<'f>) -> Result<Event<'f>, Fatal> {
        let (stream, end) = (frame.stream, frame.has(flag::END_STREAM));
        if stream % 2 == 0 {
            return Err(Fatal::protocol("a header block is of no stream of a client"));
        }
        let mut block = frame.unpadded()?;
        if frame.has(flag::PRIORITY) {
            block = block.get(5..).ok_or(Fatal::protocol("a priority is cut"))?;
        }
        if frame.has(flag::END_HEADERS) {
            return self.block_came(stream, end, block);
        }
        self.block = Some(Box::new(Block { stream, end, bytes: block.to_vec(), parts: 0 }));
        Ok(Event::Nothing)
    }

    fn continuation_came<'f>(&mut self, frame: Frame<'f>) -> Result<Event<'f>, Fatal> {
        let Some(mut block) = self.block.take() else {
            return Err(Fatal::protocol("a header block goes on that did not begin"));
        };
        block.parts += 1;
        if block.parts > CONTINUATIONS || block.bytes.len() + frame.payload.len() > HEADER_LIST {
            return Err(Fatal::new(Code::ENHANCE_YOUR_CALM, "a header block is too large"));
        }
        block.bytes.extend_from_slice(frame.payload);
        if frame.has(flag::END_HEADERS) {
            return self.block_came(block.stream, block.end, &block.bytes);
        }
        self.block = Some(block);
        Ok(Event::Nothing)
    }

    /// A whole header block. It is read in any case: the blocks after it hang on it.
    fn block_came<'f>(&mut self, id: u32, end: bool, block: &[u8]) -> Result<Event<'f>, Fatal> {
        let mut fields = Fields::default();
        let read = self.decoder.decode(block, |name, value, never| fields.add(name, value, never, HEADER_LIST));
        read.map_err(|_wrong| Fatal::new(Code::COMPRESSION_ERROR, "a header block cannot be read"))?;
        let Some(stream) = self.streams.get_mut(&id) else {
            return match (self.is_server, id > self.highest) {
                (true, true) => self.request_came(id, end, fields),
                (false, true) => Err(Fatal::protocol("a response is to no request")),
                // It was reset, and the peer had not heard of it.
                (_, false) => Ok(Event::Nothing),
            };
        };
        if stream.is_reset {
            return Ok(Event::Nothing);
        }
        if stream.heard_end {
            return self.fail(id, Code::STREAM_CLOSED);
        }
        if stream.heard_head {
            let Ok(trailers) = fields.into_trailers(HEADER_LIST) else { return self.fail(id, Code::PROTOCOL_ERROR) };
            if !end {
                return self.fail(id, Code::PROTOCOL_ERROR);
            }
            stream.heard_end = true;
            return Ok(Event::Trailers { stream: id, trailers });
        }
        match fields.into_response(HEADER_LIST) {
            // An answer before the answer: gRPC has none, and needs none.
            Ok(head) if head.status.is_informational() && !end => Ok(Event::Nothing),
            Ok(head) if !head.status.is_informational() => {
                (stream.heard_head, stream.heard_end) = (true, end);
                Ok(Event::Response { stream: id, head, end })
            }
            Ok(_) | Err(_) => self.fail(id, Code::PROTOCOL_ERROR),
        }
    }

    fn request_came<'f>(&mut self, id: u32, end: bool, fields: Fields) -> Result<Event<'f>, Fatal> {
        self.highest = id;
        if self.leaves {
            // It was told that this stream is not looked at.
            return Ok(Event::Nothing);
        }
        if self.streams.len() >= self.limits.streams as usize {
            return self.fail(id, Code::REFUSED_STREAM);
        }
        match fields.into_request(HEADER_LIST) {
            Ok(head) => {
                self.insert(id, Stream { heard_head: true, heard_end: end, ..Stream::default() });
                Ok(Event::Request { stream: id, head, end })
            }
            Err(Bad::TooLarge) => self.fail(id, Code::ENHANCE_YOUR_CALM),
            Err(Bad::Malformed(_why)) => self.fail(id, Code::PROTOCOL_ERROR),
        }
    }

    pub(super) fn insert(&mut self, id: u32, stream: Stream) {
        let windows = Stream { send: self.peer.window.into(), receive: self.limits.stream_window, ..stream };
        self.streams.insert(id, windows);
    }

    fn reset_came<'f>(&mut self, frame: Frame<'f>) -> Result<Event<'f>, Fatal> {
        let (code, id) = (Code(u32::from_be_bytes(frame.exactly()?)), frame.stream);
        self.check_known(id)?;
        self.fault()?;
        // A server that has said all wants no more of the request (RFC 9113, 8.1).
        if !self.is_server && self.streams.get(&id).is_some_and(|stream| stream.heard_end) {
            self.hush(id);
            return Ok(Event::Nothing);
        }
        Ok(if self.remove(id) { Event::Reset { stream: id, code } } else { Event::Nothing })
    }

    fn settings_came<'f>(&mut self, frame: Frame<'f>) -> Result<Event<'f>, Fatal> {
        if frame.stream != 0 {
            return Err(Fatal::protocol("settings are of a stream"));
        }
        if frame.has(flag::ACK) {
            return frame.exactly::<0>().map(|_empty| Event::Nothing);
        }
        self.heard_settings = true;
        let before = i64::from(self.peer.window);
        self.peer.hear(frame.payload)?;
        let difference = i64::from(self.peer.window) - before;
        if difference != 0 {
            let ids: Vec<u32> = self.streams.keys().copied().collect();
            for id in ids {
                if !self.widen(id, difference) {
                    return Err(Fatal::new(Code::FLOW_CONTROL_ERROR, "the window of a stream is too large"));
                }
            }
        }
        self.output.frame(kind::SETTINGS, flag::ACK, 0, &[]);
        Ok(Event::Nothing)
    }

    fn ping_came<'f>(&mut self, frame: Frame<'f>) -> Result<Event<'f>, Fatal> {
        let said: [u8; 8] = frame.exactly()?;
        if frame.stream != 0 {
            return Err(Fatal::protocol("a ping is of a stream"));
        }
        if frame.has(flag::ACK) {
            self.ponged = true;
        } else {
            self.output.frame(kind::PING, flag::ACK, 0, &said);
        }
        Ok(Event::Nothing)
    }

    fn goaway_came<'f>(&mut self, frame: Frame<'f>) -> Result<Event<'f>, Fatal> {
        let cut = Fatal::new(Code::FRAME_SIZE_ERROR, "a farewell is cut");
        let (last, _rest) = frame.payload.split_first_chunk().ok_or(cut)?;
        if frame.payload.len() < 8 {
            return Err(cut);
        }
        if frame.stream != 0 {
            return Err(Fatal::protocol("a farewell is of a stream"));
        }
        self.peer_leaves = true;
        Ok(Event::Leaves { last: u32::from_be_bytes(*last) & LARGEST_STREAM })
    }

    fn window_came<'f>(&mut self, frame: Frame<'f>) -> Result<Event<'f>, Fatal> {
        let increment = u32::from_be_bytes(frame.exactly()?) & LARGEST_STREAM;
        if frame.stream == 0 {
            self.send += i64::from(increment);
            return match increment {
                0 => Err(Fatal::protocol("a window is widened by nothing")),
                _ if self.send > i64::from(LARGEST_STREAM) => {
                    Err(Fatal::new(Code::FLOW_CONTROL_ERROR, "the window of the connection is too large"))
                }
                _ => Ok(Event::Nothing),
            };
        }
        self.check_known(frame.stream)?;
        if !self.has(frame.stream) {
            return Ok(Event::Nothing);
        }
        if increment == 0 {
            return self.fail(frame.stream, Code::PROTOCOL_ERROR);
        }
        if self.widen(frame.stream, increment.into()) {
            Ok(Event::Nothing)
        } else {
            self.fail(frame.stream, Code::FLOW_CONTROL_ERROR)
        }
    }

    /// A frame can only be of a stream that was opened.
    fn check_known(&self, stream: u32) -> Result<(), Fatal> {
        let is_known = stream % 2 == 1 && stream <= self.highest;
        if is_known { Ok(()) } else { Err(Fatal::protocol("a frame is of a stream that was not opened")) }
    }

    /// Ends a stream for a fault of the peer.
    fn fail<'f>(&mut self, id: u32, code: Code) -> Result<Event<'f>, Fatal> {
        self.fault()?;
        self.output.reset(id, code);
        Ok(if self.remove(id) { Event::Reset { stream: id, code } } else { Event::Nothing })
    }

    fn fault(&mut self) -> Result<(), Fatal> {
        self.faults += 1;
        if self.faults <= FAULTS {
            return Ok(());
        }
        Err(Fatal::new(Code::ENHANCE_YOUR_CALM, "too many streams were reset"))
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
    fn owe(&mut self, count: u32) {
        self.owed += count;
        if self.owed >= self.limits.connection_window / 2 {
            self.output.window_update(0, self.owed);
            self.receive += std::mem::take(&mut self.owed);
        }
    }
}
