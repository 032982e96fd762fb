//! Rules of kinds in JSON that are no policies.

use serde_json::Value;

use super::{Found, template};
use crate::Kind;

pub(super) fn check(kind: Kind, spec: &Value, found: &mut Found) {
    match kind.name {
        "HostnameGenerator" => {
            if let Some(text) = spec["template"].as_str()
                && let Err(reason) = template::check(text)
            {
                found.add("spec.template", format!("couldn't parse template: template: :{reason}"));
            }
        }
        "MeshService" | "MeshMultiZoneService" => {
            for (index, port) in spec["ports"].as_array().into_iter().flatten().enumerate() {
                port_in_range(&port["port"], format!("spec.ports[{index}].port"), found);
            }
        }
        "MeshExternalService" => {
            let matched = &spec["match"];
            port_in_range(&matched["port"], "spec.match.port".to_owned(), found);
            for (index, endpoint) in spec["endpoints"].as_array().into_iter().flatten().enumerate() {
                port_in_range(&endpoint["port"], format!("spec.endpoints[{index}].port"), found);
            }
        }
        _ => {}
    }
}

fn port_in_range(port: &Value, field: String, found: &mut Found) {
    if !port.is_null() && !port.as_u64().is_some_and(|port| (1..=65535).contains(&port)) {
        found.add(field, "port must be in the range [1, 65535]");
    }
}
