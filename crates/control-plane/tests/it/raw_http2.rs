//! What connector and gateway do as ends of HTTP/2, byte for byte (RFC 9113, RFC 7541): whoever breaks the rules loses a stream
//! or the connection, as the rules say, and nobody else notices; whoever keeps them in an odd way is served.
//!
//! Where the rules leave a choice each choice is good here.

mod compression;
mod far;
mod far_broken;
mod framing;
mod malformed;
mod near;

use testkit::kds::{Call, Peer};

use crate::stage::{
    passage::{MARK, PATH, Passage},
    raw_http2::{End, Raw, block, headers},
    way::Way,
};

/// What must become of a peer that sent something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ends {
    Connection,
    /// This stream, or the connection with it.
    Stream(u32),
    /// Nothing, or whatever the relay likes.
    Whatever,
    Nothing,
}

/// Sends each to a relay, on a connection of its own, and looks what becomes of it and of everybody else. What is marked
/// `bad` must not come through.
async fn check(way: Way, cases: Vec<(&'static str, Ends, Vec<u8>)>) {
    let mut passage = Passage::start(way).await;
    for (name, ends, bytes) in cases {
        eprintln!("{name}");
        let mut raw = Raw::client(passage.relay.near, &[]).await;
        raw.send(&bytes).await;
        match ends {
            Ends::Connection => {
                let reason = raw.gone().await;
                assert_ne!(reason, Some(0), "{name}: an error");
            }
            Ends::Stream(stream) => {
                let end = raw.end_of(stream).await;
                assert_ne!(end, End::Reset(0), "{name}: an error");
                if !matches!(end, End::Connection(_)) {
                    raw.settled().await;
                }
            }
            Ends::Whatever => raw.settled_or_gone().await,
            Ends::Nothing => {
                raw.send(&request(101, name)).await;
                passage.arrives(name).await;
                raw.settled().await;
            }
        }
        passage.serves().await;
        assert!(!passage.has_arrived("bad"), "{name}: it came through");
    }
}

/// The headers of a good call with this mark.
fn call(mark: &str) -> Vec<u8> {
    call_with(mark, &[])
}

/// The headers of a good call, and these.
fn call_with(mark: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let usual = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", PATH),
        (":authority", "kds"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
        ("client-id", "west"),
        (MARK, mark),
    ];
    block(&[&usual, more].concat())
}

/// A good call that goes on.
fn request(stream: u32, mark: &str) -> Vec<u8> {
    headers(stream, &call(mark))
}

/// A call of a peer that keeps the rules, which begins with this message.
fn begun(peer: &Peer, text: &str) -> Call {
    let call = peer.open(PATH, &[("client-id", "west")]);
    call.send(text.as_bytes());
    call
}
