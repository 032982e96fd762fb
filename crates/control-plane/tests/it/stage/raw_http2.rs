//! HTTP/2 as bytes: frames that a test writes by itself, right and wrong, and those that come back, which nobody judges
//! (RFC 9113). Header blocks are written as literals and never read.

use std::{collections::VecDeque, net::SocketAddr};

use testkit::program::LIMIT;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::Instant,
};

/// With what a client begins.
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Kinds of frames.
pub(crate) mod kind {
    pub(crate) const DATA: u8 = 0;
    pub(crate) const HEADERS: u8 = 1;
    pub(crate) const PRIORITY: u8 = 2;
    pub(crate) const RST_STREAM: u8 = 3;
    pub(crate) const SETTINGS: u8 = 4;
    pub(crate) const PUSH_PROMISE: u8 = 5;
    pub(crate) const PING: u8 = 6;
    pub(crate) const GOAWAY: u8 = 7;
    pub(crate) const WINDOW_UPDATE: u8 = 8;
    pub(crate) const CONTINUATION: u8 = 9;
}

/// Flags of frames.
pub(crate) mod flag {
    pub(crate) const ACK: u8 = 1;
    pub(crate) const END_STREAM: u8 = 1;
    pub(crate) const END_HEADERS: u8 = 4;
    pub(crate) const PADDED: u8 = 8;
    pub(crate) const PRIORITY: u8 = 0x20;
}

/// Settings.
pub(crate) mod setting {
    pub(crate) const HEADER_TABLE_SIZE: u16 = 1;
    pub(crate) const ENABLE_PUSH: u16 = 2;
    pub(crate) const MAX_CONCURRENT_STREAMS: u16 = 3;
    pub(crate) const INITIAL_WINDOW_SIZE: u16 = 4;
    pub(crate) const MAX_FRAME_SIZE: u16 = 5;
}

/// Reasons of resets and ends.
pub(crate) mod code {
    pub(crate) const NO_ERROR: u32 = 0;
    pub(crate) const INTERNAL_ERROR: u32 = 2;
    pub(crate) const REFUSED_STREAM: u32 = 7;
    pub(crate) const CANCEL: u32 = 8;
    pub(crate) const ENHANCE_YOUR_CALM: u32 = 11;
}

/// One frame that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    /// The reason in a frame that has one.
    pub(crate) fn code(&self) -> u32 {
        let from = if self.kind == kind::GOAWAY { 4 } else { 0 };
        u32::from_be_bytes(self.payload[from..from + 4].try_into().unwrap())
    }

    /// Whether its sender has no more to say on the stream.
    pub(crate) fn ends(&self) -> bool {
        matches!(self.kind, kind::DATA | kind::HEADERS) && self.flags & flag::END_STREAM != 0
    }

    /// What a frame of data carries, without padding.
    pub(crate) fn content(&self) -> &[u8] {
        assert_eq!(self.kind, kind::DATA);
        if self.flags & flag::PADDED == 0 {
            return &self.payload;
        }
        &self.payload[1..self.payload.len() - usize::from(self.payload[0])]
    }
}

/// A frame as it is sent.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    frame_of(u32::try_from(payload.len()).unwrap(), kind, flags, stream, payload)
}

/// A frame that says to be of this length.
pub(crate) fn frame_of(length: u32, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = length.to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

pub(crate) fn settings(all: &[(u16, u32)]) -> Vec<u8> {
    let payload: Vec<u8> =
        all.iter().flat_map(|(key, value)| [&key.to_be_bytes()[..], &value.to_be_bytes()].concat()).collect();
    frame(kind::SETTINGS, 0, 0, &payload)
}

pub(crate) fn window_update(stream: u32, by: u32) -> Vec<u8> {
    frame(kind::WINDOW_UPDATE, 0, stream, &by.to_be_bytes())
}

pub(crate) fn reset(stream: u32, code: u32) -> Vec<u8> {
    frame(kind::RST_STREAM, 0, stream, &code.to_be_bytes())
}

pub(crate) fn ping(content: [u8; 8]) -> Vec<u8> {
    frame(kind::PING, 0, 0, &content)
}

pub(crate) fn go_away(last: u32, code: u32) -> Vec<u8> {
    frame(kind::GOAWAY, 0, 0, &[last.to_be_bytes(), code.to_be_bytes()].concat())
}

/// Data that is not the last.
pub(crate) fn data(stream: u32, content: &[u8]) -> Vec<u8> {
    frame(kind::DATA, 0, stream, content)
}

/// Data after which nothing comes.
pub(crate) fn last_data(stream: u32, content: &[u8]) -> Vec<u8> {
    frame(kind::DATA, flag::END_STREAM, stream, content)
}

/// A whole header block, after which more comes.
pub(crate) fn headers(stream: u32, block: &[u8]) -> Vec<u8> {
    frame(kind::HEADERS, flag::END_HEADERS, stream, block)
}

/// A whole header block, after which nothing comes.
pub(crate) fn last_headers(stream: u32, block: &[u8]) -> Vec<u8> {
    frame(kind::HEADERS, flag::END_HEADERS | flag::END_STREAM, stream, block)
}

/// A header block of literals that nobody has to remember (RFC 7541, 6.2.2).
pub(crate) fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    fields.iter().flat_map(|(name, value)| [&[0][..], &string(name), &string(value)].concat()).collect()
}

