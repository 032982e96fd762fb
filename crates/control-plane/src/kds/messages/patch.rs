//! Changes single fields of protobuf specs without decoding them, so that fields unknown here survive.

use bytes::Bytes;

/// A spec that is no protobuf message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the spec is no protobuf message")]
pub(crate) struct NotProtobuf;

/// Removes `generation` (7) of every subscription (1): on the wire to global it is always 0 (contract: kds 7.3).
pub(crate) fn without_generations(spec: &[u8]) -> Result<Bytes, NotProtobuf> {
    let out = rewrite(spec, &mut |number, field| match (number, field) {
        (1, Field::Bytes(subscription)) => {
            let kept = rewrite(subscription, &mut |number, _| Ok(if number == 7 { Edit::Drop } else { Edit::Keep }))?;
            Ok(Edit::Replace(kept))
        }
        _ => Ok(Edit::Keep),
    })?;
    Ok(out.into())
}

/// Sets the value of key `kuma.io/zone` to `zone` wherever a map at one of `paths` (field numbers, the last one is the
/// map) has that key; returns the new bytes and how many values differed.
pub(crate) fn zone_tags(spec: &[u8], paths: &[&[u32]], zone: &str) -> Result<(Bytes, u64), NotProtobuf> {
    let mut rewritten = 0;
    let mut bytes = spec.to_vec();
    for path in paths {
        bytes = at_path(&bytes, path, zone, &mut rewritten)?;
    }
    Ok((bytes.into(), rewritten))
}

/// Sets the string field `number` of the top level to `value`, at its place in the order of the fields: real peers write
/// in this order, and versions are hashes of the bytes.
pub(crate) fn with_string(spec: &[u8], number: u32, value: &str) -> Result<Bytes, NotProtobuf> {
    let mut out = rewrite(spec, &mut |found, _| Ok(if found < number { Edit::Keep } else { Edit::Drop }))?;
    put_bytes(&mut out, number, value.as_bytes());
    out.extend(rewrite(spec, &mut |found, _| Ok(if found > number { Edit::Keep } else { Edit::Drop }))?);
    Ok(out.into())
}

fn at_path(bytes: &[u8], path: &[u32], zone: &str, rewritten: &mut u64) -> Result<Vec<u8>, NotProtobuf> {
    let Some((first, rest)) = path.split_first() else { return map_entry(bytes, zone, rewritten) };
    rewrite(bytes, &mut |number, field| match field {
        Field::Bytes(inner) if number == *first => Ok(Edit::Replace(at_path(inner, rest, zone, rewritten)?)),
        Field::Bytes(_) | Field::Other => Ok(Edit::Keep),
    })
}

/// One entry of a `map<string, string>`: key 1, value 2.
fn map_entry(entry: &[u8], zone: &str, rewritten: &mut u64) -> Result<Vec<u8>, NotProtobuf> {
    let (mut is_zone, mut value) = (false, Vec::new());
    rewrite(entry, &mut |number, field| {
        if let Field::Bytes(text) = field {
            match number {
                1 => is_zone = text == model::labels::ZONE.as_bytes(),
                2 => value = text.to_vec(),
                _ => {}
            }
        }
        Ok(Edit::Keep)
    })?;
    if !is_zone || value == zone.as_bytes() {
        return Ok(entry.to_vec());
    }
    *rewritten += 1;
    let mut out = Vec::new();
    put_bytes(&mut out, 1, model::labels::ZONE.as_bytes());
    put_bytes(&mut out, 2, zone.as_bytes());
    Ok(out)
}

enum Field<'a> {
    Bytes(&'a [u8]),
    Other,
}

enum Edit {
    Keep,
    Drop,
    Replace(Vec<u8>),
}

