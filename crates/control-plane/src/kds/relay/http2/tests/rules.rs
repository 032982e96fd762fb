//! Rules of streams, windows and heads that stand in no other test.

use super::{
    super::fields::{Bad, Fields},
    *,
};

pub(super) fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let (encoder, mut block) = (hpack::Encoder::new(), Vec::new());
    fields.iter().for_each(|(name, value)| encoder.field(name.as_bytes(), value.as_bytes(), false, &mut block));
    block
}

/// Calls that are reset as soon as they are there, from this stream on.
pub(super) fn given_up(first: u32, count: u32) -> Vec<u8> {
    let head = block(&[(":method", "POST"), (":scheme", "http"), (":path", "/a")]);
    let call = |id| {
        [frame(kind::HEADERS, flag::END_HEADERS, id, &head), frame(kind::RST_STREAM, 0, id, &[0, 0, 0, 8])].concat()
    };
    (0..count).flat_map(|n| call(first + 2 * n)).collect()
}

pub(super) fn setting(name: u16, value: u32) -> Vec<u8> {
    frame(kind::SETTINGS, 0, 0, &[&name.to_be_bytes()[..], &value.to_be_bytes()].concat())
}

/// What is on its way, as type, flags, stream and payload of each frame.
pub(super) fn said(peer: &mut Peer) -> Vec<(u8, u8, u32, Vec<u8>)> {
    let bytes = peer.connection.output().waiting().to_vec();
    peer.connection.output().advance(bytes.len());
    let (mut cut, mut input, mut frames) = (Cut::from_server(), bytes.as_slice(), Vec::new());
    while let Some(frame) = cut.next(&mut input).unwrap() {
        frames.push((frame.kind, frame.flags, frame.stream, frame.payload.to_vec()));
    }
    frames
}

#[test]
fn frames_have_the_length_of_their_type() {
    let check = |bytes: &[u8], code| {
        let (_, mut server) = opened();
        assert_eq!(server.hear(bytes).map_err(|fatal| fatal.code), Err(code), "{bytes:02x?}");
    };
    for (kind, length) in [(kind::PRIORITY, 5), (kind::RST_STREAM, 4), (kind::WINDOW_UPDATE, 4)] {
        check(&frame(kind, 0, 1, &vec![1; length - 1]), Code::FRAME_SIZE_ERROR);
        check(&frame(kind, 0, 1, &vec![1; length + 1]), Code::FRAME_SIZE_ERROR);
    }
    check(&frame(kind::PING, 0, 0, &[0; 9]), Code::FRAME_SIZE_ERROR);
    check(&frame(kind::SETTINGS, flag::ACK, 0, &[0; 6]), Code::FRAME_SIZE_ERROR);
    check(&frame(kind::HEADERS, flag::END_HEADERS | flag::PRIORITY, 3, &[0; 4]), Code::PROTOCOL_ERROR);
    check(&frame(kind::HEADERS, flag::END_HEADERS | flag::PADDED, 3, &[]), Code::PROTOCOL_ERROR);
}

#[test]
fn frames_are_of_a_stream_or_of_the_connection() {
    let check = |bytes: &[u8]| {
        let (_, mut server) = opened();
        assert_eq!(server.hear(bytes).map_err(|fatal| fatal.code), Err(Code::PROTOCOL_ERROR), "{bytes:02x?}");
    };
    check(&frame(kind::PRIORITY, 0, 0, &[0; 5]));
    check(&frame(kind::HEADERS, flag::END_HEADERS, 0, &[0x83]));
    check(&frame(kind::RST_STREAM, 0, 0, &[0; 4]));
    check(&frame(kind::RST_STREAM, 0, 2, &[0; 4]));
    check(&frame(kind::PING, 0, 1, &[0; 8]));
    check(&frame(kind::GOAWAY, 0, 1, &[0; 8]));
    check(&frame(kind::WINDOW_UPDATE, 0, 3, &[0, 0, 0, 1]));
    // A block goes on where it began.
    check(&[frame(kind::HEADERS, 0, 3, &[0x83]), frame(kind::CONTINUATION, 0, 1, &[])].concat());
}

