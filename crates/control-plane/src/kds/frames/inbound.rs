//! What a stream of the port receives: gRPC messages out of an HTTP/2 body, gzip-compressed or not.
//!
//! By hand, because a global holds five of these for each zone and nearly all of them are quiet: a message is decoded as
//! soon as it is complete, and then nothing of it is kept, no buffer either. The texts are those of the gRPC library, so
//! that both halves of the port speak alike.

use std::marker::PhantomData;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue};
use http_body_util::BodyExt as _;
use prometheus_client::metrics::counter::Counter;
use prost::Message;
use tonic::{Status, metadata::MetadataValue};

use crate::kds::frames::{
    gzip::{self, Unreadable},
    weight,
};

/// Flag and length in front of each message.
pub(crate) const HEADER: usize = 5;

/// How the peer compresses the messages that it flags as compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// Not at all.
    Identity,
    /// As zones do.
    Gzip,
}

impl Encoding {
    /// Reads it from the headers of a call; another encoding is refused with those that are understood.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, Status> {
        match headers.get("grpc-encoding").map(HeaderValue::as_bytes) {
            None | Some(b"identity") => Ok(Self::Identity),
            Some(b"gzip") => Ok(Self::Gzip),
            Some(other) => {
                let other = String::from_utf8_lossy(other);
                let mut status =
                    Status::unimplemented(format!("Content is compressed with `{other}` which isn't supported"));
                status.metadata_mut().insert("grpc-accept-encoding", MetadataValue::from_static("gzip,identity"));
                Err(status)
            }
        }
    }
}

/// What stands in front of a message.
pub(crate) struct Header {
    pub(crate) compressed: bool,
    pub(crate) length: usize,
}

impl Header {
    /// Reads it, and refuses what cannot be received before anything of it is kept.
    pub(crate) fn read(bytes: &[u8], encoding: Encoding, limit: usize) -> Result<Self, Status> {
        let Some(&[flag, a, b, c, d]) = bytes.first_chunk::<HEADER>() else {
            return Err(Status::internal("a message without its header"));
        };
        let compressed = match flag {
            0 => false,
            1 if encoding == Encoding::Identity => {
                return Err(Status::internal(
                    "protocol error: received message with compressed-flag but no grpc-encoding was specified",
                ));
            }
            1 => true,
            other => {
                return Err(Status::internal(format!(
                    "protocol error: received message with invalid compression flag: {other} (valid flags are 0 and 1), while sending request"
                )));
            }
        };
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        if length > limit {
            return Err(Status::out_of_range(format!(
                "Error, decoded message length too large: found {length} bytes, the limit is: {limit} bytes"
            )));
        }
        Ok(Self { compressed, length })
    }
}

/// The messages of one stream. Generic over the body for its tests.
pub(crate) struct Inbound<T, B = hyper::body::Incoming> {
    body: B,
    encoding: Encoding,
    /// The largest message, as it came and decompressed.
    limit: usize,
    /// What came last and was not looked at; nothing while the stream waits.
    data: Bytes,
    /// The start of what came in pieces; most of the time nothing.
    pieces: BytesMut,
    /// Of the message that is not complete.
    header: Option<Header>,
    over: bool,
    /// Counts the messages.
    received: Counter,
    message: PhantomData<fn() -> T>,
}

impl<T, B> Inbound<T, B>
where
    T: Message + Default,
    B: http_body::Body<Data = Bytes> + Unpin,
    B::Error: std::error::Error + Send + Sync + 'static,
{
    pub(crate) fn new(body: B, encoding: Encoding, limit: usize, received: Counter) -> Self {
        let (data, pieces) = (Bytes::new(), BytesMut::new());
        Self { body, encoding, limit, data, pieces, header: None, over: false, received, message: PhantomData }
    }

    /// Returns the next message; `None` when the peer closed its side; that it
    /// cancelled the call is an error with that code. An error is the last word. Cancel safe.
    pub(crate) async fn message(&mut self) -> Result<Option<T>, Status> {
        while !self.over {
            let decoded = self.decode();
            if !matches!(decoded, Ok(None)) {
                self.received.inc();
                self.over = decoded.is_err();
                return decoded;
            }
            match self.body.frame().await.transpose() {
                Ok(frame) => match frame.and_then(|frame| frame.into_data().ok()) {
                    Some(data) => self.data = data,
                    // Trailers or nothing: the peer closed its side.
                    None => {
                        self.over = true;
                        if self.header.is_some() || !self.pieces.is_empty() {
                            return Err(Status::internal("Unexpected EOF decoding stream."));
                        }
                    }
                },
                Err(lost) => {
                    self.over = true;
                    return Err(Status::from_error(Box::new(lost)));
                }
            }
        }
        Ok(None)
    }

    /// Decodes a message if all of it is there; if not, all of `data` is used up.
    fn decode(&mut self) -> Result<Option<T>, Status> {
        let limit = self.limit;
        let header = match self.header.take() {
            Some(header) => header,
            None => match self.take(HEADER) {
                Some(bytes) => Header::read(&bytes, self.encoding, limit)?,
                None => return Ok(None),
            },
        };
        let Some(message) = self.take(header.length) else {
            self.header = Some(header);
            return Ok(None);
        };
        let message = if header.compressed { decompressed(&message, limit)? } else { message };
        weight::check(&message).map_err(|heavy| Status::resource_exhausted(heavy.to_string()))?;
        T::decode(message)
            .map(Some)
            .map_err(|broken| Status::invalid_argument(format!("the message cannot be decoded: {broken}")))
    }

    /// Takes the next bytes, so many, if they are there: without a copy if they came together.
    fn take(&mut self, size: usize) -> Option<Bytes> {
        if self.pieces.is_empty() && self.data.len() >= size {
            return Some(self.data.split_to(size));
        }
        let missing = size.saturating_sub(self.pieces.len()).min(self.data.len());
        self.pieces.extend_from_slice(&self.data.split_to(missing));
        (self.pieces.len() == size).then(|| std::mem::take(&mut self.pieces).freeze())
    }
}

