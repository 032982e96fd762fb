//! One test a rule of the validators.

use serde_json::{Value, json};

use super::*;

/// What is wrong with a spec in JSON, `field|reason` each.
fn found(kind: &str, spec: &Value) -> Vec<String> {
    let kind = Kind::by_name(kind).expect("kind");
    let bytes = match kind.spec {
        SpecForm::Json => spec.to_string().into_bytes(),
        SpecForm::Proto(_) => {
            crate::proto::spec_from_json(kind, spec.as_object().expect("object")).expect("spec").into()
        }
    };
    let found = super::spec(kind, "x", "default", &Labels::new(), &bytes);
    found.into_iter().map(|found| format!("{}|{}", found.field, found.reason)).collect()
}

fn check(kind: &str, spec: &Value, expected: &[&str]) {
    assert_eq!(found(kind, spec), expected, "{kind} {spec}");
}

#[test]
fn some_policies_need_to_or_rules() {
    for kind in ["MeshAccessLog", "MeshCircuitBreaker", "MeshRateLimit", "MeshTimeout"] {
        check(kind, &json!({}), &["spec|at least one of 'to' or 'rules' has to be defined"]);
        check(kind, &json!({"from": [{}]}), &["spec|at least one of 'to' or 'rules' has to be defined"]);
    }
    for kind in ["MeshFaultInjection", "MeshHealthCheck", "MeshHTTPRoute", "MeshRetry", "MeshTLS", "MeshMetric"] {
        check(kind, &json!({}), &[]);
    }
    check("MeshTrafficPermission", &json!({"from": [{}]}), &["spec|policy must define rules"]);
    check("MeshTrace", &json!({"default": {}}), &["spec.default.backends|must be defined"]);
}

#[test]
fn destinations_are_selected_by_labels() {
    for kind in ["MeshService", "MeshExternalService", "MeshMultiZoneService", "MeshHTTPRoute"] {
        let expected = format!("spec.to[0].targetRef.labels|must be set when kind is {kind}");
        check("MeshRetry", &json!({"to": [{"targetRef": {"kind": kind}}]}), &[&expected]);
        check("MeshRetry", &json!({"to": [{"targetRef": {"kind": kind, "labels": {"a": "b"}}}]}), &[]);
    }
    check(
        "MeshRetry",
        &json!({"to": [{"targetRef": {"kind": "MeshSubset"}}]}),
        &["spec.to[0].targetRef.kind|value 'MeshSubset' is not supported"],
    );
    check(
        "MeshRetry",
        &json!({"targetRef": {"kind": "MeshSubset"}}),
        &["spec.targetRef.kind|value 'MeshSubset' is not supported"],
    );
}

#[test]
fn timeouts_have_values_in_range() {
    let check = |conf: Value, expected: &[&str]| {
        let expected: Vec<String> = expected.iter().map(|text| format!("spec.rules[0].default{text}")).collect();
        let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
        check("MeshTimeout", &json!({"rules": [{"default": conf}]}), &expected);
    };
    check(json!({}), &["|at least one timeout should be configured"]);
    check(json!({"http": {}}), &[".http|at least one timeout in this section should be configured"]);
    check(json!({"connectionTimeout": "0s"}), &[".connectionTimeout|must be greater than zero when defined"]);
    check(json!({"idleTimeout": "0s", "http": {"requestTimeout": "0s"}}), &[]);
    check(
        json!({"idleTimeout": "-1s", "http": {"maxStreamDuration": "-1s"}}),
        &[
            ".idleTimeout|must not be negative when defined",
            ".http.maxStreamDuration|must not be negative when defined",
        ],
    );
}

#[test]
fn tls_versions_are_for_whole_meshes() {
    let spec =
        |kind: &str| json!({"targetRef": {"kind": kind}, "rules": [{"default": {"tlsVersion": {"min": "TLS12"}}}]});
    check("MeshTLS", &spec("Mesh"), &[]);
    check(
        "MeshTLS",
        &spec("Dataplane"),
        &["spec.rules[0].default.tlsVersion|tlsVersion can only be defined with top level targetRef kind: Mesh"],
    );
}

#[test]
fn dataplanes_have_an_address_and_ports() {
    check("Dataplane", &json!({}), &["networking|must be defined"]);
    for address in ["10.0.0.1", "::1", "host.example", "a_b"] {
        check("Dataplane", &json!({"networking": {"address": address, "inbound": [{"port": 65535}]}}), &[]);
    }
    check(
        "Dataplane",
        &json!({"networking": {"address": "..>", "inbound": [{"port": 70000}, {"port": 0}]}}),
        &[
            "networking.address|address has to be valid IP address or domain name",
            "networking.inbound[0].port|port must be in the range [1, 65535]",
            "networking.inbound[1].port|port must be in the range [1, 65535]",
        ],
    );
}

