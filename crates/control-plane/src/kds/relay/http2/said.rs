//! What this end says.

use http::HeaderMap;

use super::{
    Code,
    connection::{Connection, FEW},
    frame::{LARGEST, LARGEST_STREAM, flag, kind},
    stream::{End, Queue, Stream},
};

impl Connection {
    /// Whether the peer takes one more stream now.
    pub(in crate::kds::relay) fn can_open(&self) -> bool {
        !self.takes_none() && self.streams.len() < self.peer.streams as usize
    }

    /// Whether the peer takes no more streams, now or later.
    pub(in crate::kds::relay) fn takes_none(&self) -> bool {
        self.peer_leaves || self.highest >= LARGEST_STREAM - 2
    }

    /// Opens a stream; its head is said next.
    pub(in crate::kds::relay) fn open(&mut self) -> u32 {
        self.highest += if self.highest == 0 { 1 } else { 2 };
        self.insert(self.highest, Stream::default());
        self.highest
    }

    /// Says the head of a stream.
    pub(in crate::kds::relay) fn head(&mut self, id: u32, pseudo: &[(&str, &[u8])], headers: &HeaderMap, end: bool) {
        let Some(stream) = self.streams.get_mut(&id).filter(|stream| !stream.said_end) else { return };
        stream.said_end = end;
        let mut block = Vec::with_capacity(256);
        self.encoder.begin(&mut block);
        for (name, value) in pseudo {
            self.encoder.field(name.as_bytes(), value, false, &mut block);
        }
        self.fields(headers, &mut block);
        self.output.block(id, &block, end);
        self.settle(id);
    }

    /// Says data; returns how much of it is on its way. The rest waits for windows, and is told by [`Connection::pump`]. For a
    /// stream that is over all of it has gone.
    pub(in crate::kds::relay) fn data(&mut self, id: u32, data: &[u8], end: bool) -> usize {
        let Some(stream) = self.streams.get_mut(&id).filter(|stream| !stream.said_end) else { return data.len() };
        stream.said_end = end;
        if let Some(queue) = &mut stream.queue {
            queue.data.extend_from_slice(data);
            queue.end = end.then_some(End::Data);
            return 0;
        }
        let mut left = data;
        while !left.is_empty() || end {
            let window = stream.send.min(self.send).clamp(0, LARGEST as i64) as usize;
            let (part, rest) = left.split_at(left.len().min(window).min(self.output.room()));
            if part.is_empty() && !left.is_empty() {
                break;
            }
            let last = if end && rest.is_empty() { flag::END_STREAM } else { 0 };
            self.output.frame(kind::DATA, last, id, part);
            stream.send -= part.len() as i64;
            self.send -= part.len() as i64;
            left = rest;
            if rest.is_empty() {
                break;
            }
        }
        if !left.is_empty() {
            let end = end.then_some(End::Data);
            stream.queue = Some(Box::new(Queue { data: left.into(), end }));
            self.line_up(id);
        }
        self.settle(id);
        data.len() - left.len()
    }

    /// Says trailers after all that waits, which are the end.
    pub(in crate::kds::relay) fn trailers(&mut self, id: u32, trailers: &HeaderMap) {
        if self.streams.get(&id).is_none_or(|stream| stream.said_end) {
            return;
        }
        let mut block = Vec::with_capacity(64);
        self.encoder.begin(&mut block);
        self.fields(trailers, &mut block);
        let Some(stream) = self.streams.get_mut(&id) else { return };
        stream.said_end = true;
        match &mut stream.queue {
            Some(queue) => queue.end = Some(End::Trailers(block)),
            None => self.output.block(id, &block, true),
        }
        self.settle(id);
    }

