//! Reads documents.

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Map, Value};

use super::{Document, DocumentError, RestBody, strict::Strict, warnings};
use crate::{
    Kind, Labels, Scope, SpecForm, proto,
    schema::{self, type_name},
    secrecy,
    validate::{self, Violation},
};

/// Reads the body of a PUT to a route of this kind.
pub fn from_rest(kind: Kind, body: &[u8]) -> Result<RestBody, DocumentError> {
    let malformed = |text: String| DocumentError::Malformed { kind, text };
    let Strict(value) = serde_json::from_slice(body).map_err(|error| {
        malformed(if error.is_eof() {
            "unexpected end of JSON input".to_owned()
        } else {
            format!("invalid JSON: {error}")
        })
    })?;
    let map = match value {
        Value::Object(map) => map,
        // The peer takes `null` for an empty object in one shape and crashes on it in the other.
        Value::Null if kind.spec != SpecForm::Json => Map::new(),
        other => return Err(malformed(format!("json: cannot unmarshal {} into an object", type_name(&other)))),
    };
    from_map(kind, map)
}

/// Reads one document of a file, YAML or JSON; `type` says the kind.
pub fn from_yaml(text: &str) -> Result<Document, DocumentError> {
    let not_yaml = |text: String| DocumentError::NotYaml { text };
    let value = yaml_value(text).map_err(|error| not_yaml(format!("error converting YAML to JSON: yaml: {error}")))?;
    let mut map = match value {
        Value::Object(map) => map,
        Value::Null => Map::new(),
        other => return Err(not_yaml(format!("json: cannot unmarshal {} into an object", type_name(&other)))),
    };
    check_form(&map)?;
    for name in ["type", "name", "mesh"] {
        map.entry(name).and_modify(scalar_to_text);
    }
    if let Some(Value::Object(labels)) = map.get_mut("labels") {
        labels.values_mut().for_each(scalar_to_text);
    }
    let type_name = map.get("type").and_then(Value::as_str).unwrap_or_default();
    let kind = Kind::by_name(type_name)
        .filter(|kind| kind.in_rest)
        .ok_or_else(|| DocumentError::UnknownKind { name: type_name.to_owned() })?;
    let body = from_map(kind, map)?;
    let mesh = if kind.scope == Scope::Mesh { body.mesh } else { String::new() };
    let found = validate::meta(kind, &body.name, &mesh);
    if !found.is_empty() {
        return Err(DocumentError::Meta(found));
    }
    let status = kind.empty_status.map(|status| Bytes::from_static(status.as_bytes()));
    let warnings = body.warnings;
    Ok(Document { kind, mesh, name: body.name, labels: body.labels, spec: body.spec, status, warnings })
}

/// Splits a file at lines that begin with `---`; documents without content are left out.
pub fn split_yaml(text: &str) -> Vec<String> {
    let mut documents = vec![String::new()];
    for line in text.split_inclusive('\n') {
        let separator =
            line.strip_prefix("---").is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']));
        if separator {
            documents.push(String::new());
        } else if let Some(last) = documents.last_mut() {
            last.push_str(line);
        }
    }
    let says_something = |line: &str| !line.trim().is_empty() && !line.trim_start().starts_with('#');
    documents.retain(|document| document.lines().any(says_something));
    documents
}

/// Reads YAML as JSON; the error is one line, with the line of the fault.
fn yaml_value(text: &str) -> Result<Value, String> {
    let options = serde_saphyr::options! {
        duplicate_keys: serde_saphyr::DuplicateKeyPolicy::Error,
        leading_zero_numbers_as_strings: true,
        with_snippet: false,
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let said = error.to_string().replace('\n', " ");
        let said = said.strip_prefix("error: ").unwrap_or(&said);
        match error.location() {
            Some(location) => {
                let at = format!("line {} column {}: ", location.line(), location.column());
                format!("line {}: {}", location.line(), said.strip_prefix(&at).unwrap_or(said))
            }
            None => said.to_owned(),
        }
    })
}

