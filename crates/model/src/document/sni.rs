//! The server names under which proxies reach destinations: `sni.<short>.<mesh>[.<zone>][.<namespace>].<name>.<section>`.

use serde_json::{Value, json};

use crate::{Kind, Labels, labels};

/// Returns `{port, sni}` of each port, sorted by port; empty for kinds that are no destinations.
pub(super) fn of(
    kind: Kind,
    mesh: &str,
    name: &str,
    labels: &Labels,
    spec: &Value,
    zone_local: Option<&str>,
) -> Vec<Value> {
    let mut ports: Vec<(u64, String)> = match kind.name {
        "MeshService" | "MeshMultiZoneService" => {
            spec["ports"].as_array().into_iter().flatten().filter_map(port_and_section).collect()
        }
        "MeshExternalService" => port_and_section(&spec["match"]).into_iter().collect(),
        _ => return Vec::new(),
    };
    ports.sort();
    let label = |key: &str| labels.get(key).map(String::as_str).filter(|value| !value.is_empty());
    let name = label(labels::DISPLAY_NAME).unwrap_or(name);
    // A service over several zones is in none of them, and what was made on global was made in no namespace.
    let multi_zone = kind.name == "MeshMultiZoneService";
    let zone = label(labels::ZONE).or_else(|| zone_local.filter(|_| !multi_zone));
    let namespace = label(labels::NAMESPACE).filter(|_| multi_zone || zone.is_some());
    let host: Vec<&str> =
        [Some("sni"), Some(kind.short), Some(mesh), zone, namespace, Some(name)].into_iter().flatten().collect();
    let host = host.join(".");
    ports.into_iter().map(|(port, section)| json!({"port": port, "sni": format!("{host}.{section}")})).collect()
}

fn port_and_section(port: &Value) -> Option<(u64, String)> {
    let number = port["port"].as_u64()?;
    let section =
        port["name"].as_str().filter(|name| !name.is_empty()).map_or_else(|| number.to_string(), str::to_owned);
    Some((number, section))
}
