//! What may leave: allow-lists of kinds, names and origins (contract: kds 6.3 and 6.5; decisions 16).
//!
//! A new kind, or a new family of secrets, stays here until a rule lets it out.

use model::{Kind, Resource, labels, reserved};

use crate::role::{Role, policy_role};

/// Whether a resource may leave, and as what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passage {
    /// It stays here.
    Block,
    /// It leaves as it is mapped.
    Pass,
    /// Its public half leaves: the caller replaces the data by it.
    PublicHalf,
}

/// What global may send to zones; what only some zones may see is decided by the sender.
pub fn from_global(resource: &Resource, zone_enabled: &dyn Fn(&str) -> bool) -> Passage {
    let kind = resource.key.kind;
    let label = |key: &str| resource.labels.get(key).map(String::as_str);
    if !kind.flow.global_to_zone() || label(labels::KDS_SYNC) == Some("disabled") {
        return Passage::Block;
    }
    if kind == Kind::CONFIG {
        return if resource.key.name == reserved::CLUSTER_ID { Passage::Pass } else { Passage::Block };
    }
    if kind == Kind::GLOBAL_SECRET {
        return global_secret(&resource.key.name);
    }
    match label(labels::ORIGIN) {
        None | Some(labels::ORIGIN_GLOBAL) if kind.flow.from_global() => Passage::Pass,
        Some(labels::ORIGIN_ZONE) if kind.flow.across_zones() => from_another_zone(resource, zone_enabled),
        _ => Passage::Block,
    }
}

