//! Checks values against a schema, in the words of the OpenAPI validator that peers use.

use serde_json::{Map, Value};

use super::{Node, Shape};

/// Adds a sentence for each violation in an object at `path`; the path of a document is empty.
pub(crate) fn check(shape: &Shape, map: &Map<String, Value>, path: &str, found: &mut Vec<String>) {
    for member in shape.members {
        match map.get(member.name) {
            Some(value) => check_value(&member.node, value, &join(path, member.name), found),
            None if member.required && member.default.is_none() => {
                found.push(format!("{path}.{} in body is required", member.name))
            }
            None => {}
        }
    }
}

fn check_value(node: &Node, value: &Value, path: &str, found: &mut Vec<String>) {
    let wanted = match node {
        Node::Any => return,
        Node::Text | Node::Span if value.is_string() => return,
        Node::Text | Node::Span => "string",
        Node::Flag if value.is_boolean() => return,
        Node::Flag => "boolean",
        Node::Integer if is_integer(value) => return,
        Node::Integer => "integer",
        Node::IntegerOrText if is_integer(value) || value.is_string() => return,
        Node::IntegerOrText => "integer,string",
        Node::OneOf(allowed) => {
            if let Some(text) = value.as_str() {
                if !allowed.contains(&text) {
                    found.push(format!("{path} in body should be one of [{}]", allowed.join(" ")));
                }
                return;
            }
            "string"
        }
        Node::Texts => {
            if let Some(map) = value.as_object() {
                for (key, value) in map {
                    check_value(&Node::Text, value, &join(path, key), found);
                }
                return;
            }
            "object"
        }
        Node::List(item) => {
            if let Some(items) = value.as_array() {
                for (index, value) in items.iter().enumerate() {
                    check_value(item, value, &format!("{path}[{index}]"), found);
                }
                return;
            }
            "array"
        }
        Node::Object(shape) => {
            if let Some(map) = value.as_object() {
                check(shape, map, path, found);
                return;
            }
            "object"
        }
    };
    found.push(format!("{path} in body must be of type {wanted}: \"{}\"", type_name(value)));
}

/// The JSON type of a value, as validators name it.
pub(crate) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn is_integer(value: &Value) -> bool {
    value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|number| number.fract() == 0.0)
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}
