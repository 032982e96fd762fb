//! Header blocks of the near side (RFC 7541): whoever remembers and compresses is understood, garbage ends the connection, since
//! nobody knows any more what the other side remembers.

use super::{Ends, call, check, request};
use crate::stage::{
    passage::{Passage, with_each_relay},
    raw_http2::{Raw, flag, frame, headers, kind, setting, string},
    way::Way,
};

with_each_relay! {
    garbage_ends_the_connection
    what_a_client_remembers_is_understood
    a_block_in_pieces_is_understood
    a_table_of_another_size_is_understood
}

async fn garbage_ends_the_connection(way: Way) {
    // After a call that would be good by itself.
    let bad = |bytes: &[u8]| headers(1, &[&call("bad"), bytes].concat());
    check(
        way,
        vec![
            ("an index of nothing", Ends::Connection, bad(&[0x80 | 62])),
            ("index 0", Ends::Connection, bad(&[0x80])),
            ("a name of nothing", Ends::Connection, bad(&[&[0x40 | 62][..], &string("x")].concat())),
            ("an index without an end", Ends::Connection, bad(&[0xff])),
            ("an index above all numbers", Ends::Connection, bad(&[&[0xff][..], &[0xff; 12], &[0x7f]].concat())),
            ("a string that is cut", Ends::Connection, bad(&[0, 5, b'x'])),
            ("a value that is cut", Ends::Connection, bad(&[0, 1, b'x', 5, b'y'])),
            ("padding of eight bits", Ends::Connection, bad(&[0, 0x82, 0xf3, 0xff, 1, b'x'])),
            ("padding of zeros", Ends::Connection, bad(&[0, 0x81, 0xf0, 1, b'x'])),
            ("the end of all strings", Ends::Connection, bad(&[0, 0x84, 0xff, 0xff, 0xff, 0xff, 1, b'x'])),
            (
                "a table larger than it may be",
                Ends::Connection,
                headers(1, &[&[0x3f, 0xe2, 0x1f][..], &call("bad")].concat()),
            ),
        ],
    )
    .await;
}

async fn what_a_client_remembers_is_understood(way: Way) {
    let mut passage = Passage::start(way).await;
    let mut raw = Raw::client(passage.relay.near, &[]).await;
    // `custom-key: custom-value`, compressed, to be remembered (RFC 7541, C.4.3).
    let remembered = [
        &[0x40, 0x88, 0x25, 0xa8, 0x49, 0xe9, 0x5b, 0xa9, 0x7d, 0x7f][..],
        &[0x89, 0x25, 0xa8, 0x49, 0xe9, 0x5b, 0xb8, 0xe8, 0xb4, 0xbf],
    ]
    .concat();
    raw.send(&headers(1, &[call("one"), remembered].concat())).await;
    assert_eq!(passage.arrives("one").await.headers["custom-key"], "custom-value");
    // All of it, and its name with another value, which is remembered before it.
    raw.send(&headers(3, &[&call("two")[..], &[0x80 | 62]].concat())).await;
    assert_eq!(passage.arrives("two").await.headers["custom-key"], "custom-value");
    raw.send(&headers(5, &[&call("three")[..], &[0x40 | 62], &string("other")].concat())).await;
    assert_eq!(passage.arrives("three").await.headers["custom-key"], "other");
    raw.send(&headers(7, &[&call("four")[..], &[0x80 | 62, 0x80 | 63]].concat())).await;
    let four = passage.arrives("four").await;
    assert_eq!(four.headers.get_all("custom-key").iter().collect::<Vec<_>>(), ["other", "custom-value"]);
    // Everything else of the call from tables, too: POST, http, and the path as one that is never to be remembered.
    let rest = call("five").split_off(call_length_before_path());
    raw.send(&headers(9, &[&[0x83, 0x86][..], &rest, &[0x80 | 63]].concat())).await;
    assert_eq!(passage.arrives("five").await.headers["custom-key"], "custom-value");
    passage.serves().await;
}

/// How many bytes of a call are its method and its scheme.
fn call_length_before_path() -> usize {
    crate::stage::raw_http2::block(&[(":method", "POST"), (":scheme", "http")]).len()
}

async fn a_block_in_pieces_is_understood(way: Way) {
    let mut passage = Passage::start(way).await;
    let mut raw = Raw::client(passage.relay.near, &[]).await;
    // A few, and no more: whoever sends a frame for each byte is no peer of ours.
    let pieces = call("pieces").chunks(50).flat_map(|piece| frame(kind::CONTINUATION, 0, 1, piece)).collect();
    raw.send(&[frame(kind::HEADERS, 0, 1, &[]), pieces, frame(kind::CONTINUATION, flag::END_HEADERS, 1, &[])].concat())
        .await;
    passage.arrives("pieces").await;
    // With padding and a priority around it.
    let mut padded = vec![200, 0, 0, 0, 0, 16];
    padded.extend(call("padded"));
    padded.extend([0; 200]);
    let flags = flag::PADDED | flag::PRIORITY | flag::END_HEADERS;
    raw.send(&frame(kind::HEADERS, flags, 3, &padded)).await;
    passage.arrives("padded").await;
    passage.serves().await;
}

async fn a_table_of_another_size_is_understood(way: Way) {
    let mut passage = Passage::start(way).await;
    // What the client says of its own table is for what it is answered.
    let mut raw = Raw::client(passage.relay.near, &[(setting::HEADER_TABLE_SIZE, 0)]).await;
    let remember = |name, value| [&[0x40][..], &string(name), &string(value)].concat();
    raw.send(&headers(1, &[call("one"), remember("kept", "a")].concat())).await;
    passage.arrives("one").await;
    // Smaller, which forgets all, and as large as before: room for one.
    raw.send(&headers(3, &[&[0x20, 0x3f, 0xe1, 0x1f][..], &call("two"), &remember("kept", "b")].concat())).await;
    passage.arrives("two").await;
    raw.send(&headers(5, &[&call("three")[..], &[0x80 | 62]].concat())).await;
    let mut three = passage.arrives("three").await;
    assert_eq!(three.headers["kept"], "b");
    three.end(5, "over");
    raw.find(|frame| frame.stream == 5 && frame.ends()).await;
    raw.send(&headers(7, &[&call("bad")[..], &[0x80 | 63]].concat())).await;
    raw.gone().await;
    passage.serves().await;
    assert!(!passage.has_arrived("bad"), "what is forgotten is nothing");
    let mut raw = Raw::client(passage.relay.near, &[]).await;
    raw.send(&request(1, "after")).await;
    passage.arrives("after").await;
}