fn decompressed(compressed: &[u8], limit: usize) -> Result<Bytes, Status> {
    match gzip::decompressed(compressed, limit) {
        Ok(message) => Ok(message.into()),
        Err(Unreadable::TooLarge) => Err(Status::resource_exhausted(format!(
            "Error decompressing: size limit, of {limit} bytes, exceeded while decompressing message"
        ))),
        Err(broken) => Err(Status::internal(format!("Error decompressing: {broken}, while sending request"))),
    }
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, io::Write as _};

    use flate2::{Compression, write::GzEncoder};
    use futures::stream;
    use http_body::Frame;
    use http_body_util::StreamBody;
    use tonic::Code;

    use super::*;

    fn frame(flag: u8, message: &[u8]) -> Vec<u8> {
        let length = u32::try_from(message.len()).unwrap().to_be_bytes();
        [&[flag], length.as_slice(), message].concat()
    }

    fn gzip(message: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(message).unwrap();
        encoder.finish().unwrap()
    }

    /// The messages (texts in field 1) of a body that comes in these pieces, and the code of its end.
    async fn received(pieces: Vec<Vec<u8>>, encoding: Encoding, limit: usize) -> (Vec<String>, Option<Code>) {
        let pieces = pieces.into_iter().map(|piece| Ok::<_, Infallible>(Frame::data(Bytes::from(piece))));
        let mut inbound =
            Inbound::<String, _>::new(StreamBody::new(stream::iter(pieces)), encoding, limit, Counter::default());
        let mut texts = Vec::new();
        loop {
            match inbound.message().await {
                Ok(Some(text)) => texts.push(text),
                Ok(None) => return (texts, None),
                Err(status) => {
                    assert!(inbound.message().await.unwrap().is_none(), "an error is the last word");
                    return (texts, Some(status.code()));
                }
            }
        }
    }

    fn text(text: &str) -> Vec<u8> {
        text.to_owned().encode_to_vec()
    }

    #[tokio::test]
    async fn messages_come_however_the_bytes_are_cut() {
        let bytes = [frame(0, &text("one")), frame(1, &gzip(&text("two"))), frame(0, &[])].concat();
        for size in [1, 3, 5, 7, bytes.len()] {
            let pieces = bytes.chunks(size).map(<[u8]>::to_vec).collect();
            let (texts, end) = received(pieces, Encoding::Gzip, 100).await;
            assert_eq!((texts, end), (vec!["one".to_owned(), "two".to_owned(), String::new()], None), "{size}");
        }
    }

    #[tokio::test]
    async fn what_cannot_be_received_has_its_code() {
        let check = async |bytes: Vec<u8>, encoding, expected| {
            let bytes = [frame(0, &text("good")), bytes].concat();
            let (texts, end) = received(vec![bytes], encoding, 100).await;
            assert_eq!((texts.len(), end), (1, Some(expected)));
        };
        check(frame(1, &gzip(&text("two"))), Encoding::Identity, Code::Internal).await;
        check(frame(2, &text("two")), Encoding::Gzip, Code::Internal).await;
        check(frame(1, b"no gzip"), Encoding::Gzip, Code::Internal).await;
        check(frame(0, &text(&"x".repeat(100))), Encoding::Gzip, Code::OutOfRange).await;
        check(frame(1, &gzip(&text(&"x".repeat(100)))), Encoding::Gzip, Code::ResourceExhausted).await;
        check(frame(0, b"\xff\xff"), Encoding::Gzip, Code::InvalidArgument).await;
        check(vec![0, 0, 0, 0, 9, 1], Encoding::Gzip, Code::Internal).await;
    }

    #[tokio::test]
    async fn a_message_of_exactly_the_limit_is_received() {
        let largest = text(&"x".repeat(98));
        assert_eq!(largest.len(), 100);
        let bytes = [frame(0, &largest), frame(1, &gzip(&largest))].concat();
        let (texts, end) = received(vec![bytes], Encoding::Gzip, 100).await;
        assert_eq!((texts.len(), end), (2, None));
    }

    #[tokio::test]
    async fn nothing_is_kept_of_what_was_decoded() {
        let bytes = Bytes::from(frame(0, &text(&"x".repeat(5000))));
        let body = StreamBody::new(stream::iter([Ok::<_, Infallible>(Frame::data(bytes))]));
        let mut inbound = Inbound::<String, _>::new(body, Encoding::Gzip, 10_000, Counter::default());
        inbound.message().await.unwrap().unwrap();
        assert_eq!((inbound.data.len(), inbound.pieces.capacity()), (0, 0));
    }

    #[test]
    fn another_encoding_is_refused_with_those_that_are_understood() {
        let of = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert("grpc-encoding", HeaderValue::from_static(value));
            Encoding::of(&headers)
        };
        assert_eq!(Encoding::of(&HeaderMap::new()).unwrap(), Encoding::Identity);
        assert_eq!(of("identity").unwrap(), Encoding::Identity);
        assert_eq!(of("gzip").unwrap(), Encoding::Gzip);
        let refusal = of("zstd").unwrap_err();
        assert_eq!(refusal.code(), Code::Unimplemented);
        assert_eq!(refusal.metadata().get("grpc-accept-encoding").unwrap(), "gzip,identity");
    }
}
