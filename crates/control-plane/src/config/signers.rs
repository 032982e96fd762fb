//! What signs outside of the store: `signers`, beside the validator of each sort of tokens.
//!
//! Files with keys are read when the program starts, and again when they change; what is wrong with the settings themselves is
//! said here.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;
use tokens::Family;

use super::values::Values;
use crate::{
    files,
    signers::{SignedBy, SignerSettings, TokenKey, TokenNamed},
};

pub(super) const ZONES: &str = "multizone.global.kds.auth.zoneToken.signers";
pub(super) const USERS: &str = "apiServer.authn.tokens.signers";
const DATAPLANES: &str = "dpServer.authn.dpProxy.dpToken.signers";

/// One of `signers`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Listed {
    kid: Option<String>,
    /// The mesh whose dataplane tokens it signs.
    #[serde(default)]
    mesh: String,
    key_file: Option<PathBuf>,
    command: Option<Vec<String>>,
    pkcs11: Option<Token>,
    /// The public half, in PEM. Wins over the file.
    #[serde(default)]
    public_key: String,
    public_key_file: Option<PathBuf>,
}

/// A key on a PKCS#11 token.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Token {
    module: PathBuf,
    slot: Option<u64>,
    token_label: Option<String>,
    key_label: String,
    pin_file: PathBuf,
}

/// Reads all signers, and says what is wrong with them.
pub(super) fn read(values: &Values, problems: &mut Vec<String>) -> Vec<SignerSettings> {
    let mut signers = Vec::new();
    for path in [ZONES, USERS, DATAPLANES] {
        let listed: Vec<Value> = serde_json::from_str(values.text(path)).unwrap_or_default();
        for (index, one) in listed.iter().enumerate() {
            match of(path, one).and_then(|signer| alone(signer, &signers)) {
                Ok(signer) => signers.push(signer),
                Err(problem) => {
                    problems.push(format!("{}: {path}, entry {}: {problem}", values.source(path), index + 1));
                }
            }
        }
    }
    signers
}

/// Of two nobody would know which one signs.
fn alone(signer: SignerSettings, others: &[SignerSettings]) -> Result<SignerSettings, String> {
    if others.iter().any(|other| other.family == signer.family) {
        return Err(
            "another one signs these tokens already; the public keys of others may stand in publicKeys".to_owned()
        );
    }
    Ok(signer)
}

fn of(path: &str, listed: &Value) -> Result<SignerSettings, String> {
    let Listed { kid, mesh, key_file, command, pkcs11, public_key, public_key_file } = Listed::deserialize(listed)
        .map_err(|error| {
            format!("{error}; each entry has one of `keyFile`, `command` (a list of words) and `pkcs11`, and may have a `kid`")
        })?;
    let family = match (path, mesh.as_str()) {
        (DATAPLANES, mesh) => Family::of_word("dataplane-token", Some(mesh))
            .map_err(|_no_mesh| "`mesh` must name the mesh whose dataplane tokens it signs".to_owned())?,
        (_, mesh) if !mesh.is_empty() => return Err("a key for all meshes has no `mesh`".to_owned()),
        (ZONES, _) => Family::Zone,
        _ => Family::User,
    };
    let by = match (key_file, command, pkcs11) {
        (Some(file), None, None) => SignedBy::File(file),
        (None, Some(words), None) if words.first().is_some_and(|program| !program.is_empty()) => {
            SignedBy::Command(words)
        }
        (None, Some(_), None) => return Err("`command` must name a program, and may have arguments".to_owned()),
        (None, None, Some(token)) => SignedBy::Pkcs11(token_key(token)?),
        _ => return Err("one of `keyFile`, `command` and `pkcs11` says what signs".to_owned()),
    };
    let public = match (&by, public_key.is_empty(), public_key_file) {
        (SignedBy::File(_), true, None) => None,
        (SignedBy::File(_), ..) => {
            return Err("the public half of `keyFile` is in it: leave `publicKey` out".to_owned());
        }
        (_, false, _) => Some(public_key.into_bytes()),
        (_, true, Some(file)) => Some(public_half(&file)?),
        (_, true, None) => {
            let why = "`publicKey` (PEM) or `publicKeyFile` must be set: what is signed is verified with it";
            return Err(why.to_owned());
        }
    };
    Ok(SignerSettings { family, kid, by, public })
}

fn public_half(file: &Path) -> Result<Vec<u8>, String> {
    let content = files::read(file, files::LARGEST);
    content.map(|content| content.to_vec()).map_err(|error| format!("file {} cannot be read: {error}", file.display()))
}

