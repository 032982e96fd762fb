//! Resource kinds: what one row of the table says, and how rows are found.

use std::{
    cmp::Ordering,
    fmt,
    hash::{Hash, Hasher},
    ops::Deref,
};

use crate::{flow::Flow, table::TABLE};

/// Whether resources of a kind live in a mesh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Names are unique in the control plane.
    Global,
    /// Names are unique in a mesh.
    Mesh,
}

/// How the spec of a kind is encoded, in the store and on the wire, and how REST shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpecForm {
    /// JSON; REST shows a member `spec`.
    Json,
    /// Protobuf, with the full message name; REST shows the fields beside the meta fields.
    Proto(&'static str),
}

/// What REST callers may write of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writable {
    /// Where the flow allows it: on global if provided by global, on a federated zone if provided by zones.
    ByFlow,
    /// Nowhere: the control plane computes it.
    Never,
}

/// What is special about a policy kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Selects proxies by `targetRef` (all but the source and destination policies of 2.x).
    pub target_ref: bool,
    /// Has a `to` list.
    pub to: bool,
    /// Has a `rules` list.
    pub rules: bool,
    /// 2.14 has a `from` list.
    pub from: bool,
}

impl Policy {
    /// Selects proxies by source and destination, as 2.x did.
    pub const BY_SOURCE: Self = Self { target_ref: false, to: false, rules: false, from: false };
    /// Selects proxies, and has no lists.
    pub const PROXIES: Self = Self { target_ref: true, ..Self::BY_SOURCE };
    /// Has a list of destinations.
    pub const TO: Self = Self { to: true, ..Self::PROXIES };
    /// Has a list of rules for what comes in, which was `from` once.
    pub const RULES_FROM: Self = Self { rules: true, from: true, ..Self::PROXIES };
    /// Has both.
    pub const TO_RULES_FROM: Self = Self { to: true, ..Self::RULES_FROM };
}

/// One kind of resource: a row of the table. Every loop over kinds reads these rows.
#[derive(Debug)]
pub struct Row {
    /// The type name, as on the wire: `MeshTimeout`.
    pub name: &'static str,
    /// The path segment of REST: `meshtimeouts`.
    pub path: &'static str,
    /// Another accepted path segment, or empty.
    pub other_path: &'static str,
    /// Whether resources live in a mesh.
    pub scope: Scope,
    /// The short name that KRIs use, or empty.
    pub short: &'static str,
    /// kumactl's names for one resource, the first is the main one; empty if kumactl does not know the kind.
    pub singular: &'static [&'static str],
    /// kumactl's names for the list, the first is the main one.
    pub plural: &'static [&'static str],
    /// What people read: `Mesh Timeout`.
    pub display: &'static str,
    /// What people read for many: `Mesh Timeouts`.
    pub display_plural: &'static str,
    /// Which way it flows between global and zones.
    pub flow: Flow,
    /// The name gets a hash suffix when it goes from global to a zone.
    pub hashed: bool,
    /// How the spec is encoded.
    pub spec: SpecForm,
    /// The empty status as JSON, for kinds that have a status.
    pub empty_status: Option<&'static str>,
    /// What is special if it is a policy.
    pub policy: Option<Policy>,
    /// Only admins may read and write it.
    pub admin_only: bool,
    /// What REST callers may write.
    pub writable: Writable,
    /// 3.0 does not know the kind any more.
    pub only_in_2x: bool,
    /// REST has a route for the kind.
    pub in_rest: bool,
}

