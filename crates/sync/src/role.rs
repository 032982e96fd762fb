//! The role of a policy, from its spec (contract: kds 6.4).

use serde_json::Value;

/// What a policy is in its namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Made where no namespace is.
    System,
    /// Made by the owner of a service for its callers.
    Producer,
    /// Made by a caller for itself.
    Consumer,
    /// Made for workloads, without `to`.
    WorkloadOwner,
    /// Some items are a producer's, others are not: nothing it could be.
    Mixed,
}

/// Computes the role. In KDS no namespace counts as the system's.
pub fn policy_role(spec: &[u8], namespace: Option<&str>) -> Role {
    let Some(namespace) = namespace.filter(|namespace| !namespace.is_empty()) else { return Role::System };
    let spec: Value = serde_json::from_slice(spec).unwrap_or(Value::Null);
    let items = spec.get("to").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    if items.is_empty() {
        return Role::WorkloadOwner;
    }
    match items.iter().filter(|item| is_producer_item(item, namespace)).count() {
        0 => Role::Consumer,
        count if count == items.len() => Role::Producer,
        _ => Role::Mixed,
    }
}

/// A reference to a service of the policy's own namespace: by display name (3.0), or by name (2.14).
fn is_producer_item(item: &Value, namespace: &str) -> bool {
    let Some(target) = item.get("targetRef") else { return false };
    let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
    if !matches!(text(target.get("kind")).as_str(), "MeshService" | "MeshHTTPRoute") {
        return false;
    }
    if let Some(labels) = target.get("labels").and_then(Value::as_object) {
        let known = labels.keys().all(|key| key == model::labels::DISPLAY_NAME || key == model::labels::NAMESPACE);
        let in_namespace = text(labels.get(model::labels::NAMESPACE));
        let named = !text(labels.get(model::labels::DISPLAY_NAME)).is_empty();
        return known && named && (in_namespace.is_empty() || in_namespace == namespace);
    }
    let in_namespace = text(target.get("namespace"));
    !text(target.get("name")).is_empty() && (in_namespace.is_empty() || in_namespace == namespace)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(to: &str, namespace: Option<&str>, expected: Role) {
        let spec = format!(r#"{{"to":{to}}}"#);
        assert_eq!(policy_role(spec.as_bytes(), namespace), expected, "{to}");
    }

    #[test]
    fn roles_follow_from_the_items() {
        let producer = r#"{"targetRef":{"kind":"MeshService","labels":{"kuma.io/display-name":"a"}}}"#;
        let by_name = r#"{"targetRef":{"kind":"MeshService","name":"a","namespace":"ns"}}"#;
        let elsewhere = r#"{"targetRef":{"kind":"MeshService","labels":{"kuma.io/display-name":"a","k8s.kuma.io/namespace":"other"}}}"#;
        let more_labels = r#"{"targetRef":{"kind":"MeshService","labels":{"kuma.io/display-name":"a","team":"x"}}}"#;
        let unnamed = r#"{"targetRef":{"kind":"MeshService","labels":{"k8s.kuma.io/namespace":"ns"}}}"#;
        let mesh = r#"{"targetRef":{"kind":"Mesh"}}"#;
        check(&format!("[{producer}]"), None, Role::System);
        check("[]", Some("ns"), Role::WorkloadOwner);
        check(&format!("[{producer}]"), Some("ns"), Role::Producer);
        check(&format!("[{by_name}]"), Some("ns"), Role::Producer);
        check(&format!("[{elsewhere}]"), Some("ns"), Role::Consumer);
        check(&format!("[{more_labels}]"), Some("ns"), Role::Consumer);
        check(&format!("[{unnamed}]"), Some("ns"), Role::Consumer);
        check(&format!("[{mesh}]"), Some("ns"), Role::Consumer);
        check(&format!("[{producer},{mesh}]"), Some("ns"), Role::Mixed);
        assert_eq!(policy_role(b"garbage", Some("ns")), Role::WorkloadOwner);
    }
}
