//! What becomes of a frame that came.

use super::{
    Code, Fatal,
    connection::{Block, Connection, Event, HEADER_LIST},
    fields::{Bad, Fields},
    frame::{Frame, LARGEST_STREAM, flag, kind},
    hpack::Wrong,
    stream::Stream,
};

/// So many frames may make up a header block.
const CONTINUATIONS: u32 = 64;
/// So many streams that were reset, or were malformed, are forgiven between two times of [`Connection::forgive`]; settings
/// that change all windows count by how many there are.
const FAULTS: u32 = 20_000;

impl Connection {
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
        read.map_err(|wrong| match wrong {
            Wrong::TooMuch => Fatal::new(Code::ENHANCE_YOUR_CALM, "too much is said in headers"),
            Wrong::Cut | Wrong::Number | Wrong::Index | Wrong::Huffman | Wrong::TableSize => {
                Fatal::new(Code::COMPRESSION_ERROR, "a header block cannot be read")
            }
        })?;
        let Some(stream) = self.streams.get_mut(&id) else {
            return match (self.is_server, id > self.highest) {
                (true, true) => self.request_came(id, end, fields),
                (false, true) => Err(Fatal::protocol("a response is to no request")),
                // It was told that this stream is not looked at.
                (true, false) if id > self.last_taken => Ok(Event::Nothing),
                // It was reset, and the peer may not have heard of it.
                (true, false) => self.fail(id, Code::STREAM_CLOSED),
                (false, false) => Ok(Event::Nothing),
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
            self.settle(id);
            return Ok(Event::Trailers { stream: id, trailers });
        }
        match fields.into_response(HEADER_LIST) {
            // An answer before the answer: gRPC has none, and needs none.
            Ok(head) if head.status.is_informational() && !end => Ok(Event::Nothing),
            Ok(head) if !head.status.is_informational() => {
                (stream.heard_head, stream.heard_end) = (true, end);
                self.settle(id);
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
        self.last_taken = id;
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

    fn reset_came<'f>(&mut self, frame: Frame<'f>) -> Result<Event<'f>, Fatal> {
        let (code, id) = (Code(u32::from_be_bytes(frame.exactly()?)), frame.stream);
        self.check_known(id)?;
        // A server that has said all wants no more of the request (RFC 9113, 8.1).
        if !self.is_server && self.streams.get(&id).is_some_and(|stream| stream.heard_end) {
            self.hush(id);
            return Ok(Event::Nothing);
        }
        if !self.remove(id) {
            return Ok(Event::Nothing);
        }
        // What is over costs nothing to reset, and a server resets what it was asked for: nobody is to lose a connection for that.
        if self.is_server {
            self.fault()?;
        }
        Ok(Event::Reset { stream: id, code })
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
            // Every stream is gone through: who has many may not ask for that all the time.
            self.faults(1 + u32::try_from(self.streams.len() / 64).unwrap_or(u32::MAX))?;
            let ids: Vec<u32> = self.streams.keys().copied().collect();
            for id in ids {
                if !self.widen(id, difference) {
                    return Err(Fatal::new(Code::FLOW_CONTROL_ERROR, "the window of a stream is too large"));
                }
            }
        }
        self.output.answer(kind::SETTINGS, &[]);
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
            self.output.answer(kind::PING, &said);
        }
        Ok(Event::Nothing)
    }

    fn goaway_came<'f>(&mut self, frame: Frame<'f>) -> Result<Event<'f>, Fatal> {
        let cut = Fatal::new(Code::FRAME_SIZE_ERROR, "a farewell is cut");
        let (last, rest) = frame.payload.split_first_chunk().ok_or(cut)?;
        let (code, _text) = rest.split_first_chunk().ok_or(cut)?;
        if frame.stream != 0 {
            return Err(Fatal::protocol("a farewell is of a stream"));
        }
        self.peer_leaves = true;
        let code = Code(u32::from_be_bytes(*code));
        Ok(Event::Leaves { last: u32::from_be_bytes(*last) & LARGEST_STREAM, code })
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
        self.faults(1)
    }

    fn faults(&mut self, count: u32) -> Result<(), Fatal> {
        self.faults = self.faults.saturating_add(count);
        if self.faults <= FAULTS {
            return Ok(());
        }
        Err(Fatal::new(Code::ENHANCE_YOUR_CALM, "too many streams were reset, or windows changed"))
    }
}