fn from_map(kind: Kind, mut map: Map<String, Value>) -> Result<RestBody, DocumentError> {
    check_form(&map)?;
    let mut found = masks(kind, &map);
    let mut dropped = Vec::new();
    let spec = match kind.spec {
        SpecForm::Json => json_spec(kind, &mut map, &mut dropped)?,
        SpecForm::Proto(_) => proto_spec(kind, &map, &mut dropped)?,
    };
    let body = RestBody {
        type_name: text(kind, &map, "type")?,
        mesh: text(kind, &map, "mesh")?,
        name: text(kind, &map, "name")?,
        labels: labels(kind, &map)?,
        spec,
        warnings: warnings::of_dropped(kind, &dropped),
    };
    found.extend(validate::spec(kind, &body.name, &body.mesh, &body.labels, &body.spec));
    if found.is_empty() { Ok(body) } else { Err(DocumentError::Invalid(found)) }
}

/// Refuses what is no document of this API but could be taken for one that says nothing.
fn check_form(map: &Map<String, Value>) -> Result<(), DocumentError> {
    if map.contains_key("apiVersion") && map.contains_key("metadata") && !map.contains_key("type") {
        let text = "this is a manifest of Kubernetes: a universal control plane takes documents with type, name, mesh and \
                    spec instead of apiVersion, kind and metadata";
        return Err(DocumentError::BadRequest { text: text.to_owned() });
    }
    Ok(())
}

/// Whether a member is no spec: what every document has, and what answers show beside it.
fn is_meta(name: &str) -> bool {
    super::META.contains(&name) || matches!(name, "snis" | "status")
}

/// Finds masks in the place of secrets; labels and other meta members have none.
fn masks(kind: Kind, map: &Map<String, Value>) -> Vec<Violation> {
    match kind.spec {
        SpecForm::Json => map.get("spec").map(|spec| secrecy::masks(spec, "spec")).unwrap_or_default(),
        SpecForm::Proto(_) => {
            let fields = map.iter().filter(|(name, _)| !is_meta(name));
            fields.flat_map(|(name, value)| secrecy::masks(value, name)).collect()
        }
    }
}

/// Checks a document of a kind in JSON against its schema and takes the spec out, with its defaults.
fn json_spec(kind: Kind, map: &mut Map<String, Value>, dropped: &mut Vec<String>) -> Result<Bytes, DocumentError> {
    let found = schema_violations(kind, map);
    if !found.is_empty() {
        return Err(DocumentError::Schema(found));
    }
    if kind.scope == Scope::Mesh {
        map.entry("mesh").or_insert_with(|| Value::from("default"));
    }
    dropped.extend(map.keys().filter(|name| !is_meta(name) && *name != "spec").cloned());
    let Some(Value::Object(spec)) = map.remove("spec") else {
        return Ok(Bytes::from_static(b"{}"));
    };
    let malformed = |text: String| DocumentError::Malformed { kind, text };
    let spec =
        schema::rewrite(schema::spec_of(kind), spec, "spec", dropped).map_err(|error| malformed(error.to_string()))?;
    Ok(serde_json::to_vec(&spec).map_err(|error| malformed(error.to_string()))?.into())
}

fn proto_spec(kind: Kind, map: &Map<String, Value>, dropped: &mut Vec<String>) -> Result<Bytes, DocumentError> {
    for name in ["creationTime", "modificationTime"] {
        if let Some(value) = map.get(name).filter(|value| !value.is_null())
            && !is_time(value)
        {
            return Err(DocumentError::Malformed { kind, text: format!("{name} is no RFC 3339 time") });
        }
    }
    let fields: Map<String, Value> =
        map.iter().filter(|(name, _)| !is_meta(name)).map(|(name, value)| (name.clone(), value.clone())).collect();
    *dropped = proto::unknown(kind, &fields);
    proto::spec_from_json(kind, &fields).map_err(|error| {
        // The reader quotes what it did not expect.
        let text = secrecy::without_secrets(error.to_string());
        DocumentError::Malformed { kind, text }
    })
}

