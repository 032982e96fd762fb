//! Names that mean something to control planes: of one Config, and of global secrets (contract: rest 1.13; decisions 16).
//!
//! A secret that has such a name is key material, a revocation list or a certificate authority. None of it is a user's
//! secret, and none of it travels to zones by the rule for users' secrets. Here are the words alone; how names of keys are
//! made of them is known to the crate `tokens`.

/// The name of the Config that holds the id of all control planes that belong together.
pub const CLUSTER_ID: &str = "kuma-cluster-id";
/// The names of keys that sign control plane tokens, without their serial.
pub const CONTROL_PLANE_KEY: &str = "control-plane-signing-key";
/// The names of keys that sign zone tokens, without their serial.
pub const ZONE_KEY: &str = "zone-token-signing-key";
/// The names under which zones keep the public halves of these, without their serial.
pub const ZONE_PUBLIC_KEY: &str = "zone-token-signing-public-key";
/// The names of keys that sign user tokens, without their serial.
pub const USER_KEY: &str = "user-token-signing-key";
/// The names of keys that sign dataplane tokens, without mesh and serial.
pub const DATAPLANE_KEY: &str = "dataplane-token-signing-key-";
/// The name of the list of revoked control plane tokens.
pub const CONTROL_PLANE_REVOCATIONS: &str = "control-plane-token-revocations";
/// The name of the list of revoked zone tokens.
pub const ZONE_REVOCATIONS: &str = "zone-token-revocations";
/// The name of the list of revoked user tokens.
pub const USER_REVOCATIONS: &str = "user-token-revocations";
/// The names of lists of revoked dataplane tokens, without the mesh.
pub const DATAPLANE_REVOCATIONS: &str = "dataplane-token-revocations-";
/// The name of the certificate authority that the instances on one store make their own certificates with.
pub const TLS_AUTHORITY: &str = "control-plane-tls-ca";
/// The name of the token of the administrator that a control plane makes for itself.
pub const ADMIN_TOKEN: &str = "admin-user-token";

/// The name of the authority that control planes know each other by, certificate and key.
pub const INTER_CP_CA: &str = "inter-cp-ca";
/// The name of the authority that control planes are known to proxies by, certificate and key.
pub const ENVOY_ADMIN_CA: &str = "envoy-admin-ca";

/// A family of names.
enum Names {
    /// One name.
    Is(&'static str),
    /// All names that begin so.
    Starts(&'static str),
    /// All names that end so.
    Ends(&'static str),
    /// All names that have this inside.
    Has(&'static str),
}

const RESERVED: [Names; 11] = [
    Names::Starts("control-plane-"),
    Names::Has("-signing-key"),
    Names::Has("-signing-public-key"),
    Names::Is(ADMIN_TOKEN),
    Names::Is(USER_REVOCATIONS),
    Names::Is(ZONE_REVOCATIONS),
    Names::Starts("dataplane-token-revocations"),
    Names::Is(INTER_CP_CA),
    Names::Is(ENVOY_ADMIN_CA),
    Names::Is(TLS_AUTHORITY),
    Names::Ends("-ca"),
];

/// Returns whether a global secret of this name belongs to the control plane.
pub fn is_reserved_global_secret(name: &str) -> bool {
    RESERVED.iter().any(|names| match names {
        Names::Is(whole) => name == *whole,
        Names::Starts(start) => name.starts_with(start),
        Names::Ends(end) => name.ends_with(end),
        Names::Has(part) => name.contains(part),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_material_is_reserved() {
        for name in [
            "control-plane-signing-key-0001",
            "control-plane-revocations",
            "user-token-signing-key-1",
            "zone-token-signing-key-1",
            "zone-token-signing-public-key-1",
            "admin-user-token",
            "user-token-revocations",
            "zone-token-revocations",
            "dataplane-token-revocations-default",
            "inter-cp-ca",
            "envoy-admin-ca",
            "control-plane-tls-ca",
            "some-other-ca",
        ] {
            assert!(is_reserved_global_secret(name), "{name}");
        }
        for name in ["gs1", "my-key", "ca", "canary", "plane-control", "admin-user-token-2"] {
            assert!(!is_reserved_global_secret(name), "{name}");
        }
    }
}
