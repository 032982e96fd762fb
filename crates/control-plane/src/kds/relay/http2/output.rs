//! Frames on their way out, until they are written.

use super::{
    Code,
    frame::{LARGEST, flag, kind},
};

/// So much waits to be written before data waits where it came from.
const ENOUGH: usize = 32 * 1024;
/// From here on nothing is read that would add to it. What strangers may have kept, thousands of them at a time, by asking
/// for answers that they do not take.
const FULL: usize = 2 * ENOUGH;

/// What is not written yet.
#[derive(Default)]
pub(in crate::kds::relay) struct Output {
    pub(super) bytes: Vec<u8>,
    written: usize,
    /// Bytes of answers that the peer asked for since nothing waited.
    answers: usize,
}

impl Output {
    /// What waits to be written.
    pub(in crate::kds::relay) fn waiting(&self) -> &[u8] {
        self.bytes.get(self.written..).unwrap_or_default()
    }

    /// So many bytes of it are written.
    pub(in crate::kds::relay) fn advance(&mut self, count: usize) {
        self.written += count;
        if self.written >= self.bytes.len() {
            *self = Self::default();
        } else if self.written >= ENOUGH {
            // A peer that is always a little behind never takes all.
            self.bytes.drain(..self.written);
            self.written = 0;
        }
    }

    pub(in crate::kds::relay) fn is_empty(&self) -> bool {
        self.waiting().is_empty()
    }

    /// Whether the peer takes so little that nothing must be added.
    pub(in crate::kds::relay) fn is_full(&self) -> bool {
        self.waiting().len() >= FULL
    }

    /// Whether the peer asks for answers without end and takes none. All else that is said to it has bounds of its own, and a
    /// peer that waits to be read itself must not be waited for because of that.
    pub(in crate::kds::relay) fn is_flooded(&self) -> bool {
        self.answers >= FULL
    }

    /// How much data may be added now: a whole frame, or nothing. Peers take many small frames for an attack.
    pub(super) fn room(&self) -> usize {
        if self.waiting().len() < ENOUGH { LARGEST } else { 0 }
    }

    pub(super) fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    pub(super) fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        // No payload of ours is longer than what 24 bits count.
        let [_, a, b, c] = u32::try_from(payload.len()).unwrap_or_default().to_be_bytes();
        let [d, e, f, g] = stream.to_be_bytes();
        self.bytes.extend_from_slice(&[a, b, c, kind, flags, d, e, f, g]);
        self.bytes.extend_from_slice(payload);
    }

    /// What a peer asked for.
    pub(super) fn answer(&mut self, kind: u8, payload: &[u8]) {
        let before = self.bytes.len();
        self.frame(kind, flag::ACK, 0, payload);
        self.answers += self.bytes.len() - before;
    }

    /// A header block, in as many frames as it takes.
    pub(super) fn block(&mut self, stream: u32, mut block: &[u8], end: bool) {
        let (mut kind, mut flags) = (kind::HEADERS, if end { flag::END_STREAM } else { 0 });
        loop {
            let (part, rest) = block.split_at(block.len().min(LARGEST));
            let last = if rest.is_empty() { flag::END_HEADERS } else { 0 };
            self.frame(kind, flags | last, stream, part);
            if rest.is_empty() {
                return;
            }
            (kind, flags, block) = (kind::CONTINUATION, 0, rest);
        }
    }

    pub(super) fn reset(&mut self, stream: u32, code: Code) {
        self.frame(kind::RST_STREAM, 0, stream, &code.0.to_be_bytes());
    }

    pub(super) fn window_update(&mut self, stream: u32, increment: u32) {
        self.frame(kind::WINDOW_UPDATE, 0, stream, &increment.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_that_is_always_a_little_behind_makes_nothing_grow() {
        let mut output = Output::default();
        output.raw(&[1]);
        for byte in 0..100_u8 {
            output.raw(&[byte; ENOUGH]);
            output.advance(ENOUGH);
            assert_eq!(output.waiting(), [byte]);
        }
        assert!(output.bytes.capacity() < 8 * ENOUGH, "{}", output.bytes.capacity());
    }

    #[test]
    fn a_flood_is_of_answers_that_are_not_taken() {
        let mut output = Output::default();
        output.raw(&[0; FULL]);
        assert!(output.is_full() && !output.is_flooded());
        while !output.is_flooded() {
            assert!(output.waiting().len() < 2 * FULL);
            output.answer(kind::PING, &[0; 8]);
        }
        output.advance(output.waiting().len() - 1);
        assert!(output.is_flooded());
        output.advance(1);
        assert!(!output.is_flooded());
    }
}
