//! Two ends without anything between them, and what peers may not do.

mod accounts;
mod check;
mod rules;

use http::HeaderMap;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

use super::{
    frame::{LARGEST, LARGEST_STREAM, PREFACE, flag, kind},
    *,
};

const LIMITS: Limits = Limits { streams: 3, stream_window: 65_535, connection_window: 128 * 1024 };
const POST: [(&str, &[u8]); 3] = [(":method", b"POST"), (":scheme", b"http"), (":path", b"/a")];
const OK: [(&str, &[u8]); 1] = [(":status", b"200")];

/// What an end heard, without what was of the connection alone.
#[derive(Debug, PartialEq, Eq)]
enum Heard {
    Head(u32, bool),
    Data(u32, usize, bool),
    Trailers(u32),
    Reset(u32, Code),
    Leaves(u32),
}

struct Peer {
    cut: Cut,
    connection: Connection,
}

impl Peer {
    fn both() -> (Self, Self) {
        let server = Self { cut: Cut::from_client(), connection: Connection::server(LIMITS) };
        let client = Self { cut: Cut::from_server(), connection: Connection::client(LIMITS) };
        (client, server)
    }

    fn hear(&mut self, mut bytes: &[u8]) -> Result<Vec<Heard>, Fatal> {
        let mut heard = Vec::new();
        while let Some(frame) = self.cut.next(&mut bytes)? {
            heard.extend(match self.connection.hear(frame)? {
                Event::Nothing => None,
                Event::Request { stream, end, .. } | Event::Response { stream, end, .. } => {
                    Some(Heard::Head(stream, end))
                }
                Event::Data { stream, data, end } => Some(Heard::Data(stream, data.len(), end)),
                Event::Trailers { stream, .. } => Some(Heard::Trailers(stream)),
                Event::Reset { stream, code } => Some(Heard::Reset(stream, code)),
                Event::Leaves { last, .. } => Some(Heard::Leaves(last)),
            });
        }
        Ok(heard)
    }

    /// All that is on its way, in pieces of this many bytes, is heard by the other.
    fn says(&mut self, other: &mut Self, piece: usize) -> Vec<Heard> {
        let said = self.connection.output().waiting().to_vec();
        self.connection.output().advance(said.len());
        said.chunks(piece).flat_map(|piece| other.hear(piece).unwrap()).collect()
    }
}

/// A client that has opened a stream, and its server.
fn opened() -> (Peer, Peer) {
    let (mut client, mut server) = Peer::both();
    assert_eq!(client.connection.open(), 1);
    client.connection.head(1, &POST, &HeaderMap::new(), false);
    assert_eq!(client.says(&mut server, usize::MAX), [Heard::Head(1, false)]);
    assert_eq!(server.says(&mut client, usize::MAX), []);
    (client, server)
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut output = output::Output::default();
    output.frame(kind, flags, stream, payload);
    output.waiting().to_vec()
}

#[test]
fn however_bytes_are_cut_they_say_the_same() {
    for piece in [1, 2, 8, 9, 10, 100, 100_000] {
        let (mut client, mut server) = Peer::both();
        client.connection.open();
        client.connection.head(1, &POST, &HeaderMap::new(), false);
        assert_eq!(client.connection.data(1, &[7; 20_000], false), 20_000);
        client.connection.data(1, b"", true);
        let heard = client.says(&mut server, piece);
        let data = |count, end| Heard::Data(1, count, end);
        assert_eq!(heard, [Heard::Head(1, false), data(LARGEST, false), data(20_000 - LARGEST, false), data(0, true)]);
        server.connection.head(1, &OK, &HeaderMap::new(), false);
        server.connection.trailers(1, &HeaderMap::new());
        assert_eq!(server.says(&mut client, piece), [Heard::Head(1, false), Heard::Trailers(1)]);
        assert!(client.connection.is_idle() && !server.connection.is_idle(), "what came has not gone on yet");
        server.connection.forwarded(1, 20_000);
        assert!(server.connection.is_idle());
    }
}

#[test]
fn more_than_a_window_waits_until_what_came_has_gone_on_and_trailers_come_last() {
    let (mut client, mut server) = opened();
    let all = 200_000;
    let mut gone = client.connection.data(1, &vec![7; all], false);
    client.connection.trailers(1, &HeaderMap::new());
    let (mut came, mut is_over) = (0, false);
    while !is_over {
        let mut now = 0;
        for heard in client.says(&mut server, usize::MAX) {
            match heard {
                Heard::Data(1, count, false) => now += count,
                Heard::Trailers(1) => is_over = true,
                other => panic!("{other:?}"),
            }
        }
        came += now;
        assert!(now > 0 && now <= 65_535, "{now}");
        server.connection.forwarded(1, now);
        server.says(&mut client, usize::MAX);
        client.connection.pump(|id, count| gone += if id == 1 { count } else { 0 });
    }
    assert_eq!((came, gone), (all, all));
}

