//! Protobuf specs and their JSON form (contracts: rest 1.5, protobuf).
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
const DROPPED: [(&str, &str); 7] = [
    ("kuma.mesh.v1alpha1.Dataplane", "metrics"),
    ("kuma.mesh.v1alpha1.Dataplane", "probes"),
    ("kuma.mesh.v1alpha1.Dataplane.Networking", "advertisedAddress"),
    ("kuma.mesh.v1alpha1.Dataplane.Networking.Inbound", "tags"),
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
    sort_maps(&descriptor, &mut value);
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
    prune(&descriptor, &mut json);
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

/// Removes members that are no fields, so that the strict reading that follows refuses unknown enum values alone.
fn prune(descriptor: &MessageDescriptor, json: &mut Map<String, Value>) {
    json.retain(|name, value| {
        let Some(field) = field_named(descriptor, name) else { return false };
        if DROPPED.contains(&(descriptor.full_name(), name.as_str())) {
            return false;
        }
        if let Some(inner) = message_of(&field) {
            each(&field, value, |value| {
                if let Value::Object(map) = value {
                    prune(&inner, map);
                }
            });
        }
        true
    });
}

fn sort_maps(descriptor: &MessageDescriptor, json: &mut Value) {
    let Value::Object(map) = json else { return };
    for (name, value) in map.iter_mut() {
        let Some(field) = field_named(descriptor, name) else { continue };
        if field.is_map()
            && let Value::Object(entries) = value
        {
            entries.sort_keys();
        }
        if let Some(inner) = message_of(&field) {
            each(&field, value, |value| sort_maps(&inner, value));
        }
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
                let mut entries: Vec<_> = entries.iter().collect();
                entries.sort_by_key(|(key, _)| format!("{key:?}"));
                for (key, value) in entries {
                    let mut single = DynamicMessage::new(message.descriptor());
                    single.set_field(&field, Field::Map([(key.clone(), value.clone())].into()));
                    out.extend_from_slice(&single.encode_to_vec());
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