#[test]
fn settings_are_within_their_bounds() {
    let check = |name, value, expected| {
        let (_, mut server) = opened();
        assert_eq!(server.hear(&setting(name, value)).err().map(|fatal| fatal.code), expected, "{name} {value}");
    };
    check(2, 1, None);
    check(2, 2, Some(Code::PROTOCOL_ERROR));
    check(4, (1 << 31) - 1, None);
    check(4, 1 << 31, Some(Code::FLOW_CONTROL_ERROR));
    check(5, 1 << 14, None);
    check(5, (1 << 14) - 1, Some(Code::PROTOCOL_ERROR));
    check(5, (1 << 24) - 1, None);
    check(5, 1 << 24, Some(Code::PROTOCOL_ERROR));
    check(0xffff, u32::MAX, None);
    let (_, mut server) = opened();
    server.hear(&frame(kind::WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1])).unwrap();
    let grown = server.hear(&setting(4, (1 << 31) - 1)).unwrap_err();
    assert_eq!(grown.code, Code::FLOW_CONTROL_ERROR, "what was open is too large by the difference");
}

#[test]
fn settings_and_pings_are_answered_and_answers_are_not() {
    let (_, mut server) = opened();
    server.hear(&[setting(1, 7), frame(kind::PING, 0, 0, b"whatever")].concat()).unwrap();
    let expected = [(kind::SETTINGS, flag::ACK, 0, vec![]), (kind::PING, flag::ACK, 0, b"whatever".to_vec())];
    assert_eq!(said(&mut server), expected);
    assert!(!server.connection.take_pong());
    server
        .hear(&[frame(kind::PING, flag::ACK, 0, &[0; 8]), frame(kind::SETTINGS, flag::ACK, 0, &[])].concat())
        .unwrap();
    assert_eq!(said(&mut server), []);
    assert!(server.connection.take_pong() && !server.connection.take_pong());
}

/// A client in the middle of a call hears these heads of the answer.
#[test]
fn malformed_answers_end_their_stream() {
    let check = |fields: &[(&str, &str)], end: bool, expected: &[Heard]| {
        let (mut client, _) = opened();
        let end = if end { flag::END_STREAM } else { 0 };
        let heard = client.hear(&frame(kind::HEADERS, flag::END_HEADERS | end, 1, &block(fields))).unwrap();
        assert_eq!(heard, expected, "{fields:?}");
        assert_eq!(client.connection.has(1), !matches!(expected, [Heard::Reset(..)]));
    };
    let (ok, malformed) = ((":status", "200"), [Heard::Reset(1, Code::PROTOCOL_ERROR)]);
    check(&[ok], false, &[Heard::Head(1, false)]);
    check(&[ok], true, &[Heard::Head(1, true)]);
    check(&[(":status", "100")], false, &[]);
    check(&[(":status", "100")], true, &malformed);
    for fields in [
        &[("a", "b")][..],
        &[ok, ok],
        &[("a", "b"), ok],
        &[(":status", "20")],
        &[ok, (":path", "/")],
        &[ok, (":method", "POST")],
        &[ok, (":scheme", "http")],
        &[ok, (":authority", "global")],
        &[ok, ("transfer-encoding", "chunked")],
    ] {
        check(fields, false, &malformed);
    }
}

#[test]
fn an_answer_begins_with_its_head_and_ends_with_trailers() {
    let data = frame(kind::DATA, 0, 1, b"data");
    let heads = |fields: &[(&str, &str)], end| frame(kind::HEADERS, flag::END_HEADERS | end, 1, &block(fields));
    let hear = |frames: &[&[u8]]| opened().0.hear(&frames.concat()).unwrap();
    let malformed = Heard::Reset(1, Code::PROTOCOL_ERROR);
    let (ok, head) = (heads(&[(":status", "200")], 0), || Heard::Head(1, false));
    let trailers = heads(&[("grpc-status", "0")], flag::END_STREAM);
    assert_eq!(hear(&[&data]), [Heard::Reset(1, Code::PROTOCOL_ERROR)]);
    assert_eq!(hear(&[&ok, &data, &trailers]), [head(), Heard::Data(1, 4, false), Heard::Trailers(1)]);
    assert_eq!(hear(&[&ok, &heads(&[("grpc-status", "0")], 0)]), [head(), malformed]);
    for field in [(":status", "200"), ("connection", "close"), ("A", "b")] {
        let wrong = hear(&[&ok, &heads(&[field], flag::END_STREAM)]);
        assert_eq!(wrong, [head(), Heard::Reset(1, Code::PROTOCOL_ERROR)], "{field:?}");
    }
    // Nothing comes after the end.
    let closed = || Heard::Reset(1, Code::STREAM_CLOSED);
    assert_eq!(hear(&[&ok, &trailers, &data]), [head(), Heard::Trailers(1), closed()]);
    assert_eq!(hear(&[&ok, &trailers, &trailers]), [head(), Heard::Trailers(1), closed()]);
}

