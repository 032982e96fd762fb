//! Messages that name a zone, another one, both, or nobody; and whatever else bytes can be.

use proptest::prelude::*;
use prost::Message as _;
use wire::envoy::{
    config::core::v3::{ControlPlane, Node},
    service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse, Resource},
};

use super::*;

const ZONE: &str = "west";

fn scan(rule: Rule, bytes: &[u8], piece: usize) -> Result<(), Wrong> {
    let mut progress = Progress::default();
    for piece in bytes.chunks(piece) {
        let mut scanner = Scanner::new(ZONE, rule, progress);
        scanner.feed(piece)?;
        progress = scanner.progress();
    }
    Scanner::new(ZONE, rule, progress).finish()
}

/// However the bytes are cut, the answer is the same.
fn check(rule: Rule, bytes: &[u8], expected: Result<(), Wrong>) {
    for piece in [1, 2, 3, 7, 4096] {
        assert_eq!(scan(rule, bytes, piece), expected, "{bytes:?} in pieces of {piece}");
    }
}

fn request(id: Option<&str>) -> Vec<u8> {
    DeltaDiscoveryRequest {
        node: id.map(|id| Node { id: id.to_owned(), metadata: Some(prost_types::Struct::default()) }),
        type_url: "Mesh".to_owned(),
        resource_names_subscribe: vec!["*".to_owned()],
        response_nonce: "1".to_owned(),
        ..Default::default()
    }
    .encode_to_vec()
}

fn response(identifier: Option<&str>) -> Vec<u8> {
    DeltaDiscoveryResponse {
        type_url: "Dataplane".to_owned(),
        nonce: "1".to_owned(),
        resources: vec![Resource { name: "east".to_owned(), ..Default::default() }],
        control_plane: identifier.map(|name| ControlPlane { identifier: name.to_owned() }),
        ..Default::default()
    }
    .encode_to_vec()
}

const OTHER_NODE: Result<(), Wrong> = Err(Wrong::Other("node.id"));
const OTHER_IDENTIFIER: Result<(), Wrong> = Err(Wrong::Other("control_plane.identifier"));

#[test]
fn a_request_must_name_the_zone() {
    check(Rule::Node, &request(Some("west")), Ok(()));
    for other in ["east", "wes", "west2", "wesT", "west\0"] {
        check(Rule::Node, &request(Some(other)), OTHER_NODE);
    }
    for nobody in [request(None), request(Some("")), Vec::new()] {
        check(Rule::Node, &nobody, Err(Wrong::NoNode));
    }
}

#[test]
fn every_one_of_several_names_counts() {
    for (first, second) in [("west", "east"), ("east", "west")] {
        // A second node, and a second id in one node: the last one wins there.
        check(Rule::Node, &[request(Some(first)), request(Some(second))].concat(), OTHER_NODE);
        let id = |id: &str| [&[0x0a, 4], id.as_bytes()].concat();
        let node = [id(first), id(second)].concat();
        check(Rule::Node, &[&[0x0a, u8::try_from(node.len()).unwrap()], node.as_slice()].concat(), OTHER_NODE);
        check(Rule::Identifier, &[response(Some(first)), response(Some(second))].concat(), OTHER_IDENTIFIER);
    }
    check(Rule::Node, &[request(Some("west")), request(None), request(Some("west"))].concat(), Ok(()));
    // An empty name after the right one is the last one, too.
    check(Rule::Node, b"\x0a\x06\x0a\x04west\x0a\x02\x0a\x00", OTHER_NODE);
    check(Rule::Identifier, b"\x3a\x06\x0a\x04west\x3a\x02\x0a\x00", OTHER_IDENTIFIER);
}

#[test]
fn a_response_names_the_zone_or_nobody() {
    for good in [response(Some("west")), response(None), response(Some("")), Vec::new()] {
        check(Rule::Identifier, &good, Ok(()));
    }
    check(Rule::Identifier, &response(Some("east")), OTHER_IDENTIFIER);
}

