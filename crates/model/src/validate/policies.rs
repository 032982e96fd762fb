//! Rules of policies: what they select, and the rules of single kinds.

use serde_json::Value;

use super::{Found, Source};
use crate::{Kind, duration};

/// Checks the spec of a policy.
pub(super) fn check(kind: Kind, spec: &Value, source: Source, found: &mut Found) {
    top(spec, found);
    if needs_to_or_rules(kind) && items(spec, "to").is_empty() && items(spec, "rules").is_empty() {
        found.add("spec", "at least one of 'to' or 'rules' has to be defined");
    }
    for (index, item) in items(spec, "to").iter().enumerate() {
        let path = format!("spec.to[{index}]");
        to_ref(&item["targetRef"], source, &format!("{path}.targetRef"), found);
        conf(kind, &item["default"], &format!("{path}.default"), found);
    }
    for (index, item) in items(spec, "rules").iter().enumerate() {
        conf(kind, &item["default"], &format!("spec.rules[{index}].default"), found);
    }
    match kind.name {
        "MeshTrafficPermission" if items(spec, "rules").is_empty() => found.add("spec", "policy must define rules"),
        "MeshTrace" if spec.pointer("/default/backends").is_none_or(Value::is_null) => {
            found.add("spec.default.backends", "must be defined")
        }
        "MeshTLS" => tls(spec, found),
        _ => {}
    }
}

/// Kinds whose spec must say something; the others may be empty.
fn needs_to_or_rules(kind: Kind) -> bool {
    matches!(kind.name, "MeshAccessLog" | "MeshCircuitBreaker" | "MeshRateLimit" | "MeshTimeout")
}

fn top(spec: &Value, found: &mut Found) {
    // An absent targetRef selects the mesh.
    let kind = spec.pointer("/targetRef/kind").filter(|kind| !kind.is_null());
    if kind.is_some_and(|kind| !matches!(kind.as_str(), Some("Mesh" | "Dataplane"))) {
        found.add("spec.targetRef.kind", "value is not supported");
    }
}

fn to_ref(target: &Value, source: Source, path: &str, found: &mut Found) {
    match target["kind"].as_str() {
        Some(kind @ ("MeshService" | "MeshExternalService" | "MeshMultiZoneService" | "MeshHTTPRoute")) => {
            let labelled = target["labels"].as_object().is_some_and(|labels| !labels.is_empty());
            let named = target["name"].as_str().is_some_and(|name| !name.is_empty());
            if !(labelled || named && source == Source::Peer) {
                found.add(format!("{path}.labels"), format!("must be set when kind is {kind}"));
            }
        }
        Some("Mesh") => {}
        Some(_) => found.add(format!("{path}.kind"), "value is not supported"),
        None => found.add(format!("{path}.kind"), "must be set"),
    }
}

fn conf(kind: Kind, conf: &Value, path: &str, found: &mut Found) {
    if kind.name == "MeshTimeout" {
        timeouts(conf, path, found);
    }
}

fn timeouts(conf: &Value, path: &str, found: &mut Found) {
    let set = |section: &Value, name: &str| !section[name].is_null();
    if !set(conf, "connectionTimeout") && !set(conf, "idleTimeout") && !set(conf, "http") {
        found.add(path, "at least one timeout should be configured");
        return;
    }
    if sign(&conf["connectionTimeout"]).is_some_and(|sign| sign <= 0) {
        found.add(format!("{path}.connectionTimeout"), "must be greater than zero when defined");
    }
    not_negative(conf, "idleTimeout", path, found);
    let http = &conf["http"];
    if http.is_null() {
        return;
    }
    let names =
        ["requestTimeout", "streamIdleTimeout", "maxStreamDuration", "maxConnectionDuration", "requestHeadersTimeout"];
    let path = format!("{path}.http");
    if !names.iter().any(|name| set(http, name)) {
        found.add(path, "at least one timeout in this section should be configured");
        return;
    }
    for name in names {
        not_negative(http, name, &path, found);
    }
}

fn not_negative(section: &Value, name: &str, path: &str, found: &mut Found) {
    if sign(&section[name]).is_some_and(|sign| sign < 0) {
        found.add(format!("{path}.{name}"), "must not be negative when defined");
    }
}

/// The sign of a duration; none if there is none.
fn sign(value: &Value) -> Option<i8> {
    duration::parse(value.as_str()?).ok().map(|duration| duration.signum())
}

fn tls(spec: &Value, found: &mut Found) {
    let top = spec.pointer("/targetRef/kind").and_then(Value::as_str).unwrap_or("Mesh");
    for (index, item) in items(spec, "rules").iter().enumerate() {
        let conf = &item["default"];
        for name in ["tlsVersion", "tlsCiphers"] {
            if top != "Mesh" && !conf[name].is_null() {
                found.add(
                    format!("spec.rules[{index}].default.{name}"),
                    format!("{name} can only be defined with top level targetRef kind: Mesh"),
                );
            }
        }
    }
}

fn items<'a>(spec: &'a Value, name: &str) -> &'a [Value] {
    spec[name].as_array().map_or(&[], Vec::as_slice)
}
