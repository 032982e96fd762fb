//! Any bytes as the body of a call, read by the codec of the port: lengths that lie, compression that is none.

use std::io::Write as _;

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use futures::{FutureExt as _, stream};
use http_body::Frame;
use http_body_util::StreamBody;
use prost::Message as _;
use testkit::fuzz::{Form, Inputs};
use tonic::{
    Code, Status, Streaming,
    codec::{Codec as _, CompressionEncoding},
};
use wire::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse};

use super::{answer, decoded, first_request, recorded_requests, response};
use crate::kds::{frames::codec::FrameCodec, messages::convert};

/// The largest message that is taken, compressed or not.
const LIMIT: usize = 16 * 1024;

#[test]
fn any_body_is_read_or_refused() {
    testkit::fuzz!(Inputs::new(Form::Bytes).made(seeds()).runs(5_000), |input| {
        let Some((settings, body)) = input.split_first() else { return };
        let encoding = (settings & 1 == 1).then_some(CompressionEncoding::Gzip);
        let chunk = usize::from(settings >> 1) + 1;
        let (messages, end) = read(body, encoding, chunk);
        assert!(messages.len() <= body.len() / 5, "each message has a frame of its own");
        for message in &messages {
            // What is decoded has no more than what was on the wire, written in its shortest form.
            assert!(message.encoded_len() <= LIMIT, "{} bytes", message.encoded_len());
        }
        if let Some(status) = end {
            assert!(
                !matches!(status.code(), Code::Ok | Code::Cancelled | Code::Unknown),
                "an end that says why: {status}"
            );
        }
        // However a body is cut, it says the same.
        let (again, _end) = read(body, encoding, body.len().max(1));
        assert_eq!(messages, again);
    });
}

/// Reads a body as a handler does, and returns the status that the peer is told if the stream ends with an error.
fn read(
    body: &[u8],
    encoding: Option<CompressionEncoding>,
    chunk: usize,
) -> (Vec<DeltaDiscoveryRequest>, Option<Status>) {
    let chunks: Vec<_> =
        body.chunks(chunk).map(|some| Ok::<_, Status>(Frame::data(Bytes::copy_from_slice(some)))).collect();
    let decoder = FrameCodec::<DeltaDiscoveryRequest>::default().decoder();
    let mut inbound = Streaming::new_request(decoder, StreamBody::new(stream::iter(chunks)), encoding, Some(LIMIT));
    let mut messages = Vec::new();
    loop {
        match inbound.message().now_or_never().expect("all of the body is there") {
            Ok(Some(message)) => messages.push(message),
            Ok(None) => return (messages, None),
            Err(status) => return (messages, Some(convert::inbound_status(status))),
        }
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let mut messages: Vec<DeltaDiscoveryRequest> =
        recorded_requests().into_iter().flat_map(|input| decoded(&input)).step_by(40).collect();
    messages.extend([first_request("Mesh", &["*"]), answer("Mesh", "1", None), answer("Mesh", "2", Some("bad"))]);
    let mut seeds: Vec<Vec<u8>> = Vec::new();
    for some in messages.chunks(3) {
        let encoded: Vec<Vec<u8>> = some.iter().map(prost::Message::encode_to_vec).collect();
        let plain = encoded.iter().flat_map(|message| frame(0, message));
        let gzip = encoded.iter().flat_map(|message| frame(1, &compressed(message)));
        seeds.push([254].into_iter().chain(plain).collect());
        seeds.push([255].into_iter().chain(gzip).collect());
    }
    let bomb = compressed(&response("Mesh", Vec::new(), &[&"a".repeat(4 * LIMIT)]).encode_to_vec());
    let other = response("Mesh", Vec::new(), &["a."]).encode_to_vec();
    seeds.extend([
        [vec![255], frame(1, &bomb)].concat(),
        [vec![255], frame(1, b"no gzip")].concat(),
        [vec![254], frame(1, &compressed(&other))].concat(),
        [vec![3], frame(0, &other)].concat(),
        vec![254, 0, 255, 255, 255, 255, 1],
        vec![254, 7, 0, 0, 0, 0],
        vec![254, 0, 0, 0, 0, 0, 0, 0],
    ]);
    // What a response is to a request: other fields of the same numbers.
    assert!(DeltaDiscoveryResponse::decode(other.as_slice()).is_ok());
    seeds
}

fn frame(flag: u8, message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[flag][..], &length, message].concat()
}

fn compressed(message: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(message).unwrap();
    encoder.finish().unwrap()
}
