//! Rules of policies: what they select, and the rules of single kinds.

use serde_json::Value;

use super::{Found, Source};
use crate::{Kind, duration};

/// Kinds of which one policy has either `to` or `rules`.
const TO_OR_RULES: [&str; 4] = ["MeshAccessLog", "MeshFaultInjection", "MeshRateLimit", "MeshTimeout"];

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
    if source == Source::Document {
        written_here(kind, spec, found);
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

/// What 3.0 refuses of a user. Peers of 2.x have such policies, and zones of theirs understand them, so they still flow.
fn written_here(kind: Kind, spec: &Value, found: &mut Found) {
    let (to, rules) = (items(spec, "to"), items(spec, "rules"));
    if TO_OR_RULES.contains(&kind.name) && !to.is_empty() && !rules.is_empty() {
        found.add("spec", "fields 'to' and 'rules' cannot be defined together: make a policy of each");
    }
    match kind.name {
        "MeshRateLimit" if !rules.is_empty() && top_kind(spec) == "Mesh" => {
            found.add("spec.rules", "can only be defined with top level targetRef kind: Dataplane");
        }
        "MeshTrafficPermission" => {
            for (index, item) in rules.iter().enumerate() {
                for list in ["deny", "allowWithShadowDeny", "allow"] {
                    for (number, matched) in items(&item["default"], list).iter().enumerate() {
                        let path = format!("spec.rules[{index}].default.{list}[{number}].spiffeID.value");
                        spiffe_id(&matched["spiffeID"], path, found);
                    }
                }
            }
        }
        "MeshHTTPRoute" | "MeshTCPRoute" => {
            for (index, item) in to.iter().enumerate() {
                for (number, rule) in items(item, "rules").iter().enumerate() {
                    let path = format!("spec.to[{index}].rules[{number}].default.backendRefs");
                    for (place, backend) in items(&rule["default"], "backendRefs").iter().enumerate() {
                        to_ref(backend, Source::Document, &format!("{path}[{place}]"), found);
                    }
                }
            }
        }
        _ => {}
    }
}

/// A SPIFFE id, or the start of one (SPIFFE-ID, 2.1 to 2.3).
fn spiffe_id(matched: &Value, path: String, found: &mut Found) {
    let Some(value) = matched["value"].as_str() else { return };
    let whole = matched["type"].as_str() == Some("Exact");
    let Some(rest) = value.strip_prefix("spiffe://") else {
        found.add(path, "must be a SPIFFE id: spiffe://<trust domain>/<path>");
        return;
    };
    let (domain, segments) = rest.split_once('/').map_or((rest, None), |(domain, path)| (domain, Some(path)));
    let of_domain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '-' | '_');
    let of_path = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let is_segment = |text: &str| text.chars().all(of_path) && (!whole || !matches!(text, "" | "." | ".."));
    let is_path = segments.is_none_or(|segments| segments.split('/').all(is_segment));
    if !domain.chars().all(of_domain) || (whole && domain.is_empty()) || !is_path {
        found.add(path, "must be a SPIFFE id: spiffe://<trust domain>/<path>");
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
        found.add("spec.targetRef.kind", not_supported(kind.and_then(Value::as_str).unwrap_or_default()));
    }
}

fn not_supported(kind: &str) -> String {
    format!("value '{kind}' is not supported")
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
        Some(kind) => found.add(format!("{path}.kind"), not_supported(kind)),
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
    let top = top_kind(spec);
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

/// What a policy selects; the whole mesh where it does not say.
fn top_kind(spec: &Value) -> &str {
    spec.pointer("/targetRef/kind").and_then(Value::as_str).unwrap_or("Mesh")
}

fn items<'a>(spec: &'a Value, name: &str) -> &'a [Value] {
    spec[name].as_array().map_or(&[], Vec::as_slice)
}