#[test]
fn a_client_hears_only_what_it_asked_for() {
    let (mut client, _) = opened();
    let answer = |id| frame(kind::HEADERS, flag::END_HEADERS, id, &block(&[(":status", "200")]));
    client.connection.forget(1, Code::CANCEL);
    assert_eq!(client.hear(&answer(1)), Ok(vec![]), "it had not heard of the reset");
    assert_eq!(client.hear(&answer(3)).unwrap_err().code, Code::PROTOCOL_ERROR);
}

#[test]
fn fields_that_are_too_large_are_read_and_refused() {
    let (_, mut server) = opened();
    let large = "v".repeat(16_000);
    // Each is of the table: a short block says more than may be said.
    let mut fields = block(&[(":method", "POST"), (":scheme", "http"), (":path", "/a")]);
    fields.splice(0..0, [0x3f, 0xe1, 0x1f]);
    fields.extend_from_slice(b"\x40\x01a\x7f\xa1\x1e");
    fields.extend_from_slice(&[b'v'; 4000]);
    fields.extend_from_slice(&[0xbe; 16]);
    assert_eq!(server.hear(&frame(kind::HEADERS, flag::END_HEADERS, 3, &fields)), Ok(vec![]));
    assert_eq!(said(&mut server), [(kind::RST_STREAM, 0, 3, Code::ENHANCE_YOUR_CALM.0.to_be_bytes().to_vec())]);
    let fields = block(&[(":method", "POST"), (":scheme", "http"), (":path", "/a"), ("a", &large)]);
    let heard = server.hear(&frame(kind::HEADERS, flag::END_HEADERS, 5, &fields));
    assert_eq!(heard, Ok(vec![Heard::Head(5, false)]));
}

/// A byte stands for an entry of the table: a flood of a few bytes would be a flood of megabytes to read.
#[test]
fn blocks_that_stand_for_more_than_anybody_says_end_the_connection() {
    let entry = [&b"\x3f\xe1\x1f\x40\x01a\x7f\xa1\x1e"[..], &[b'v'; 4000]].concat();
    let block = |block: &[u8]| frame(kind::HEADERS, flag::END_HEADERS, 3, block);
    let filled = || {
        let (_, mut server) = opened();
        // Malformed, and read all the same; so are those that come after it.
        server.hear(&block(&entry)).unwrap();
        server
    };
    let mut server = filled();
    let some = block(&[0xbe; 16]).repeat(500);
    server.hear(&some).unwrap();
    server.connection.forgive();
    server.hear(&some).unwrap();
    assert_eq!(server.hear(&some).unwrap_err().code, Code::ENHANCE_YOUR_CALM);
    // Nor does one block say all that.
    assert_eq!(filled().hear(&block(&[0xbe; 16_000])).unwrap_err().code, Code::ENHANCE_YOUR_CALM);
}

#[test]
fn faults_are_forgiven_from_time_to_time() {
    let (_, mut server) = opened();
    server.hear(&given_up(3, 20_000)).unwrap();
    server.connection.forgive();
    server.hear(&given_up(40_003, 20_000)).unwrap();
    assert!(server.hear(&given_up(80_003, 1)).is_err());
}

/// Either end says so when an answer is there before the request has ended (RFC 9113, 8.1).
#[test]
fn both_ends_may_want_no_more_of_any_request() {
    let (mut client, mut server) = opened();
    server.connection.forget(1, Code::NO_ERROR);
    for end in [&mut client, &mut server] {
        end.hear(&frame(kind::RST_STREAM, 0, 1, &[0; 4]).repeat(50_000)).unwrap();
    }
}

#[test]
fn padding_needs_nobody_to_pass_it_on() {
    let (_, mut server) = opened();
    let padded = frame(kind::DATA, flag::PADDED, 1, &[&[255], &[0; 255][..]].concat());
    for _ in 0..1000 {
        assert_eq!(server.hear(&padded), Ok(vec![Heard::Data(1, 0, false)]));
    }
    let widened: Vec<u32> = said(&mut server).into_iter().map(|(_, _, stream, _)| stream).collect();
    assert!(widened.contains(&0) && widened.contains(&1), "{widened:?}");
}

