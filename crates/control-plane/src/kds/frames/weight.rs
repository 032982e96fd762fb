//! What a message would weigh once it is decoded, looked at before that.
//!
//! The size limit bounds the bytes on the wire. An empty resource is two bytes there and a hundred in memory, and 10 MiB
//! of them are 20 KB once compressed: without a look at the number of parts, a zone could fill the memory of its global.

use prost::encoding::{WireType, decode_key, decode_varint, skip_field};
use thiserror::Error;

/// Resources, names or versions in one message: a real resource is more than 60 bytes, so that 10 MiB hold fewer.
const PARTS: usize = 250_000;
/// Names of removed resources: they are short, and cost little.
const REMOVALS: usize = 1_000_000;
/// Field 6 of a response; field 6 of a request comes once.
const REMOVED_RESOURCES: u32 = 6;
/// A `node` may hold any structure; a real one has 10 KB.
const NODE: u64 = 1024 * 1024;
/// Field 1 of a request; field 1 of a response is a version, or part of a sentence.
const NODE_FIELD: u32 = 1;

/// A message that is not decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum TooHeavy {
    /// One of its lists is longer than any real one.
    #[error("the message has more than {limit} parts of one kind")]
    Parts {
        /// How many are allowed.
        limit: usize,
    },
    /// Its node is larger than any real one.
    #[error("the message has a `node` of more than {NODE} bytes")]
    Node,
}

/// Checks a message of either sync stream, or of another one, which has no lists. What is malformed is left to the decoder.
pub(crate) fn check(mut message: &[u8]) -> Result<(), TooHeavy> {
    let mut counts = [0; 8];
    while let Ok((field, wire_type)) = decode_key(&mut message) {
        if let Some(count) = usize::try_from(field).ok().and_then(|field| counts.get_mut(field)) {
            *count += 1;
            let limit = if field == REMOVED_RESOURCES { REMOVALS } else { PARTS };
            if *count > limit {
                return Err(TooHeavy::Parts { limit });
            }
        }
        let mut length = message;
        if field == NODE_FIELD
            && wire_type == WireType::LengthDelimited
            && decode_varint(&mut length).is_ok_and(|length| length > NODE)
        {
            return Err(TooHeavy::Node);
        }
        if skip_field(wire_type, field, &mut message, Default::default()).is_err() {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use wire::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse, Resource};

    use super::*;

    fn response(resources: usize, removals: usize) -> Vec<u8> {
        DeltaDiscoveryResponse {
            type_url: "Dataplane".to_owned(),
            resources: vec![Resource::default(); resources],
            removed_resources: vec![String::new(); removals],
            ..Default::default()
        }
        .encode_to_vec()
    }

    #[test]
    fn lists_have_a_limit() {
        assert_eq!(check(&response(PARTS, REMOVALS)), Ok(()));
        assert_eq!(check(&response(PARTS + 1, 0)), Err(TooHeavy::Parts { limit: PARTS }));
        assert_eq!(check(&response(0, REMOVALS + 1)), Err(TooHeavy::Parts { limit: REMOVALS }));
        let names = vec![String::new(); PARTS + 1];
        let request = DeltaDiscoveryRequest { resource_names_subscribe: names, ..Default::default() };
        assert_eq!(check(&request.encode_to_vec()), Err(TooHeavy::Parts { limit: PARTS }));
    }

    #[test]
    fn a_node_has_a_limit() {
        for (size, expected) in [(1024 * 1024, Ok(())), (1024 * 1024 + 1, Err(TooHeavy::Node))] {
            // Field 1 with so many bytes.
            let mut message = vec![0x0a];
            prost::encode_length_delimiter(size, &mut message).unwrap();
            message.resize(message.len() + size, 0);
            assert_eq!(check(&message), expected, "{size}");
        }
    }

    #[test]
    fn what_is_malformed_is_left_to_the_decoder() {
        for message in [&[][..], &[0xff; 64], &[0x12], &[0x12, 0x7f], &[0x00, 0x00]] {
            assert_eq!(check(message), Ok(()));
        }
    }
}
