//! What comes is given back however its stream ends, and what is said keeps to what the peer takes.

use super::{
    rules::{block, said, setting},
    *,
};

/// A piece of what may be said, of which four are more than a stream takes.
const PIECE: [u8; LARGEST] = [7; LARGEST];

fn data(id: u32) -> Vec<u8> {
    frame(kind::DATA, 0, id, &PIECE)
}

/// A client opens a stream.
fn open(server: &mut Peer, id: u32) {
    let head = frame(kind::HEADERS, flag::END_HEADERS, id, &[0x83, 0x86, 0x84]);
    assert_eq!(server.hear(&head), Ok(vec![Heard::Head(id, false)]));
}

/// What streams hold when they are over is more than the connection takes, many times over.
#[test]
fn what_a_stream_holds_is_given_back_when_it_is_over() {
    let check = |ends: fn(&mut Peer, u32)| {
        let (_, mut server) = opened();
        for id in (3..63).step_by(2) {
            open(&mut server, id);
            server.hear(&data(id).repeat(3)).unwrap();
            ends(&mut server, id);
            assert!(!server.connection.has(id));
            server.connection.check();
        }
    };
    check(|server, id| assert!(server.connection.forget(id, Code::CANCEL)));
    check(|server, id| drop(server.hear(&frame(kind::RST_STREAM, 0, id, &[0, 0, 0, 8])).unwrap()));
    // Faults of the peer; one piece more is too much.
    check(|server, id| drop(server.hear(&frame(kind::WINDOW_UPDATE, 0, id, &[0; 4])).unwrap()));
    check(|server, id| drop(server.hear(&data(id)).unwrap()));
    check(|server, id| {
        server.connection.head(id, &OK, &HeaderMap::new(), true);
        server.connection.finish(id, Code::NO_ERROR);
    });
}

#[test]
fn what_comes_for_a_stream_that_is_over_is_given_back() {
    let (_, mut server) = opened();
    server.connection.forget(1, Code::CANCEL);
    for _ in 0..100 {
        assert_eq!(server.hear(&data(1)), Ok(vec![]));
        server.connection.check();
    }
}

#[test]
fn what_comes_for_a_stream_that_was_reset_and_holds_something_is_given_back() {
    let (_, mut server) = opened();
    server.hear(&data(1)).unwrap();
    server.connection.reset(1, Code::CANCEL);
    for _ in 0..100 {
        assert_eq!(server.hear(&data(1)), Ok(vec![]));
        server.connection.check();
    }
    assert_eq!(server.connection.held(1), Some(LARGEST as u32), "that goes on yet");
    server.connection.forwarded(1, LARGEST);
    assert!(!server.connection.has(1));
    server.connection.check();
}

#[test]
fn what_comes_for_a_stream_that_was_not_taken_is_given_back() {
    let (_, mut server) = opened();
    server.connection.leave_once();
    assert_eq!(server.hear(&frame(kind::HEADERS, flag::END_HEADERS, 3, &[0x83, 0x86, 0x84])), Ok(vec![]));
    said(&mut server);
    for _ in 0..100 {
        assert_eq!(server.hear(&data(3)), Ok(vec![]));
        server.connection.check();
    }
    // Nothing is said of it either.
    let trailers = frame(kind::HEADERS, flag::END_HEADERS | flag::END_STREAM, 3, &block(&[("a", "b")]));
    assert_eq!(server.hear(&trailers), Ok(vec![]));
    assert!(said(&mut server).iter().all(|(kind, _, stream, _)| (*kind, *stream) == (kind::WINDOW_UPDATE, 0)));
}

#[test]
fn no_more_goes_on_than_came() {
    let (_, mut server) = opened();
    server.hear(&data(1)).unwrap();
    server.connection.forwarded(1, LARGEST + 1000);
    server.connection.check();
    server.connection.forwarded(1, usize::MAX);
    server.connection.check();
}

#[test]
fn a_stream_that_is_said_gets_no_window() {
    let (_, mut server) = opened();
    server.hear(&[data(1), data(1), frame(kind::DATA, flag::END_STREAM, 1, &PIECE)].concat()).unwrap();
    server.connection.forwarded(1, 3 * LARGEST);
    assert!(said(&mut server).iter().all(|(kind, _, stream, _)| (*kind, *stream) == (kind::WINDOW_UPDATE, 0)));
}