#[test]
fn what_waits_takes_turns_and_keeps_its_end() {
    let (mut client, _) = opened();
    client.connection.open();
    client.connection.head(3, &POST, &HeaderMap::new(), false);
    said(&mut client);
    // The output takes one of them, and nothing of the other.
    client.hear(&frame(kind::WINDOW_UPDATE, 0, 0, &[0, 1, 0, 0])).unwrap();
    let first = client.connection.data(1, &[1; 60_000], true);
    assert_eq!(client.connection.data(3, &[3; 60_000], false), 0);
    client.connection.trailers(3, &HeaderMap::new());
    assert!(first > 0 && first < 60_000, "{first}");
    let (mut frames, mut gone) = (said(&mut client), [first, 0]);
    while !client.connection.row.is_empty() {
        client.connection.pump(|id, count| gone[id as usize / 2] += count);
        frames.extend(said(&mut client));
    }
    assert_eq!(gone, [60_000; 2]);
    let order: Vec<(u32, u8, u8)> = frames.iter().map(|(kind, flags, stream, _)| (*stream, *kind, *flags)).collect();
    let switches = order.windows(2).filter(|pair| pair[0].0 != pair[1].0).count();
    assert!(switches > 2, "{order:?}");
    for (id, last) in [(1, (kind::DATA, flag::END_STREAM)), (3, (kind::HEADERS, flag::END_STREAM | flag::END_HEADERS))]
    {
        let of_it: Vec<_> = order.iter().filter(|(stream, ..)| *stream == id).collect();
        let ends = of_it.iter().filter(|(_, _, flags)| flags & flag::END_STREAM != 0).count();
        let (_, kind, flags) = of_it[of_it.len() - 1];
        assert_eq!(((*kind, *flags), ends), (last, 1));
    }
}

#[test]
fn an_end_without_data_needs_no_window() {
    let (mut client, _) = opened();
    client.hear(&setting(4, 0)).unwrap();
    said(&mut client);
    client.connection.data(1, b"", true);
    assert_eq!(said(&mut client), [(kind::DATA, flag::END_STREAM, 1, vec![])]);
}

#[test]
fn what_is_left_out_is_not_said_and_another_end_may_be() {
    let (mut client, _) = opened();
    client.hear(&setting(4, 2)).unwrap();
    said(&mut client);
    assert_eq!(client.connection.data(1, b"data", true), 2);
    client.connection.leave_out(1);
    client.connection.trailers(1, &HeaderMap::new());
    client.hear(&setting(4, 100)).unwrap();
    client.connection.pump(|_, _| panic!("something waits"));
    let kinds: Vec<_> = said(&mut client).into_iter().map(|(kind, flags, ..)| (kind, flags)).collect();
    let trailers = (kind::HEADERS, flag::END_STREAM | flag::END_HEADERS);
    assert_eq!(kinds, [(kind::DATA, 0), trailers, (kind::SETTINGS, flag::ACK)]);
}

#[test]
fn a_stream_that_nobody_listens_to_is_over_once_all_is_said() {
    let (_, mut server) = opened();
    server.hear(&setting(4, 3)).unwrap();
    server.connection.head(1, &OK, &HeaderMap::new(), false);
    server.connection.data(1, b"data", true);
    server.connection.finish(1, Code::NO_ERROR);
    said(&mut server);
    assert!(server.connection.has(1));
    server.hear(&frame(kind::WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1])).unwrap();
    server.connection.pump(|_, _| {});
    let expected = [(kind::DATA, flag::END_STREAM, 1, b"a".to_vec()), (kind::RST_STREAM, 0, 1, vec![0; 4])];
    assert_eq!(said(&mut server), expected);
    assert_eq!(server.connection.take_over(), [1]);
}

/// The answer is whole: what it holds may still go on (RFC 9113, 8.1).
#[test]
fn a_server_that_said_all_may_reset_the_request() {
    let (mut client, _) = opened();
    let head = frame(kind::HEADERS, flag::END_HEADERS, 1, &block(&[(":status", "200")]));
    let data = frame(kind::DATA, flag::END_STREAM, 1, b"data");
    let reset = frame(kind::RST_STREAM, 0, 1, &[0; 4]);
    let heard = client.hear(&[head, data, reset].concat()).unwrap();
    assert_eq!(heard, [Heard::Head(1, false), Heard::Data(1, 4, true)]);
    assert!(client.connection.has(1));
    assert_eq!(client.connection.data(1, b"more of the request", true), 19, "it is gone: nobody wants it");
    client.connection.forwarded(1, 4);
    assert!(!client.connection.has(1));
}

