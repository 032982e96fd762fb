//! Prints JSON values as the YAML that kumactl's users know: sorted keys, two spaces, list items at the indent of
//! their parent, quotes only where a reader would take a text for something else. Long texts are folded after column 80.

mod scalar;
mod sort;

use serde_json::{Map, Value};

/// Prints a value, with a newline at the end. An empty object at the top is printed as `{}`.
pub fn to_string(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Object(map) if !map.is_empty() => mapping(map, 0, &mut out),
        Value::Array(items) if !items.is_empty() => sequence(items, 0, &mut out),
        other => {
            scalar::write(other, 2, 0, &mut out);
            out.push('\n');
        }
    }
    out
}

/// Writes the members; the first one where the writer stands, the others at `indent`.
fn mapping(map: &Map<String, Value>, indent: usize, out: &mut String) {
    let mut members: Vec<_> = map.iter().collect();
    members.sort_by(|(left, _), (right, _)| sort::natural(left, right));
    for (index, (key, value)) in members.into_iter().enumerate() {
        if index > 0 {
            spaces(indent, out);
        }
        scalar::key(key, out);
        out.push(':');
        match value {
            Value::Object(inner) if !inner.is_empty() => {
                out.push('\n');
                spaces(indent + 2, out);
                mapping(inner, indent + 2, out);
            }
            Value::Array(items) if !items.is_empty() => {
                out.push('\n');
                spaces(indent, out);
                sequence(items, indent, out);
            }
            other => {
                out.push(' ');
                scalar::write(other, indent + 2, column(out), out);
                out.push('\n');
            }
        }
    }
}

fn sequence(items: &[Value], indent: usize, out: &mut String) {
    for (index, value) in items.iter().enumerate() {
        if index > 0 {
            spaces(indent, out);
        }
        out.push_str("- ");
        match value {
            Value::Object(inner) if !inner.is_empty() => mapping(inner, indent + 2, out),
            Value::Array(inner) if !inner.is_empty() => sequence(inner, indent + 2, out),
            other => {
                scalar::write(other, indent + 2, column(out), out);
                out.push('\n');
            }
        }
    }
}

fn spaces(count: usize, out: &mut String) {
    out.extend(std::iter::repeat_n(' ', count));
}

/// How many characters stand in the last line.
fn column(out: &str) -> usize {
    out.chars().rev().take_while(|c| *c != '\n').count()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(value: &Value, expected: &str) {
        assert_eq!(to_string(value), expected);
        let read: Value = serde_saphyr::from_str(expected).expect("yaml");
        assert_eq!(&read, value, "read back");
    }

    #[test]
    fn lists_stand_at_the_indent_of_their_parent() {
        check(
            &json!({"spec": {"to": [{"targetRef": {"kind": "Mesh"}, "default": {"connectionTimeout": "2s"}}], "targetRef": {"kind": "Mesh"}}, "name": "t1"}),
            "name: t1\nspec:\n  targetRef:\n    kind: Mesh\n  to:\n  - default:\n      connectionTimeout: 2s\n    targetRef:\n      kind: Mesh\n",
        );
        check(&json!({"a": [["x", "z"], [1]]}), "a:\n- - x\n  - z\n- - 1\n");
        check(
            &json!({"items": [], "next": null, "total": 0, "zone": {}}),
            "items: []\nnext: null\ntotal: 0\nzone: {}\n",
        );
        check(&json!({}), "{}\n");
    }

    #[test]
    fn texts_are_quoted_where_a_reader_would_see_something_else() {
        let check = |text: &str, expected: &str| check(&json!({"a": text}), &format!("a: {expected}\n"));
        check("", "\"\"");
        check("1", "\"1\"");
        check("1.5e3", "\"1.5e3\"");
        check("0x1F", "\"0x1F\"");
        check("true", "\"true\"");
        check("null", "\"null\"");
        check("~", "\"~\"");
        check("2026-11-23T22:41:34.67151577Z", "\"2026-11-23T22:41:34.67151577Z\"");
        check("0001-01-01T00:00:00Z", "\"0001-01-01T00:00:00Z\"");
        check("2026-11-23", "\"2026-11-23\"");
        check("it&#39;s", "it&#39;s");
        check("&lt;&amp;&gt;", "'&lt;&amp;&gt;'");
        check("<&>", "<&>");
        check("{{ x }}", "'{{ x }}'");
        check("a: b", "'a: b'");
        check("a #b", "'a #b'");
        check("it's: so", "'it''s: so'");
        check("- a", "'- a'");
        check("-a", "-a");
        check(" a", "' a'");
        check("a\tb", "\"a\\tb\"");
        check("2h0m0s", "2h0m0s");
        check("http://localhost:5681", "http://localhost:5681");
        check("é", "é");
    }

    #[test]
    fn yaml_1_1_words_are_quoted_too() {
        for word in ["yes", "No", "on", "OFF", "y", "N", "10:30", "1_000", "0b1", "-.inf", "<<"] {
            assert_eq!(to_string(&json!({"a": word})), format!("a: \"{word}\"\n"));
        }
    }

    #[test]
    fn lines_are_written_as_a_block() {
        check(&json!({"a": "x\ny\n"}), "a: |\n  x\n  y\n");
        check(&json!({"a": {"b": "x\n\ny"}}), "a:\n  b: |-\n    x\n\n    y\n");
        check(&json!({"a": ["x\n\n"]}), "a:\n- |+\n  x\n\n");
        check(&json!({"a": "x \ny"}), "a: \"x \\ny\"\n");
    }

    #[test]
    fn long_texts_are_folded_at_blanks_after_column_80() {
        // 16 words end in column 82, the first end of a word past 80.
        let first = ["word"; 16].join(" ");
        check(&json!({"a": format!("{first} and the tail")}), &format!("a: {first}\n  and the tail\n"));
        check(&json!({"a": format!("{first}: the tail")}), &format!("a: '{first}:\n  the tail'\n"));
        let one = "x".repeat(200);
        check(&json!({"a": one}), &format!("a: {one}\n"));
    }

    #[test]
    fn keys_are_in_natural_order_and_quoted_like_values() {
        check(
            &json!({"a10": 1, "a9": 2, "B": 3, "kuma.io/x": 4, "k8s.io/x": 5, "1": 6, "true": 7}),
            "\"1\": 6\nB: 3\na9: 2\na10: 1\nk8s.io/x: 5\nkuma.io/x: 4\n\"true\": 7\n",
        );
    }
}
