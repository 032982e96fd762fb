//! What an HTTP/2 library writes is read here, and what is written here it reads.

use http::{HeaderMap, HeaderName, HeaderValue, Request};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

use super::{Decoder, Encoder, rules::told};
use crate::kds::relay::http2::{
    frame::{Cut, PREFACE, flag, kind},
    output::Output,
};

const PLENTY: usize = 4 << 20;
const REQUESTS: usize = 80;

/// Headers that come again, that are new, and with every byte that may stand in a value.
fn headers(random: &mut StdRng) -> HeaderMap {
    let names = ["te", "content-type", "grpc-timeout", "user-agent", "authorization", "kuma-zone", "x-1", "x-2"];
    let mut headers = HeaderMap::new();
    for _ in 0..random.random_range(0..12) {
        let name = HeaderName::from_static(names[random.random_range(0..names.len())]);
        let mut value = match random.random_range(0..4) {
            0 => HeaderValue::from_static("trailers"),
            1 => HeaderValue::from(random.random_range(0..20)),
            _ => {
                let allowed = |byte: &u8| *byte == b'\t' || *byte >= b' ' && *byte != 127;
                let length = random.random_range(0..200);
                let bytes: Vec<u8> = std::iter::repeat_with(|| random.random()).filter(allowed).take(length).collect();
                HeaderValue::from_bytes(&bytes).unwrap()
            }
        };
        value.set_sensitive(random.random_ratio(1, 5));
        headers.append(if name == "te" { HeaderName::from_static("x-te") } else { name }, value);
    }
    headers
}

fn fields(headers: &HeaderMap) -> Vec<(&[u8], &[u8])> {
    headers.iter().map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes())).collect()
}

/// The next header block of a client.
async fn block(io: &mut DuplexStream, cut: &mut Cut, unread: &mut Vec<u8>) -> Vec<u8> {
    let mut block = Vec::new();
    loop {
        let mut input = unread.as_slice();
        while let Some(frame) = cut.next(&mut input).unwrap() {
            if matches!(frame.kind, kind::HEADERS | kind::CONTINUATION) {
                block.extend_from_slice(frame.payload);
                if frame.has(flag::END_HEADERS) {
                    *unread = input.to_vec();
                    return block;
                }
            }
        }
        unread.clear();
        assert_ne!(io.read_buf(unread).await.unwrap(), 0, "the client has gone");
    }
}

#[tokio::test]
async fn what_a_library_writes_is_read() {
    let mut random = StdRng::seed_from_u64(testkit::seed::seed(7541));
    let (theirs, mut ours) = duplex(PLENTY);
    let (mut sender, connection) = h2::client::Builder::new()
        .initial_max_send_streams(REQUESTS)
        .handshake::<_, bytes::Bytes>(theirs)
        .await
        .unwrap();
    let read = async {
        let (mut decoder, mut cut, mut unread) = (Decoder::new(4096), Cut::from_client(), Vec::new());
        let (mut calls, mut secrets_told) = (Vec::new(), 0);
        for number in 0..REQUESTS {
            sender = sender.ready().await.unwrap();
            let mut request = Request::post(format!("http://global/service/method{}", number % 3)).body(()).unwrap();
            *request.headers_mut() = headers(&mut random);
            calls.push(sender.send_request(request.clone(), true).unwrap());
            let block = block(&mut ours, &mut cut, &mut unread).await;
            let (pseudo, headers): (Vec<_>, Vec<_>) =
                told(&mut decoder, &block).unwrap().into_iter().partition(|(name, ..)| name.starts_with(b":"));
            let mut pseudo: Vec<_> =
                pseudo.into_iter().map(|(_, value, _)| String::from_utf8(value).unwrap()).collect();
            pseudo.sort();
            assert_eq!(pseudo, [request.uri().path(), "POST", "global", "http"]);
            let told: Vec<_> = headers.iter().map(|(name, value, _)| (name.as_slice(), value.as_slice())).collect();
            assert_eq!(told, fields(request.headers()));
            // It takes from its table what was said there openly.
            let secrets = headers.iter().zip(request.headers().values()).filter(|((.., secret), _)| *secret);
            secrets_told += secrets.inspect(|(_, value)| assert!(value.is_sensitive())).count();
        }
        assert!(secrets_told > 0);
    };
    tokio::select! {
        () = read => {}
        ended = connection => panic!("the client ended: {ended:?}"),
    }
}

#[tokio::test]
async fn what_is_written_a_library_reads() {
    let mut random = StdRng::seed_from_u64(testkit::seed::seed(7541));
    let (theirs, mut ours) = duplex(PLENTY);
    let (mut encoder, mut output) = (Encoder::new(), Output::default());
    let all: Vec<HeaderMap> = (0..REQUESTS).map(|_| headers(&mut random)).collect();
    output.raw(PREFACE);
    output.frame(kind::SETTINGS, 0, 0, &[]);
    for (stream, headers) in (1..).step_by(2).zip(&all) {
        let mut block = Vec::new();
        encoder.begin(&mut block);
        let pseudo = [(":method", "POST"), (":scheme", "http"), (":path", "/service/method"), (":authority", "global")];
        for (name, value) in pseudo {
            encoder.field(name.as_bytes(), value.as_bytes(), false, &mut block);
        }
        for (name, value) in headers {
            encoder.field(name.as_str().as_bytes(), value.as_bytes(), value.is_sensitive(), &mut block);
        }
        output.block(stream, &block, true);
    }
    ours.write_all(output.waiting()).await.unwrap();
    let mut server = h2::server::handshake(theirs).await.unwrap();
    for headers in &all {
        let (request, _respond) = server.accept().await.unwrap().unwrap();
        assert_eq!(request.uri().to_string(), "http://global/service/method");
        assert_eq!(fields(request.headers()), fields(headers));
    }
}
