//! The `node` of a first request: who asks, with which features (contract: kds 2.3 and 3.2).

use std::collections::BTreeMap;

use model::text::first_chars;
use prost_types::{ListValue, Struct, Value, value::Kind};
use wire::{envoy::config::core::v3::Node, kuma::system::v1alpha1::KumaCpVersion};

use crate::zones::insight::Instance;

/// A longer configuration is not kept; a real one has 10 KB.
const LARGEST_CONFIG: usize = 256 * 1024;

/// Returns the node of first requests. `zone` is the zone's name, in both directions.
pub(crate) fn first(zone: &str, us: &Instance) -> Node {
    let version = [
        ("version", &us.version.version),
        ("gitTag", &us.version.git_tag),
        ("gitCommit", &us.version.git_commit),
        ("buildDate", &us.version.build_date),
    ];
    let version = version.into_iter().filter(|(_, text)| !text.is_empty()).map(|(key, value)| (key, text(value)));
    let features = us.features.iter().map(|feature| text(feature)).collect();
    let metadata = object([
        ("version", object_value([("kumaCp", Value { kind: Some(Kind::StructValue(object(version))) })])),
        ("config", text(&us.config)),
        ("control-plane-id", text(&us.id)),
        ("features", Value { kind: Some(Kind::ListValue(ListValue { values: features })) }),
    ]);
    Node { id: zone.to_owned(), metadata: Some(metadata) }
}

/// Returns the node of later requests: the id alone.
pub(crate) fn later(zone: &str) -> Node {
    Node { id: zone.to_owned(), metadata: None }
}

/// Reads what a peer says of itself; what is missing or of another type is empty.
pub(crate) fn instance(metadata: &Struct) -> Instance {
    let text = |fields: &BTreeMap<String, Value>, key: &str| match fields.get(key).and_then(|value| value.kind.as_ref())
    {
        Some(Kind::StringValue(text)) => text.clone(),
        _ => String::new(),
    };
    let nested =
        |fields: &BTreeMap<String, Value>, key: &str| match fields.get(key).and_then(|value| value.kind.as_ref()) {
            Some(Kind::StructValue(object)) => object.fields.clone(),
            _ => BTreeMap::new(),
        };
    let build = nested(&nested(&metadata.fields, "version"), "kumaCp");
    let features = match metadata.fields.get("features").and_then(|value| value.kind.as_ref()) {
        Some(Kind::ListValue(list)) => list
            .values
            .iter()
            .filter_map(|value| match &value.kind {
                Some(Kind::StringValue(feature)) => Some(feature.clone()),
                _ => None,
            })
            .collect(),
        _ => Vec::new(),
    };
    Instance {
        id: short(&text(&metadata.fields, "control-plane-id")),
        version: KumaCpVersion {
            version: short(&text(&build, "version")),
            git_tag: short(&text(&build, "gitTag")),
            git_commit: short(&text(&build, "gitCommit")),
            build_date: short(&text(&build, "buildDate")),
            kuma_cp_global_compatible: false,
        },
        config: Some(text(&metadata.fields, "config"))
            .filter(|config| config.len() <= LARGEST_CONFIG)
            .unwrap_or_default(),
        features,
    }
}

/// Names and versions of a peer are kept for as long as it is known: no longer than any real one.
fn short(name: &str) -> String {
    first_chars(name, 256).to_owned()
}

fn text(value: &str) -> Value {
    Value { kind: Some(Kind::StringValue(value.to_owned())) }
}

fn object<'a>(fields: impl IntoIterator<Item = (&'a str, Value)>) -> Struct {
    Struct { fields: fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect() }
}

fn object_value<'a>(fields: impl IntoIterator<Item = (&'a str, Value)>) -> Value {
    Value { kind: Some(Kind::StructValue(object(fields))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_reads_what_the_other_end_wrote() {
        let us = Instance {
            id: "host-1a2b".to_owned(),
            version: KumaCpVersion { version: "3.0.0".to_owned(), git_tag: "v3.0.0".to_owned(), ..Default::default() },
            config: r#"{"store":{"type":"memory"}}"#.to_owned(),
            features: vec!["hash-suffix".to_owned(), "zone-token".to_owned()],
        };
        let node = first("west", &us);
        assert_eq!(node.id, "west");
        assert_eq!(instance(&node.metadata.unwrap()), us);
    }

    #[test]
    fn metadata_of_other_types_is_empty() {
        let number = Value { kind: Some(Kind::NumberValue(1.0)) };
        let odd = object([("version", number.clone()), ("features", number.clone()), ("config", number)]);
        assert_eq!(instance(&odd), Instance::default());
    }
}