#[test]
fn services_have_ports_in_range() {
    check(
        "MeshService",
        &json!({"ports": [{"port": 0}]}),
        &["spec.ports[0].port|port must be in the range [1, 65535]"],
    );
    check(
        "MeshMultiZoneService",
        &json!({"ports": [{"port": 80}, {"port": 65536}]}),
        &["spec.ports[1].port|port must be in the range [1, 65535]"],
    );
    check(
        "MeshExternalService",
        &json!({"match": {"port": -1}, "endpoints": [{"address": "a"}, {"address": "a", "port": 0}]}),
        &[
            "spec.match.port|port must be in the range [1, 65535]",
            "spec.endpoints[1].port|port must be in the range [1, 65535]",
        ],
    );
}

#[test]
fn host_names_come_from_good_templates() {
    check(
        "HostnameGenerator",
        &json!({"template": "{{ .Nope"}),
        &["spec.template|couldn't parse template: template: :1: unclosed action"],
    );
}

#[test]
fn policies_of_2_x_select_something() {
    check(
        "CircuitBreaker",
        &json!({}),
        &[
            "sources|must have at least one element",
            "destinations|must have at least one element",
            "conf|must have at least one of the detector or threshold configured",
        ],
    );
    check("TrafficTrace", &json!({"conf": {"backend": "x"}}), &["selectors|must have at least one element"]);
    check(
        "TrafficPermission",
        &json!({"sources": [{"match": {"a": "b"}}], "destinations": [{"match": {"a": "b"}}]}),
        &[],
    );
}

#[test]
fn specs_that_cannot_be_decoded_are_invalid() {
    assert_eq!(spec(Kind::MESH_SERVICE, "x", "default", &Labels::new(), b"{").len(), 1);
    assert_eq!(spec(Kind::DATAPLANE, "x", "default", &Labels::new(), &[0xff]).len(), 1);
}

#[test]
fn received_services_have_a_dns_label_as_display_name() {
    let check = |kind: Kind, display: &str, expected: usize| {
        let labels = [(labels::DISPLAY_NAME.to_owned(), display.to_owned())].into();
        assert_eq!(
            received(kind, "a.b", "default", &labels, b"").iter().filter(|found| found.field == "name").count(),
            expected
        );
    };
    check(Kind::MESH, "web", 0);
    check(Kind::MESH, "1web", 1);
    check(Kind::ZONE, "1web", 0);
    assert_eq!(received(Kind::MESH, "a.b", "", &Labels::new(), b"").len(), 1);
}

#[test]
fn a_received_spec_that_others_cannot_decode_is_invalid() {
    let found = |kind: &str, spec: &str| {
        received(Kind::by_name(kind).unwrap(), "a", "default", &Labels::new(), spec.as_bytes())
    };
    for spec in [
        "[]",
        "\"x\"",
        "null",
        "1",
        r#"{"ports":"a"}"#,
        r#"{"ports":[{"port":"80"}]}"#,
        r#"{"ports":[{"port":80.5}]}"#,
        r#"{"selector":5}"#,
        r#"{"selector":{"dataplaneLabels":{"matchLabels":[]}}}"#,
        r#"{"selector":{"dataplaneTags":{"a":1}}}"#,
    ] {
        assert_ne!(found("MeshService", spec), [], "{spec}");
    }
    assert_ne!(found("MeshZoneAddress", "[]"), []);
    let from = r#"{"to":[{"targetRef":{"kind":"Mesh"},"default":{"idleTimeout":"1h"}}],"from":[{"default":[]}]}"#;
    assert_eq!(found("MeshTimeout", from).len(), 1);
    // What is missing, null, unknown or new is no harm.
    for spec in ["{}", r#"{"ports":null,"new":{"a":[1]}}"#, r#"{"state":"Sleeping","ports":[{"port":80,"new":1}]}"#] {
        assert_eq!(found("MeshService", spec), [], "{spec}");
    }
}

