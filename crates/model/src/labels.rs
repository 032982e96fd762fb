//! Labels and the keys that mean something to a control plane (contract: kds 6.2).

use std::collections::BTreeMap;

/// Labels in key order, the order in which they are encoded on the wire.
pub type Labels = BTreeMap<String, String>;

/// `global` or `zone`: which side made the resource.
pub const ORIGIN: &str = "kuma.io/origin";
/// The zone of origin.
pub const ZONE: &str = "kuma.io/zone";
/// The mesh of the resource.
pub const MESH: &str = "kuma.io/mesh";
/// The name before hashing, without namespace.
pub const DISPLAY_NAME: &str = "kuma.io/display-name";
/// `kubernetes` or `universal`.
pub const ENV: &str = "kuma.io/env";
/// The namespace in the zone of origin.
pub const NAMESPACE: &str = "k8s.kuma.io/namespace";
/// `enabled` forces sync, `disabled` blocks it.
pub const KDS_SYNC: &str = "kuma.io/kds-sync";
/// `system`, `producer`, `consumer` or `workload-owner`.
pub const POLICY_ROLE: &str = "kuma.io/policy-role";
/// When a deletion with grace began; never leaves the zone.
pub const DELETION_GRACE_PERIOD_STARTED_AT: &str = "kuma.io/deletion-grace-period-started-at";
/// On a Zone: `shadow` lets the zone in whatever its token is.
pub const AUTH: &str = "arctos.io/auth";
/// The value of [`ORIGIN`] for what the global control plane made.
pub const ORIGIN_GLOBAL: &str = "global";
/// The value of [`ORIGIN`] for what a zone made.
pub const ORIGIN_ZONE: &str = "zone";
