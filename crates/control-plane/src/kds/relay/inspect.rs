//! Looks at the gRPC messages of a request that passes, gzip-compressed or not, and refuses one that names another zone
//! before its last byte is through.
//!
//! Messages are not kept: they are inflated and read as they come, which takes some 80 KiB while a compressed one is under
//! way and nothing between two of them.

use std::{
    io::{self, Write},
    sync::Arc,
};

use flate2::write::GzDecoder;
use http::HeaderMap;
use tonic::Status;

use super::scan::{Progress, Rule, Scanner, Wrong};
use crate::kds::{
    frames::inbound::{Encoding, HEADER, Header},
    messages::convert,
};

/// What the messages of a call have to say.
#[derive(Clone, Debug)]
pub(crate) struct Payload {
    pub(crate) rule: Rule,
    /// Whom they have to name.
    pub(crate) zone: Arc<str>,
    /// The largest message, as it comes and inflated, in bytes.
    pub(crate) limit: usize,
}

/// The look at one request.
pub(crate) struct Inspect {
    payload: Payload,
    encoding: Encoding,
    at: At,
}

/// Where the next byte stands.
enum At {
    Header { bytes: [u8; HEADER], have: usize },
    Message { left: usize, reader: Reader },
}

enum Reader {
    Plain(Progress),
    Packed(Box<GzDecoder<Inflated>>),
}

/// Reads what is inflated, up to the limit.
struct Inflated {
    payload: Payload,
    progress: Progress,
    left: usize,
    wrong: Option<Refused>,
}

enum Refused {
    Wrong(Wrong),
    TooLarge(usize),
}

const FIRST: At = At::Header { bytes: [0; HEADER], have: 0 };

impl Inspect {
    /// Returns the look at a request with these headers; an encoding that is not known here is refused.
    pub(crate) fn new(payload: Payload, headers: &HeaderMap) -> Result<Self, Status> {
        Ok(Self { payload, encoding: Encoding::of(headers)?, at: FIRST })
    }

    /// Looks at the next bytes. The error is what the call ends with.
    pub(super) fn look(&mut self, mut data: &[u8]) -> Result<(), Status> {
        while !data.is_empty() {
            match &mut self.at {
                At::Header { bytes, have } => {
                    let (part, rest) = data.split_at(data.len().min(HEADER - *have));
                    if let Some(place) = bytes.get_mut(*have..*have + part.len()) {
                        place.copy_from_slice(part);
                    }
                    (*have, data) = (*have + part.len(), rest);
                    if *have < HEADER {
                        return Ok(());
                    }
                    let header = Header::read(bytes.as_slice(), self.encoding, self.payload.limit);
                    let header = header.map_err(convert::inbound_status)?;
                    let reader = Reader::new(header.compressed, &self.payload);
                    self.at = At::Message { left: header.length, reader };
                }
                At::Message { left, reader } => {
                    let (part, rest) = data.split_at(data.len().min(*left));
                    reader.read(&self.payload, part).map_err(|refused| refused.status())?;
                    (*left, data) = (*left - part.len(), rest);
                }
            }
            // Also a message without a byte is one.
            if let At::Message { left: 0, .. } = self.at
                && let At::Message { reader, .. } = std::mem::replace(&mut self.at, FIRST)
            {
                reader.finish(&self.payload).map_err(|refused| refused.status())?;
            }
        }
        Ok(())
    }
}

impl Reader {
    fn new(compressed: bool, payload: &Payload) -> Self {
        if !compressed {
            return Self::Plain(Progress::default());
        }
        let inflated =
            Inflated { payload: payload.clone(), progress: Progress::default(), left: payload.limit, wrong: None };
        Self::Packed(Box::new(GzDecoder::new(inflated)))
    }

    fn read(&mut self, payload: &Payload, mut part: &[u8]) -> Result<(), Refused> {
        let decoder = match self {
            Self::Plain(progress) => {
                let mut scanner = Scanner::new(&payload.zone, payload.rule, *progress);
                scanner.feed(part)?;
                *progress = scanner.progress();
                return Ok(());
            }
            Self::Packed(decoder) => decoder,
        };
        while !part.is_empty() {
            let taken = decoder.write(part).unwrap_or_default();
            if taken == 0 {
                // Broken, refused, or more behind the one member that a message is: a real global would read that, too.
                return Err(decoder.get_mut().wrong.take().unwrap_or(NO_GZIP));
            }
            part = part.get(taken..).unwrap_or_default();
        }
        Ok(())
    }

    fn finish(self, payload: &Payload) -> Result<(), Refused> {
        let progress = match self {
            Self::Plain(progress) => progress,
            Self::Packed(mut decoder) => {
                if decoder.try_finish().is_err() {
                    return Err(decoder.get_mut().wrong.take().unwrap_or(NO_GZIP));
                }
                decoder.get_ref().progress
            }
        };
        Ok(Scanner::new(&payload.zone, payload.rule, progress).finish()?)
    }
}

const NO_GZIP: Refused = Refused::Wrong(Wrong::Malformed("it is no gzip member, or more than one"));

