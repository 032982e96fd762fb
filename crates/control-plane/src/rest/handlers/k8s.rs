//! Resources in the form that Kubernetes has for them.

use model::{Audience, Kind, Resource, Scope, document, labels};
use serde_json::{Map, Value, json};

const NAMESPACE: &str = "kuma-system";

/// Returns the object of Kubernetes that says the same as a resource.
pub(super) fn object(resource: &Resource, namespace: &str, audience: Audience) -> Value {
    let kind = resource.key.kind;
    let secret = kind == Kind::SECRET || kind == Kind::GLOBAL_SECRET;
    let mut metadata = Map::new();
    metadata.insert("name".to_owned(), json!(resource.key.name));
    if is_namespaced(kind) {
        let namespace = if namespace.is_empty() { NAMESPACE } else { namespace };
        metadata.insert("namespace".to_owned(), json!(namespace));
    }
    metadata.insert("creationTimestamp".to_owned(), json!(resource.created.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()));
    let labels = if kind == Kind::GLOBAL_SECRET { Map::new() } else { labels_of(resource) };
    if !labels.is_empty() {
        metadata.insert("labels".to_owned(), Value::Object(labels));
    }
    let mut fields = match document::to_rest(resource, None, audience) {
        Value::Object(fields) => fields,
        _ => Map::new(),
    };
    if secret {
        let data = fields.remove("data").map_or_else(Map::new, |data| Map::from_iter([("value".to_owned(), data)]));
        let flavour = if kind == Kind::SECRET { "system.kuma.io/secret" } else { "system.kuma.io/global-secret" };
        return json!({
            "kind": "Secret", "apiVersion": "v1", "metadata": metadata, "data": data, "type": flavour,
        });
    }
    let spec = fields.remove("spec").unwrap_or_else(|| {
        let rest = fields.iter().filter(|(name, _)| !document::is_meta(name));
        Value::Object(rest.map(|(name, value)| (name.clone(), value.clone())).collect())
    });
    json!({"kind": kind.name, "apiVersion": "kuma.io/v1alpha1", "metadata": metadata, "spec": spec})
}

/// The first kinds of Kuma are objects of the whole cluster.
fn is_namespaced(kind: Kind) -> bool {
    kind == Kind::GLOBAL_SECRET
        || kind == Kind::HOSTNAME_GENERATOR
        || (kind.scope == Scope::Mesh && (!kind.only_in_2x || kind.policy.is_none()))
}

/// What Kubernetes computes itself is left out.
fn labels_of(resource: &Resource) -> Map<String, Value> {
    let computed = [labels::DISPLAY_NAME, labels::ORIGIN, labels::ENV, labels::ZONE];
    let kept = resource.labels.iter().filter(|(key, _)| !computed.contains(&key.as_str()));
    let mut kept: Map<String, Value> = kept.map(|(key, value)| (key.clone(), json!(value))).collect();
    if resource.key.kind.scope == Scope::Mesh {
        kept.insert(labels::MESH.to_owned(), json!(resource.key.mesh));
    }
    kept
}