/// A kind of resource: a reference to its row. Cheap to copy; compared and ordered by name.
#[derive(Clone, Copy)]
pub struct Kind(&'static Row);

impl Kind {
    /// The mesh.
    pub const MESH: Self = Self::named("Mesh");
    /// A secret of a mesh.
    pub const SECRET: Self = Self::named("Secret");
    /// A secret of the control plane.
    pub const GLOBAL_SECRET: Self = Self::named("GlobalSecret");
    /// A setting kept as a resource; not in REST.
    pub const CONFIG: Self = Self::named("Config");
    /// Something that the control plane keeps for itself: a token that was issued, a revocation, a rotation; not in REST,
    /// and never sent to anybody.
    pub const RECORD: Self = Self::named("Record");
    /// A zone.
    pub const ZONE: Self = Self::named("Zone");
    /// What is known of a zone's connection.
    pub const ZONE_INSIGHT: Self = Self::named("ZoneInsight");
    /// A data plane proxy.
    pub const DATAPLANE: Self = Self::named("Dataplane");
    /// What is known of a proxy's connection.
    pub const DATAPLANE_INSIGHT: Self = Self::named("DataplaneInsight");
    /// A host name generator.
    pub const HOSTNAME_GENERATOR: Self = Self::named("HostnameGenerator");
    /// A service of a mesh.
    pub const MESH_SERVICE: Self = Self::named("MeshService");
    /// Counters of a mesh.
    pub const MESH_INSIGHT: Self = Self::named("MeshInsight");

    /// Returns all kinds in the order of the table.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(Self)
    }

    /// Returns the kind with this type name.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::all().find(|kind| kind.name == name)
    }

    /// Returns the kind that REST serves under this path segment.
    pub fn by_path(path: &str) -> Option<Self> {
        Self::all().find(|kind| {
            kind.in_rest && (kind.path == path || (!kind.other_path.is_empty() && kind.other_path == path))
        })
    }

    /// Returns the kind with this short name.
    pub fn by_short(short: &str) -> Option<Self> {
        Self::all().find(|kind| !short.is_empty() && kind.short == short)
    }

    /// Whether what a resource of this kind says is secret as a whole, and so is sealed where it is kept.
    pub fn is_secret(self) -> bool {
        self.admin_only
    }

    /// The row as a plain reference.
    pub const fn row(self) -> &'static Row {
        self.0
    }

    #[expect(clippy::indexing_slicing, clippy::panic, reason = "runs at compile time; the index is below the length")]
    const fn named(name: &str) -> Self {
        let mut index = 0;
        while index < TABLE.len() {
            if equal(TABLE[index].name.as_bytes(), name.as_bytes()) {
                return Self(&TABLE[index]);
            }
            index += 1;
        }
        panic!("no kind of this name in the table");
    }
}

/// `==` of byte strings at compile time.
#[expect(clippy::indexing_slicing, reason = "runs at compile time; the index is below both lengths")]
const fn equal(left: &[u8], right: &[u8]) -> bool {
    if left.len() != right.len() {
        return false;
    }
    let mut index = 0;
    while index < left.len() {
        if left[index] != right[index] {
            return false;
        }
        index += 1;
    }
    true
}

impl Deref for Kind {
    type Target = Row;

    fn deref(&self) -> &Row {
        self.0
    }
}

impl PartialEq for Kind {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.0, other.0)
    }
}

impl Eq for Kind {}

impl PartialOrd for Kind {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Kind {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.name.cmp(other.0.name)
    }
}