fn schema_violations(kind: Kind, map: &Map<String, Value>) -> Vec<Violation> {
    let mut found = Vec::new();
    for name in ["name", "spec", "type"] {
        if !map.contains_key(name) {
            found.push(format!(".{name} in body is required"));
        }
    }
    for (name, wanted) in
        [("type", "string"), ("mesh", "string"), ("name", "string"), ("labels", "object"), ("spec", "object")]
    {
        if let Some(value) = map.get(name).filter(|value| type_name(value) != wanted) {
            found.push(format!("{name} in body must be of type {wanted}: \"{}\"", type_name(value)));
        }
    }
    for name in ["creationTime", "modificationTime"] {
        match map.get(name) {
            Some(Value::String(text)) if text.parse::<Timestamp>().is_err() => {
                found.push(format!("{name} in body must be of type date-time: {text:?}"));
            }
            Some(value) if !value.is_string() => {
                found.push(format!("{name} in body must be of type string: \"{}\"", type_name(value)));
            }
            Some(_) | None => {}
        }
    }
    if map.get("type").and_then(Value::as_str).is_some_and(|text| text != kind.name) {
        found.push(format!("type in body should be one of [{kind}]"));
    }
    for (key, value) in map.get("labels").and_then(Value::as_object).into_iter().flatten() {
        if !value.is_string() {
            found.push(format!("labels.{key} in body must be of type string: \"{}\"", type_name(value)));
        }
    }
    if let Some(spec) = map.get("spec").and_then(Value::as_object) {
        schema::check(schema::spec_of(kind), spec, "spec", &mut found);
    }
    found.sort();
    found.iter().map(|sentence| split(sentence)).collect()
}

/// The first word is the field, if it lies inside the spec.
fn split(sentence: &str) -> Violation {
    match sentence.split_once(' ') {
        Some((field, reason)) if field.starts_with("spec.") => Violation::new(field, reason),
        Some(_) | None => Violation::new("", sentence),
    }
}

fn text(kind: Kind, map: &Map<String, Value>, name: &str) -> Result<String, DocumentError> {
    match map.get(name) {
        None | Some(Value::Null) => Ok(String::new()),
        Some(Value::String(text)) => Ok(text.clone()),
        Some(other) => {
            let text = format!("json: cannot unmarshal {} into field {name} of type string", type_name(other));
            Err(DocumentError::Malformed { kind, text })
        }
    }
}

fn labels(kind: Kind, map: &Map<String, Value>) -> Result<Labels, DocumentError> {
    let wrong = |value: &Value, wanted: &str| DocumentError::Malformed {
        kind,
        text: format!("json: cannot unmarshal {} into field labels of type {wanted}", type_name(value)),
    };
    match map.get("labels") {
        None | Some(Value::Null) => Ok(Labels::new()),
        Some(Value::Object(labels)) => labels
            .iter()
            .map(|(key, value)| match value {
                Value::String(text) => Ok((key.clone(), text.clone())),
                Value::Null => Ok((key.clone(), String::new())),
                other => Err(wrong(other, "string")),
            })
            .collect(),
        Some(other) => Err(wrong(other, "map[string]string")),
    }
}

fn is_time(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.parse::<Timestamp>().is_ok())
}

/// YAML writes `name: 7` for the text `7`.
fn scalar_to_text(value: &mut Value) {
    match value {
        Value::Number(number) => *value = Value::from(number.to_string()),
        Value::Bool(flag) => *value = Value::from(flag.to_string()),
        Value::Null | Value::String(_) | Value::Array(_) | Value::Object(_) => {}
    }
}

#[cfg(test)]
mod tests {
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
        let spec = json!({"targetRef": {"kind": "Planet"}, "to": [{"default": {"connectionTimeout": 5, "idleTimeout": "-1s"}}]});
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
            warnings(
                timeout(),
                &body(&json!({"to": [{"targetRef": {"kind": "Mesh"}, "default": {"idleTimeout": "1h"}}]}))
            ),
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
        assert_eq!(
            from_rest(Kind::by_name("MeshRetry").expect("kind"), spec.as_bytes()).expect("body").mesh,
            "default"
        );
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
        assert_eq!(
            refusals(timeout(), &body(&spec)),
            [r#"invalid MeshTimeout object: "time: invalid duration \"five\"""#]
        );
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
}