#[test]
fn what_nobody_sends_is_refused() {
    let malformed = |bytes: &[u8]| {
        for rule in [Rule::Node, Rule::Identifier] {
            for piece in [1, 4096] {
                assert!(matches!(scan(rule, bytes, piece), Err(Wrong::Malformed(_))), "{bytes:?}");
            }
        }
    };
    // A group, one that ends nothing, types that do not exist.
    [b"\x13\x14", b"\x14\x00", b"\x16\x00", b"\x17\x00"].iter().for_each(|bytes| malformed(*bytes));
    // Field 0, a field beyond the largest number, a number that does not end.
    malformed(b"\x02\x00");
    malformed(b"\x82\x80\x80\x80\x10\x00");
    malformed(&[0x10, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]);
    // A field that is cut, or longer than the node it is in.
    malformed(b"\x12\x05abc");
    assert!(matches!(scan(Rule::Node, b"\x0a\x03\x0a\x04west", 4096), Err(Wrong::Malformed(_))));
    assert!(matches!(scan(Rule::Node, b"\x0a\x07\x0a\x04west\x0a", 4096), Err(Wrong::Malformed(_))));
    // The node as a number, and its id as one.
    assert!(matches!(scan(Rule::Node, b"\x08\x01", 4096), Err(Wrong::Malformed(_))));
    assert!(matches!(scan(Rule::Node, b"\x0a\x02\x08\x01", 4096), Err(Wrong::Malformed(_))));
}

#[test]
fn names_written_at_length_are_the_same_names() {
    // The tag, the length and the length of the id, each with a byte more than it needs.
    check(Rule::Node, b"\x8a\x00\x88\x00\x8a\x00\x84\x00west", Ok(()));
    check(Rule::Node, b"\x8a\x00\x88\x00\x8a\x00\x84\x00east", OTHER_NODE);
}

/// What a real global makes of it: nobody has a zone that is not named so.
fn believed(rule: Rule, bytes: &[u8]) -> Option<String> {
    match rule {
        Rule::Node => DeltaDiscoveryRequest::decode(bytes).ok()?.node.map(|node| node.id),
        Rule::Identifier => {
            Some(DeltaDiscoveryResponse::decode(bytes).ok()?.control_plane.map(|us| us.identifier).unwrap_or_default())
        }
    }
}

fn name() -> impl Strategy<Value = &'static str> {
    prop_oneof![4 => Just("west"), 1 => Just("east"), 1 => Just("")]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Messages behind one another, with bytes changed: what goes through is believed to be the zone, or is believed by
    /// nobody.
    #[test]
    fn what_goes_through_is_the_zone(
        names in prop::collection::vec(name(), 1..4),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
        cut in 0..4_usize,
        piece in 1..20_usize,
    ) {
        for rule in [Rule::Node, Rule::Identifier] {
            let make = |name: &&str| if rule == Rule::Node { request(Some(name)) } else { response(Some(name)) };
            let mut bytes: Vec<u8> = names.iter().flat_map(make).collect();
            for (at, byte) in &changes {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
            }
            bytes.truncate(bytes.len() - cut.min(bytes.len()));
            if scan(rule, &bytes, piece).is_ok()
                && let Some(name) = believed(rule, &bytes)
            {
                prop_assert!(name == ZONE || rule == Rule::Identifier && name.is_empty(), "{bytes:?} is {name:?}");
            }
        }
    }

    #[test]
    fn any_bytes_have_one_answer(bytes in prop::collection::vec(any::<u8>(), 0..200), piece in 1..50_usize) {
        for rule in [Rule::Node, Rule::Identifier] {
            let whole = scan(rule, &bytes, 4096);
            prop_assert_eq!(scan(rule, &bytes, piece), whole);
            if whole.is_ok() && let Some(name) = believed(rule, &bytes) {
                prop_assert!(name == ZONE || rule == Rule::Identifier && name.is_empty());
            }
        }
    }
}