/// What the peer may not have heard of is no fault of it.
#[test]
fn what_was_on_its_way_when_a_stream_was_reset_is_not_heard() {
    let trailers = |id| frame(kind::HEADERS, flag::END_HEADERS | flag::END_STREAM, id, &block(&[("grpc-status", "0")]));
    let (mut client, mut server) = opened();
    for peer in [&mut client, &mut server] {
        peer.connection.insert(1, stream::Stream { heard_head: true, held: 1, ..Default::default() });
        peer.connection.reset(1, Code::CANCEL);
        said(peer);
        assert_eq!(peer.hear(&trailers(1)), Ok(vec![]));
        assert_eq!(said(peer), [], "it is there yet");
        peer.connection.forwarded(1, 1);
    }
    assert_eq!(client.hear(&trailers(1)), Ok(vec![]));
    assert_eq!(said(&mut client), []);
    assert_eq!(server.hear(&trailers(1)), Ok(vec![]));
    assert_eq!(said(&mut server), [(kind::RST_STREAM, 0, 1, Code::STREAM_CLOSED.0.to_be_bytes().to_vec())]);
}

/// The first bit says nothing (RFC 9113, 6.8 and 6.9).
#[test]
fn streams_and_windows_have_31_bits() {
    let (mut client, _) = opened();
    let gone = [0x80, 0, 0, 1, 0, 0, 0, 0];
    assert_eq!(client.hear(&frame(kind::GOAWAY, 0, 0, &gone)), Ok(vec![Heard::Leaves(1)]));
    assert_eq!(client.hear(&frame(kind::WINDOW_UPDATE, 0, 1, &[0x80, 0, 0, 1])), Ok(vec![]));
    let before = client.connection.send;
    assert_eq!(client.hear(&frame(kind::WINDOW_UPDATE, 0, 0, &[0x80, 0, 0, 1])), Ok(vec![]));
    assert_eq!(client.connection.send, before + 1);
    let mut odd = frame(kind::WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]);
    odd[5] |= 0x80;
    assert_eq!(client.hear(&odd), Ok(vec![]));
}

/// A peer takes many small frames for an attack.
#[test]
fn data_is_not_cut_to_the_room_that_is_left() {
    let (mut client, _) = opened();
    client.hear(&[setting(4, 1 << 20), frame(kind::WINDOW_UPDATE, 0, 0, &[0, 16, 0, 0])].concat()).unwrap();
    said(&mut client);
    // So that what is written is no multiple of a frame.
    client.connection.ping();
    assert!(client.connection.data(1, &[7; 200_000], true) < 200_000);
    let (mut sizes, mut goes_on) = (Vec::new(), true);
    while goes_on {
        sizes.extend(said(&mut client).iter().filter(|(kind, ..)| *kind == kind::DATA).map(|(.., data)| data.len()));
        goes_on = false;
        client.connection.ping();
        client.connection.pump(|_, count| goes_on = count > 0);
    }
    let (last, others) = sizes.split_last().unwrap();
    assert!(others.iter().all(|size| *size == LARGEST), "{sizes:?}");
    assert_eq!(others.len() * LARGEST + last, 200_000);
}

#[test]
fn the_room_for_streams_is_given_back_with_them() {
    let (_, mut server) = opened();
    server.connection.limits.streams = 10_000;
    (3..10_003).step_by(2).for_each(|id| open(&mut server, id));
    let crowded = server.connection.streams.capacity();
    for id in (3..10_003).step_by(2) {
        server.connection.forget(id, Code::CANCEL);
    }
    let left = server.connection.streams.capacity();
    assert!(left < 300 && crowded > 5000, "{crowded}, {left}");
}

#[test]
fn streams_that_are_malformed_are_faults_too() {
    let (_, mut server) = opened();
    let malformed = |id| frame(kind::HEADERS, flag::END_HEADERS, id, &[0x83]);
    let heads: Vec<u8> = (3..40_003).step_by(2).flat_map(malformed).collect();
    server.hear(&heads).unwrap();
    assert_eq!(server.hear(&malformed(40_003)).unwrap_err().code, Code::ENHANCE_YOUR_CALM);
}

