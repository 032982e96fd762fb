//! A near side that keeps the rules in its own way: what it says comes through, and what it is told, byte by byte if it wants.

use super::{call, request};
use crate::stage::{
    passage::{Passage, with_each_relay},
    raw_http2::{
        End, PREFACE, Raw, code, data, flag, frame, go_away, headers, kind, last_data, message, reset, setting,
        settings, window_update,
    },
    way::Way,
};
use testkit::kds_server::Over;

with_each_relay! {
    a_beginning_byte_by_byte_is_understood
    a_reset_comes_through
    an_end_comes_through_and_the_answer_after_it
    an_answer_before_the_end_of_the_request_comes_through
    a_farewell_ends_no_stream_that_is_open
    data_in_pieces_and_with_padding_comes_through
    large_frames_come_through
    a_window_that_opens_byte_by_byte_lets_bytes_through
    a_window_that_shrinks_below_nothing_is_kept
}

async fn a_beginning_byte_by_byte_is_understood(way: Way) {
    let mut passage = Passage::start(way).await;
    let mut raw = Raw::silent(passage.relay.near).await;
    for byte in [PREFACE, &settings(&[]), &request(1, "slow")].concat() {
        raw.send(&[byte]).await;
        // So that others run.
        tokio::task::yield_now().await;
    }
    passage.arrives("slow").await;
    passage.serves().await;
}

async fn a_reset_comes_through(way: Way) {
    let mut passage = Passage::start(way).await;
    let mut raw = Raw::client(passage.relay.near, &[]).await;
    raw.send(&[request(1, "one"), request(3, "two"), data(1, &message(b"said"))].concat()).await;
    let (mut one, mut two) = (passage.arrives("one").await, passage.arrives("two").await);
    assert_eq!(one.next().await.unwrap(), "said");
    raw.send(&reset(1, code::CANCEL)).await;
    assert_eq!(one.over().await, Over::Reset);
    // The other one of the same connection stands.
    raw.send(&data(3, &message(b"still"))).await;
    assert_eq!(two.next().await.unwrap(), "still");
    two.send(b"here");
    assert_eq!(raw.content(3, 9).await, message(b"here"));
    passage.serves().await;
}

async fn an_end_comes_through_and_the_answer_after_it(way: Way) {
    let mut passage = Passage::start(way).await;
    let mut raw = Raw::client(passage.relay.near, &[]).await;
    let with_headers = frame(kind::HEADERS, flag::END_HEADERS | flag::END_STREAM, 1, &call("at-once"));
    let with_data = [request(3, "with-data"), last_data(3, &message(b"said"))].concat();
    let with_nothing = [request(5, "with-nothing"), data(5, &message(b"said")), last_data(5, b"")].concat();
    let trailers = crate::stage::raw_http2::block(&[("x-end", "yes")]);
    let with_trailers = [
        request(7, "with-trailers"),
        data(7, &message(b"said")),
        frame(kind::HEADERS, flag::END_HEADERS | flag::END_STREAM, 7, &trailers),
    ]
    .concat();
    raw.send(&[with_headers, with_data, with_nothing, with_trailers].concat()).await;
    for (stream, mark) in [(1, "at-once"), (3, "with-data"), (5, "with-nothing"), (7, "with-trailers")] {
        let mut there = passage.arrives(mark).await;
        assert_eq!(there.over().await, Over::HalfClosed, "{mark}");
        there.send(b"answer");
        assert_eq!(raw.content(stream, 11).await, message(b"answer"), "{mark}");
        there.end(5, "over");
        let end = raw.find(|frame| frame.stream == stream && frame.ends()).await;
        assert_eq!(end.kind, kind::HEADERS, "{mark}");
    }
    raw.settled().await;
    passage.serves().await;
}

async fn an_answer_before_the_end_of_the_request_comes_through(way: Way) {
    let mut passage = Passage::start(way).await;
    let mut raw = Raw::client(passage.relay.near, &[]).await;
    raw.send(&request(1, "early")).await;
    let mut there = passage.arrives("early").await;
    there.send(b"answer");
    assert_eq!(raw.content(1, 11).await, message(b"answer"));
    there.end(5, "over");
    raw.find(|frame| frame.stream == 1 && frame.ends()).await;
    drop(there);
    // Nobody wants more of it; that it is said all the same harms nobody.
    raw.send(&[data(1, &message(b"late")), last_data(1, b"")].concat()).await;
    raw.settled().await;
    raw.send(&request(3, "next")).await;
    passage.arrives("next").await;
    passage.serves().await;
}

