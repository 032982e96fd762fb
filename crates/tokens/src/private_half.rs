//! Which secrets hold what signs: names that say so, and data that is a private key under whatever name.
//!
//! Of a certificate authority and of a key that a user keeps for something else nobody here knows the names, so that the data
//! counts as well.

use model::reserved::{ENVOY_ADMIN_CA, INTER_CP_CA, TLS_AUTHORITY};

use crate::{
    der,
    key::PrivateKey,
    name::{Half, KeyName},
};

/// What stands in the names of all keys that sign tokens.
const SIGNING_KEY: &str = "-signing-key";
/// The authorities of control planes: certificate and key.
const AUTHORITIES: [&str; 3] = [INTER_CP_CA, ENVOY_ADMIN_CA, TLS_AUTHORITY];
/// How the names of blocks of PEM end that are private keys: of RSA, PKCS#8, SEC 1, SSH, encrypted or not.
const PRIVATE_KEY: &[u8] = b"PRIVATE KEY-----";

/// Says whether a secret of this mesh (empty: a global secret) and name is there to hold the private half of a key.
pub fn names_private_half(mesh: &str, name: &str) -> bool {
    let is_key = KeyName::parse(mesh, name).is_some_and(|key| key.half == Half::Private);
    // One that no key is read from (a serial that is none, the wrong mesh) holds a key all the same.
    is_key || name.contains(SIGNING_KEY) || AUTHORITIES.contains(&name)
}

/// Says whether a secret of this mesh, name and data holds the private half of a key.
pub fn holds_private_half(mesh: &str, name: &str, data: Option<&[u8]>) -> bool {
    names_private_half(mesh, name) || data.is_some_and(is_private_half)
}

fn is_private_half(data: &[u8]) -> bool {
    data.windows(PRIVATE_KEY.len()).any(|part| part == PRIVATE_KEY)
        || der::pkcs8_algorithm(data).is_some()
        || PrivateKey::parse(data).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Algorithm, generate_key, pem, public_half};

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
            ("", "inter-cp-ca"),
            ("", "envoy-admin-ca"),
            ("", "control-plane-tls-ca"),
        ] {
            assert!(names_private_half(mesh, name) && holds_private_half(mesh, name, None), "{mesh} {name}");
        }
        for (mesh, name) in [
            ("", "zone-token-signing-public-key-1"),
            ("", "zone-token-revocations"),
            ("", "admin-user-token"),
            ("default", "db-password"),
        ] {
            assert!(!holds_private_half(mesh, name, Some(b"some text")), "{mesh} {name}");
        }
    }

    #[test]
    fn a_private_key_is_one_under_any_name() {
        for algorithm in [Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa] {
            let key = generate_key(algorithm);
            let der = pem::decode(key.reveal()).unwrap().der;
            let chain = [b"-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n", key.reveal()].concat();
            for data in [key.reveal(), &der, &chain] {
                assert!(holds_private_half("default", "default.ca-builtin-key-ca-1", Some(data)), "{algorithm}");
            }
            let public = public_half(key.reveal()).unwrap();
            assert!(!holds_private_half("default", "default.ca-builtin-cert-ca-1", Some(public.as_bytes())));
        }
        for label in ["EC PRIVATE KEY", "ENCRYPTED PRIVATE KEY", "OPENSSH PRIVATE KEY"] {
            let text = format!("-----BEGIN {label}-----\nAA==\n-----END {label}-----\n");
            assert!(holds_private_half("", "mine", Some(text.as_bytes())), "{label}");
        }
        assert!(!holds_private_half("", "mine", Some(b"")));
    }
}