impl Hash for Kind {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.name.hash(state);
    }
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn lists_have_the_sizes_of_2_14_and_3_0() {
        let count = |old: bool, test: fn(Flow) -> bool| {
            Kind::all().filter(|kind| (old || !kind.only_in_2x) && test(kind.flow)).count()
        };
        assert_eq!(count(false, Flow::global_to_zone), 29);
        assert_eq!(count(false, Flow::zone_to_global), 26);
        assert_eq!(count(true, Flow::global_to_zone), 45);
        assert_eq!(count(true, Flow::zone_to_global), 31);
    }

    /// The names of a list, those of 3.0 apart from those that only 2.x has.
    fn list(test: fn(Flow) -> bool) -> [String; 2] {
        [false, true].map(|old| {
            let of_list = Kind::all().filter(|kind| kind.only_in_2x == old && test(kind.flow));
            of_list.map(|kind| kind.name).collect::<Vec<_>>().join(" ")
        })
    }

    #[test]
    fn the_lists_are_those_of_the_contract_name_by_name() {
        let [now, old] = list(Flow::global_to_zone);
        assert_eq!(
            now,
            "Config GlobalSecret HostnameGenerator Mesh MeshAccessLog MeshCircuitBreaker MeshExternalService \
             MeshFaultInjection MeshHTTPRoute MeshHealthCheck MeshIdentity MeshLoadBalancingStrategy MeshMetric \
             MeshMultiZoneService MeshOpenTelemetryBackend MeshPassthrough MeshProxyPatch MeshRateLimit MeshRetry \
             MeshService MeshTCPRoute MeshTLS MeshTimeout MeshTrace MeshTrafficPermission MeshTrust MeshZoneAddress \
             Secret ServiceInsight"
        );
        assert_eq!(
            old,
            "CircuitBreaker ExternalService FaultInjection HealthCheck MeshGateway MeshGatewayRoute ProxyTemplate \
             RateLimit Retry Timeout TrafficLog TrafficPermission TrafficRoute TrafficTrace VirtualOutbound ZoneIngress"
        );
        let [now, old] = list(Flow::zone_to_global);
        assert_eq!(
            now,
            "Dataplane DataplaneInsight HostnameGenerator MeshAccessLog MeshCircuitBreaker MeshExternalService \
             MeshFaultInjection MeshHTTPRoute MeshHealthCheck MeshIdentity MeshLoadBalancingStrategy MeshMetric \
             MeshOpenTelemetryBackend MeshPassthrough MeshProxyPatch MeshRateLimit MeshRetry MeshService MeshTCPRoute \
             MeshTLS MeshTimeout MeshTrace MeshTrafficPermission MeshTrust MeshZoneAddress Workload"
        );
        assert_eq!(old, "MeshGateway ZoneEgress ZoneEgressInsight ZoneIngress ZoneIngressInsight");
    }

    #[test]
    fn only_these_types_keep_their_names() {
        let plain: Vec<_> = Kind::all().filter(|kind| !kind.hashed).map(|kind| kind.name).collect();
        assert_eq!(plain, ["Config", "GlobalSecret", "Mesh", "Record", "Secret"]);
    }

    #[test]
    fn secrets_and_what_a_control_plane_keeps_for_itself_are_secret() {
        let secret: Vec<_> = Kind::all().filter(|kind| kind.is_secret()).collect();
        assert_eq!(secret, [Kind::GLOBAL_SECRET, Kind::RECORD, Kind::SECRET]);
    }

    #[test]
    fn empty_statuses_are_those_of_real_globals() {
        let with: Vec<_> = Kind::all().filter_map(|kind| Some((kind.name, kind.empty_status?))).collect();
        let plain = |name| (name, "{}");
        assert_eq!(
            with,
            [
                plain("MeshAccessLog"),
                ("MeshExternalService", r#"{"vip":{}}"#),
                plain("MeshIdentity"),
                plain("MeshMetric"),
                plain("MeshMultiZoneService"),
                plain("MeshOpenTelemetryBackend"),
                ("MeshService", r#"{"tls":{},"dataplaneProxies":{}}"#),
                plain("MeshTrace"),
                plain("MeshTrust"),
                plain("Workload"),
            ]
        );
    }

    #[test]
    fn names_paths_and_short_names_are_unique() {
        let mut seen = BTreeSet::new();
        for kind in Kind::all() {
            assert!(seen.insert(kind.name), "{kind}");
            assert!(kind.path.is_empty() || seen.insert(kind.path), "{kind}");
            assert!(kind.other_path.is_empty() || seen.insert(kind.other_path), "{kind}");
        }
        let shorts: Vec<_> = Kind::all().map(|kind| kind.short).filter(|short| !short.is_empty()).collect();
        assert_eq!(shorts.iter().collect::<BTreeSet<_>>().len(), shorts.len());
    }

    #[test]
    fn a_kind_is_found_by_each_of_its_names() {
        assert_eq!(Kind::by_name("GlobalSecret"), Some(Kind::GLOBAL_SECRET));
        assert_eq!(Kind::by_path("global-secrets"), Some(Kind::GLOBAL_SECRET));
        assert_eq!(Kind::by_path("globalsecrets"), Some(Kind::GLOBAL_SECRET));
        assert_eq!(Kind::by_short("m"), Some(Kind::MESH));
        assert_eq!(Kind::by_short(""), None);
        assert_eq!(Kind::by_path(""), None);
    }
}
