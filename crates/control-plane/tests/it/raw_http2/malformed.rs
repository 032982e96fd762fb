//! Calls whose headers break the rules (RFC 9113, 8.1 to 8.3): none of them comes through.

use super::{Ends, call, call_with, check};
use crate::stage::{
    passage::{MARK, PATH, Passage, with_each_relay},
    raw_http2::{End, Raw, block, data, headers, last_headers, message},
    way::Way,
};
use testkit::kds_server::Over;

with_each_relay! {
    malformed_calls_do_not_come_through
    malformed_trailers_end_the_call_on_both_sides
}

async fn malformed_calls_do_not_come_through(way: Way) {
    let marked = |fields: &[(&str, &str)], mark| {
        let with_mark = [fields, &[("client-id", "west"), (MARK, mark)]].concat();
        headers(1, &block(&with_mark))
    };
    let bad = |fields: &[(&str, &str)]| marked(fields, "bad");
    let forgiven = |fields: &[(&str, &str)]| marked(fields, "forgiven");
    let (method, scheme, path) = ((":method", "POST"), (":scheme", "http"), (":path", PATH));
    let with = |name, value| headers(1, &call_with("bad", &[(name, value)]));
    check(
        way,
        vec![
            ("a name in capitals", Ends::Stream(1), with("X-Odd", "x")),
            ("a name with a space", Ends::Stream(1), with("x odd", "x")),
            ("a name with a colon", Ends::Stream(1), with("x:odd", "x")),
            ("no name", Ends::Stream(1), with("", "x")),
            ("a value with an end of line", Ends::Stream(1), with("x-odd", "x\r\ny: z")),
            ("a value with a zero", Ends::Stream(1), with("x-odd", "x\0")),
            ("no method", Ends::Stream(1), bad(&[scheme, path])),
            ("no scheme", Ends::Stream(1), bad(&[method, path])),
            // Who takes that for the root forgives; nobody serves the root.
            ("no path", Ends::Whatever, forgiven(&[method, scheme])),
            ("an empty path", Ends::Stream(1), bad(&[method, scheme, (":path", "")])),
            ("two methods", Ends::Stream(1), bad(&[method, method, scheme, path])),
            ("two schemes", Ends::Stream(1), bad(&[method, scheme, scheme, path])),
            ("two paths", Ends::Stream(1), bad(&[method, scheme, path, path])),
            ("a late path", Ends::Stream(1), bad(&[method, scheme, ("te", "trailers"), path])),
            ("a status", Ends::Stream(1), bad(&[method, scheme, path, (":status", "200")])),
            ("what nobody knows", Ends::Stream(1), bad(&[method, scheme, path, (":odd", "x")])),
            ("`connection`", Ends::Stream(1), with("connection", "keep-alive")),
            ("`keep-alive`", Ends::Stream(1), with("keep-alive", "timeout=5")),
            ("`proxy-connection`", Ends::Stream(1), with("proxy-connection", "keep-alive")),
            ("`transfer-encoding`", Ends::Stream(1), with("transfer-encoding", "chunked")),
            ("`upgrade`", Ends::Stream(1), with("upgrade", "websocket")),
            ("`te` of something else", Ends::Stream(1), with("te", "gzip")),
        ],
    )
    .await;
}

async fn malformed_trailers_end_the_call_on_both_sides(way: Way) {
    let mut passage = Passage::start(way).await;
    for (name, trailers) in [
        ("with-a-path", last_headers(1, &block(&[(":path", PATH)]))),
        ("with-a-status", last_headers(1, &block(&[(":status", "200")]))),
        ("in-capitals", last_headers(1, &block(&[("X-Odd", "x")]))),
        ("that-do-not-end", headers(1, &block(&[("x-odd", "x")]))),
        ("of-the-connection", last_headers(1, &block(&[("connection", "close")]))),
    ] {
        eprintln!("{name}");
        let mut raw = Raw::client(passage.relay.near, &[]).await;
        raw.send(&[headers(1, &call(name)), data(1, &message(b"said"))].concat()).await;
        let mut there = passage.arrives(name).await;
        assert_eq!(there.next().await.unwrap(), "said");
        raw.send(&trailers).await;
        if there.over().await == Over::Reset {
            let end = raw.end_of(1).await;
            assert!(!matches!(end, End::Reset(0)), "{name}: {end:?}");
        } else {
            // It was forgiven: what is odd is not passed on, or the far side would not have taken it for an end.
            raw.settled().await;
        }
        passage.serves().await;
    }
}