#[test]
fn a_peer_that_makes_its_windows_smaller_hears_nothing_until_they_are_open_again() {
    let (mut client, mut server) = opened();
    assert_eq!(client.connection.data(1, &[7; 1000], false), 1000);
    client.says(&mut server, usize::MAX);
    let setting = |window: u32| frame(kind::SETTINGS, 0, 0, &[&[0, 4][..], &window.to_be_bytes()].concat());
    client.hear(&setting(10)).unwrap();
    assert_eq!(client.connection.data(1, &[7; 50], true), 0, "the window is below nothing");
    client.hear(&frame(kind::WINDOW_UPDATE, 0, 1, &1000u32.to_be_bytes())).unwrap();
    let mut gone = 0;
    client.connection.pump(|_, count| gone += count);
    assert_eq!(gone, 10);
    client.hear(&setting(65_535)).unwrap();
    client.connection.pump(|_, count| gone += count);
    assert_eq!(gone, 50);
    assert_eq!(client.says(&mut server, usize::MAX), [Heard::Data(1, 10, false), Heard::Data(1, 40, true)]);
}

/// What a client must not do, after its preface, settings and a stream: what it hears, or that the connection goes.
#[test]
fn who_does_not_keep_to_http2_is_told_so() {
    let check = |bytes: &[u8], expected: Result<Vec<Heard>, Code>| {
        let (_, mut server) = opened();
        assert_eq!(server.hear(bytes).map_err(|fatal| fatal.code), expected, "{bytes:02x?}");
    };
    let fatal = |bytes: &[u8], code| check(bytes, Err(code));
    let reset = |bytes: &[u8], code| check(bytes, Ok(vec![Heard::Reset(1, code)]));
    fatal(&frame(kind::DATA, 0, 0, b"a"), Code::PROTOCOL_ERROR);
    fatal(&frame(kind::DATA, 0, 3, b"a"), Code::PROTOCOL_ERROR);
    fatal(&frame(kind::DATA, flag::PADDED, 1, &[9, 0]), Code::PROTOCOL_ERROR);
    fatal(&frame(kind::HEADERS, flag::END_HEADERS, 2, &[0x83]), Code::PROTOCOL_ERROR);
    fatal(&frame(kind::HEADERS, flag::END_HEADERS, 3, &[0xff]), Code::COMPRESSION_ERROR);
    fatal(&[frame(kind::HEADERS, 0, 3, &[0x83]), frame(kind::DATA, 0, 1, b"")].concat(), Code::PROTOCOL_ERROR);
    fatal(&frame(kind::CONTINUATION, 0, 1, &[0x83]), Code::PROTOCOL_ERROR);
    fatal(&frame(kind::PUSH_PROMISE, 0, 1, &[0; 8]), Code::PROTOCOL_ERROR);
    fatal(&frame(kind::SETTINGS, 0, 0, &[0; 5]), Code::FRAME_SIZE_ERROR);
    fatal(&frame(kind::SETTINGS, 0, 1, &[]), Code::PROTOCOL_ERROR);
    fatal(&frame(kind::PING, 0, 0, &[0; 7]), Code::FRAME_SIZE_ERROR);
    fatal(&frame(kind::GOAWAY, 0, 0, &[0; 7]), Code::FRAME_SIZE_ERROR);
    fatal(&frame(kind::RST_STREAM, 0, 3, &[0; 4]), Code::PROTOCOL_ERROR);
    fatal(&frame(kind::WINDOW_UPDATE, 0, 0, &[0; 4]), Code::PROTOCOL_ERROR);
    fatal(&frame(kind::WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff]), Code::FLOW_CONTROL_ERROR);
    fatal(&[0, 0x40, 1, 0, 0, 0, 0, 0, 1], Code::FRAME_SIZE_ERROR);
    let endless: Vec<u8> = (0..65).flat_map(|_| frame(kind::CONTINUATION, 0, 3, &[])).collect();
    fatal(&[frame(kind::HEADERS, 0, 3, &[]), endless].concat(), Code::ENHANCE_YOUR_CALM);
    let large: Vec<u8> = (0..4).flat_map(|_| frame(kind::CONTINUATION, 0, 3, &[0; LARGEST])).collect();
    fatal(&[frame(kind::HEADERS, 0, 3, &[0; LARGEST]), large].concat(), Code::ENHANCE_YOUR_CALM);
    reset(&frame(kind::WINDOW_UPDATE, 0, 1, &[0; 4]), Code::PROTOCOL_ERROR);
    reset(&frame(kind::WINDOW_UPDATE, 0, 1, &[0x7f, 0xff, 0xff, 0xff]), Code::FLOW_CONTROL_ERROR);
    reset(&frame(kind::HEADERS, flag::END_HEADERS, 1, &[]), Code::PROTOCOL_ERROR);
    reset(&frame(kind::HEADERS, flag::END_HEADERS | flag::END_STREAM, 1, &[0x83]), Code::PROTOCOL_ERROR);
    check(&frame(99, 0xff, 77, b"what nobody knows"), Ok(vec![]));
    let data = frame(kind::DATA, 0, 1, &[0; LARGEST]);
    let (_, mut server) = opened();
    server.hear(&data.repeat(3)).unwrap();
    assert_eq!(server.hear(&data), Ok(vec![Heard::Reset(1, Code::FLOW_CONTROL_ERROR)]));
    assert_eq!(server.hear(&data), Ok(vec![]), "it was in flight");
    let (_, mut server) = opened();
    let more = [3, 5].map(|id| frame(kind::HEADERS, flag::END_HEADERS, id, &[0x83, 0x86, 0x84]));
    server.hear(&more.concat()).unwrap();
    let of_all: Vec<u8> =
        [1, 3, 5].into_iter().flat_map(|id| frame(kind::DATA, 0, id, &[0; LARGEST]).repeat(3)).collect();
    assert_eq!(server.hear(&of_all).map_err(|fatal| fatal.code), Err(Code::FLOW_CONTROL_ERROR), "of all streams");
}

