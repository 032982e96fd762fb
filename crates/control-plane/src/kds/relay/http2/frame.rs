//! Cuts what comes into frames (RFC 9113, 4.1), and keeps no more than one that has not come whole.

use super::{Code, Fatal};

/// Length, type, flags and stream before each frame, in bytes.
pub(super) const HEADER: usize = 9;
/// The largest payload that is read or written: what every peer takes.
pub(super) const LARGEST: usize = 16_384;
/// What a client says first (RFC 9113, 3.4).
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Types of frames (RFC 9113, 6).
pub(super) mod kind {
    pub(in super::super) const DATA: u8 = 0x0;
    pub(in super::super) const HEADERS: u8 = 0x1;
    pub(in super::super) const PRIORITY: u8 = 0x2;
    pub(in super::super) const RST_STREAM: u8 = 0x3;
    pub(in super::super) const SETTINGS: u8 = 0x4;
    pub(in super::super) const PUSH_PROMISE: u8 = 0x5;
    pub(in super::super) const PING: u8 = 0x6;
    pub(in super::super) const GOAWAY: u8 = 0x7;
    pub(in super::super) const WINDOW_UPDATE: u8 = 0x8;
    pub(in super::super) const CONTINUATION: u8 = 0x9;
}

/// Flags of frames.
pub(super) mod flag {
    pub(in super::super) const END_STREAM: u8 = 0x1;
    pub(in super::super) const ACK: u8 = 0x1;
    pub(in super::super) const END_HEADERS: u8 = 0x4;
    pub(in super::super) const PADDED: u8 = 0x8;
    pub(in super::super) const PRIORITY: u8 = 0x20;
}

/// A whole frame.
#[derive(Clone, Copy, Debug)]
pub(in crate::kds::relay) struct Frame<'f> {
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
    pub(super) payload: &'f [u8],
}

impl<'f> Frame<'f> {
    pub(super) fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// The payload of a frame that may be padded (RFC 9113, 6.1), without its padding.
    pub(super) fn unpadded(&self) -> Result<&'f [u8], Fatal> {
        if !self.has(flag::PADDED) {
            return Ok(self.payload);
        }
        let too_much = Fatal::protocol("a frame is all padding");
        let (&padding, rest) = self.payload.split_first().ok_or(too_much)?;
        let length = rest.len().checked_sub(usize::from(padding)).ok_or(too_much)?;
        Ok(rest.get(..length).unwrap_or_default())
    }

    /// A payload of exactly so many bytes.
    pub(super) fn exactly<const LENGTH: usize>(&self) -> Result<[u8; LENGTH], Fatal> {
        let wrong = Fatal::new(Code::FRAME_SIZE_ERROR, "a frame has another length than its type has");
        self.payload.try_into().map_err(|_another_length| wrong)
    }
}

/// Cuts the bytes of one connection.
pub(in crate::kds::relay) struct Cut {
    /// What a client has to say yet before its first frame.
    preface: &'static [u8],
    /// A frame that has not come whole, or was given out last.
    partial: Vec<u8>,
    given_out: bool,
}

impl Cut {
    /// What comes from a client.
    pub(in crate::kds::relay) fn from_client() -> Self {
        Self { preface: PREFACE, ..Self::from_server() }
    }

    /// What comes from a server.
    pub(in crate::kds::relay) fn from_server() -> Self {
        Self { preface: &[], partial: Vec::new(), given_out: false }
    }

    /// The next frame; takes what it reads off the input, and all of it when there is no whole frame.
    pub(in crate::kds::relay) fn next<'f, 'i: 'f>(
        &'f mut self,
        input: &mut &'i [u8],
    ) -> Result<Option<Frame<'f>>, Fatal> {
        if self.given_out {
            self.given_out = false;
            self.partial = Vec::new();
        }
        self.greet(input)?;
        if self.partial.is_empty()
            && let Some(length) = length(input)?
            && let Some((whole, rest)) = input.split_at_checked(HEADER + length)
        {
            *input = rest;
            return Ok(Some(frame(whole)));
        }
        self.fill(HEADER, input);
        let Some(length) = length(&self.partial)? else { return Ok(None) };
        self.fill(HEADER + length, input);
        if self.partial.len() < HEADER + length {
            return Ok(None);
        }
        self.given_out = true;
        Ok(Some(frame(&self.partial)))
    }

    fn greet(&mut self, input: &mut &[u8]) -> Result<(), Fatal> {
        let (said, rest) = input.split_at(input.len().min(self.preface.len()));
        let wrong = Fatal::protocol("the peer does not begin with HTTP/2");
        self.preface = self.preface.strip_prefix(said).ok_or(wrong)?;
        *input = rest;
        Ok(())
    }

    /// Takes bytes until there are so many of the frame.
    fn fill(&mut self, wanted: usize, input: &mut &[u8]) {
        let missing = wanted.saturating_sub(self.partial.len());
        let (taken, rest) = input.split_at(missing.min(input.len()));
        if !taken.is_empty() {
            self.partial.reserve_exact(missing);
            self.partial.extend_from_slice(taken);
        }
        *input = rest;
    }
}

/// How long the payload is, as the header says, if that is there.
fn length(bytes: &[u8]) -> Result<Option<usize>, Fatal> {
    let (Some(&[a, b, c]), true) = (bytes.first_chunk(), bytes.len() >= HEADER) else { return Ok(None) };
    let length = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
    if length > LARGEST {
        return Err(Fatal::new(Code::FRAME_SIZE_ERROR, "a frame is larger than was allowed"));
    }
    Ok(Some(length))
}

fn frame(whole: &[u8]) -> Frame<'_> {
    match whole {
        [_, _, _, kind, flags, a, b, c, d, payload @ ..] => {
            let stream = u32::from_be_bytes([*a, *b, *c, *d]) & LARGEST_STREAM;
            Frame { kind: *kind, flags: *flags, stream, payload }
        }
        // Whoever cuts has looked.
        _ => Frame { kind: u8::MAX, flags: 0, stream: 0, payload: &[] },
    }
}

/// Streams are counted with 31 bits.
pub(super) const LARGEST_STREAM: u32 = u32::MAX >> 1;
