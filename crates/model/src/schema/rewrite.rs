//! Writes a checked value as peers would: defaults, durations in one form, members in the order of the table.

use serde_json::{Map, Value};

use super::{Fill, Node, Shape};
use crate::duration::{self, DurationError};

/// Returns the object with defaults, normal durations and without members that a closed shape does not know; the paths of
/// these are added to `dropped`.
pub(crate) fn rewrite(
    shape: &Shape,
    mut map: Map<String, Value>,
    path: &str,
    dropped: &mut Vec<String>,
) -> Result<Map<String, Value>, DurationError> {
    let mut written = Map::new();
    for member in shape.members {
        let value = match (map.shift_remove(member.name), member.default) {
            (Some(value), _) => rewrite_value(&member.node, value, &format!("{path}.{}", member.name), dropped)?,
            (None, Some(Fill::Text(text))) => Value::from(text),
            (None, Some(Fill::Flag(flag))) => Value::from(flag),
            (None, None) => continue,
        };
        written.insert(member.name.to_owned(), value);
    }
    if shape.closed {
        dropped.extend(map.keys().map(|name| format!("{path}.{name}")));
    } else {
        written.append(&mut map);
    }
    Ok(written)
}

fn rewrite_value(node: &Node, value: Value, path: &str, dropped: &mut Vec<String>) -> Result<Value, DurationError> {
    Ok(match (node, value) {
        (Node::Span, Value::String(text)) => Value::from(duration::format(duration::parse(&text)?)),
        (Node::Object(shape), Value::Object(map)) => Value::Object(rewrite(shape, map, path, dropped)?),
        (Node::List(item), Value::Array(items)) => {
            let mut written = Vec::with_capacity(items.len());
            for (index, value) in items.into_iter().enumerate() {
                written.push(rewrite_value(item, value, &format!("{path}[{index}]"), dropped)?);
            }
            Value::Array(written)
        }
        (_, value) => value,
    })
}