#[test]
fn a_received_member_that_others_read_as_another_one_is_invalid() {
    let found = |spec: &str| received(Kind::by_name("MeshTimeout").unwrap(), "a", "m", &Labels::new(), spec.as_bytes());
    let item = r#"{"targetRef":{"kind":"Mesh"},"default":{"idleTimeout":"1h"}}"#;
    assert_eq!(found(&format!(r#"{{"to":[{item}],"tos":1}}"#)), []);
    for name in ["To", "TO"] {
        let reason = format!("spec.{name} in body is read as to by others");
        assert_eq!(found(&format!(r#"{{"to":[{item}],"{name}":[]}}"#)), [Violation::new("", reason)]);
    }
    assert_eq!(
        found(r#"{"to":[{"targetRef":{"\u212aind":"Mesh","kind":"Mesh"},"default":{"idleTimeout":"1h"}}]}"#).len(),
        1
    );
    assert_eq!(found(r#"{"rule\u017f":[],"to":[]}"#).len(), 2, "and nothing in `to`");
}

#[test]
fn a_received_policy_may_name_its_service_as_2_14_does() {
    let kind = Kind::by_name("MeshTimeout").expect("kind");
    let spec =
        |target: &Value| json!({"to": [{"targetRef": target, "default": {"connectionTimeout": "5s"}}]}).to_string();
    let by_name = spec(&json!({"kind": "MeshService", "name": "web"}));
    let neither = spec(&json!({"kind": "MeshService"}));
    let labels = Labels::new();
    assert_eq!(received(kind, "a", "default", &labels, by_name.as_bytes()), []);
    assert_eq!(received(kind, "a", "default", &labels, neither.as_bytes()).len(), 1);
    assert_eq!(self::spec(kind, "a", "default", &labels, by_name.as_bytes()).len(), 1, "over REST it is 3.0's");
}

/// Checks what a user may not write and a peer may send.
fn check_written(kind: &str, spec: &Value, expected: &[&str]) {
    check(kind, spec, expected);
    let kind = Kind::by_name(kind).expect("kind");
    let found = received(kind, "a", "default", &Labels::new(), spec.to_string().as_bytes());
    assert_eq!(found, [], "{kind} {spec} flows");
}

#[test]
fn to_and_rules_are_two_policies() {
    let (to, rule) = (json!({"targetRef": {"kind": "Mesh"}, "default": {}}), json!({"default": {}}));
    let both = ["spec|fields 'to' and 'rules' cannot be defined together: make a policy of each"];
    for kind in ["MeshAccessLog", "MeshFaultInjection", "MeshRateLimit"] {
        check_written(kind, &json!({"targetRef": {"kind": "Dataplane"}, "to": [to], "rules": [rule]}), &both);
        check(kind, &json!({"targetRef": {"kind": "Dataplane"}, "to": [], "rules": [rule]}), &[]);
    }
    let conf = json!({"idleTimeout": "1h"});
    let spec = json!({"to": [{"targetRef": {"kind": "Mesh"}, "default": conf}], "rules": [{"default": conf}]});
    check_written("MeshTimeout", &spec, &both);
}

#[test]
fn rate_limits_by_rules_are_for_proxies() {
    let not_whole = ["spec.rules|can only be defined with top level targetRef kind: Dataplane"];
    let rules = json!([{"default": {}}]);
    check_written("MeshRateLimit", &json!({"rules": rules}), &not_whole);
    check_written("MeshRateLimit", &json!({"targetRef": {"kind": "Mesh"}, "rules": rules}), &not_whole);
    check("MeshRateLimit", &json!({"targetRef": {"kind": "Dataplane"}, "rules": rules}), &[]);
}

#[test]
fn permissions_are_given_to_spiffe_ids() {
    let spec = |kind: &str, value: &str| json!({"rules": [{"default": {"allow": [{"spiffeID": {"type": kind, "value": value}}]}}]});
    for (kind, value) in [
        ("Exact", "spiffe://demo.example/web"),
        ("Exact", "spiffe://demo.example"),
        ("Exact", "spiffe://demo/ns/a_b/sa/X.1"),
        ("Prefix", "spiffe://demo.example/"),
        ("Prefix", "spiffe://demo.exa"),
        ("Prefix", "spiffe://"),
    ] {
        check("MeshTrafficPermission", &spec(kind, value), &[]);
    }
    let bad = ["spec.rules[0].default.allow[0].spiffeID.value|must be a SPIFFE id: spiffe://<trust domain>/<path>"];
    for (kind, value) in [
        ("Exact", "web"),
        ("Exact", ""),
        ("Exact", "spiffe://"),
        ("Exact", "spiffe://demo/"),
        ("Exact", "spiffe://Demo/web"),
        ("Exact", "spiffe://demo/a b"),
        ("Exact", "https://demo/web"),
        ("Prefix", "demo"),
        ("Prefix", "spiffe://demo/a?b"),
    ] {
        check_written("MeshTrafficPermission", &spec(kind, value), &bad);
    }
}

#[test]
fn routes_name_their_backends_by_labels() {
    for kind in ["MeshHTTPRoute", "MeshTCPRoute"] {
        let spec = |backend: Value| json!({"to": [{"targetRef": {"kind": "Mesh"}, "rules": [{"default": {"backendRefs": [backend]}}]}]});
        check(kind, &spec(json!({"kind": "MeshService", "labels": {"a": "b"}})), &[]);
        check_written(
            kind,
            &spec(json!({"kind": "MeshService", "name": "web"})),
            &["spec.to[0].rules[0].default.backendRefs[0].labels|must be set when kind is MeshService"],
        );
    }
}

#[test]
fn outbounds_have_a_backend() {
    let proxy = |outbound: Value| json!({"networking": {"address": "10.0.0.1", "outbound": [outbound]}});
    let by_tags = proxy(json!({"port": 80, "tags": {"kuma.io/service": "web"}}));
    check("Dataplane", &proxy(json!({"port": 80, "backendRef": {"kind": "MeshService", "name": "web"}})), &[]);
    check("Dataplane", &by_tags, &["networking.outbound[0].backendRef|must be defined"]);
    let spec = crate::proto::spec_from_json(Kind::DATAPLANE, by_tags.as_object().expect("object")).expect("spec");
    assert_eq!(received(Kind::DATAPLANE, "a", "default", &Labels::new(), &spec), [], "flows");
}

#[test]
fn violations_are_joined_as_in_a_nack() {
    let found = [Violation::new("spec", "policy must define rules"), Violation::new("", "no field")];
    assert_eq!(join(&found), "spec: policy must define rules; no field");
}