/// A string of HPACK as it is.
pub(crate) fn string(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    if text.len() < 127 {
        bytes.push(u8::try_from(text.len()).unwrap());
    } else {
        bytes.push(127);
        let mut rest = text.len() - 127;
        while rest >= 128 {
            bytes.push(u8::try_from(rest % 128).unwrap() | 128);
            rest /= 128;
        }
        bytes.push(u8::try_from(rest).unwrap());
    }
    bytes.extend(text.as_bytes());
    bytes
}

/// A message of gRPC.
pub(crate) fn message(content: &[u8]) -> Vec<u8> {
    [&[0][..], &u32::try_from(content.len()).unwrap().to_be_bytes(), content].concat()
}

/// How the other side ended a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It said all that it has to say.
    Answered,
    Reset(u32),
    /// It ended the connection, with this reason if it named one.
    Connection(Option<u32>),
}

/// One connection. Pings of the other side are answered; nothing else happens by itself.
pub(crate) struct Raw {
    stream: TcpStream,
    read: Vec<u8>,
    /// Came while something else was waited for.
    passed_over: VecDeque<Frame>,
}

impl Raw {
    pub(crate) fn over(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        Self { stream, read: Vec::new(), passed_over: VecDeque::new() }
    }

    /// A connection on which nothing was said yet.
    pub(crate) async fn silent(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).await.unwrap())
    }

    /// A client that has said these settings, and has heard those of the server.
    pub(crate) async fn client(address: SocketAddr, said: &[(u16, u32)]) -> Self {
        let mut raw = Self::silent(address).await;
        raw.send(&[PREFACE, &settings(said)].concat()).await;
        raw.next_of(kind::SETTINGS, 0).await;
        raw.send(&frame(kind::SETTINGS, flag::ACK, 0, &[])).await;
        raw.acknowledged().await;
        raw
    }

    /// A server that takes the connection of a client and says these settings.
    pub(crate) async fn server(stream: TcpStream, says: &[(u16, u32)]) -> Self {
        let mut raw = Self::over(stream);
        while raw.read.len() < PREFACE.len() {
            let more = tokio::time::timeout(LIMIT, raw.read_more()).await;
            assert!(more.expect("a beginning within the limit"), "a client that begins");
        }
        assert_eq!(raw.read.drain(..PREFACE.len()).collect::<Vec<_>>(), PREFACE);
        raw.send(&[settings(says), frame(kind::SETTINGS, flag::ACK, 0, &[])].concat()).await;
        raw.acknowledged().await;
        raw
    }

    /// Sends bytes. That the other side is gone is seen by reading.
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        let sent = tokio::time::timeout(LIMIT, self.stream.write_all(bytes)).await;
        let _gone = sent.expect("the other side reads within the limit");
    }

    async fn read_more(&mut self) -> bool {
        self.stream.read_buf(&mut self.read).await.is_ok_and(|count| count > 0)
    }

    /// The next frame, or `None` when the connection is closed.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        if let Some(frame) = self.passed_over.pop_front() {
            return Some(frame);
        }
        self.read_frame(Instant::now() + LIMIT).await
    }

    /// The next frame that is no ping of the other side, which keep coming.
    async fn read_frame(&mut self, until: Instant) -> Option<Frame> {
        let read = tokio::time::timeout_at(until, self.read_any());
        read.await.unwrap_or_else(|_late| panic!("no frame and no end within the limit, after {:?}", self.passed_over))
    }

    async fn read_any(&mut self) -> Option<Frame> {
        loop {
            while self.read.len() < 9 {
                if !self.read_more().await {
                    return None;
                }
            }
            let length = u32::from_be_bytes([0, self.read[0], self.read[1], self.read[2]]);
            let whole = 9 + usize::try_from(length).unwrap();
            while self.read.len() < whole {
                if !self.read_more().await {
                    return None;
                }
            }
            let bytes: Vec<u8> = self.read.drain(..whole).collect();
            let stream = u32::from_be_bytes(bytes[5..9].try_into().unwrap()) & 0x7fff_ffff;
            let frame = Frame { kind: bytes[3], flags: bytes[4], stream, payload: bytes[9..].to_vec() };
            if frame.kind == kind::PING && frame.flags & flag::ACK == 0 {
                let answer = self::frame(kind::PING, flag::ACK, 0, &frame.payload);
                self.send(&answer).await;
                continue;
            }
            return Some(frame);
        }
    }

    /// The next frame that is asked for; others stay for whoever asks for them.
    pub(crate) async fn find(&mut self, is_it: impl Fn(&Frame) -> bool) -> Frame {
        if let Some(found) = self.passed_over.iter().position(&is_it) {
            return self.passed_over.remove(found).unwrap();
        }
        let until = Instant::now() + LIMIT;
        loop {
            let frame = self.read_frame(until).await;
            let frame = frame.unwrap_or_else(|| panic!("the connection was closed after {:?}", self.passed_over));
            if is_it(&frame) {
                return frame;
            }
            self.passed_over.push_back(frame);
        }
    }

    /// The next frame of a kind on a stream.
    pub(crate) async fn next_of(&mut self, kind: u8, stream: u32) -> Frame {
        self.find(|frame| (frame.kind, frame.stream) == (kind, stream)).await
    }

    /// So many bytes of data on a stream.
    pub(crate) async fn content(&mut self, stream: u32, count: usize) -> Vec<u8> {
        let mut content = Vec::new();
        while content.len() < count {
            content.extend(self.next_of(kind::DATA, stream).await.content());
        }
        content
    }

    /// Whether a frame has come that nobody asked for.
    pub(crate) fn has(&self, is_it: impl Fn(&Frame) -> bool) -> bool {
        self.passed_over.iter().any(is_it)
    }

    /// Says other settings, and waits until they count.
    pub(crate) async fn set(&mut self, key: u16, value: u32) {
        self.send(&settings(&[(key, value)])).await;
        self.acknowledged().await;
    }

    /// Waits until settings count that were said.
    pub(crate) async fn acknowledged(&mut self) {
        self.find(|frame| frame.kind == kind::SETTINGS && frame.flags == flag::ACK).await;
    }

    /// Waits until the other side has seen to all that was sent before.
    pub(crate) async fn settled(&mut self) {
        self.send(&ping(*b"settled?")).await;
        self.find(|frame| frame.kind == kind::PING && frame.payload == b"settled?").await;
    }

    /// Waits for that, or for the end of the connection.
    pub(crate) async fn settled_or_gone(&mut self) {
        self.send(&ping(*b"settled?")).await;
        while let Some(frame) = self.next().await {
            if frame.kind == kind::PING && frame.payload == b"settled?" {
                return;
            }
        }
    }

    /// How the other side ends a stream, or the connection with it.
    pub(crate) async fn end_of(&mut self, stream: u32) -> End {
        while let Some(frame) = self.next().await {
            match frame.kind {
                kind::GOAWAY if frame.code() != code::NO_ERROR => {
                    return End::Connection(Some(self.closed(&frame).await));
                }
                kind::RST_STREAM if frame.stream == stream => return End::Reset(frame.code()),
                _ if frame.stream == stream && frame.ends() => return End::Answered,
                _ => {}
            }
        }
        End::Connection(None)
    }

    /// Waits for the end of the connection that was announced.
    async fn closed(&mut self, announced: &Frame) -> u32 {
        while self.next().await.is_some() {}
        announced.code()
    }

    /// Waits for the end of the connection; with which reason, if it was named.
    pub(crate) async fn gone(&mut self) -> Option<u32> {
        let mut named = None;
        while let Some(frame) = self.next().await {
            if frame.kind == kind::GOAWAY {
                named = Some(frame.code());
            }
        }
        named
    }
}