async fn a_farewell_ends_no_stream_that_is_open(way: Way) {
    let mut passage = Passage::start(way).await;
    let mut raw = Raw::client(passage.relay.near, &[]).await;
    raw.send(&request(1, "open")).await;
    let mut there = passage.arrives("open").await;
    raw.send(&[go_away(0, code::NO_ERROR), data(1, &message(b"said"))].concat()).await;
    assert_eq!(there.next().await.unwrap(), "said");
    there.send(b"answer");
    assert_eq!(raw.content(1, 11).await, message(b"answer"));
    there.end(5, "over");
    assert_eq!(raw.end_of(1).await, End::Answered);
    passage.serves().await;
}

async fn data_in_pieces_and_with_padding_comes_through(way: Way) {
    let mut passage = Passage::start(way).await;
    let mut raw = Raw::client(passage.relay.near, &[]).await;
    raw.send(&request(1, "pieces")).await;
    let mut there = passage.arrives("pieces").await;
    let content: Vec<u8> = (0..95_u32).map(|number| u8::try_from(number % 251).unwrap()).collect();
    let pieces: Vec<u8> = message(&content).iter().flat_map(|byte| data(1, &[*byte])).collect();
    raw.send(&pieces).await;
    assert!(there.next().await.unwrap() == content);
    // Thousands that say nothing else may be too much, for the connection that says them.
    let mut flood = Raw::client(passage.relay.near, &[]).await;
    flood.send(&[request(1, "flood"), pieces.repeat(50)].concat()).await;
    flood.settled_or_gone().await;
    let mut padded = vec![255];
    padded.extend(message(b"padded"));
    padded.extend([0; 255]);
    // Padding is paid for from the window, and comes back: more than a window of it.
    for _ in 0..300 {
        raw.send(&frame(kind::DATA, flag::PADDED, 1, &padded)).await;
        assert_eq!(there.next().await.unwrap(), "padded");
    }
    raw.send(&frame(kind::DATA, flag::PADDED | flag::END_STREAM, 1, &[3, 0, 0, 0])).await;
    assert_eq!(there.over().await, Over::HalfClosed);
    passage.serves().await;
}

async fn large_frames_come_through(way: Way) {
    let mut passage = Passage::start(way).await;
    let most = (1 << 31) - 1;
    let mut raw = Raw::client(passage.relay.near, &[(setting::INITIAL_WINDOW_SIZE, most)]).await;
    raw.send(&[window_update(0, most - 65_535), request(1, "large")].concat()).await;
    let mut there = passage.arrives("large").await;
    for _ in 0..20 {
        raw.send(&data(1, &message(&[7; 16_384 - 5]))).await;
        assert!(there.next().await.unwrap()[..] == [7; 16_384 - 5]);
    }
    let content = vec![9; 1 << 20];
    there.send(&content);
    let came = raw.content(1, (1 << 20) + 5).await;
    assert!(came == message(&content));
    passage.serves().await;
}

async fn a_window_that_opens_byte_by_byte_lets_bytes_through(way: Way) {
    let mut passage = Passage::start(way).await;
    let mut raw = Raw::client(passage.relay.near, &[(setting::INITIAL_WINDOW_SIZE, 0)]).await;
    raw.send(&request(1, "trickle")).await;
    let mut there = passage.arrives("trickle").await;
    there.send(b"answer");
    there.end(5, "over");
    raw.next_of(kind::HEADERS, 1).await;
    raw.settled().await;
    for byte in message(b"answer") {
        raw.send(&window_update(1, 1)).await;
        let frame = raw.find(|frame| frame.stream == 1 && !frame.payload.is_empty()).await;
        assert_eq!((frame.kind, frame.content()), (kind::DATA, &[byte][..]));
    }
    assert_eq!(raw.end_of(1).await, End::Answered);
    passage.serves().await;
}

async fn a_window_that_shrinks_below_nothing_is_kept(way: Way) {
    let mut passage = Passage::start(way).await;
    let mut raw = Raw::client(passage.relay.near, &[(setting::INITIAL_WINDOW_SIZE, 100)]).await;
    raw.send(&headers(1, &call("shrinks"))).await;
    let mut there = passage.arrives("shrinks").await;
    let content: Vec<u8> = (0..155).collect();
    there.send(&content);
    let whole = message(&content);
    assert_eq!(raw.content(1, 100).await, whole[..100]);
    // 50 less than nothing, then 10 more than nothing.
    raw.set(setting::INITIAL_WINDOW_SIZE, 50).await;
    raw.send(&window_update(1, 60)).await;
    assert_eq!(raw.content(1, 10).await, whole[100..110]);
    raw.settled().await;
    // And the rest.
    raw.send(&settings(&[(setting::INITIAL_WINDOW_SIZE, 200)])).await;
    assert_eq!(raw.content(1, 50).await, whole[110..]);
    passage.serves().await;
}