    /// Nobody listens on a stream once all is said on it: a peer that has not said all then hears this code.
    pub(in crate::kds::relay) fn finish(&mut self, id: u32, code: Code) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        stream.then = Some(code);
        self.settle(id);
    }

    /// Leaves out what waits to be said on a stream, its end with it.
    pub(in crate::kds::relay) fn leave_out(&mut self, id: u32) {
        if let Some(stream) = self.streams.get_mut(&id)
            && stream.queue.take().is_some()
        {
            stream.said_end = false;
        }
    }

    /// Resets a stream; whether the peer hears of it, who knows already when all was said. What came on it and has not gone on
    /// still counts, until that has gone or is forgotten.
    pub(in crate::kds::relay) fn reset(&mut self, id: u32, code: Code) -> bool {
        let Some(stream) = self.streams.get(&id) else { return false };
        let is_over = stream.is_reset || stream.heard_end && stream.is_said();
        if !is_over {
            self.output.reset(id, code);
        }
        self.hush(id);
        !is_over
    }

    /// Resets a stream of which nothing is wanted any more; whether the peer hears of it.
    pub(in crate::kds::relay) fn forget(&mut self, id: u32, code: Code) -> bool {
        let is_told = self.reset(id, code);
        self.remove(id);
        is_told
    }

    /// Nothing more is said or heard on a stream.
    pub(super) fn hush(&mut self, id: u32) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        (stream.heard_end, stream.said_end, stream.is_reset, stream.queue) = (true, true, true, None);
        self.settle(id);
    }

    /// As [`Connection::leave`] without an error, if that was not said before.
    pub(in crate::kds::relay) fn leave_once(&mut self) {
        if !self.leaves {
            self.leave(Code::NO_ERROR);
        }
    }

    /// Whether one of both goes.
    pub(in crate::kds::relay) fn is_leaving(&self) -> bool {
        self.leaves || self.peer_leaves
    }

    /// Goes: no more streams are taken, those that there are go on.
    pub(in crate::kds::relay) fn leave(&mut self, code: Code) {
        self.leaves = true;
        let payload = [self.last_taken.to_be_bytes(), code.0.to_be_bytes()].concat();
        self.output.frame(kind::GOAWAY, 0, 0, &payload);
    }

    /// Asks for a sign of life.
    pub(in crate::kds::relay) fn ping(&mut self) {
        self.output.frame(kind::PING, 0, 0, &[0; 8]);
    }

    /// Says of what waits as much as there is room for, in turn; `gone` hears of each stream how much.
    pub(in crate::kds::relay) fn pump(&mut self, mut gone: impl FnMut(u32, usize)) {
        while self.send > 0 && self.output.room() > 0 {
            let Some(id) = self.row.pop_front() else { return };
            let Some(stream) = self.streams.get_mut(&id) else { continue };
            stream.in_row = false;
            let Some(queue) = &mut stream.queue else { continue };
            let window = stream.send.min(self.send).clamp(0, LARGEST as i64) as usize;
            let count = queue.data.len().min(window);
            let part = queue.data.split_to(count);
            stream.send -= count as i64;
            self.send -= count as i64;
            let is_last = queue.data.is_empty();
            let last = if is_last && matches!(queue.end, Some(End::Data)) { flag::END_STREAM } else { 0 };
            if count > 0 {
                self.output.frame(kind::DATA, last, id, &part);
            }
            if is_last {
                if let Some(End::Trailers(block)) = &queue.end {
                    self.output.block(id, block, true);
                }
                stream.queue = None;
            }
            gone(id, count);
            self.line_up(id);
            self.settle(id);
        }
    }

    /// Gives a stream another window; whether it may have one so large.
    pub(super) fn widen(&mut self, id: u32, by: i64) -> bool {
        let Some(stream) = self.streams.get_mut(&id) else { return true };
        stream.send += by;
        let fits = stream.send <= i64::from(LARGEST_STREAM);
        self.line_up(id);
        fits
    }

    /// Puts a stream into the row if it has something to say and a window for it.
    fn line_up(&mut self, id: u32) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        if stream.queue.is_some() && stream.send > 0 && !stream.in_row {
            stream.in_row = true;
            self.row.push_back(id);
            if self.row.len() > FEW.max(self.streams.len() * 2) {
                // Those that are over are in the way of nobody who is told something, but of memory.
                self.row.retain(|id| self.streams.contains_key(id));
            }
        }
    }

    /// Forgets a stream that is over.
    pub(super) fn settle(&mut self, id: u32) {
        let Some(stream) = self.streams.get(&id) else { return };
        if stream.is_over() {
            self.remove(id);
        } else if let (true, Some(code)) = (stream.is_said(), stream.then) {
            self.forget(id, code);
        }
    }

    fn fields(&self, headers: &HeaderMap, block: &mut Vec<u8>) {
        for (name, value) in headers {
            self.encoder.field(name.as_str().as_bytes(), value.as_bytes(), value.is_sensitive(), block);
        }
    }
}
