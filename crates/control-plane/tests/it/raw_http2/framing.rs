//! Frames of the near side that break the rules of frames.

use super::{Ends, call, check, request};
use crate::stage::{
    passage::{Passage, with_each_relay},
    raw_http2::{
        PREFACE, Raw, code, data, flag, frame, frame_of, go_away, headers, kind, last_data, last_headers, ping, reset,
        setting, settings, window_update,
    },
    way::Way,
};

with_each_relay! {
    a_wrong_beginning_ends_the_connection
    wrong_settings_end_the_connection
    frames_of_a_wrong_length_end_stream_or_connection
    frames_on_the_wrong_stream_end_stream_or_connection
    header_blocks_that_are_torn_end_the_connection
    windows_that_are_none_end_stream_or_connection
    what_nobody_knows_is_passed_over
}

/// A good call that was opened before something is wrong.
fn opened(then: &[u8]) -> Vec<u8> {
    [&request(1, "opened"), then].concat()
}

/// A good call whose client has said all.
fn half_closed(then: &[u8]) -> Vec<u8> {
    [&last_headers(1, &call("opened")), then].concat()
}

async fn a_wrong_beginning_ends_the_connection(way: Way) {
    let mut passage = Passage::start(way).await;
    let mut wrong_end = PREFACE.to_vec();
    *wrong_end.last_mut().unwrap() = b'x';
    for (name, bytes) in [
        ("another protocol", b"GET / HTTP/1.1\r\nhost: kds\r\n\r\n".to_vec()),
        ("a wrong end of the preface", [&wrong_end, &settings(&[])[..]].concat()),
        (
            "an acknowledgement first",
            [PREFACE, &frame(kind::SETTINGS, flag::ACK, 0, &[0; 6]), &request(1, "bad")].concat(),
        ),
    ] {
        let mut raw = Raw::silent(passage.relay.near).await;
        raw.send(&bytes).await;
        assert_ne!(raw.gone().await, Some(code::NO_ERROR), "{name}");
        passage.serves().await;
        assert!(!passage.has_arrived("bad"), "{name}");
    }
    // Settings have to be first. Nothing hangs on that, and who does not insist is forgiven.
    for bytes in [ping([0; 8]), request(1, "without-settings")] {
        let mut raw = Raw::silent(passage.relay.near).await;
        raw.send(&[PREFACE, &bytes].concat()).await;
        raw.settled_or_gone().await;
        passage.serves().await;
    }
}

async fn wrong_settings_end_the_connection(way: Way) {
    let one = |key, value| [settings(&[(key, value)]), request(1, "bad")].concat();
    let raw =
        |flags, stream, payload: &[u8]| [frame(kind::SETTINGS, flags, stream, payload), request(1, "bad")].concat();
    check(
        way,
        vec![
            ("a setting that is cut", Ends::Connection, raw(0, 0, &[0; 5])),
            ("settings of a stream", Ends::Connection, raw(0, 1, &[])),
            ("an acknowledgement that says something", Ends::Connection, raw(flag::ACK, 0, &[0; 6])),
            ("a window above 2^31-1", Ends::Connection, one(setting::INITIAL_WINDOW_SIZE, 1 << 31)),
            ("frames that are too small", Ends::Connection, one(setting::MAX_FRAME_SIZE, 16_383)),
            ("frames that are too large", Ends::Connection, one(setting::MAX_FRAME_SIZE, 1 << 24)),
            ("a push that is neither", Ends::Connection, one(setting::ENABLE_PUSH, 2)),
            ("a setting that nobody knows", Ends::Nothing, settings(&[(0xfafa, 7)])),
            ("the largest frames", Ends::Nothing, settings(&[(setting::MAX_FRAME_SIZE, (1 << 24) - 1)])),
        ],
    )
    .await;
}

async fn frames_of_a_wrong_length_end_stream_or_connection(way: Way) {
    let large = vec![0; 16_385];
    check(
        way,
        vec![
            ("more data than a frame may have", Ends::Stream(1), opened(&data(1, &large))),
            ("more headers than a frame may have", Ends::Connection, headers(1, &large)),
            ("longer than is ever sent", Ends::Stream(1), opened(&frame_of((1 << 24) - 1, kind::DATA, 0, 1, &large))),
            ("data of padding alone", Ends::Connection, opened(&frame(kind::DATA, flag::PADDED, 1, &[8, 0, 0, 0]))),
            ("data with no length of padding", Ends::Connection, opened(&frame(kind::DATA, flag::PADDED, 1, &[]))),
            (
                "headers of padding alone",
                Ends::Connection,
                frame(kind::HEADERS, flag::PADDED | flag::END_HEADERS, 1, &[8, 0, 0, 0]),
            ),
            (
                "headers with half a priority",
                Ends::Connection,
                frame(kind::HEADERS, flag::PRIORITY | flag::END_HEADERS, 1, &[0, 0, 0]),
            ),
            ("a short priority", Ends::Stream(1), opened(&frame(kind::PRIORITY, 0, 1, &[0; 4]))),
            ("a short reset", Ends::Connection, opened(&frame(kind::RST_STREAM, 0, 1, &[0; 3]))),
            ("a long ping", Ends::Connection, frame(kind::PING, 0, 0, &[0; 9])),
            ("a short ping", Ends::Connection, frame(kind::PING, 0, 0, &[0; 7])),
            ("a short farewell", Ends::Connection, frame(kind::GOAWAY, 0, 0, &[0; 7])),
            ("a short window", Ends::Connection, opened(&frame(kind::WINDOW_UPDATE, 0, 1, &[0; 3]))),
        ],
    )
    .await;
}

