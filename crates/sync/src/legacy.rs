//! What policies of 2.x say that 3.0 does not read (contract: kds 11.5).

use serde_json::Value;

/// Returns which fields of a policy's spec a 3.0 peer drops without a word, although they decide what the policy applies
/// to; `None` if there is none.
pub fn fields_of_2x(spec: &[u8]) -> Option<&'static str> {
    let spec: Value = serde_json::from_slice(spec).ok()?;
    let filled = |value: Option<&Value>| value.and_then(Value::as_array).is_some_and(|list| !list.is_empty());
    let from = filled(spec.get("from"));
    let proxy_types = filled(spec.pointer("/targetRef/proxyTypes"));
    match (from, proxy_types) {
        (true, true) => Some("from, targetRef.proxyTypes"),
        (true, false) => Some("from"),
        (false, true) => Some("targetRef.proxyTypes"),
        (false, false) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_that_change_what_a_policy_applies_to_are_named() {
        for (spec, expected) in [
            (r#"{"from":[{"targetRef":{"kind":"Mesh"}}]}"#, Some("from")),
            (r#"{"targetRef":{"kind":"Mesh","proxyTypes":["Gateway"]},"to":[]}"#, Some("targetRef.proxyTypes")),
            (r#"{"targetRef":{"proxyTypes":["Sidecar"]},"from":[{}]}"#, Some("from, targetRef.proxyTypes")),
            (r#"{"from":[],"targetRef":{"proxyTypes":[]}}"#, None),
            (r#"{"to":[{"targetRef":{"kind":"Mesh"}}]}"#, None),
            ("garbage", None),
        ] {
            assert_eq!(fields_of_2x(spec.as_bytes()), expected, "{spec}");
        }
    }
}
