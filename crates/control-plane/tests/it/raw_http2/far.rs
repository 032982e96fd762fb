//! A far side that keeps the rules in its own way: its limits are kept, and what it says comes through.

use testkit::kds::Ended;

use super::{begun, call, request};
use crate::stage::{
    passage::with_each_relay,
    plain_port::peer_at,
    raw_far::{FarSide, ended, good},
    raw_http2::{
        End, Raw, block, code, data, flag, frame, go_away, headers, kind, last_data, last_headers, message, reset,
        setting, string, window_update,
    },
    way::Way,
};

with_each_relay! {
    a_call_waits_for_room_on_the_far_side
    a_window_of_the_far_side_that_opens_byte_by_byte_lets_bytes_through
    a_reset_of_the_far_side_comes_through
    a_farewell_of_the_far_side_ends_the_streams_that_it_does_not_name
    answers_of_every_form_come_through
    what_the_far_side_remembers_is_understood
    what_comes_after_a_reset_disturbs_nobody
}

/// A good call that begins with this message.
fn said(stream: u32, text: &str) -> Vec<u8> {
    [request(stream, text), data(stream, &message(text.as_bytes()))].concat()
}

/// A good call that is this message.
fn said_all(stream: u32, text: &str) -> Vec<u8> {
    [request(stream, text), last_data(stream, &message(text.as_bytes()))].concat()
}

async fn a_call_waits_for_room_on_the_far_side(way: Way) {
    let side = FarSide::start(way).await;
    let mut near = Raw::client(side.relay.near, &[]).await;
    near.send(&said_all(1, "one")).await;
    let mut far = side.takes(&[]).await;
    let one = far.called(b"one").await;
    far.set(setting::MAX_CONCURRENT_STREAMS, 1).await;
    near.send(&said_all(3, "two")).await;
    near.settled().await;
    far.settled().await;
    assert!(!far.has(|frame| frame.kind == kind::DATA && frame.content() == message(b"two")), "no room");
    far.answer(one, b"first", "5").await;
    let two = far.called(b"two").await;
    assert_eq!(near.end_of(1).await, End::Answered);
    // No room at all, and room again.
    far.set(setting::MAX_CONCURRENT_STREAMS, 0).await;
    near.send(&said_all(5, "three")).await;
    far.answer(two, b"second", "5").await;
    assert_eq!(near.end_of(3).await, End::Answered);
    near.settled().await;
    far.settled().await;
    assert!(!far.has(|frame| frame.kind == kind::DATA && frame.content() == message(b"three")), "no room");
    far.set(setting::MAX_CONCURRENT_STREAMS, 100).await;
    let three = far.called(b"three").await;
    far.answer(three, b"third", "5").await;
    assert_eq!(near.end_of(5).await, End::Answered);
}

async fn a_window_of_the_far_side_that_opens_byte_by_byte_lets_bytes_through(way: Way) {
    let side = FarSide::start(way).await;
    let mut near = Raw::client(side.relay.near, &[]).await;
    near.send(&said(1, "one")).await;
    let mut far = side.takes(&[]).await;
    let one = far.called(b"one").await;
    far.settled().await;
    far.set(setting::INITIAL_WINDOW_SIZE, 0).await;
    // What it says of new streams counts for the one that stands, too.
    let spent = u32::try_from(message(b"one").len()).unwrap();
    far.send(&window_update(one, spent)).await;
    near.send(&last_data(1, &message(b"byte by byte"))).await;
    for byte in message(b"byte by byte") {
        near.settled().await;
        far.settled().await;
        assert!(!far.has(|frame| frame.kind == kind::DATA && frame.stream == one), "no window");
        far.send(&window_update(one, 1)).await;
        let frame = far.next_of(kind::DATA, one).await;
        assert_eq!(frame.content(), [byte]);
        if frame.ends() {
            break;
        }
    }
    far.answer(one, b"answer", "5").await;
    assert_eq!(near.end_of(1).await, End::Answered);
}