fn token_key(token: Token) -> Result<TokenKey, String> {
    let Token { module, slot, token_label, key_label, pin_file } = token;
    let token = match (slot, token_label) {
        (Some(slot), None) => TokenNamed::Slot(slot),
        (None, Some(label)) => TokenNamed::Label(label),
        _ => return Err("`pkcs11` names its token by one of `slot` and `tokenLabel`".to_owned()),
    };
    Ok(TokenKey { module, token, label: key_label, pin_file })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::{bad, good};

    /// The settings of a list as a file.
    fn file(path: &str, list: &str) -> String {
        path.rsplit('.').fold(list.to_owned(), |inner, name| format!("{{{name}: {inner}}}"))
    }

    fn public() -> String {
        let key = tokens::generate_key(tokens::Algorithm::Es256);
        serde_json::to_string(&tokens::public_half(key.reveal()).unwrap()).unwrap()
    }

    #[test]
    fn each_sort_of_tokens_has_its_signers() {
        let mesh = Family::Dataplane { mesh: "default".to_owned() };
        for (path, mesh_of, family) in
            [(ZONES, "", Family::Zone), (USERS, "", Family::User), (DATAPLANES, ", mesh: default", mesh)]
        {
            let (config, _) = good(&file(path, &format!("[{{keyFile: /keys/a.pem{mesh_of}}}]")), &[]);
            let by = SignedBy::File("/keys/a.pem".into());
            assert_eq!(config.signers, [SignerSettings { family, kid: None, by, public: None }]);
        }
        let command = format!("[{{kid: a, command: [/bin/sign, --key, 'k 1'], publicKey: {}}}]", public());
        let (config, remarks) = good(&file(ZONES, &command), &[("KUMA_MODE", "global")]);
        let words = ["/bin/sign", "--key", "k 1"].map(str::to_owned).to_vec();
        let [signer] = config.signers.as_slice() else { panic!("{:?}", config.signers) };
        assert_eq!((&signer.by, signer.kid.as_deref()), (&SignedBy::Command(words), Some("a")));
        assert!(signer.public.is_some() && remarks.is_empty());
        let pkcs11 = format!(
            "[{{pkcs11: {{module: /lib/hsm.so, tokenLabel: t, keyLabel: k, pinFile: /pin}}, publicKey: {}}}]",
            public()
        );
        let (config, _) = good(&file(USERS, &pkcs11), &[]);
        let key = TokenKey {
            module: "/lib/hsm.so".into(),
            token: TokenNamed::Label("t".to_owned()),
            label: "k".to_owned(),
            pin_file: "/pin".into(),
        };
        assert_eq!(config.signers[0].by, SignedBy::Pkcs11(key));
    }

    #[test]
    fn what_cannot_sign_stops_the_start_and_says_where_it_stands() {
        for path in [ZONES, USERS] {
            let check = |list: &str, parts: &[&str]| {
                bad(&file(path, list), &[], &[&["kuma-cp.yaml", path, "entry 1"], parts].concat());
            };
            check("[{kid: a}]", &["one of `keyFile`, `command` and `pkcs11`"]);
            check("[{keyFile: /a, command: [/b], publicKey: x}]", &["one of `keyFile`"]);
            check("[{keyFile: /a, publicKey: x}]", &["leave `publicKey` out"]);
            check("[{command: [/b]}]", &["`publicKey` (PEM) or `publicKeyFile` must be set"]);
            check("[{command: [], publicKey: x}]", &["must name a program"]);
            check("[{command: /b --all, publicKey: x}]", &["`command` (a list of words)"]);
            check("[{command: [/b], publicKeyFile: /nowhere.pem}]", &["/nowhere.pem", "cannot be read"]);
            check("[{keyFile: /a, mesh: default}]", &["has no `mesh`"]);
            bad(&file(path, "[{keyFile: /a}, {keyFile: /b}]"), &[], &["entry 2", "another one signs these tokens"]);
            check("[{keyFile: /a, pin: '1234'}]", &["pin"]);
            let both = "{module: /m, slot: 1, tokenLabel: t, keyLabel: k, pinFile: /p}";
            check(&format!("[{{pkcs11: {both}, publicKey: x}}]"), &["one of `slot` and `tokenLabel`"]);
        }
        bad(&file(DATAPLANES, "[{keyFile: /a}]"), &[], &["entry 1", "`mesh` must name"]);
    }

    #[test]
    fn a_signer_is_a_key_that_verifies() {
        let alone = "{kds: {auth: {zoneToken: {validator: {useSecrets: false}, signers: [{keyFile: /a}]}}}}";
        let (_, remarks) = good(&format!("{{multizone: {{global: {alone}}}}}"), &[("KUMA_MODE", "global")]);
        assert!(remarks.is_empty(), "{remarks:?}");
    }
}
