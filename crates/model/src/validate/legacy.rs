//! Rules of the policies that only 2.x has.

use serde_json::{Map, Value};

use super::Found;
use crate::Kind;

pub(super) fn check(kind: Kind, fields: &Map<String, Value>, found: &mut Found) {
    let selects: &[&str] = match kind.name {
        "MeshGatewayRoute" | "ProxyTemplate" | "TrafficTrace" | "VirtualOutbound" => &["selectors"],
        _ => &["sources", "destinations"],
    };
    for name in selects {
        if !fields.contains_key(*name) {
            found.add(*name, "must have at least one element");
        }
    }
    if kind.name == "CircuitBreaker" {
        let conf = fields.get("conf").and_then(Value::as_object);
        if !conf.is_some_and(|conf| conf.contains_key("detectors") || conf.contains_key("thresholds")) {
            found.add("conf", "must have at least one of the detector or threshold configured");
        }
    }
}
