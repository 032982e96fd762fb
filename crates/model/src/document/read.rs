//! Reads documents.

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Map, Value};

use super::{Document, DocumentError, RestBody, show::is_meta, strict::Strict, warnings};
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
mod tests;