impl Write for Inflated {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let refused = match self.left.checked_sub(bytes.len()) {
            None => Refused::TooLarge(self.payload.limit),
            Some(left) => {
                self.left = left;
                let mut scanner = Scanner::new(&self.payload.zone, self.payload.rule, self.progress);
                match scanner.feed(bytes) {
                    Ok(()) => {
                        self.progress = scanner.progress();
                        return Ok(bytes.len());
                    }
                    Err(wrong) => Refused::Wrong(wrong),
                }
            }
        };
        self.wrong = Some(refused);
        Err(io::ErrorKind::InvalidData.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl From<Wrong> for Refused {
    fn from(wrong: Wrong) -> Self {
        Self::Wrong(wrong)
    }
}

impl Refused {
    fn status(&self) -> Status {
        match self {
            Self::Wrong(wrong) => Status::invalid_argument(wrong.to_string()),
            Self::TooLarge(limit) => {
                Status::resource_exhausted(format!("the message is larger than {limit} bytes after decompression"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use flate2::{Compression, write::GzEncoder};
    use prost::Message as _;
    use testkit::fuzz::{Direction, messages};
    use tonic::Code;
    use wire::envoy::{
        config::core::v3::Node,
        service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse},
    };

    use super::*;

    const LIMIT: usize = 10_000;

    fn message(zone: &str) -> Vec<u8> {
        let node = Some(Node { id: zone.to_owned(), metadata: None });
        DeltaDiscoveryRequest { node, type_url: "M".repeat(300), ..Default::default() }.encode_to_vec()
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn frame(flag: u8, message: &[u8]) -> Vec<u8> {
        [&[flag], u32::try_from(message.len()).unwrap().to_be_bytes().as_slice(), message].concat()
    }

    /// However the bytes are cut: the code, or nothing if all goes through.
    fn check(frames: &[Vec<u8>], expected: Option<Code>) {
        let bytes = frames.concat();
        for piece in [1, 4, 5, 6, 100, bytes.len()] {
            let payload = Payload { rule: Rule::Node, zone: "west".into(), limit: LIMIT };
            let mut headers = HeaderMap::new();
            headers.insert("grpc-encoding", "gzip".parse().unwrap());
            let mut inspect = Inspect::new(payload, &headers).unwrap();
            let looked = bytes.chunks(piece).try_for_each(|piece| inspect.look(piece));
            assert_eq!(looked.err().map(|status| status.code()), expected, "in pieces of {piece}");
        }
    }

    #[test]
    fn messages_of_the_zone_go_through_packed_or_not() {
        let (plain, packed) = (frame(0, &message("west")), frame(1, &gzip(&message("west"))));
        check(&[plain.clone(), packed.clone(), plain, packed], None);
    }

    /// What real zones were recorded to say, packed as they do: all goes through that is of one zone.
    #[test]
    fn recorded_messages_go_through_if_they_are_of_the_zone() {
        let of_node = |bytes: &[u8]| DeltaDiscoveryRequest::decode(bytes).ok()?.node.map(|node| node.id);
        let of_identifier = |bytes: &[u8]| {
            let response = DeltaDiscoveryResponse::decode(bytes).ok()?;
            Some(response.control_plane.map(|us| us.identifier).unwrap_or_default())
        };
        let check = |rule, bytes: &[u8], name: Option<String>| {
            let zone: Arc<str> = "zone-1".into();
            let expected = match &name {
                Some(name) => **name == *zone || rule == Rule::Identifier && name.is_empty(),
                None => false,
            };
            let payload = Payload { rule, zone, limit: 10 << 20 };
            let mut headers = HeaderMap::new();
            headers.insert("grpc-encoding", "gzip".parse().unwrap());
            for frame in [frame(0, bytes), frame(1, &gzip(bytes))] {
                let mut inspect = Inspect::new(payload.clone(), &headers).unwrap();
                assert_eq!(inspect.look(&frame).is_ok(), expected, "{rule:?} {name:?}");
            }
        };
        for message in messages("GlobalToZoneSync", Direction::FromZone) {
            check(Rule::Node, &message, of_node(&message));
        }
        for message in messages("ZoneToGlobalSync", Direction::FromZone) {
            check(Rule::Identifier, &message, of_identifier(&message));
        }
    }

    #[test]
    fn a_later_message_of_another_zone_does_not() {
        let good = frame(1, &gzip(&message("west")));
        for bad in [frame(0, &message("east")), frame(1, &gzip(&message("east")))] {
            check(&[good.clone(), bad], Some(Code::InvalidArgument));
        }
    }

    #[test]
    fn a_message_without_a_byte_has_no_node() {
        check(&[frame(0, &[])], Some(Code::InvalidArgument));
        check(&[frame(1, &gzip(&[]))], Some(Code::InvalidArgument));
        check(&[frame(1, &[])], Some(Code::InvalidArgument));
    }

    #[test]
    fn a_second_gzip_member_is_refused() {
        let two = [gzip(&message("west")), gzip(&message("east"))].concat();
        check(&[frame(1, &two)], Some(Code::InvalidArgument));
        check(&[frame(1, &[gzip(&message("west")), vec![0]].concat())], Some(Code::InvalidArgument));
    }

    #[test]
    fn what_is_cut_or_broken_is_refused() {
        let good = gzip(&message("west"));
        for end in 0..good.len() {
            check(&[frame(1, &good[..end])], Some(Code::InvalidArgument));
        }
        let mut broken = good;
        let at = broken.len() - 6;
        broken[at] ^= 1;
        check(&[frame(1, &broken)], Some(Code::InvalidArgument));
        check(&[frame(2, &message("west"))], Some(Code::Internal));
    }

    #[test]
    fn a_bomb_is_inflated_up_to_the_limit() {
        let bomb = DeltaDiscoveryRequest {
            node: Some(Node { id: "west".to_owned(), metadata: None }),
            type_url: "M".repeat(LIMIT * 100),
            ..Default::default()
        };
        check(&[frame(1, &gzip(&bomb.encode_to_vec()))], Some(Code::ResourceExhausted));
        check(&[frame(0, &bomb.encode_to_vec())], Some(Code::ResourceExhausted));
    }
}
