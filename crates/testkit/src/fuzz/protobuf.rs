//! Protobuf messages as lists of fields, for mutations; and several messages in one input.

/// One field as it stands on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// The number.
    pub number: u32,
    /// What it holds.
    pub value: Value,
}

/// What a field holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Wire type 0.
    Varint(u64),
    /// Wire type 1.
    Fixed64([u8; 8]),
    /// Wire type 2.
    Bytes(Vec<u8>),
    /// Wire type 5.
    Fixed32([u8; 4]),
}

/// Returns the fields of a message, or `None` if it is none.
pub fn fields(mut rest: &[u8]) -> Option<Vec<Field>> {
    let mut fields = Vec::new();
    while !rest.is_empty() {
        let tag = varint(&mut rest)?;
        let number = u32::try_from(tag >> 3).ok().filter(|number| (1..1 << 29).contains(number))?;
        let value = match tag & 7 {
            0 => Value::Varint(varint(&mut rest)?),
            1 => Value::Fixed64(take(&mut rest, 8)?.try_into().ok()?),
            2 => {
                let length = varint(&mut rest)?;
                Value::Bytes(take(&mut rest, usize::try_from(length).ok()?)?.to_vec())
            }
            5 => Value::Fixed32(take(&mut rest, 4)?.try_into().ok()?),
            _ => return None,
        };
        fields.push(Field { number, value });
    }
    Some(fields)
}

/// Writes fields as a message.
pub fn message(fields: &[Field]) -> Vec<u8> {
    let mut out = Vec::new();
    for Field { number, value } in fields {
        let mut tag = |wire_type: u64| put_varint(u64::from(*number) << 3 | wire_type, &mut out);
        match value {
            Value::Varint(value) => {
                tag(0);
                put_varint(*value, &mut out);
            }
            Value::Fixed64(bytes) => {
                tag(1);
                out.extend_from_slice(bytes);
            }
            Value::Bytes(bytes) => {
                tag(2);
                put_varint(bytes.len() as u64, &mut out);
                out.extend_from_slice(bytes);
            }
            Value::Fixed32(bytes) => {
                tag(5);
                out.extend_from_slice(bytes);
            }
        }
    }
    out
}

/// Writes messages one after the other, each behind its length.
pub fn joined<'a>(messages: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut out = Vec::new();
    for message in messages {
        put_varint(message.len() as u64, &mut out);
        out.extend_from_slice(message);
    }
    out
}

/// Reads messages that stand one after the other; what is left behind a length that lies is the last one.
pub fn split(mut rest: &[u8]) -> Vec<&[u8]> {
    let mut messages = Vec::new();
    while !rest.is_empty() {
        let Some(length) = varint(&mut rest) else { break };
        let length = usize::try_from(length).unwrap_or(usize::MAX).min(rest.len());
        let (message, after) = rest.split_at(length);
        messages.push(message);
        rest = after;
    }
    messages
}

/// Returns whether a message holds a group (wire types 3 and 4) at its top level, or is none at all.
pub fn is_plain(message: &[u8]) -> bool {
    fields(message).is_some()
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(length)?;
    *rest = left;
    Some(taken)
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for index in 0..10 {
        let byte = *take(rest, 1)?.first()?;
        value |= u64::from(byte & 0x7f).checked_shl(7 * index)?;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn put_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_its_fields() {
        let fields_of_all_kinds = [
            Field { number: 1, value: Value::Varint(u64::MAX) },
            Field { number: 2, value: Value::Fixed64([7; 8]) },
            Field { number: 300, value: Value::Bytes(b"text".to_vec()) },
            Field { number: 3, value: Value::Fixed32([9; 4]) },
        ];
        assert_eq!(fields(&message(&fields_of_all_kinds)).unwrap(), fields_of_all_kinds);
        assert_eq!(fields(&[0x0a, 5, 1]), None);
        assert_eq!(fields(&[0x0b, 0x0c]), None, "a group");
    }

    #[test]
    fn messages_are_split_where_they_were_joined() {
        let long = vec![7; 300];
        let messages: [&[u8]; 3] = [b"one", b"", &long];
        assert_eq!(split(&joined(messages)), messages);
        assert_eq!(split(&[200, 1, 7]), [&[7][..]], "a length that lies");
    }
}
