//! Which secrets hold what signs for control planes and meshes: their names say so. What users keep under names of their own is
//! theirs, and read by whoever may read secrets.

use model::reserved::{ENVOY_ADMIN_CA, INTER_CP_CA, TLS_AUTHORITY};

use crate::name::{Half, KeyName};

/// What stands in the names of all keys that sign tokens.
const SIGNING_KEY: &str = "-signing-key";
/// The authorities of control planes: certificate and key.
const AUTHORITIES: [&str; 3] = [INTER_CP_CA, ENVOY_ADMIN_CA, TLS_AUTHORITY];
/// What stands between mesh and backend in the names of keys that sign certificates of a mesh.
const MESH_AUTHORITY: &str = ".ca-builtin-key-";

/// Says whether a secret of this mesh (empty: a global secret) and name is there to hold the private half of a key.
pub fn names_private_half(mesh: &str, name: &str) -> bool {
    let is_key = KeyName::parse(mesh, name).is_some_and(|key| key.half == Half::Private);
    // One that no key is read from (a serial that is none, the wrong mesh) holds a key all the same.
    is_key || name.contains(SIGNING_KEY) || AUTHORITIES.contains(&name) || signs_in_mesh(mesh, name)
}

fn signs_in_mesh(mesh: &str, name: &str) -> bool {
    name.strip_prefix(mesh).is_some_and(|rest| !mesh.is_empty() && rest.starts_with(MESH_AUTHORITY))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_keys_of_all_families_and_of_authorities_say_so() {
        for (mesh, name) in [
            ("", "control-plane-signing-key-0001"),
            ("", "zone-token-signing-key-1"),
            ("", "zone-token-signing-key-0002"),
            ("", "zone-token-signing-key-2026q1"),
            ("", "user-token-signing-key"),
            ("default", "dataplane-token-signing-key-default-1"),
            ("other", "dataplane-token-signing-key-default-1"),
            ("default", "default.ca-builtin-key-ca-1"),
            ("", "inter-cp-ca"),
            ("", "envoy-admin-ca"),
            ("", "control-plane-tls-ca"),
        ] {
            assert!(names_private_half(mesh, name), "{mesh} {name}");
        }
        for (mesh, name) in [
            ("", "zone-token-signing-public-key-1"),
            ("", "zone-token-revocations"),
            ("", "admin-user-token"),
            ("default", "db-password"),
            ("default", "default.ca-builtin-cert-ca-1"),
            ("other", "default.ca-builtin-key-ca-1"),
        ] {
            assert!(!names_private_half(mesh, name), "{mesh} {name}");
        }
    }
}
