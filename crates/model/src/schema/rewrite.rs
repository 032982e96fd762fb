//! Writes a checked value as peers would: defaults, durations in one form, members in the order of the table.

use serde_json::{Map, Value};

use super::{Fill, Node, Shape};
use crate::duration::{self, DurationError};

/// Returns the object with defaults, normal durations and without members that a closed shape does not know.
pub(crate) fn rewrite(shape: &Shape, mut map: Map<String, Value>) -> Result<Map<String, Value>, DurationError> {
    let mut written = Map::new();
    for member in shape.members {
        let value = match (map.shift_remove(member.name), member.default) {
            (Some(value), _) => rewrite_value(&member.node, value)?,
            (None, Some(Fill::Text(text))) => Value::from(text),
            (None, Some(Fill::Flag(flag))) => Value::from(flag),
            (None, None) => continue,
        };
        written.insert(member.name.to_owned(), value);
    }
    if !shape.closed {
        written.append(&mut map);
    }
    Ok(written)
}

fn rewrite_value(node: &Node, value: Value) -> Result<Value, DurationError> {
    Ok(match (node, value) {
        (Node::Span, Value::String(text)) => Value::from(duration::format(duration::parse(&text)?)),
        (Node::Object(shape), Value::Object(map)) => Value::Object(rewrite(shape, map)?),
        (Node::List(item), Value::Array(items)) => {
            Value::Array(items.into_iter().map(|value| rewrite_value(item, value)).collect::<Result<_, _>>()?)
        }
        (_, value) => value,
    })
}
