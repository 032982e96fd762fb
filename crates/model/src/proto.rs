//! Protobuf specs and their JSON form (contract: rest 1.5, protobuf).
//!
//! Output is protobuf's JSON mapping: camelCase, defaults omitted, 64-bit integers as strings. Input also takes
//! proto names and numbers in quotes, ignores fields it does not know, and refuses unknown enum values. Map keys are
//! sorted in both directions, so that equal documents become equal bytes.

use std::sync::LazyLock;

use bytes::{Bytes, BytesMut};
use prost::Message;
use prost_reflect::{
    DescriptorPool, DeserializeOptions, DynamicMessage, FieldDescriptor, MessageDescriptor, ReflectMessage,
    SerializeOptions, Value as Field,
};
use serde_json::{Map, Value};
use thiserror::Error;

use crate::{Kind, SpecForm};

/// Why a spec cannot be read or made.
#[derive(Debug, Error)]
pub enum ProtoError {
    /// The kind keeps its spec in JSON.
    #[error("kind {0} is not a protobuf kind")]
    NotProtobuf(Kind),
    /// The message is in none of the descriptors.
    #[error("no descriptor of message {0}")]
    NoDescriptor(&'static str),
    /// The bytes are no message of this type.
    #[error("spec of {kind} is no valid protobuf")]
    Decode {
        /// The kind.
        kind: Kind,
        /// What the decoder said.
        #[source]
        cause: prost::DecodeError,
    },
    /// The message has no JSON form, or the JSON does not fit the message.
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    /// `data` of a secret is not standard base64.
    #[error("{0}")]
    Base64(#[from] crate::base64::Base64Error),
}

static POOL: LazyLock<Option<DescriptorPool>> = LazyLock::new(|| {
    DescriptorPool::decode(include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin")).as_ref()).ok()
});

/// Fields of 2.x that 3.0 does not have and drops on input. Those of Mesh are kept, so that zones of 2.x can be served.
const DROPPED: [(&str, &str); 6] = [
    ("kuma.mesh.v1alpha1.Dataplane", "metrics"),
    ("kuma.mesh.v1alpha1.Dataplane", "probes"),
    ("kuma.mesh.v1alpha1.Dataplane.Networking", "advertisedAddress"),
    ("kuma.mesh.v1alpha1.Dataplane.Networking.Outbound", "tags"),
    ("kuma.mesh.v1alpha1.Dataplane.Networking.TransparentProxying", "reachableServices"),
    ("kuma.mesh.v1alpha1.Dataplane.Networking.TransparentProxying", "reachable_services"),
];

/// Returns the fields of a spec in JSON.
pub fn spec_to_json(kind: Kind, spec: &[u8]) -> Result<Map<String, Value>, ProtoError> {
    let descriptor = descriptor(kind)?;
    let message =
        DynamicMessage::decode(descriptor.clone(), spec).map_err(|cause| ProtoError::Decode { kind, cause })?;
    let mut value = message.serialize_with_options(serde_json::value::Serializer, &SerializeOptions::new())?;
    tidy(&descriptor, &mut value);
    match value {
        Value::Object(map) => Ok(map),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => Ok(Map::new()),
    }
}

/// Encodes a spec from the members of a document; members that are no field of the spec are ignored.
pub fn spec_from_json(kind: Kind, json: &Map<String, Value>) -> Result<Bytes, ProtoError> {
    let descriptor = descriptor(kind)?;
    let mut json = json.clone();
    if matches!(kind.spec, SpecForm::Proto("kuma.system.v1alpha1.Secret")) {
        check_secret(&mut json)?;
    }
    prune(&descriptor, &mut json, "", &mut Vec::new());
    let strict = DeserializeOptions::new().deny_unknown_fields(true);
    let message = DynamicMessage::deserialize_with_options(descriptor, Value::Object(json), &strict)?;
    let mut bytes = BytesMut::new();
    encode(&message, &mut bytes);
    Ok(bytes.freeze())
}

fn descriptor(kind: Kind) -> Result<MessageDescriptor, ProtoError> {
    let SpecForm::Proto(name) = kind.spec else {
        return Err(ProtoError::NotProtobuf(kind));
    };
    POOL.as_ref().and_then(|pool| pool.get_message_by_name(name)).ok_or(ProtoError::NoDescriptor(name))
}

/// Go takes base64 with line breaks, but neither the URL alphabet nor missing padding; protobuf's mapping takes both.
fn check_secret(json: &mut Map<String, Value>) -> Result<(), ProtoError> {
    if let Some(Value::String(text)) = json.get_mut("data") {
        let data = crate::base64::decode(text)?;
        *text = crate::base64::encode(&data);
        if data.is_empty() {
            json.remove("data");
        }
    }
    Ok(())
}

/// Returns the paths of the members that are no fields of the spec, which [`spec_from_json`] ignores.
pub fn unknown(kind: Kind, json: &Map<String, Value>) -> Vec<String> {
    let mut dropped = Vec::new();
    if let Ok(descriptor) = descriptor(kind) {
        prune(&descriptor, &mut json.clone(), "", &mut dropped);
    }
    dropped
}

/// Removes members that are no fields, so that the strict reading that follows refuses unknown enum values alone; their
/// paths are added to `dropped`.
fn prune(descriptor: &MessageDescriptor, json: &mut Map<String, Value>, path: &str, dropped: &mut Vec<String>) {
    json.retain(|name, value| {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        let field = field_named(descriptor, name);
        let Some(field) = field.filter(|_| !DROPPED.contains(&(descriptor.full_name(), name.as_str()))) else {
            dropped.push(path);
            return false;
        };
        if let Some(inner) = message_of(&field) {
            each(&field, value, |value| {
                if let Value::Object(map) = value {
                    prune(&inner, map, &path, dropped);
                }
            });
        }
        true
    });
}

/// Puts members into the order of the message's text and map keys into their own; prints `50.0` as `50`.
fn tidy(descriptor: &MessageDescriptor, json: &mut Value) {
    whole_numbers(json);
    order(descriptor, json);
}

fn order(descriptor: &MessageDescriptor, json: &mut Value) {
    let Value::Object(map) = json else { return };
    let mut ordered = Map::new();
    for declared in &descriptor.descriptor_proto().field {
        let Some(field) = descriptor.get_field_by_name(declared.name()) else { continue };
        let Some(mut value) = map.remove(field.json_name()) else { continue };
        if field.is_map()
            && let Value::Object(entries) = &mut value
        {
            entries.sort_keys();
        }
        if let Some(inner) = message_of(&field) {
            each(&field, &mut value, |value| order(&inner, value));
        }
        ordered.insert(field.json_name().to_owned(), value);
    }
    *map = ordered;
}

fn whole_numbers(json: &mut Value) {
    match json {
        Value::Number(number) if number.is_f64() => {
            #[expect(clippy::cast_possible_truncation, reason = "whole and below 2^53")]
            if let Some(float) =
                number.as_f64().filter(|float| float.fract() == 0.0 && float.abs() < 9_007_199_254_740_992.0)
            {
                *number = (float as i64).into();
            }
        }
        Value::Array(items) => items.iter_mut().for_each(whole_numbers),
        Value::Object(map) => map.values_mut().for_each(whole_numbers),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn field_named(descriptor: &MessageDescriptor, name: &str) -> Option<FieldDescriptor> {
    descriptor.get_field_by_json_name(name).or_else(|| descriptor.get_field_by_name(name))
}

/// The message in a field, in the items of a list or in the values of a map; none for scalars and well-known types.
fn message_of(field: &FieldDescriptor) -> Option<MessageDescriptor> {
    let kind = field.kind();
    let message = kind.as_message()?;
    let message =
        if field.is_map() { message.map_entry_value_field().kind().as_message()?.clone() } else { message.clone() };
    (message.package_name() != "google.protobuf").then_some(message)
}

fn each(field: &FieldDescriptor, value: &mut Value, mut visit: impl FnMut(&mut Value)) {
    match value {
        Value::Object(map) if field.is_map() => map.values_mut().for_each(visit),
        Value::Array(items) => items.iter_mut().for_each(visit),
        other => visit(other),
    }
}

/// Encodes with sorted map keys; the encoder of the library takes them in the random order of a hash map.
fn encode(message: &DynamicMessage, out: &mut BytesMut) {
    let mut fields: Vec<_> = message.fields().collect();
    fields.sort_by_key(|(field, _)| field.number());
    for (field, value) in fields {
        match value {
            Field::Message(inner) => encode_message(field.number(), inner, out),
            Field::List(items) if field.kind().as_message().is_some() => {
                for inner in items.iter().filter_map(Field::as_message) {
                    encode_message(field.number(), inner, out);
                }
            }
            Field::Map(entries) => {
                let kind = field.kind();
                let Some(entry) = kind.as_message() else { continue };
                let mut entries: Vec<_> = entries.iter().collect();
                entries.sort_by_key(|(key, _)| format!("{key:?}"));
                for (key, value) in entries {
                    // A message of its own, so that maps inside the value are sorted too.
                    let mut single = DynamicMessage::new(entry.clone());
                    single.set_field(&entry.map_entry_key_field(), key.clone().into());
                    single.set_field(&entry.map_entry_value_field(), value.clone());
                    encode_message(field.number(), &single, out);
                }
            }
            other => {
                let mut single = DynamicMessage::new(message.descriptor());
                single.set_field(&field, other.clone());
                out.extend_from_slice(&single.encode_to_vec());
            }
        }
    }
}

fn encode_message(number: u32, message: &DynamicMessage, out: &mut BytesMut) {
    let mut bytes = BytesMut::new();
    encode(message, &mut bytes);
    prost::encoding::encode_key(number, prost::encoding::WireType::LengthDelimited, out);
    prost::encoding::encode_varint(bytes.len() as u64, out);
    out.extend_from_slice(&bytes);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn kind(name: &str) -> Kind {
        Kind::by_name(name).expect("kind")
    }

    fn bytes(kind: Kind, json: &Value) -> Result<Bytes, String> {
        spec_from_json(kind, json.as_object().expect("object")).map_err(|error| error.to_string())
    }

    fn check(name: &str, input: &Value, expected: &Value) {
        let spec = bytes(kind(name), input).expect("spec");
        assert_eq!(&Value::Object(spec_to_json(kind(name), &spec).expect("json")), expected);
    }

    #[test]
    fn proto_names_and_quoted_numbers_are_read() {
        check(
            "Dataplane",
            &json!({"networking": {"address": "a", "transparent_proxying": {"redirect_port_inbound": "15006"}, "inbound": [{"port": 80}]}}),
            &json!({"networking": {"address": "a", "inbound": [{"port": 80}], "transparentProxying": {"redirectPortInbound": 15006}}}),
        );
    }

    #[test]
    fn defaults_are_omitted_but_wrappers_are_kept() {
        check("Zone", &json!({"enabled": false}), &json!({"enabled": false}));
        check("Zone", &json!({"enabled": null}), &json!({}));
        check(
            "DataplaneInsight",
            &json!({"subscriptions": [{"generation": 0, "id": ""}]}),
            &json!({"subscriptions": [{}]}),
        );
    }

    #[test]
    fn integers_of_64_bits_are_texts() {
        check(
            "ZoneInsight",
            &json!({"subscriptions": [{"status": {"total": {"responsesSent": 22}}}]}),
            &json!({"subscriptions": [{"status": {"total": {"responsesSent": "22"}}}]}),
        );
    }

    #[test]
    fn times_have_groups_of_three_digits() {
        let check_time = |input: &str, expected: &str| {
            check("ZoneInsight", &json!({"healthCheck": {"time": input}}), &json!({"healthCheck": {"time": expected}}));
        };
        check_time("2026-11-23T23:07:40.963165020Z", "2026-11-23T23:07:40.963165020Z");
        check_time("2026-11-23T23:07:40.5Z", "2026-11-23T23:07:40.500Z");
        check_time("2026-11-23T23:07:40Z", "2026-11-23T23:07:40Z");
    }

    #[test]
    fn unknown_members_are_ignored_and_unknown_enum_values_refused() {
        check("Zone", &json!({"enabled": true, "colour": {"x": 1}}), &json!({"enabled": true}));
        check("Mesh", &json!({"meshServices": {"mode": "Exclusive"}}), &json!({"meshServices": {"mode": "Exclusive"}}));
        assert!(bytes(Kind::MESH, &json!({"meshServices": {"mode": "Sometimes"}})).is_err());
        assert!(bytes(Kind::ZONE, &json!({"enabled": "true"})).is_err());
        assert!(bytes(Kind::MESH, &json!({"skipCreatingInitialPolicies": "all"})).is_err());
    }

    #[test]
    fn tags_of_inbounds_are_kept_and_other_members_of_2_x_dropped() {
        let given = json!({"networking": {
            "address": "a",
            "inbound": [{"port": 80, "tags": {"kuma.io/service": "web"}}],
            "outbound": [{"port": 81, "tags": {"kuma.io/service": "db"}}],
        }, "probes": {"port": 1}, "colour": "red"});
        check(
            "Dataplane",
            &given,
            &json!({"networking": {
                "address": "a",
                "inbound": [{"port": 80, "tags": {"kuma.io/service": "web"}}],
                "outbound": [{"port": 81}],
            }}),
        );
        let dropped = unknown(Kind::DATAPLANE, given.as_object().expect("object"));
        assert_eq!(dropped, ["networking.outbound.tags", "probes", "colour"]);
    }

    #[test]
    fn whole_numbers_have_no_fraction() {
        check(
            "FaultInjection",
            &json!({"conf": {"abort": {"percentage": 50}}}),
            &json!({"conf": {"abort": {"percentage": 50}}}),
        );
        check(
            "FaultInjection",
            &json!({"conf": {"abort": {"percentage": 0.5}}}),
            &json!({"conf": {"abort": {"percentage": 0.5}}}),
        );
    }

    #[test]
    fn equal_documents_become_equal_bytes() {
        let tags: Map<String, Value> = (0..20).map(|index| (format!("k{index}"), json!("v"))).collect();
        let document = json!({"selectors": [{"match": tags}], "conf": {"host": "h"}});
        let first = bytes(kind("VirtualOutbound"), &document).expect("spec");
        for _ in 0..20 {
            assert_eq!(bytes(kind("VirtualOutbound"), &document).expect("spec"), first);
        }
    }

    #[test]
    fn maps_inside_maps_are_sorted_too() {
        let inner: Map<String, Value> = (0..20).map(|index| (format!("k{index}"), json!({"b": 1, "a": 2}))).collect();
        let document = json!({"metadata": {"one": &inner, "two": [&inner]}});
        let first = bytes(Kind::DATAPLANE_INSIGHT, &document).expect("spec");
        for _ in 0..20 {
            assert_eq!(bytes(Kind::DATAPLANE_INSIGHT, &document).expect("spec"), first);
        }
        check("DataplaneInsight", &document, &document);
    }

    #[test]
    fn bytes_that_are_no_message_are_an_error() {
        assert!(spec_to_json(Kind::ZONE, &[0xff, 0xff]).is_err());
        assert!(spec_to_json(kind("MeshRetry"), b"{}").is_err());
    }
}
