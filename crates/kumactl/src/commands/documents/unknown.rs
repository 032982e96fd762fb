//! What a document says that nobody reads. Only kumactl can tell: what it sends holds what it understood.

use serde_json::{Map, Value};

/// Members that the control plane computes; documents of an export have them.
const COMPUTED: [&str; 5] = ["creationTime", "modificationTime", "kri", "snis", "status"];

/// Returns the paths of members that were written and are not in what was understood. Empty values are no loss: they
/// are left out of what is sent.
pub(in crate::commands) fn unknown_members(written: &Map<String, Value>, understood: &Value) -> Vec<String> {
    let mut unknown = Vec::new();
    for (name, value) in written.iter().filter(|(name, _)| !COMPUTED.contains(&name.as_str())) {
        member(name, name, value, understood, &mut unknown);
    }
    unknown
}

fn member(path: &str, name: &str, written: &Value, parent: &Value, unknown: &mut Vec<String>) {
    if is_empty(written) {
        return;
    }
    // Kinds in protobuf are read in both spellings.
    match parent.get(name).or_else(|| parent.get(camel(name))) {
        Some(understood) => inside(path, written, understood, unknown),
        None => unknown.push(path.to_owned()),
    }
}

fn inside(path: &str, written: &Value, understood: &Value, unknown: &mut Vec<String>) {
    match (written, understood) {
        (Value::Object(members), Value::Object(_)) => {
            for (name, value) in members {
                member(&format!("{path}.{name}"), name, value, understood, unknown);
            }
        }
        (Value::Array(items), Value::Array(known)) if items.len() == known.len() => {
            for (index, (item, known)) in items.iter().zip(known).enumerate() {
                inside(&format!("{path}[{index}]"), item, known, unknown);
            }
        }
        // Another form of the same: only names are compared.
        _ => {}
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(flag) => !flag,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.values().all(is_empty),
    }
}

fn camel(name: &str) -> String {
    let mut camel = String::new();
    for part in name.split('_') {
        let mut characters = part.chars();
        match characters.next() {
            Some(first) if !camel.is_empty() => {
                camel.extend(first.to_uppercase());
                camel += characters.as_str();
            }
            _ => camel += part,
        }
    }
    camel
}

#[cfg(test)]
mod tests {
    use model::document;
    use serde_json::json;

    use super::*;

    fn check(text: &str, expected: &[&str]) {
        let written = crate::commands::documents::members(text).unwrap().unwrap();
        let understood = document::from_yaml(text).unwrap().to_rest();
        assert_eq!(unknown_members(&written, &understood), expected, "{text}");
    }

    #[test]
    fn members_that_nobody_reads_are_found() {
        check("type: Mesh\nname: demo\ncolour: red\n", &["colour"]);
        check(
            "type: MeshTimeout\nmesh: default\nname: t\nspec:\n  targetRef: {kind: Mesh, nmae: x}\n  to:\n  - targetRef: {kind: Mesh}\n    default: {connectionTimeout: 2s, conectionTimeout: 3s}\n",
            &["spec.targetRef.nmae", "spec.to[0].default.conectionTimeout"],
        );
    }

    #[test]
    fn documents_of_an_export_and_other_spellings_lose_nothing() {
        check(
            "type: Mesh\nname: demo\ncreationTime: \"2026-01-01T00:00:00Z\"\nkri: kri_m____demo_\nlabels: {a: b}\nskipCreatingInitialPolicies: ['*']\n",
            &[],
        );
        check("type: Mesh\nname: demo\nnothing: {}\n", &[]);
        check("type: GlobalSecret\nname: s\ndata: YQ==\n", &[]);
        let written = json!({"a_b": {"c": 1}, "d": false});
        assert!(unknown_members(written.as_object().unwrap(), &json!({"aB": {"c": "1"}})).is_empty());
    }
}
