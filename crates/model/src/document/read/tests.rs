//! What a document may be, and what is said of one that may not.

use serde_json::json;

use super::*;

fn timeout() -> Kind {
    Kind::by_name("MeshTimeout").expect("kind")
}

fn body(spec: &Value) -> String {
    json!({"type": "MeshTimeout", "mesh": "default", "name": "t", "spec": spec}).to_string()
}

/// `field|reason` of each violation, or the text of another error.
fn refusals(kind: Kind, body: &str) -> Vec<String> {
    match from_rest(kind, body.as_bytes()) {
        Ok(_) => Vec::new(),
        Err(DocumentError::Schema(found) | DocumentError::Invalid(found)) => {
            found.into_iter().map(|found| format!("{}|{}", found.field, found.reason)).collect()
        }
        Err(other) => vec![other.to_string()],
    }
}

#[test]
fn schema_violations_hide_others_and_are_sorted() {
    let spec =
        json!({"targetRef": {"kind": "Planet"}, "to": [{"default": {"connectionTimeout": 5, "idleTimeout": "-1s"}}]});
    assert_eq!(
        refusals(timeout(), &body(&spec)),
        [
            "spec.targetRef.kind|in body should be one of [Mesh Dataplane]",
            "spec.to[0].default.connectionTimeout|in body must be of type string: \"number\"",
            "spec.to[0].targetRef|in body is required",
        ]
    );
    assert_eq!(
        refusals(timeout(), "{}"),
        ["|.name in body is required", "|.spec in body is required", "|.type in body is required"]
    );
    assert_eq!(
        refusals(timeout(), r#"{"type":"MeshRetry","name":"t","spec":null,"labels":{"a":1},"creationTime":"now"}"#),
        [
            "|creationTime in body must be of type date-time: \"now\"",
            "|labels.a in body must be of type string: \"number\"",
            "|spec in body must be of type object: \"null\"",
            "|type in body should be one of [MeshTimeout]",
        ]
    );
}

#[test]
fn bodies_that_are_no_objects_are_refused() {
    for text in ["null", "[]", "\"x\"", "7", "", "{", "{} x"] {
        assert!(matches!(from_rest(timeout(), text.as_bytes()), Err(DocumentError::Malformed { .. })), "{text}");
    }
    for text in ["[]", "\"x\"", "", "{\"name\": 7}", "{\"labels\": []}", "{\"creationTime\": \"now\"}"] {
        assert!(matches!(from_rest(Kind::MESH, text.as_bytes()), Err(DocumentError::Malformed { .. })), "{text}");
    }
}

#[test]
fn null_is_an_empty_object_for_inlined_kinds() {
    let body = from_rest(Kind::MESH, b"null").expect("body");
    assert_eq!((body.type_name.as_str(), body.name.as_str(), body.spec.len()), ("", "", 0));
}

#[test]
fn of_two_equal_members_neither_is_taken() {
    let body = from_rest(Kind::MESH, br#"{"type":"Mesh","name":"a","name":"b"}"#);
    assert!(body.expect_err("refused").to_string().contains("stands twice"));
    let file = from_yaml("type: Mesh\nname: a\nname: b\n").expect_err("refused").to_string();
    assert!(file.contains("duplicate"), "{file}");
}

#[test]
fn errors_do_not_quote_private_keys() {
    let body = |key: &str| json!({"type": "MeshGateway", "mesh": "m", "name": "g", "conf": {"listeners": key}});
    let said = |key: &str| {
        let kind = Kind::by_name("MeshGateway").expect("kind");
        from_rest(kind, body(key).to_string().as_bytes()).expect_err("refused").to_string()
    };
    assert!(!said("-----BEGIN PRIVATE KEY-----c2VjcmV0").contains("c2VjcmV0"));
    assert!(said("listener").contains("listener"));
}

#[test]
fn a_manifest_of_kubernetes_is_called_so() {
    let manifest = r#"{"apiVersion":"kuma.io/v1alpha1","kind":"MeshTimeout","metadata":{"name":"a"},"spec":{}}"#;
    let said = [from_rest(timeout(), manifest.as_bytes()).err(), from_yaml(manifest).err()];
    for error in said.into_iter().flatten() {
        assert!(error.to_string().starts_with("this is a manifest of Kubernetes"), "{error}");
    }
    assert!(from_yaml(manifest).is_err() && from_rest(timeout(), manifest.as_bytes()).is_err());
}

#[test]
fn what_has_no_effect_is_said() {
    let warnings = |kind: Kind, body: &str| from_rest(kind, body.as_bytes()).expect("body").warnings;
    let item = json!([{"targetRef": {"kind": "Mesh", "name": "x"}, "default": {"idleTimeout": "1h"}}]);
    assert_eq!(
        warnings(timeout(), &body(&json!({"to": item, "from": item}))),
        [
            "'from' field is not supported any more and was left out, use 'rules' instead",
            "MeshTimeout has no field 'spec.to[0].targetRef.name': was left out",
        ]
    );
    assert_eq!(
        warnings(timeout(), &body(&json!({"to": [{"targetRef": {"kind": "Mesh"}, "default": {"idleTimeout": "1h"}}]}))),
        [] as [&str; 0]
    );
    for kind in ["MeshTLS", "MeshFaultInjection"] {
        let body = json!({"type": kind, "name": "t", "spec": {"from": item}}).to_string();
        assert_eq!(warnings(Kind::by_name(kind).expect("kind"), &body).len(), 1, "{kind}");
    }
    assert_eq!(
        warnings(Kind::MESH, r#"{"type":"Mesh","name":"m","kri":"kri_m____m_","colour":1}"#),
        ["Mesh has no field 'colour': was left out"]
    );
}

#[test]
fn mesh_defaults_for_kinds_in_json_alone() {
    let spec = r#"{"type":"MeshRetry","name":"r","spec":{}}"#;
    assert_eq!(from_rest(Kind::by_name("MeshRetry").expect("kind"), spec.as_bytes()).expect("body").mesh, "default");
    assert_eq!(from_rest(Kind::SECRET, br#"{"type":"Secret","name":"s"}"#).expect("body").mesh, "");
}

#[test]
fn specs_are_written_in_the_order_and_with_the_defaults_of_peers() {
    let check = |kind: &str, spec: &str, expected: &str| {
        let text = format!(r#"{{"type":"{kind}","name":"x","spec":{spec}}}"#);
        let body = from_rest(Kind::by_name(kind).expect("kind"), text.as_bytes()).expect("body");
        assert_eq!(String::from_utf8_lossy(&body.spec), expected);
    };
    check(
        "MeshTimeout",
        r#"{"from":[],"colour":1,"to":[{"default":{"colour":1,"idleTimeout":"90m","connectionTimeout":"1m"},"targetRef":{"kind":"Mesh","name":"x"}}]}"#,
        r#"{"to":[{"targetRef":{"kind":"Mesh"},"default":{"connectionTimeout":"1m0s","idleTimeout":"1h30m0s"}}]}"#,
    );
    check(
        "MeshTrace",
        r#"{"default":{"backends":[{"zipkin":{"url":"http://z"},"type":"Zipkin"}]}}"#,
        r#"{"default":{"backends":[{"type":"Zipkin","zipkin":{"url":"http://z","traceId128bit":false,"apiVersion":"httpJson","sharedSpanContext":true}}]}}"#,
    );
    check(
        "MeshExternalService",
        r#"{"match":{"port":80},"tls":{"enabled":true,"verification":{}}}"#,
        r#"{"match":{"port":80},"tls":{"enabled":true,"allowRenegotiation":false,"verification":{"mode":"Secured"}}}"#,
    );
    check(
        "MeshService",
        r#"{"selector":{"dataplaneTags":{"a":"b"}},"ports":[{"port":80}]}"#,
        r#"{"state":"Unavailable","selector":{},"ports":[{"port":80}]}"#,
    );
    // Not all of this schema is known: what a user wrote stays.
    check("MeshIdentity", r#"{"new":{"x":[1]},"spiffeID":{"y":2}}"#, r#"{"spiffeID":{"y":2},"new":{"x":[1]}}"#);
}

#[test]
fn a_duration_that_does_not_parse_is_malformed() {
    let spec = json!({"to": [{"targetRef": {"kind": "Mesh"}, "default": {"connectionTimeout": "five"}}]});
    assert_eq!(refusals(timeout(), &body(&spec)), [r#"invalid MeshTimeout object: "time: invalid duration \"five\"""#]);
}

#[test]
fn secrets_take_padded_base64_alone() {
    let check = |data: Value, expected: Result<Value, &str>| {
        let text = json!({"type": "GlobalSecret", "name": "s", "data": data}).to_string();
        let read = from_rest(Kind::GLOBAL_SECRET, text.as_bytes());
        match expected {
            Ok(shown) => {
                let fields = proto::spec_to_json(Kind::GLOBAL_SECRET, &read.expect("body").spec).expect("spec");
                assert_eq!(fields.get("data").cloned().unwrap_or_default(), shown, "{data}");
            }
            Err(expected) => {
                let Err(DocumentError::Malformed { text, .. }) = read else { panic!("{data} is taken") };
                assert!(text.contains(expected), "{text}");
            }
        }
    };
    check(json!("aGVsbG8="), Ok(json!("aGVsbG8=")));
    check(json!("aGVs\nbG8="), Ok(json!("aGVsbG8=")));
    check(json!("//8="), Ok(json!("//8=")));
    check(json!(""), Ok(Value::Null));
    check(Value::Null, Ok(Value::Null));
    check(json!("aGVsbG8"), Err("illegal base64 data at input byte 4"));
    check(json!("_-8="), Err("illegal base64 data at input byte 0"));
    check(json!(5), Err("invalid type"));
    check(json!({"value": "aGVsbG8="}), Err("invalid type"));
}

#[test]
fn files_are_split_at_separator_lines() {
    assert_eq!(split_yaml("a: 1\n---\nb: 2\n"), ["a: 1\n", "b: 2\n"]);
    assert_eq!(split_yaml("---\na: 1\n--- # second\nb: 2\n---\n"), ["a: 1\n", "b: 2\n"]);
    assert_eq!(split_yaml("a: 1\r\n---\r\nb: 2\r\n"), ["a: 1\r\n", "b: 2\r\n"]);
    assert_eq!(split_yaml("\n---\n# only a comment\n"), Vec::<String>::new());
    assert_eq!(split_yaml("a: |\n  -----BEGIN\n  --- x\n"), ["a: |\n  -----BEGIN\n  --- x\n"]);
}

#[test]
fn scalars_of_yaml_are_texts_where_texts_are_wanted() {
    let document = from_yaml("type: Mesh\nname: 7\nlabels: {a: 1, b: true, c: 012, d: x}\n").expect("document");
    assert_eq!(document.name, "7");
    assert_eq!(document.labels.into_values().collect::<Vec<_>>(), ["1", "true", "012", "x"]);
}

#[test]
fn files_need_a_good_name_and_mesh() {
    let refused = |text: &str, expected: &str| {
        let error = from_yaml(text).expect_err("refused");
        let error = format!("{}: {error}", error.stage());
        assert!(error.starts_with(expected), "{error}");
    };
    refused("type: Mesh\n", "failed to read meta: name: cannot be empty");
    refused("type: Secret\nname: s\n", "failed to read meta: mesh: cannot be empty");
    refused("type: Config\nname: s\n", "failed to parse resource: invalid resource type \"Config\"");
    refused("- a\n", "failed to parse resource: invalid meta type: ");
    refused(
        "type: [\n",
        "failed to parse resource: invalid meta type: \"error converting YAML to JSON: yaml: line 1: ",
    );
}
