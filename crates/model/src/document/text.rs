//! The text of JSON answers: one space a level, a newline at the end, HTML characters of resources escaped.

use serde::Serialize;
use serde_json::{Value, ser::PrettyFormatter};

/// Prints a resource as REST does.
pub fn to_rest_text(value: &Value) -> String {
    let mut out = Vec::new();
    let mut serializer = serde_json::Serializer::with_formatter(&mut out, PrettyFormatter::with_indent(b" "));
    // A `Value` has string keys and writes into memory: there is nothing that can fail.
    let _written = value.serialize(&mut serializer);
    out.push(b'\n');
    escape_html(&String::from_utf8_lossy(&out))
}

/// Escapes what Go's encoder escapes inside strings: `<`, `>`, `&` and two line separators. Takes JSON text, in which
/// these characters stand in strings alone.
pub fn escape_html(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '<' => escaped.push_str("\\u003c"),
            '>' => escaped.push_str("\\u003e"),
            '&' => escaped.push_str("\\u0026"),
            '\u{2028}' => escaped.push_str("\\u2028"),
            '\u{2029}' => escaped.push_str("\\u2029"),
            other => escaped.push(other),
        }
    }
    escaped
}