#[test]
fn a_connection_begins_as_http2_does() {
    let check = |bytes: &[u8]| {
        let (_, mut server) = Peer::both();
        assert_eq!(server.hear(bytes).unwrap_err().code, Code::PROTOCOL_ERROR);
    };
    check(b"GET / HTTP/1.1\r\n\r\n");
    check(&[PREFACE, &frame(kind::PING, 0, 0, &[0; 8])].concat());
    check(&[PREFACE, &frame(kind::SETTINGS, flag::ACK, 0, &[])].concat());
}

#[test]
fn malformed_heads_open_no_stream() {
    let head = |fields: &[(&str, &str)]| {
        let (mut client, mut server) = Peer::both();
        client.connection.open();
        client.says(&mut server, usize::MAX);
        let mut block = Vec::new();
        let encoder = hpack::Encoder::new();
        fields.iter().for_each(|(name, value)| encoder.field(name.as_bytes(), value.as_bytes(), false, &mut block));
        server.connection.output().advance(usize::MAX / 2);
        let heard = server.hear(&frame(kind::HEADERS, flag::END_HEADERS, 1, &block)).unwrap();
        assert_eq!(heard.is_empty(), server.connection.is_idle());
        server.connection.is_idle().then(|| *server.connection.output().waiting().last().unwrap())
    };
    let (m, s, p) = ((":method", "POST"), (":scheme", "http"), (":path", "/a"));
    let malformed = Some(1);
    assert_eq!(head(&[m, s, p, ("te", "trailers")]), None);
    for fields in [
        &[m, s][..],
        &[m, p],
        &[s, p],
        &[m, m, s, p],
        &[m, s, ("a", "b"), p],
        &[m, s, p, (":status", "200")],
        &[m, s, p, (":what", "")],
        &[m, s, (":path", "")],
        &[m, s, (":path", "a")],
        &[m, s, p, ("A", "b")],
        &[m, s, p, ("a b", "c")],
        &[m, s, p, ("a", "b\nc")],
        &[m, s, p, ("connection", "close")],
        &[m, s, p, ("te", "gzip")],
    ] {
        assert_eq!(head(fields), malformed, "{fields:?}");
    }
}

#[test]
fn what_a_peer_may_have_open_has_an_end_and_what_it_resets_too() {
    let (mut client, mut server) = opened();
    for id in [3, 5, 7] {
        client.connection.open();
        client.connection.head(id, &POST, &HeaderMap::new(), false);
    }
    assert_eq!(client.says(&mut server, usize::MAX), [Heard::Head(3, false), Heard::Head(5, false)]);
    assert_eq!(server.says(&mut client, usize::MAX), [Heard::Reset(7, Code::REFUSED_STREAM)]);
    assert_eq!(server.hear(&rules::given_up(9, 20_001)).unwrap_err().code, Code::ENHANCE_YOUR_CALM);
}