/// A peer with many streams, which changes the windows of all of them with every frame.
#[test]
fn windows_are_not_changed_all_the_time() {
    let changes = |streams: u32| {
        let (_, mut server) = opened();
        server.connection.limits.streams = streams + 1;
        (0..streams).for_each(|number| open(&mut server, 3 + 2 * number));
        let is_taken = |change: &u32| server.hear(&setting(4, 1000 + change % 2)).is_ok();
        (0..100_000).take_while(is_taken).count()
    };
    assert_eq!(changes(0), 20_000);
    assert_eq!(changes(6400), 198);
    let (_, mut server) = opened();
    let same = setting(4, 65_535).repeat(100_000);
    assert_eq!(server.hear(&same), Ok(vec![]), "nothing changes");
}

#[test]
fn what_waits_keeps_to_the_window_of_the_connection() {
    let (mut client, _) = opened();
    said(&mut client);
    client.connection.send = 10;
    assert_eq!(client.connection.data(1, &[7; 50], false), 10);
    client.hear(&frame(kind::WINDOW_UPDATE, 0, 0, &[0, 0, 0, 7])).unwrap();
    client.connection.pump(|id, count| assert_eq!((id, count), (1, 7)));
    let sizes: Vec<usize> = said(&mut client).iter().map(|(.., data)| data.len()).collect();
    assert_eq!((sizes, client.connection.send), (vec![10, 7], 0));
}

#[test]
fn streams_begin_with_the_window_of_the_peer() {
    let (mut client, _) = opened();
    client.hear(&setting(4, 3)).unwrap();
    let id = client.connection.open();
    client.connection.head(id, &POST, &HeaderMap::new(), false);
    assert_eq!(client.connection.data(id, b"data", true), 3);
}

#[test]
fn an_end_comes_behind_all_that_waits() {
    let (mut client, _) = opened();
    client.hear(&setting(4, 0)).unwrap();
    assert_eq!(client.connection.data(1, b"da", false), 0);
    assert_eq!(client.connection.data(1, b"ta", true), 0);
    said(&mut client);
    client.hear(&frame(kind::WINDOW_UPDATE, 0, 1, &[0, 0, 0, 100])).unwrap();
    client.connection.pump(|_, _| {});
    assert_eq!(said(&mut client), [(kind::DATA, flag::END_STREAM, 1, b"data".to_vec())]);
}

#[test]
fn what_is_answered_whole_is_over() {
    let check = |answer: fn(&mut Connection)| {
        let (_, mut server) = opened();
        server.hear(&frame(kind::DATA, flag::END_STREAM, 1, b"")).unwrap();
        answer(&mut server.connection);
        assert_eq!(server.connection.take_over(), [1]);
    };
    check(|server| server.head(1, &OK, &HeaderMap::new(), true));
    check(|server| assert_eq!(server.data(1, b"data", true), 4));
    check(|server| server.trailers(1, &HeaderMap::new()));
}

#[test]
fn ids_of_streams_have_an_end() {
    let (mut client, _) = opened();
    client.connection.highest = LARGEST_STREAM - 4;
    assert!(client.connection.can_open());
    assert_eq!(client.connection.open(), LARGEST_STREAM - 2);
    assert!(client.connection.takes_none() && !client.connection.can_open());
}

#[test]
fn a_reset_is_said_to_nobody_who_knows_the_end() {
    let (_, mut server) = opened();
    server.hear(&frame(kind::DATA, flag::END_STREAM, 1, b"data")).unwrap();
    server.connection.head(1, &OK, &HeaderMap::new(), true);
    said(&mut server);
    assert!(server.connection.has(1), "what came has not gone on");
    assert!(!server.connection.reset(1, Code::CANCEL));
    assert_eq!(said(&mut server), []);
}

#[test]
fn nothing_waits_on_a_stream_that_was_reset() {
    let (mut client, _) = opened();
    client.connection.send = 0;
    assert_eq!(client.connection.data(1, b"data", true), 0);
    assert!(client.connection.reset(1, Code::CANCEL));
    assert!(!client.connection.has(1));
}

#[test]
fn a_farewell_is_said_once() {
    let (_, mut server) = opened();
    server.connection.leave_once();
    server.connection.leave_once();
    assert_eq!(said(&mut server), [(kind::GOAWAY, 0, 0, vec![0, 0, 0, 1, 0, 0, 0, 0])]);
}