async fn frames_on_the_wrong_stream_end_stream_or_connection(way: Way) {
    check(
        way,
        vec![
            ("a call on stream 0", Ends::Connection, request(0, "bad")),
            ("a call on a stream of the server", Ends::Connection, request(2, "bad")),
            ("a call below the last", Ends::Stream(3), [request(5, "opened"), request(3, "bad")].concat()),
            ("data on stream 0", Ends::Connection, data(0, b"x")),
            ("data of no call", Ends::Connection, data(1, b"x")),
            ("data after the end", Ends::Stream(1), half_closed(&data(1, b"x"))),
            ("data after the end of data", Ends::Stream(1), opened(&[last_data(1, b""), data(1, b"x")].concat())),
            ("headers after the end", Ends::Stream(1), half_closed(&last_headers(1, &call("bad")))),
            ("data after a reset", Ends::Whatever, opened(&[reset(1, code::CANCEL), data(1, b"x")].concat())),
            ("a priority on stream 0", Ends::Connection, frame(kind::PRIORITY, 0, 0, &[0, 0, 0, 3, 0])),
            ("a stream that hangs on itself", Ends::Whatever, opened(&frame(kind::PRIORITY, 0, 1, &[0, 0, 0, 1, 0]))),
            ("a reset of stream 0", Ends::Connection, reset(0, code::CANCEL)),
            ("a reset of no call", Ends::Connection, reset(1, code::CANCEL)),
            ("a ping on a stream", Ends::Connection, opened(&frame(kind::PING, 0, 1, &[0; 8]))),
            ("a farewell on a stream", Ends::Connection, opened(&frame(kind::GOAWAY, 0, 1, &[0; 8]))),
            (
                "a promise",
                Ends::Connection,
                opened(&frame(kind::PUSH_PROMISE, flag::END_HEADERS, 1, &[0, 0, 0, 2, 0x82])),
            ),
        ],
    )
    .await;
}

async fn header_blocks_that_are_torn_end_the_connection(way: Way) {
    let block = call("bad");
    let (one, other) = block.split_at(20);
    let begun = frame(kind::HEADERS, 0, 1, one);
    let rest = |stream| frame(kind::CONTINUATION, flag::END_HEADERS, stream, other);
    let torn = |between: Vec<u8>| [begun.clone(), between, rest(1)].concat();
    check(
        way,
        vec![
            ("the rest of nothing", Ends::Connection, rest(1)),
            ("the rest of what was whole", Ends::Connection, opened(&rest(1))),
            ("a ping between", Ends::Connection, torn(ping([0; 8]))),
            ("settings between", Ends::Connection, torn(settings(&[]))),
            ("data between", Ends::Connection, torn(data(1, b"x"))),
            ("another call between", Ends::Connection, torn(request(3, "bad"))),
            ("what nobody knows between", Ends::Connection, torn(frame(0xfa, 0, 1, b"x"))),
            ("the rest on another stream", Ends::Connection, [begun.clone(), rest(3)].concat()),
            ("the rest on no stream", Ends::Connection, [begun.clone(), rest(0)].concat()),
        ],
    )
    .await;
}

async fn windows_that_are_none_end_stream_or_connection(way: Way) {
    let most = (1 << 31) - 1;
    let beyond = settings(&[(setting::INITIAL_WINDOW_SIZE, most)]);
    check(
        way,
        vec![
            ("a stream's window of nothing more", Ends::Stream(1), opened(&window_update(1, 0))),
            ("a connection's window of nothing more", Ends::Connection, window_update(0, 0)),
            ("a stream's window above 2^31-1", Ends::Stream(1), opened(&window_update(1, most))),
            ("a connection's window above 2^31-1", Ends::Connection, window_update(0, most)),
            ("the window of no call", Ends::Connection, window_update(1, 1)),
            (
                "settings that take a window above 2^31-1",
                Ends::Connection,
                opened(&[window_update(1, 1 << 20), beyond].concat()),
            ),
        ],
    )
    .await;
}

async fn what_nobody_knows_is_passed_over(way: Way) {
    let flags = !(flag::END_STREAM | flag::PADDED | flag::PRIORITY);
    check(
        way,
        vec![
            ("a frame that nobody knows", Ends::Nothing, frame(0xfa, 0xff, 0, b"whatever it says")),
            ("one on a stream", Ends::Nothing, opened(&frame(0xfa, 0xff, 1, b"whatever it says"))),
            ("one on no stream yet", Ends::Nothing, frame(0xfa, 0xff, 7, b"")),
            ("flags that nobody knows", Ends::Nothing, frame(kind::HEADERS, flags, 1, &call("opened"))),
            ("a ping with flags", Ends::Nothing, frame(kind::PING, 0xfe, 0, &[0; 8])),
            ("an answer to no ping", Ends::Nothing, frame(kind::PING, flag::ACK, 0, &[7; 8])),
            ("the bit that is kept back", Ends::Nothing, frame(kind::WINDOW_UPDATE, 0, 1 << 31, &[0x80, 0, 0, 1])),
            ("a priority of no call", Ends::Nothing, frame(kind::PRIORITY, 0, 9, &[0, 0, 0, 3, 7])),
            ("a reset after the end", Ends::Nothing, half_closed(&reset(1, 0xdead_beef))),
            ("a reset twice", Ends::Whatever, opened(&reset(1, code::CANCEL).repeat(2))),
            ("a window after a reset", Ends::Nothing, opened(&[reset(1, code::CANCEL), window_update(1, 7)].concat())),
            ("a farewell without a reason", Ends::Whatever, opened(&go_away(0, code::NO_ERROR))),
        ],
    )
    .await;
}
