//! What single cells show: members of what the API answers, read leniently.

use serde_json::Value;

/// Returns the text at this place, or nothing.
pub(crate) fn text(value: &Value, pointer: &str) -> String {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// Returns what tells proxies apart: their labels, or, without any, the tags of their inbounds and gateway.
pub(crate) fn tags(resource: &Value, dataplane: &Value) -> String {
    let mut tags: Vec<String> = pairs(resource.get("labels"));
    if tags.is_empty() {
        let inbounds = dataplane.pointer("/networking/inbound").and_then(Value::as_array).into_iter().flatten();
        tags = inbounds.flat_map(|inbound| pairs(inbound.get("tags"))).collect();
        tags.extend(pairs(dataplane.pointer("/networking/gateway/tags")));
    }
    tags.sort();
    tags.dedup();
    tags.join(" ")
}

fn pairs(map: Option<&Value>) -> Vec<String> {
    let members = map.and_then(Value::as_object).into_iter().flatten();
    members.filter_map(|(key, value)| Some(format!("{key}={}", value.as_str()?))).collect()
}

/// Reads a number that may come as a text.
pub(crate) fn count(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn proxies_without_labels_show_their_tags() {
        let old =
            json!({"networking": {"inbound": [{"tags": {"kuma.io/service": "web"}}], "gateway": {"tags": {"g": "1"}}}});
        assert_eq!(tags(&old, &old), "g=1 kuma.io/service=web");
    }

    #[test]
    fn counters_may_be_numbers_or_texts() {
        assert_eq!([count(&json!(3)), count(&json!("4")), count(&Value::Null)], [Some(3), Some(4), None]);
    }
}
