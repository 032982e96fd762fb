//! A far side that breaks the rules: the calls on its connection end with an error, and the next one dials again.

use super::{begun, request};
use crate::stage::{
    passage::{PATH, with_each_relay},
    plain_port::peer_at,
    raw_far::{FarSide, ended, good},
    raw_http2::{
        End, Raw, block, data, flag, frame, headers, kind, last_headers, message, ping, setting, settings,
        window_update,
    },
    way::Way,
};

with_each_relay! {
    who_is_no_http2_is_nobody
    broken_frames_end_the_far_connection_and_its_calls
    malformed_answers_end_their_call
    more_than_the_window_is_kept_by_nobody
}

/// Opens calls until one is answered by a far side that is well again.
async fn is_served_again(side: &FarSide) {
    let served = async {
        loop {
            let peer = peer_at(side.relay.near).await;
            let mut call = begun(&peer, "again");
            if call.next().await.is_some() {
                assert_eq!(call.ended().await.code, 5);
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    let serves = async {
        let mut far = side.takes(&[]).await;
        let there = far.called(b"again").await;
        far.answer(there, b"answer", "5").await;
        far
    };
    let ((), _far) = tokio::join!(served, serves);
}

async fn who_is_no_http2_is_nobody(way: Way) {
    let side = FarSide::start(way).await;
    for answer in [
        &b""[..],
        b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
        b"\x15\x03\x01\0\x02\x02\x46 no, this is not what was asked for",
        &[0xff; 100],
    ] {
        let peer = peer_at(side.relay.near).await;
        let mut call = begun(&peer, "said");
        let mut far = side.silent().await;
        far.send(answer).await;
        drop(far);
        assert_eq!(call.ended().await.code, 14, "{answer:?}");
        is_served_again(&side).await;
    }
}

async fn broken_frames_end_the_far_connection_and_its_calls(way: Way) {
    let side = FarSide::start(way).await;
    // Not disturbed by any of it.
    let healthy = peer_at(side.relay.near).await;
    let mut stands = healthy.open(PATH, &[("client-id", "west")]);
    stands.send(b"stands");
    let mut good_far = side.takes(&[]).await;
    let standing = good_far.called(b"stands").await;
    good_far.send(&good(standing)).await;
    for (name, bytes) in [
        ("a promise", frame(kind::PUSH_PROMISE, flag::END_HEADERS, 1, &[0, 0, 0, 2, 0x82])),
        ("a call", request(2, "bad")),
        ("an answer to nothing", good(101)),
        ("data of nothing", data(101, b"x")),
        ("data on stream 0", data(0, b"x")),
        ("a ping on a stream", frame(kind::PING, 0, 1, &[0; 8])),
        ("a short ping", frame(kind::PING, 0, 0, &[0; 7])),
        ("cut settings", frame(kind::SETTINGS, 0, 0, &[0; 5])),
        ("a window above 2^31-1", settings(&[(setting::INITIAL_WINDOW_SIZE, 1 << 31)])),
        ("frames that are too small", settings(&[(setting::MAX_FRAME_SIZE, 1)])),
        ("a push that is wanted", settings(&[(setting::ENABLE_PUSH, 2)])),
        ("a connection's window above 2^31-1", window_update(0, (1 << 31) - 1)),
        ("a connection's window of nothing more", window_update(0, 0)),
        ("the rest of nothing", frame(kind::CONTINUATION, flag::END_HEADERS, 1, &[0x88])),
        ("headers that are torn", [frame(kind::HEADERS, 0, 1, &[0x88]), ping([0; 8])].concat()),
        ("an index of nothing", headers(1, &[0x80 | 62])),
        ("a string that is cut", headers(1, &[0x88, 0, 5, b'x'])),
        ("padding alone", frame(kind::DATA, flag::PADDED, 1, &[8, 0])),
        ("more than a frame may have", headers(1, &vec![0; 16_385])),
    ] {
        eprintln!("{name}");
        let peer = peer_at(side.relay.near).await;
        let mut call = begun(&peer, "said");
        let mut far = side.takes(&[]).await;
        far.called(b"said").await;
        far.send(&bytes).await;
        assert_eq!(call.ended().await.code, 14, "{name}");
        far.gone().await;
    }
    is_served_again(&side).await;
    stands.send(b"still");
    assert_eq!(good_far.called(b"still").await, standing);
    good_far.send(&[data(standing, &message(b"here")), ended(standing, "5")].concat()).await;
    assert_eq!(stands.next().await.unwrap(), "here");
}

async fn malformed_answers_end_their_call(way: Way) {
    let side = FarSide::start(way).await;
    let mut near = Raw::client(side.relay.near, &[]).await;
    near.send(&[request(1, "stands"), data(1, &message(b"stands"))].concat()).await;
    let mut far = side.takes(&[]).await;
    far.called(b"stands").await;
    let answered = |fields: &[(&str, &str)]| block(&[&[(":status", "200")], fields].concat());
    for (name, answer) in [
        ("no status", block(&[("content-type", "application/grpc")])),
        ("a name in capitals", answered(&[("X-Odd", "x")])),
        ("a value with an end of line", answered(&[("x-odd", "x\r\ny: z")])),
        ("`connection`", answered(&[("connection", "close")])),
        ("a status of letters", block(&[(":status", "abc")])),
        ("a late status", block(&[("x-odd", "x"), (":status", "200")])),
        ("two", answered(&[(":status", "200")])),
        ("what nobody knows", answered(&[(":odd", "x")])),
    ] {
        eprintln!("{name}");
        let peer = peer_at(side.relay.near).await;
        let mut call = begun(&peer, "said");
        let mut far = side.takes(&[]).await;
        let there = far.called(b"said").await;
        far.send(&last_headers(there, &answer)).await;
        assert_ne!(call.ended().await.code, 0, "{name}");
    }
    // The stream of another connection stands.
    near.send(&data(1, &message(b"still"))).await;
    far.called(b"still").await;
}

async fn more_than_the_window_is_kept_by_nobody(way: Way) {
    let side = FarSide::start(way).await;
    // It takes nothing.
    let mut near = Raw::client(side.relay.near, &[(setting::INITIAL_WINDOW_SIZE, 0)]).await;
    near.send(&[request(1, "said"), data(1, &message(b"said"))].concat()).await;
    let mut far = side.takes(&[]).await;
    let there = far.called(b"said").await;
    far.send(&good(there)).await;
    // Of MiB that are sent all the same nobody has room for more than windows.
    let much = data(there, &[7; 16_384]).repeat(64);
    for _ in 0..8 {
        far.send(&much).await;
    }
    let end = far.end_of(there).await;
    assert!(matches!(end, End::Reset(_) | End::Connection(_)), "{end:?}");
    // What it has room for may come before it.
    near.send(&[window_update(0, 1 << 20), window_update(1, 1 << 20)].concat()).await;
    let end = near.end_of(1).await;
    assert!(end != End::Reset(0), "{end:?}");
    drop(far);
    is_served_again(&side).await;
}
