//! With what tokens are verified: `useSecrets` and `publicKeys` of the validators, one for each kind of port.
//!
//! A key that cannot be used stops the start. So does one whose file cannot be read: who relies on a key must not find out
//! when a token is refused.

use std::path::Path;

use serde::Deserialize;
use serde_json::Value;
use tokens::{Family, StaticKeys};

use super::{signers, values::Values};
use crate::files;

const ZONES: &str = "multizone.global.kds.auth.zoneToken.validator";
const USERS: &str = "apiServer.authn.tokens.validator";
const DATAPLANES: &str = "dpServer.authn.dpProxy.dpToken.validator";
const ZONE_PROXIES: &str = "dpServer.authn.zoneProxy.zoneToken.validator";

/// One of `publicKeys`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct PublicKey {
    kid: String,
    /// The key itself, in PEM. Wins over the file.
    #[serde(default)]
    key: String,
    #[serde(default)]
    key_file: String,
    /// The mesh whose dataplane tokens it signs.
    #[serde(default)]
    mesh: String,
}

/// Reads the validators, and says what is wrong with them or worth a line in the log.
pub(super) fn read(values: &Values, remarks: &mut Vec<String>, problems: &mut Vec<String>) -> StaticKeys {
    let mut keys = StaticKeys::default();
    let mut add = |path: &str, keys: &mut StaticKeys, family: &dyn Fn(&PublicKey) -> Result<Family, String>| {
        let path = format!("{path}.publicKeys");
        let listed: Vec<Value> = serde_json::from_str(values.text(&path)).unwrap_or_default();
        for (index, one) in listed.iter().enumerate() {
            if let Err(problem) = add_key(keys, one, family) {
                let source = values.source(&path);
                problems.push(format!("{source}: {path}, entry {}: {problem}", index + 1));
            }
        }
        !listed.is_empty()
    };
    let of_no_mesh = |family: Family| {
        move |key: &PublicKey| {
            if key.mesh.is_empty() { Ok(family.clone()) } else { Err("a key for all meshes has no `mesh`".to_owned()) }
        }
    };
    let of_mesh = |key: &PublicKey| {
        let family = Family::of_word("dataplane-token", Some(&key.mesh));
        family.map_err(|_no_mesh| "`mesh` must name the mesh whose dataplane tokens it signs".to_owned())
    };
    let zones = add(ZONES, &mut keys, &of_no_mesh(Family::Zone));
    let users = add(USERS, &mut keys, &of_no_mesh(Family::User));
    let dataplanes = add(DATAPLANES, &mut keys, &of_mesh);
    // They verify tokens of proxies: beside the others they would let control planes in.
    let zone_proxies = add(ZONE_PROXIES, &mut StaticKeys::default(), &of_no_mesh(Family::Zone));

    // What signs here verifies, too.
    let signs = |path: &str| !values.text(path).is_empty();
    let zones = zones || signs(signers::ZONES);
    let users = users || signs(signers::USERS);

    let use_secrets = |path: &str| values.flag(&format!("{path}.useSecrets"));
    for (path, has_keys, families) in [
        (ZONES, zones, &[Family::Zone, Family::ControlPlane][..]),
        (USERS, users, &[Family::User]),
        (DATAPLANES, dataplanes, &[Family::Dataplane { mesh: String::new() }]),
    ] {
        if use_secrets(path) {
            continue;
        }
        families.iter().for_each(|family| keys.without_secrets(family));
        if !has_keys {
            remarks
                .push(format!("{path}: secrets verify nothing and there are no publicKeys: no such token is accepted"));
        }
    }
    for (path, has_keys) in [(DATAPLANES, dataplanes), (ZONE_PROXIES, zone_proxies)] {
        if has_keys || !use_secrets(path) {
            remarks.push(format!("{path}: no proxy connects to this control plane, so this lets nobody in or out"));
        }
    }
    keys
}