#[test]
fn who_goes_takes_no_streams_and_lets_the_others_go_on() {
    let (mut client, mut server) = opened();
    server.connection.leave_once();
    assert_eq!(server.says(&mut client, usize::MAX), [Heard::Leaves(1)]);
    assert!(client.connection.takes_none() && !client.connection.can_open());
    client.connection.data(1, b"still", true);
    assert_eq!(client.says(&mut server, usize::MAX), [Heard::Data(1, 5, true)]);
}

/// However streams end, what came on them is given back: the connection takes as much at the end as in the beginning.
#[test]
fn no_end_of_a_stream_takes_from_the_connection() {
    let mut random = StdRng::seed_from_u64(9113);
    let (mut client, mut server) = Peer::both();
    let mut held: std::collections::HashMap<u32, usize> = std::collections::HashMap::new();
    let mut said = 0usize;
    for _ in 0..20_000 {
        if client.connection.can_open() && held.len() < 3 {
            let id = client.connection.open();
            client.connection.head(id, &POST, &HeaderMap::new(), false);
            held.insert(id, 0);
        }
        let ids: Vec<u32> = held.keys().copied().collect();
        if ids.is_empty() {
            continue;
        }
        let id = ids[random.random_range(0..ids.len())];
        let count = random.random_range(0..30_000);
        let _told = match random.random_range(0..8) {
            0 => client.connection.forget(id, Code::CANCEL),
            1 => server.connection.forget(id, Code::CANCEL),
            2 => server.connection.reset(id, Code::CANCEL),
            3 => {
                server.connection.head(id, &OK, &HeaderMap::new(), true);
                server.connection.finish(id, Code::NO_ERROR);
                false
            }
            _ => {
                said += client.connection.data(id, &vec![7; count], random.random_bool(0.1));
                false
            }
        };
        client.connection.pump(|_, _| {});
        for heard in client.says(&mut server, usize::MAX) {
            if let Heard::Data(id, count, _) = heard {
                *held.entry(id).or_default() += count;
            }
        }
        for (id, count) in &mut held {
            let now = random.random_range(0..=*count);
            *count -= now;
            server.connection.forwarded(*id, now);
        }
        // Those that were reset and hold something are asked about for as long as they do.
        held.retain(|id, count| server.connection.has(*id) && (client.connection.has(*id) || *count > 0));
        server.says(&mut client, usize::MAX);
        held.retain(|id, count| client.connection.has(*id) || *count > 0 && server.connection.has(*id));
    }
    assert!(said > 100 * LIMITS.connection_window as usize, "the window was used many times over: {said}");
}

#[test]
fn streams_that_waited_and_are_over_leave_nothing_behind() {
    let (mut client, _server) = opened();
    // There is no window left of the connection, and one of each stream.
    client.connection.send = 0;
    for _ in 0..10_000 {
        let id = client.connection.open();
        client.connection.head(id, &POST, &HeaderMap::new(), false);
        assert_eq!(client.connection.data(id, b"waits", false), 0);
        client.connection.forget(id, Code::CANCEL);
        // What was written is of no matter here.
        let written = client.connection.output().waiting().len();
        client.connection.output().advance(written);
        client.connection.pump(|_, _| {});
    }
    assert!(client.connection.row.len() < 100, "{}", client.connection.row.len());
}

#[test]
fn whoever_goes_twice_names_no_stream_that_was_not_looked_at() {
    let (mut client, mut server) = opened();
    server.connection.leave_once();
    client.connection.open();
    client.connection.head(3, &POST, &HeaderMap::new(), false);
    client.says(&mut server, usize::MAX);
    server.connection.leave(Code::PROTOCOL_ERROR);
    assert_eq!(server.says(&mut client, usize::MAX), [Heard::Leaves(1), Heard::Leaves(1)]);
}

#[test]
fn bytes_by_chance_end_nothing_but_their_connection() {
    let mut random = StdRng::seed_from_u64(2);
    for _ in 0..20_000 {
        let (_, mut server) = opened();
        for _ in 0..6 {
            let payload: Vec<u8> = (0..random.random_range(0..40)).map(|_| random.random()).collect();
            let bytes = frame(random.random_range(0..11), random.random(), random.random_range(0..6), &payload);
            if server.hear(&bytes).is_err() {
                break;
            }
        }
    }
}
