//! Names of global secrets that mean something to control planes (decision 16; contract: rest 1.13).
//!
//! What has such a name is key material, a revocation list or a certificate authority. None of it is a user's secret,
//! and none of it travels to zones by the rule for users' secrets.

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

const RESERVED: [Names; 10] = [
    Names::Starts("control-plane-"),
    Names::Has("-signing-key"),
    Names::Has("-signing-public-key"),
    Names::Is("admin-user-token"),
    Names::Is("user-token-revocations"),
    Names::Is("zone-token-revocations"),
    Names::Starts("dataplane-token-revocations"),
    Names::Is("inter-cp-ca"),
    Names::Is("envoy-admin-ca"),
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
            "some-other-ca",
        ] {
            assert!(is_reserved_global_secret(name), "{name}");
        }
        for name in ["gs1", "my-key", "ca", "canary", "plane-control", "admin-user-token-2"] {
            assert!(!is_reserved_global_secret(name), "{name}");
        }
    }
}
