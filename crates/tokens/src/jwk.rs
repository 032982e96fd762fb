//! Public halves as JSON Web Keys (RFC 7517, 7518 section 6, 8037), for whoever verifies tokens elsewhere.
//!
//! Nothing of a control plane key is ever in here: the bytes that verify HS256 sign it, and of a key that is RSA in PEM besides
//! the public half is not shown either.

use serde_json::{Value, json};

use crate::{Family, KeyRing};

/// Returns the JSON Web Key Set of all keys that verify now, of the families that are wanted.
pub fn jwk_set(ring: &KeyRing, wanted: impl Fn(&Family) -> bool) -> Value {
    let keys = ring.public_keys().filter(|(family, _, _)| wanted(family));
    let keys = keys.filter_map(|(family, kid, key)| {
        let mut members = key.jwk_members()?;
        members.insert("kid".to_owned(), kid.into());
        members.insert("alg".to_owned(), key.algorithm().as_str().into());
        members.insert("use".to_owned(), "sig".into());
        members.insert("family".to_owned(), family.token_word().into());
        if let Some(mesh) = family.mesh() {
            members.insert("mesh".to_owned(), mesh.into());
        }
        Some(Value::Object(members))
    });
    json!({"keys": keys.collect::<Vec<_>>()})
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use aws_lc_rs::{
        rand::SystemRandom,
        rsa::PublicKeyComponents,
        signature::{RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair},
    };
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

    use super::*;
    use crate::{Algorithm, PemKey, SecretEntry, StaticKeys, generate_key, generate_signing_key, pem, public_half};

    fn set(ring: &KeyRing) -> Vec<Value> {
        jwk_set(ring, |_| true)["keys"].as_array().unwrap().clone()
    }

    fn ring(secrets: &[(&str, &str, &[u8])]) -> KeyRing {
        let entries: Vec<SecretEntry<'_>> =
            secrets.iter().map(|(mesh, name, data)| SecretEntry { mesh, name, data: Some(data) }).collect();
        KeyRing::build(1, &entries).0
    }

    /// The keys of RFC 7515, A.3, and of RFC 8037, A.2, in front of which stands what makes them `SubjectPublicKeyInfo`.
    #[test]
    fn keys_of_the_standards_look_as_there() {
        let bytes = |text: &str| URL_SAFE_NO_PAD.decode(text).unwrap();
        let (x, y) = ("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0");
        let p256 = [&bytes("MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE")[..], &bytes(x), &bytes(y)].concat();
        let okp = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
        let ed25519 = [&[0x30, 0x2a, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 0x21, 0][..], &bytes(okp)].concat();
        let mut keys = StaticKeys::default();
        keys.add(Family::Zone, "a", pem::encode("PUBLIC KEY", &p256).as_bytes()).unwrap();
        keys.add(Family::User, "b", pem::encode("PUBLIC KEY", &ed25519).as_bytes()).unwrap();
        let expected = [
            json!({"kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": "a", "alg": "ES256", "use": "sig",
                   "family": "zone-token"}),
            json!({"kty": "OKP", "crv": "Ed25519", "x": okp, "kid": "b", "alg": "EdDSA", "use": "sig",
                   "family": "user-token"}),
        ];
        assert_eq!(set(&KeyRing::empty().with_static_keys(Arc::new(keys))), expected);
    }

    #[test]
    fn the_numbers_of_an_rsa_key_verify_what_it_signs() {
        let key = generate_signing_key();
        let keys = set(&ring(&[("", "zone-token-signing-key-0002", key.reveal().as_bytes())]));
        let [shown] = keys.as_slice() else { panic!("{keys:?}") };
        assert_eq!((&shown["kty"], &shown["alg"], &shown["kid"]), (&json!("RSA"), &json!("RS256"), &json!("2")));
        let number = |name: &str| URL_SAFE_NO_PAD.decode(shown[name].as_str().unwrap()).unwrap();
        assert_eq!((number("n").len(), number("e")), (256, vec![1, 0, 1]), "no zeros in front");
        let pair = RsaKeyPair::from_der(&pem::decode(key.reveal().as_bytes()).unwrap().der).unwrap();
        let mut signature = vec![0; pair.public_modulus_len()];
        pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), b"message", &mut signature).unwrap();
        let public = PublicKeyComponents { n: number("n"), e: number("e") };
        assert!(public.verify(&RSA_PKCS1_2048_8192_SHA256, b"message", &signature).is_ok());
    }

    #[test]
    fn nothing_of_control_plane_keys_is_shown() {
        let rsa: PemKey = generate_signing_key();
        let bytes = generate_key(Algorithm::Hs256);
        let ring = ring(&[
            ("", "control-plane-signing-key-0001", rsa.reveal().as_bytes()),
            ("", "control-plane-signing-key-0002", bytes.reveal()),
        ]);
        assert_eq!(set(&ring), [] as [Value; 0]);
    }

    #[test]
    fn only_public_members_are_shown() {
        let keys = [Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa].map(generate_key);
        let names = ["zone-token-signing-key-1", "zone-token-signing-key-2", "user-token-signing-key-1"];
        let secrets: Vec<(&str, &str, &[u8])> =
            names.iter().zip(&keys).map(|(name, key)| ("", *name, key.reveal())).collect();
        for key in set(&ring(&secrets)) {
            for name in key.as_object().unwrap().keys() {
                let public = ["kty", "crv", "n", "e", "x", "y", "kid", "alg", "use", "family", "mesh"];
                assert!(public.contains(&name.as_str()), "{name}");
            }
        }
    }

    #[test]
    fn what_verifies_is_shown_once_and_what_does_not_is_not() {
        let (own, other) = (generate_key(Algorithm::Es256), generate_key(Algorithm::EdDsa));
        let public = |key: &crate::SigningKey| public_half(key.reveal()).unwrap();
        let secrets = ring(&[
            ("", "zone-token-signing-key-1", own.reveal()),
            ("", "zone-token-signing-public-key-1", public(&own).as_bytes()),
            ("", "zone-token-signing-public-key-7", public(&other).as_bytes()),
            ("", "zone-token-signing-key-3", b"no key"),
            ("", "user-token-signing-key-1", own.reveal()),
            ("default", "dataplane-token-signing-key-default-1", own.reveal()),
        ]);
        let shown = |ring: &KeyRing| -> Vec<String> {
            let keys = set(ring);
            let text = |key: &Value| format!("{} {} {}", key["family"], key["kid"], key["alg"]).replace('"', "");
            keys.iter().map(text).collect()
        };
        let all = ["zone-token 1 ES256", "zone-token 7 EdDSA", "user-token 1 ES256", "dataplane-token 1 ES256"];
        assert_eq!(shown(&secrets), all);
        assert_eq!(set(&secrets)[3]["mesh"], "default");
        let zones = jwk_set(&secrets, |family| *family == Family::Zone);
        assert_eq!(zones["keys"].as_array().unwrap().len(), 2);

        let mut keys = StaticKeys::default();
        keys.add(Family::Zone, "1", public(&other).as_bytes()).unwrap();
        keys.without_secrets(&Family::User);
        let ring = secrets.with_static_keys(Arc::new(keys));
        assert_eq!(shown(&ring), ["zone-token 1 EdDSA", "zone-token 7 EdDSA", "dataplane-token 1 ES256"]);
    }
}