fn add_key(
    keys: &mut StaticKeys,
    listed: &Value,
    family: &dyn Fn(&PublicKey) -> Result<Family, String>,
) -> Result<(), String> {
    let key = PublicKey::deserialize(listed).map_err(|error| {
        format!("{error}; each entry has a `kid`, which is a text, and the public key: `key` (PEM) or `keyFile`")
    })?;
    let family = family(&key)?;
    let kid = &key.kid;
    let data = match (key.key.is_empty(), key.key_file.is_empty()) {
        (false, _) => key.key.as_bytes().to_vec(),
        (true, false) => match files::read(Path::new(&key.key_file), files::LARGEST) {
            Ok(data) => data.to_vec(),
            Err(error) => return Err(format!("key with kid {kid:?}: file {} cannot be read: {error}", key.key_file)),
        },
        (true, true) => return Err(format!("key with kid {kid:?}: `key` (PEM) or `keyFile` must be set")),
    };
    keys.add(family, kid, &data).map_err(|problem| problem.to_string())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::tests::{bad, good};

    fn public(algorithm: tokens::Algorithm) -> String {
        tokens::public_half(tokens::generate_key(algorithm).reveal()).unwrap()
    }

    /// The settings of a validator as a file.
    fn file(path: &str, validator: &str) -> String {
        path.rsplit('.').fold(validator.to_owned(), |inner, name| format!("{{{name}: {inner}}}"))
    }

    /// A key as a line of a file.
    fn quoted(pem: &str) -> String {
        serde_json::to_string(pem).unwrap()
    }

    fn kids(file: &str) -> (String, Vec<String>) {
        let (config, remarks) = good(file, &[("KUMA_MODE", "global")]);
        (format!("{:?}", config.static_keys), remarks.into_iter().map(|remark| remark.0).collect())
    }

    #[test]
    fn keys_are_read_from_the_settings_and_from_files() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key.pem");
        fs::write(&path, public(tokens::Algorithm::Rs256)).unwrap();
        let inline = quoted(&public(tokens::Algorithm::Es256));
        let listed = format!("{{publicKeys: [{{kid: a, key: {inline}}}, {{kid: '2', keyFile: {}}}]}}", path.display());
        for (validator, family) in [(super::ZONES, "zone-token"), (super::USERS, "user-token")] {
            let (keys, remarks) = kids(&file(validator, &listed));
            let expected = format!(r#"StaticKeys {{ kids: ["{family} a", "{family} 2"], without_secrets: {{}} }}"#);
            assert_eq!((keys, remarks), (expected, Vec::new()));
        }
        let (keys, _) = kids(&file("kmesh.multizone.global.kds.auth.cpToken.validator", &listed));
        assert!(keys.contains("zone-token a"), "{keys}");
    }

    #[test]
    fn the_key_itself_wins_over_its_file() {
        let inline = quoted(&public(tokens::Algorithm::EdDsa));
        let (keys, _) =
            kids(&file(super::ZONES, &format!("{{publicKeys: [{{kid: a, key: {inline}, keyFile: /nowhere}}]}}")));
        assert!(keys.contains("zone-token a"), "{keys}");
    }

    #[test]
    fn a_key_that_is_none_stops_the_start_and_is_named() {
        let inline = quoted(&public(tokens::Algorithm::EdDsa));
        let private = quoted(tokens::generate_key(tokens::Algorithm::EdDsa).pem().unwrap());
        for validator in [super::ZONES, super::USERS, super::ZONE_PROXIES] {
            let check = |keys: &str, parts: &[&str]| {
                let parts = [&["kuma-cp.yaml", validator, "publicKeys"], parts].concat();
                bad(&file(validator, &format!("{{publicKeys: {keys}}}")), &[], &parts);
            };
            check("[{kid: a, key: no-key}]", &["entry 1", "\"a\"", "not a public key"]);
            check(&format!("[{{kid: a, key: {private}}}]"), &["\"a\"", "not a public key"]);
            check(&format!("[{{kid: a, key: {inline}}}, {{kid: a, key: {inline}}}]"), &["entry 2", "\"a\"", "twice"]);
            check(&format!("[{{kid: a b, key: {inline}}}]"), &["\"a b\"", "64 letters"]);
            check("[{kid: a, keyFile: /nowhere/key.pem}]", &["\"a\"", "/nowhere/key.pem", "cannot be read"]);
            check("[{kid: a}]", &["\"a\"", "must be set"]);
            check(&format!("[{{kid: 1, key: {inline}}}]"), &["entry 1", "`kid`, which is a text"]);
            check(&format!("[{{key: {inline}}}]"), &["entry 1", "`kid`"]);
            check(&format!("[{{kid: a, keys: {inline}}}]"), &["entry 1", "keys"]);
            check(&format!("[{{kid: a, key: {inline}, mesh: default}}]"), &["entry 1", "mesh"]);
            check("[a]", &["entry 1", "`kid`"]);
            check("a", &["list"]);
            check("{kid: a}", &["list"]);
            good(&file(validator, "{publicKeys: []}"), &[]);
        }
    }

    #[test]
    fn keys_of_dataplane_tokens_are_those_of_a_mesh() {
        let inline = quoted(&public(tokens::Algorithm::Es256));
        let entry = |mesh: &str| file(super::DATAPLANES, &format!("{{publicKeys: [{{kid: a, key: {inline}{mesh}}}]}}"));
        let (keys, remarks) = kids(&entry(", mesh: default"));
        assert!(keys.contains("dataplane-token a") && remarks[0].contains("no proxy connects"), "{keys} {remarks:?}");
        bad(&entry(""), &[], &["entry 1", "mesh"]);
    }

    #[test]
    fn keys_of_zone_proxies_let_no_control_plane_in() {
        let inline = quoted(&public(tokens::Algorithm::Es256));
        let (keys, remarks) = kids(&file(super::ZONE_PROXIES, &format!("{{publicKeys: [{{kid: a, key: {inline}}}]}}")));
        assert!(keys.contains("kids: []"), "{keys}");
        assert!(remarks[0].contains("no proxy connects"), "{remarks:?}");
    }

    #[test]
    fn secrets_may_verify_nothing() {
        let without = |variable: &str| {
            let (config, remarks) = good("", &[("KUMA_MODE", "global"), (variable, "false")]);
            (format!("{:?}", config.static_keys), remarks)
        };
        for variable in [
            "KUMA_MULTIZONE_GLOBAL_KDS_AUTH_ZONE_TOKEN_VALIDATOR_USE_SECRETS",
            "KMESH_MULTIZONE_GLOBAL_KDS_AUTH_CP_TOKEN_VALIDATOR_USE_SECRETS",
        ] {
            let (keys, remarks) = without(variable);
            assert!(
                keys.ends_with(r#"without_secrets: {"control-plane-signing-key", "zone-token-signing-key"} }"#),
                "{keys}"
            );
            assert!(remarks.iter().any(|remark| remark.0.contains("no such token is accepted")), "{remarks:?}");
        }
        let (keys, _) = without("KUMA_API_SERVER_AUTHN_TOKENS_VALIDATOR_USE_SECRETS");
        assert!(keys.ends_with(r#"without_secrets: {"user-token-signing-key"} }"#), "{keys}");
        let (keys, remarks) = without("KUMA_DP_SERVER_AUTHN_ZONE_PROXY_ZONE_TOKEN_VALIDATOR_USE_SECRETS");
        assert!(keys.ends_with("without_secrets: {} }"), "{keys}");
        assert!(remarks[0].0.contains("no proxy connects"), "{remarks:?}");
        let inline = quoted(&public(tokens::Algorithm::Es256));
        let alone = format!("{{useSecrets: false, publicKeys: [{{kid: a, key: {inline}}}]}}");
        assert_eq!(kids(&file(super::USERS, &alone)).1, Vec::<String>::new());
    }

    #[test]
    fn keys_are_shown_as_they_are_set() {
        let pem = public(tokens::Algorithm::Es256);
        let (config, _) =
            good(&file(super::USERS, &format!("{{publicKeys: [{{kid: a, key: {}}}]}}", quoted(&pem))), &[]);
        let shown: serde_json::Value = serde_json::from_str(config.display_json()).unwrap();
        let listed = shown.pointer("/apiServer/authn/tokens/validator/publicKeys").unwrap();
        assert_eq!(listed, &serde_json::json!([{"kid": "a", "key": pem}]));
        let empty = shown.pointer("/dpServer/authn/dpProxy/dpToken/validator/publicKeys").unwrap();
        assert_eq!(empty, &serde_json::json!([]));
    }
}