/// Of the system's own secrets only what zones verify with may leave; of the others those in no reserved family.
fn global_secret(name: &str) -> Passage {
    let serial = name.strip_prefix(reserved::ZONE_KEY);
    if serial.is_some_and(|rest| rest.is_empty() || rest.strip_prefix('-').is_some_and(is_number)) {
        return Passage::PublicHalf;
    }
    if name == reserved::ZONE_REVOCATIONS || !reserved::is_reserved_global_secret(name) {
        return Passage::Pass;
    }
    Passage::Block
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn from_another_zone(resource: &Resource, zone_enabled: &dyn Fn(&str) -> bool) -> Passage {
    if resource.key.kind.policy.is_some() {
        let label = |key: &str| resource.labels.get(key).map(String::as_str);
        let claimed = label(labels::POLICY_ROLE) == Some("producer");
        if !claimed || policy_role(&resource.spec, label(labels::NAMESPACE)) != Role::Producer {
            return Passage::Block;
        }
    }
    match origin_zone(resource) {
        Some(zone) if !zone_enabled(zone) => Passage::Block,
        _ => Passage::Pass,
    }
}

/// The zone that made a resource: its label, or else the part of its name before the first dot.
pub fn origin_zone(resource: &Resource) -> Option<&str> {
    if resource.labels.get(labels::ORIGIN).map(String::as_str) != Some(labels::ORIGIN_ZONE) {
        return None;
    }
    let label = resource.labels.get(labels::ZONE).map(String::as_str);
    label.or_else(|| resource.key.name.split_once('.').map(|(zone, _)| zone))
}

/// What a zone may send to global: its own resources of the kinds that flow up.
pub fn from_zone(resource: &Resource) -> Passage {
    let label = |key: &str| resource.labels.get(key).map(String::as_str);
    let own = matches!(label(labels::ORIGIN), None | Some(labels::ORIGIN_ZONE));
    let blocked = label(labels::KDS_SYNC) == Some("disabled");
    if resource.key.kind.flow.zone_to_global() && own && !blocked { Passage::Pass } else { Passage::Block }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use model::{Key, Labels};

    use super::*;

    fn resource(kind: &str, name: &str, labels: &[(&str, &str)], spec: &str) -> Resource {
        let kind = Kind::by_name(kind).unwrap();
        let labels: Labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Resource {
            key: Key::in_mesh(kind, "default", name),
            labels,
            spec: spec.to_owned().into(),
            status: None,
            owner: None,
            created: Timestamp::UNIX_EPOCH,
            modified: Timestamp::UNIX_EPOCH,
        }
    }

    fn down(kind: &str, name: &str, labels: &[(&str, &str)]) -> Passage {
        from_global(&resource(kind, name, labels, "{}"), &|zone| zone != "off")
    }

    #[test]
    fn secrets_of_the_control_plane_never_leave() {
        for name in [
            "admin-user-token",
            "envoy-admin-ca",
            "inter-cp-ca",
            "control-plane-tls-ca",
            "user-token-signing-key-1",
            "user-token-revocations",
            "control-plane-signing-key-0001",
            "control-plane-token-revocations",
            "some-new-signing-key-1",
            "dataplane-token-signing-key-default-1",
        ] {
            assert_eq!(down("GlobalSecret", name, &[]), Passage::Block, "{name}");
        }
    }

    #[test]
    fn what_zones_verify_with_leaves_and_so_do_secrets_of_people() {
        assert_eq!(down("GlobalSecret", "zone-token-signing-key-1", &[]), Passage::PublicHalf);
        assert_eq!(down("GlobalSecret", "zone-token-signing-key-0002", &[]), Passage::PublicHalf);
        assert_eq!(down("GlobalSecret", "zone-token-signing-key-backup", &[]), Passage::Block);
        assert_eq!(down("GlobalSecret", "zone-token-revocations", &[]), Passage::Pass);
        assert_eq!(down("GlobalSecret", "gs1", &[]), Passage::Pass);
        assert_eq!(down("Secret", "dataplane-token-signing-key-default-1", &[]), Passage::Pass);
    }

    #[test]
    fn only_the_cluster_id_of_the_settings_leaves() {
        assert_eq!(down("Config", "kuma-cluster-id", &[]), Passage::Pass);
        assert_eq!(down("Config", "kuma-cp-leader", &[]), Passage::Block);
    }

    #[test]
    fn kinds_that_do_not_flow_down_stay() {
        for kind in ["Zone", "ZoneInsight", "Dataplane", "DataplaneInsight", "Workload", "MeshInsight"] {
            assert_eq!(down(kind, "a", &[]), Passage::Block, "{kind}");
        }
        assert_eq!(down("MeshService", "a", &[]), Passage::Block, "made on global, but not provided by it");
        assert_eq!(down("Mesh", "a", &[]), Passage::Pass);
        assert_eq!(down("CircuitBreaker", "a", &[]), Passage::Pass);
    }

    #[test]
    fn the_sync_label_blocks() {
        assert_eq!(down("MeshTimeout", "a", &[("kuma.io/kds-sync", "disabled")]), Passage::Block);
        assert_eq!(down("MeshTimeout", "a", &[("kuma.io/kds-sync", "enabled")]), Passage::Pass);
        let zoned = resource("Dataplane", "a", &[("kuma.io/kds-sync", "disabled")], "{}");
        assert_eq!(from_zone(&zoned), Passage::Block);
    }

    #[test]
    fn services_of_enabled_zones_flow_across() {
        let of = |zone| [("kuma.io/origin", "zone"), ("kuma.io/zone", zone)];
        assert_eq!(down("MeshService", "a", &of("west")), Passage::Pass);
        assert_eq!(down("MeshService", "a", &of("off")), Passage::Block);
        assert_eq!(down("MeshService", "off.a", &[("kuma.io/origin", "zone")]), Passage::Block);
        assert_eq!(down("MeshIdentity", "a", &of("west")), Passage::Block);
        assert_eq!(down("ZoneIngress", "a", &of("west")), Passage::Pass);
        assert_eq!(down("ZoneEgress", "a", &of("west")), Passage::Block);
        assert_eq!(down("HostnameGenerator", "a", &of("west")), Passage::Block);
    }

    #[test]
    fn only_producer_policies_flow_across() {
        let spec = r#"{"to":[{"targetRef":{"kind":"MeshService","labels":{"kuma.io/display-name":"a"}}}]}"#;
        let check = |role: &str, namespace: &str, expected| {
            let labels = [
                ("kuma.io/origin", "zone"),
                ("kuma.io/zone", "west"),
                ("kuma.io/policy-role", role),
                ("k8s.kuma.io/namespace", namespace),
            ];
            let policy = resource("MeshTimeout", "a", &labels, spec);
            assert_eq!(from_global(&policy, &|_| true), expected, "{role} {namespace}");
        };
        check("producer", "ns", Passage::Pass);
        check("consumer", "ns", Passage::Block);
        check("producer", "", Passage::Block);
    }

    #[test]
    fn a_policy_without_a_role_stays_with_its_zone() {
        let spec = r#"{"to":[{"targetRef":{"kind":"MeshService","labels":{"kuma.io/display-name":"a"}}}]}"#;
        let labels = [("kuma.io/origin", "zone"), ("kuma.io/zone", "west"), ("k8s.kuma.io/namespace", "ns")];
        assert_eq!(from_global(&resource("MeshTimeout", "a", &labels, spec), &|_| true), Passage::Block);
        let with_role = [&labels[..], &[("kuma.io/policy-role", "producer")]].concat();
        assert_eq!(from_global(&resource("MeshTimeout", "a", &with_role, spec), &|_| true), Passage::Pass);
    }

    #[test]
    fn a_target_in_another_zone_holds_nothing_back() {
        let spec = r#"{"targetRef":{"kind":"MeshSubset","tags":{"kuma.io/zone":"east"}},"to":[]}"#;
        assert_eq!(from_global(&resource("MeshTimeout", "a", &[], spec), &|_| true), Passage::Pass);
        let target = r#"{"targetRef":{"kind":"Dataplane","labels":{"kuma.io/zone":"east"}},
            "to":[{"targetRef":{"kind":"MeshService","labels":{"kuma.io/display-name":"a"}}}]}"#;
        let labels = [
            ("kuma.io/origin", "zone"),
            ("kuma.io/zone", "west"),
            ("kuma.io/policy-role", "producer"),
            ("k8s.kuma.io/namespace", "ns"),
        ];
        assert_eq!(from_global(&resource("MeshTimeout", "a", &labels, target), &|_| true), Passage::Pass);
    }

    #[test]
    fn a_zone_sends_what_is_its_own() {
        let check = |kind: &str, labels: &[(&str, &str)], expected| {
            assert_eq!(from_zone(&resource(kind, "a", labels, "{}")), expected, "{kind} {labels:?}");
        };
        check("Dataplane", &[], Passage::Pass);
        check("Dataplane", &[("kuma.io/origin", "zone")], Passage::Pass);
        check("MeshTimeout", &[("kuma.io/origin", "global")], Passage::Block);
        check("Secret", &[], Passage::Block);
        check("GlobalSecret", &[], Passage::Block);
        check("Mesh", &[], Passage::Block);
    }
}