/// Walks the fields of one message and writes it again with the edits.
fn rewrite(
    mut rest: &[u8],
    edit: &mut dyn FnMut(u32, Field<'_>) -> Result<Edit, NotProtobuf>,
) -> Result<Vec<u8>, NotProtobuf> {
    let mut out = Vec::with_capacity(rest.len());
    while !rest.is_empty() {
        let start = rest;
        let tag = take_varint(&mut rest)?;
        let number = u32::try_from(tag >> 3).map_err(|_too_large| NotProtobuf)?;
        let field = match tag & 7 {
            0 => take_varint(&mut rest).map(|_| Field::Other)?,
            1 => take(&mut rest, 8).map(|_| Field::Other)?,
            2 => {
                let length = take_varint(&mut rest)?;
                let length = usize::try_from(length).map_err(|_too_large| NotProtobuf)?;
                Field::Bytes(take(&mut rest, length)?)
            }
            5 => take(&mut rest, 4).map(|_| Field::Other)?,
            _ => return Err(NotProtobuf),
        };
        match edit(number, field)? {
            Edit::Keep => {
                let length = start.len() - rest.len();
                out.extend_from_slice(start.get(..length).ok_or(NotProtobuf)?);
            }
            Edit::Drop => {}
            Edit::Replace(bytes) => put_bytes(&mut out, number, &bytes),
        }
    }
    Ok(out)
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Result<&'a [u8], NotProtobuf> {
    let (taken, left) = rest.split_at_checked(length).ok_or(NotProtobuf)?;
    *rest = left;
    Ok(taken)
}

fn take_varint(rest: &mut &[u8]) -> Result<u64, NotProtobuf> {
    prost::encoding::decode_varint(rest).map_err(|_broken| NotProtobuf)
}

fn put_bytes(out: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    prost::encoding::encode_varint(u64::from(number) << 3 | 2, out);
    prost::encoding::encode_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use wire::kuma::mesh::v1alpha1::{
        Dataplane, DataplaneInsight, DiscoverySubscription, ZoneIngress,
        dataplane::{
            Networking,
            networking::{Gateway, Inbound},
        },
    };

    use super::*;

    const UNKNOWN: &[u8] = &[0xfa, 0x01, 0x02, b'h', b'i'];

    #[test]
    fn generations_go_and_everything_else_stays() {
        let one = DiscoverySubscription { id: "a".to_owned(), generation: 7, ..Default::default() };
        let insight = DataplaneInsight { subscriptions: vec![one.clone(), one], ..Default::default() };
        let mut spec = insight.encode_to_vec();
        spec.extend_from_slice(UNKNOWN);
        let patched = without_generations(&spec).unwrap();
        assert!(patched.ends_with(UNKNOWN));
        let read = DataplaneInsight::decode(patched).unwrap();
        assert_eq!(
            read.subscriptions.iter().map(|one| (one.id.as_str(), one.generation)).collect::<Vec<_>>(),
            [("a", 0), ("a", 0)]
        );
    }

    #[test]
    fn zone_tags_follow_the_connection_and_not_the_payload() {
        let tags =
            |zone: &str| [("kuma.io/zone".to_owned(), zone.to_owned()), ("app".to_owned(), "x".to_owned())].into();
        let networking = Networking {
            gateway: Some(Gateway { tags: tags("other"), ..Default::default() }),
            inbound: vec![Inbound { tags: tags("west"), port: 80, ..Default::default() }],
            ..Default::default()
        };
        let spec = Dataplane { networking: Some(networking), ..Default::default() }.encode_to_vec();
        let (patched, rewritten) = zone_tags(&spec, &[&[1, 3, 1], &[1, 1, 2]], "west").unwrap();
        assert_eq!(rewritten, 1);
        let read = Dataplane::decode(patched).unwrap().networking.unwrap();
        assert_eq!(read.gateway.unwrap().tags, tags("west"));
        assert_eq!(read.inbound[0].tags, tags("west"));
    }

    #[test]
    fn a_string_is_set_once() {
        let ingress = |zone: &str| ZoneIngress {
            zone: zone.to_owned(),
            networking: Some(Default::default()),
            ..Default::default()
        };
        for before in ["", "other", "west"] {
            let patched = with_string(&ingress(before).encode_to_vec(), 1, "west").unwrap();
            assert_eq!(patched, ingress("west").encode_to_vec(), "the bytes that a peer writes");
        }
    }

    #[test]
    fn garbage_is_refused() {
        for garbage in [
            &[0xff][..],
            &[0x0a, 0x05, 1],
            &[0x0b],
            &[0x08],
            &[0xc3, 0x3e, 0xc4, 0x3e],
            &[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
        ] {
            assert_eq!(without_generations(garbage), Err(NotProtobuf), "{garbage:?}");
        }
    }
}
