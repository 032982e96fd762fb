//! Checks values against a schema, in the words of the OpenAPI validator that peers use.

use serde_json::{Map, Value};

use super::{Node, Shape, member, open};

/// Adds a sentence for each violation in an object at `path`; the path of a document is empty.
pub(crate) fn check(shape: &Shape, map: &Map<String, Value>, path: &str, found: &mut Vec<String>) {
    Rules::Document.check(shape, map, path, found);
}

/// Adds a sentence for each member of a spec that a peer could not decode, or would take for another one.
///
/// What is missing, null, unknown or no value of its list can be decoded. Real peers read the name of a member without
/// regard to case, so that `To` would stand for `to` there and for nothing here. Zones of 2.x decode members that 3.0 has
/// not any more: `from` of policies, with the content of `to` or `rules`, and the tags that a service selects.
pub(crate) fn check_decodable(shape: &Shape, spec: &Map<String, Value>, found: &mut Vec<String>) {
    static TAGS: Node = Node::Object(&open(&[member("dataplaneTags", Node::Texts)]));
    Rules::Peer.check(shape, spec, "spec", found);
    let node_of = |name: &str| shape.members.iter().find(|member| member.name == name).map(|member| &member.node);
    let of_2x = [("from", node_of("to").or_else(|| node_of("rules"))), ("selector", Some(&TAGS))];
    for (name, node) in of_2x {
        if let (Some(node), Some(value)) = (node, spec.get(name).filter(|value| !value.is_null())) {
            Rules::Peer.check_value(node, value, &join("spec", name), found);
        }
    }
    found.sort();
    found.dedup();
}

/// How much is asked of a value.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rules {
    /// What a user writes.
    Document,
    /// What another control plane has taken already.
    Peer,
}

impl Rules {
    fn check(self, shape: &Shape, map: &Map<String, Value>, path: &str, found: &mut Vec<String>) {
        for member in shape.members {
            match map.get(member.name) {
                Some(Value::Null) if self == Self::Peer => {}
                Some(value) => self.check_value(&member.node, value, &join(path, member.name), found),
                None if self == Self::Document && member.required && member.default.is_none() => {
                    found.push(format!("{path}.{} in body is required", member.name))
                }
                None => {}
            }
        }
        if self == Self::Peer {
            for key in map.keys() {
                let meant =
                    shape.members.iter().find(|member| member.name != key && folded(key).eq(folded(member.name)));
                if let Some(member) = meant {
                    found.push(format!("{} in body is read as {} by others", join(path, key), member.name));
                }
            }
        }
    }

    fn check_value(self, node: &Node, value: &Value, path: &str, found: &mut Vec<String>) {
        let integer = |value: &Value| value.is_i64() || value.is_u64() || (self == Self::Document && is_whole(value));
        let wanted = match node {
            Node::Any => return,
            Node::Text | Node::Span if value.is_string() => return,
            Node::Text | Node::Span => "string",
            Node::Flag if value.is_boolean() => return,
            Node::Flag => "boolean",
            Node::Integer if integer(value) => return,
            Node::Integer => "integer",
            Node::IntegerOrText if integer(value) || value.is_string() => return,
            Node::IntegerOrText => "integer,string",
            Node::OneOf(allowed) => {
                if let Some(text) = value.as_str() {
                    if self == Self::Document && !allowed.contains(&text) {
                        found.push(format!("{path} in body should be one of [{}]", allowed.join(" ")));
                    }
                    return;
                }
                "string"
            }
            Node::Texts => {
                if let Some(map) = value.as_object() {
                    for (key, value) in map {
                        self.check_value(&Node::Text, value, &join(path, key), found);
                    }
                    return;
                }
                "object"
            }
            Node::List(item) => {
                if let Some(items) = value.as_array() {
                    for (index, value) in items.iter().enumerate() {
                        if self == Self::Document || !value.is_null() {
                            self.check_value(item, value, &format!("{path}[{index}]"), found);
                        }
                    }
                    return;
                }
                "array"
            }
            Node::Object(shape) => {
                if let Some(map) = value.as_object() {
                    self.check(shape, map, path, found);
                    return;
                }
                "object"
            }
        };
        found.push(format!("{path} in body must be of type {wanted}: \"{}\"", type_name(value)));
    }
}

/// The letters of a name as decoders compare them: two that are no ASCII fold onto ASCII ones.
fn folded(name: &str) -> impl Iterator<Item = char> {
    name.chars().map(|letter| match letter {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        letter => letter.to_ascii_lowercase(),
    })
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

fn is_whole(value: &Value) -> bool {
    value.as_f64().is_some_and(|number| number.fract() == 0.0)
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}