#[test]
fn what_was_reset_is_heard_no_more_and_said_no_more() {
    let (mut client, mut server) = opened();
    client.connection.data(1, b"data", false);
    client.says(&mut server, usize::MAX);
    server.connection.reset(1, Code::CANCEL);
    server.connection.reset(1, Code::CANCEL);
    assert_eq!(said(&mut server), [(kind::RST_STREAM, 0, 1, vec![0, 0, 0, 8])]);
    assert_eq!(server.hear(&frame(kind::DATA, flag::END_STREAM, 1, b"more")), Ok(vec![]));
    server.connection.head(1, &OK, &HeaderMap::new(), false);
    server.connection.data(1, b"data", false);
    server.connection.trailers(1, &HeaderMap::new());
    assert_eq!(said(&mut server), []);
    server.connection.forwarded(1, 4);
    assert!(!server.connection.has(1));
}

#[test]
fn a_farewell_is_never_taken_back() {
    let (_, mut server) = opened();
    server.connection.leave_once();
    let request = frame(kind::HEADERS, flag::END_HEADERS, 3, &[0x83, 0x86, 0x84]);
    assert_eq!(server.hear(&request), Ok(vec![]));
    server.connection.leave(Code::PROTOCOL_ERROR);
    let lasts: Vec<u32> =
        said(&mut server).iter().map(|(.., payload)| u32::from_be_bytes(*payload.first_chunk().unwrap())).collect();
    assert_eq!(lasts, [1, 1], "the later stream was not looked at: it may go elsewhere");
}

/// A peer that is always a little behind.
#[test]
fn what_is_written_is_not_kept() {
    let mut output = output::Output::default();
    output.frame(kind::PING, 0, 0, &[0; 8]);
    for _ in 0..10_000 {
        output.frame(kind::DATA, 0, 1, &[0; 1000]);
        output.advance(1009);
    }
    assert_eq!(output.waiting().len(), 17);
    assert!(output.bytes.capacity() < 200_000, "{}", output.bytes.capacity());
}

/// A peer that takes nothing at all, and gives up one call after the other.
#[test]
fn streams_that_are_over_wait_no_more() {
    let (_, mut server) = opened();
    server.hear(&setting(4, 1 << 20)).unwrap();
    server.connection.head(1, &OK, &HeaderMap::new(), false);
    while server.connection.data(1, &[0; 20_000], false) > 0 {
        said(&mut server);
    }
    assert_eq!(server.connection.send, 0);
    for id in (3..4000).step_by(2) {
        server.hear(&frame(kind::HEADERS, flag::END_HEADERS, id, &[0x83, 0x86, 0x84])).unwrap();
        server.connection.data(id, b"data", true);
        server.hear(&frame(kind::RST_STREAM, 0, id, &[0; 4])).unwrap();
        said(&mut server);
    }
    assert!(server.connection.row.len() < 500, "{}", server.connection.row.len());
}

/// What the far side hears of a caller was checked, and every proxy before it reads the same.
#[test]
fn who_calls_and_where_to_is_said_in_the_head_and_once() {
    let fields = |all: &[(&str, &str)]| {
        let mut fields = Fields::default();
        all.iter().for_each(|(name, value)| fields.add(name.as_bytes(), value.as_bytes(), false, 1000));
        fields
    };
    let names = |headers: HeaderMap| headers.keys().map(ToString::to_string).collect::<Vec<_>>();
    let (scheme, path) = ((":scheme", "http"), (":path", "/a"));
    let head = [(":method", "POST"), scheme, path, ("host", "elsewhere"), ("content-length", "7"), ("x", "y")];
    assert_eq!(names(fields(&head).into_request(1000).unwrap().headers), ["x"]);
    let trailers = [("authorization", "a.b.c"), ("client-id", "east"), ("x", "y")];
    assert_eq!(names(fields(&trailers).into_trailers(1000).unwrap()), ["x"]);
    let connects = fields(&[(":method", "CONNECT"), scheme, path]).into_request(1000);
    assert!(matches!(connects, Err(Bad::Malformed(_))), "it would be another protocol from here on");
}