async fn a_reset_of_the_far_side_comes_through(way: Way) {
    let side = FarSide::start(way).await;
    let mut near = Raw::client(side.relay.near, &[]).await;
    near.send(&said(1, "stands")).await;
    let mut far = side.takes(&[]).await;
    let stands = far.called(b"stands").await;
    let mut stream = 1;
    for code in [code::REFUSED_STREAM, code::CANCEL, code::ENHANCE_YOUR_CALM, code::INTERNAL_ERROR, 0xdead_beef] {
        for begun in [false, true] {
            stream += 2;
            near.send(&said(stream, "reset")).await;
            let there = far.called(b"reset").await;
            if begun {
                far.send(&[good(there), data(there, &message(b"begun"))].concat()).await;
                assert_eq!(near.content(stream, 10).await, message(b"begun"));
            }
            far.send(&reset(there, code)).await;
            let end = near.end_of(stream).await;
            assert!(matches!(end, End::Answered) || end == End::Reset(code), "{code} {begun}: {end:?}");
        }
        // What a client makes of it is no good end.
        let peer = peer_at(side.relay.near).await;
        let mut call = begun(&peer, "another");
        let mut other = side.takes(&[]).await;
        let there = other.called(b"another").await;
        other.send(&reset(there, code)).await;
        assert_ne!(call.ended().await.code, 0, "{code}");
    }
    // After all was said a reset means that no more is wanted.
    stream += 2;
    near.send(&said(stream, "enough")).await;
    let there = far.called(b"enough").await;
    far.answer(there, b"enough", "5").await;
    far.send(&reset(there, code::NO_ERROR)).await;
    assert_eq!(near.content(stream, 11).await, message(b"enough"));
    assert_eq!(near.end_of(stream).await, End::Answered);
    // And all the time another stream stood.
    near.send(&data(1, &message(b"still"))).await;
    assert_eq!(far.called(b"still").await, stands);
}

