//! The documents that a control plane makes by itself (contract: rest 1.9, 3).
//!
//! The texts are byte for byte what peers send: their hash is the version of the resource on the wire.

use bytes::Bytes;

use crate::{Kind, Labels, labels};

/// A document to create: kind, name, labels, spec.
pub type Default = (Kind, String, Labels, Bytes);

const TIMEOUT: &str = r#"{"targetRef":{"kind":"Mesh"},"rules":[{"default":{"connectionTimeout":"10s","idleTimeout":"2h0m0s","http":{"requestTimeout":"0s","streamIdleTimeout":"1h0m0s","maxStreamDuration":"0s"}}}]}"#;
const TIMEOUT_TO: &str = r#"{"targetRef":{"kind":"Mesh"},"to":[{"targetRef":{"kind":"Mesh"},"default":{"connectionTimeout":"5s","idleTimeout":"1h0m0s","http":{"requestTimeout":"15s","streamIdleTimeout":"30m0s"}}}]}"#;
const CIRCUIT_BREAKER: &str = r#"{"targetRef":{"kind":"Mesh"},"to":[{"targetRef":{"kind":"Mesh"},"default":{"connectionLimits":{"maxConnections":1024,"maxPendingRequests":1024,"maxRetries":3,"maxRequests":1024}}}]}"#;
const RETRY: &str = r#"{"targetRef":{"kind":"Mesh"},"to":[{"targetRef":{"kind":"Mesh"},"default":{"tcp":{"maxConnectAttempt":5},"http":{"numRetries":5,"perTryTimeout":"16s","backOff":{"baseInterval":"25ms","maxInterval":"250ms"}},"grpc":{"numRetries":5,"perTryTimeout":"16s","backOff":{"baseInterval":"25ms","maxInterval":"250ms"}}}}]}"#;

const POLICIES: [(&str, &str, &str); 4] = [
    ("MeshTimeout", "mesh-timeout-all-", TIMEOUT),
    ("MeshTimeout", "mesh-timeout-to-all-", TIMEOUT_TO),
    ("MeshCircuitBreaker", "mesh-circuit-breaker-all-", CIRCUIT_BREAKER),
    ("MeshRetry", "mesh-retry-all-", RETRY),
];

const GLOBAL_GENERATORS: [(&str, &str); 5] = [
    (
        "synced-universal-mesh-service",
        r#"{"selector":{"meshService":{"matchLabels":{"kuma.io/env":"universal","kuma.io/origin":"global"}}},"template":"{{ .DisplayName }}.svc.{{ .Zone }}.mesh.local"}"#,
    ),
    (
        "synced-kube-mesh-service",
        r#"{"selector":{"meshService":{"matchLabels":{"k8s.kuma.io/is-headless-service":"false","kuma.io/env":"kubernetes","kuma.io/origin":"global"}}},"template":"{{ .DisplayName }}.{{ .Namespace }}.svc.{{ .Zone }}.mesh.local"}"#,
    ),
    (
        "synced-headless-kube-mesh-service",
        r#"{"selector":{"meshService":{"matchLabels":{"k8s.kuma.io/is-headless-service":"true","kuma.io/env":"kubernetes","kuma.io/origin":"global"}}},"template":"{{ label \"statefulset.kubernetes.io/pod-name\" }}.{{ label \"k8s.kuma.io/service-name\" }}.{{ .Namespace }}.svc.{{ .Zone }}.mesh.local"}"#,
    ),
    (
        "synced-mesh-multi-zone-service",
        r#"{"selector":{"meshMultiZoneService":{"matchLabels":{"kuma.io/origin":"global"}}},"template":"{{ .DisplayName }}.mzsvc.mesh.local"}"#,
    ),
    (
        "synced-mesh-external-service",
        r#"{"selector":{"meshExternalService":{"matchLabels":{"kuma.io/origin":"global"}}},"template":"{{ .DisplayName }}.extsvc.mesh.local"}"#,
    ),
];

const ZONE_GENERATORS: [(&str, &str); 2] = [
    (
        "local-universal-mesh-service",
        r#"{"selector":{"meshService":{"matchLabels":{"kuma.io/origin":"zone"}}},"template":"{{ .DisplayName }}.svc.mesh.local"}"#,
    ),
    (
        "local-mesh-external-service",
        r#"{"selector":{"meshExternalService":{"matchLabels":{"kuma.io/origin":"zone"}}},"template":"{{ .DisplayName }}.extsvc.mesh.local"}"#,
    ),
];

/// Returns the policies of a new mesh; `skip` is its `skipCreatingInitialPolicies`: type names, or `*` for all.
pub fn mesh_policies(mesh: &str, skip: &[String]) -> Vec<Default> {
    POLICIES
        .iter()
        .filter(|(kind, ..)| !skip.iter().any(|skipped| skipped == "*" || skipped == kind))
        .filter_map(|(kind, name, spec)| {
            let name = format!("{name}{mesh}");
            let labels = labels_of([
                (labels::DISPLAY_NAME, name.as_str()),
                (labels::MESH, mesh),
                (labels::ORIGIN, labels::ORIGIN_GLOBAL),
            ]);
            Some((Kind::by_name(kind)?, name, labels, Bytes::from_static(spec.as_bytes())))
        })
        .collect()
}

/// Returns the host name generators of a global control plane; they carry no label.
pub fn global_hostname_generators() -> Vec<Default> {
    generators(&GLOBAL_GENERATORS, &Labels::new())
}

/// Returns the host name generators of a zone.
pub fn zone_hostname_generators() -> Vec<Default> {
    generators(&ZONE_GENERATORS, &labels_of([(labels::ORIGIN, labels::ORIGIN_ZONE)]))
}

/// Returns the status of a new resource, for kinds that have one: nothing was counted yet.
pub fn status(kind: Kind) -> Option<Bytes> {
    let status = match kind.name {
        "Workload" => r#"{"dataplaneProxies":{"connected":0,"healthy":0,"total":0}}"#,
        _ => kind.empty_status?,
    };
    Some(Bytes::from_static(status.as_bytes()))
}

fn generators(table: &[(&'static str, &'static str)], labels: &Labels) -> Vec<Default> {
    let make = |(name, spec): &(&'static str, &'static str)| {
        (Kind::HOSTNAME_GENERATOR, (*name).to_owned(), labels.clone(), Bytes::from_static(spec.as_bytes()))
    };
    table.iter().map(make).collect()
}

fn labels_of<const N: usize>(pairs: [(&str, &str); N]) -> Labels {
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::validate;

    #[test]
    fn a_type_name_or_a_star_skips_policies() {
        let names = |skip: &[&str]| -> Vec<String> {
            let skip: Vec<String> = skip.iter().map(|name| (*name).to_owned()).collect();
            mesh_policies("demo", &skip).into_iter().map(|(_, name, ..)| name).collect()
        };
        assert_eq!(
            names(&[]),
            [
                "mesh-timeout-all-demo",
                "mesh-timeout-to-all-demo",
                "mesh-circuit-breaker-all-demo",
                "mesh-retry-all-demo"
            ]
        );
        assert_eq!(names(&["MeshTimeout"]), ["mesh-circuit-breaker-all-demo", "mesh-retry-all-demo"]);
        assert_eq!(names(&["*"]), Vec::<String>::new());
    }

    #[test]
    fn defaults_are_valid() {
        let all = [mesh_policies("demo", &[]), global_hostname_generators(), zone_hostname_generators()].concat();
        assert_eq!(all.len(), 11);
        for (kind, name, labels, spec) in all {
            assert_eq!(validate::spec(kind, &name, "demo", &labels, &spec), []);
        }
    }
}