async fn a_farewell_of_the_far_side_ends_the_streams_that_it_does_not_name(way: Way) {
    let side = FarSide::start(way).await;
    let peer = peer_at(side.relay.near).await;
    let mut one = begun(&peer, "one");
    let mut far = side.takes(&[]).await;
    let first = far.called(b"one").await;
    let mut two = begun(&peer, "two");
    far.called(b"two").await;
    far.send(&go_away(first, code::NO_ERROR)).await;
    assert_ne!(two.ended().await.code, 0);
    one.send(b"more");
    assert_eq!(far.called(b"more").await, first);
    far.answer(first, b"answer", "5").await;
    assert_eq!(one.next().await.unwrap(), "answer");
    assert_eq!(one.ended().await.code, 5);
    drop(far);
    // And who comes after that comes through again.
    let again = async {
        loop {
            let mut call = begun(&peer, "again");
            if call.next().await.is_some() {
                return call;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    let answers = async {
        let mut far = side.takes(&[]).await;
        let there = far.called(b"again").await;
        far.answer(there, b"answer", "5").await;
        far
    };
    let (mut call, _far) = tokio::join!(again, answers);
    assert_eq!(call.ended().await.code, 5);
}

async fn answers_of_every_form_come_through(way: Way) {
    let side = FarSide::start(way).await;
    let peer = peer_at(side.relay.near).await;
    let _stands = begun(&peer, "stands");
    let mut far = side.takes(&[]).await;
    far.called(b"stands").await;
    let begins = block(&[("content-type", "application/grpc")]);
    let status = [&[0x88][..], &begins].concat();
    let in_pieces = |stream| {
        let pieces: Vec<u8> = status.chunks(9).flat_map(|piece| frame(kind::CONTINUATION, 0, stream, piece)).collect();
        let last = frame(kind::CONTINUATION, flag::END_HEADERS, stream, &[]);
        [frame(kind::HEADERS, 0, stream, &[]), pieces, last, data(stream, &message(b"answer")), ended(stream, "5")]
            .concat()
    };
    let padded = |stream| {
        let head = [&[3, 0, 0, 0, 0, 7][..], &status, &[0; 3]].concat();
        let flags = flag::PADDED | flag::PRIORITY | flag::END_HEADERS;
        let content = [&[2][..], &message(b"answer"), &[0; 2]].concat();
        [
            frame(kind::HEADERS, flags, stream, &head),
            frame(kind::DATA, flag::PADDED, stream, &content),
            ended(stream, "5"),
        ]
        .concat()
    };
    let byte_by_byte = |stream| {
        let bytes: Vec<u8> = message(b"answer").iter().flat_map(|byte| data(stream, &[*byte])).collect();
        [good(stream), bytes, data(stream, b""), ended(stream, "5")].concat()
    };
    let after_a_hint = |stream| {
        let hint = headers(stream, &block(&[(":status", "103"), ("link", "x")]));
        [hint, good(stream), data(stream, &message(b"answer")), ended(stream, "5")].concat()
    };
    for (name, answer) in [
        ("in pieces", &in_pieces as &dyn Fn(u32) -> Vec<u8>),
        ("padded", &padded),
        ("byte by byte", &byte_by_byte),
        ("after a hint", &after_a_hint),
    ] {
        let mut call = begun(&peer, name);
        let there = far.called(name.as_bytes()).await;
        far.send(&answer(there)).await;
        assert_eq!(call.next().await.as_deref(), Some(&b"answer"[..]), "{name}");
        assert_eq!(call.ended().await.code, 5, "{name}");
    }
    let mut call = begun(&peer, "at once");
    let there = far.called(b"at once").await;
    let status = [&status[..], &block(&[("grpc-status", "7"), ("grpc-message", "50 %25")])].concat();
    far.send(&last_headers(there, &status)).await;
    assert_eq!(call.ended().await, Ended { code: 7, message: "50 %".to_owned() });
    let mut call = begun(&peer, "without a status");
    let there = far.called(b"without a status").await;
    far.send(&[good(there), last_data(there, b"")].concat()).await;
    assert_ne!(call.ended().await.code, 0);
}

async fn what_the_far_side_remembers_is_understood(way: Way) {
    let side = FarSide::start(way).await;
    let peer = peer_at(side.relay.near).await;
    let mut one = begun(&peer, "one");
    let mut far = side.takes(&[]).await;
    let there = far.called(b"one").await;
    // Its status is remembered, and something that is compressed: `custom-key: custom-value` (RFC 7541, C.4.3).
    let compressed = [
        &[0x40, 0x88, 0x25, 0xa8, 0x49, 0xe9, 0x5b, 0xa9, 0x7d, 0x7f][..],
        &[0x89, 0x25, 0xa8, 0x49, 0xe9, 0x5b, 0xb8, 0xe8, 0xb4, 0xbf],
    ]
    .concat();
    let remembered = [&[0x40][..], &string("grpc-status"), &string("7"), &compressed].concat();
    far.send(&[good(there), last_headers(there, &remembered)].concat()).await;
    assert_eq!(one.ended().await.code, 7);
    let mut two = begun(&peer, "two");
    let there = far.called(b"two").await;
    far.send(&[good(there), last_headers(there, &[0x80 | 62, 0x80 | 63])].concat()).await;
    assert_eq!(two.ended().await.code, 7);
    // Nothing is remembered after a table of nothing.
    let mut three = begun(&peer, "three");
    let there = far.called(b"three").await;
    far.send(&headers(there, &[0x20, 0x3f, 0xe1, 0x1f, 0x88])).await;
    far.send(&last_headers(there, &[0x80 | 62])).await;
    assert_eq!(three.ended().await.code, 14);
    far.gone().await;
}

async fn what_comes_after_a_reset_disturbs_nobody(way: Way) {
    let side = FarSide::start(way).await;
    let mut near = Raw::client(side.relay.near, &[]).await;
    near.send(&[said(1, "one"), headers(3, &call("two")), data(3, &message(b"two"))].concat()).await;
    let mut far = side.takes(&[]).await;
    let one = far.called(b"one").await;
    let two = far.called(b"two").await;
    near.send(&reset(1, code::CANCEL)).await;
    let end = far.next_of(kind::RST_STREAM, one).await;
    assert_eq!(end.code(), code::CANCEL);
    // It was on its way, more than a window of it in time.
    for _ in 0..100 {
        far.send(&data(one, &[0; 16_384])).await;
        far.settled().await;
    }
    far.send(&[good(one), ended(one, "5")].concat()).await;
    far.answer(two, b"answer", "5").await;
    assert_eq!(near.content(3, 11).await, message(b"answer"));
    assert_eq!(near.end_of(3).await, End::Answered);
}
