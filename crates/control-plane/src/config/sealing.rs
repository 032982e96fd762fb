//! What seals the secrets in the store, from the settings `store.sealing`.

use std::{fmt, path::PathBuf, sync::Arc};

use store::sealing::SealingKey;

use super::values::Values;

/// What seals the secrets in the store.
#[derive(Clone)]
pub enum SealedBy {
    /// Nothing: they lie there as they are.
    Nobody,
    /// The key in the file that this program makes in its work folder.
    OwnFile,
    /// The key in this file.
    File(PathBuf),
    /// A key of the settings.
    Key(Arc<SealingKey>),
    /// A program and its arguments, for who has the key.
    Command(Vec<String>),
}

impl SealedBy {
    /// What is missing where several control planes share a store: a key of one's own opens what that one sealed.
    pub(crate) fn lacks_a_key_for_all(&self) -> Option<String> {
        matches!(self, Self::OwnFile).then(|| {
            "store.sealing: the secrets in a database are sealed with a key that is not in it, and nothing names one: \
             `kuma-cp store generate-key` makes it, store.sealing.keyFile, .key or .command give it to every control plane \
             of the database; `store.sealing.enabled: false` leaves the secrets in plain text"
                .to_owned()
        })
    }
}

/// Says nothing of a key.
impl fmt::Debug for SealedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nobody => f.write_str("Nobody"),
            Self::OwnFile => f.write_str("OwnFile"),
            Self::File(file) => f.debug_tuple("File").field(file).finish(),
            Self::Key(_) => f.write_str("Key(*****)"),
            Self::Command(command) => f.debug_tuple("Command").field(command).finish(),
        }
    }
}

const FILE: &str = "store.sealing.keyFile";
const KEY: &str = "store.sealing.key";
const COMMAND: &str = "store.sealing.command";

/// Reads the settings, and says of each that is wrong where it comes from and what is allowed.
pub(super) fn read(values: &Values) -> (SealedBy, Vec<String>) {
    let (enabled, file) = (values.flag("store.sealing.enabled"), values.text(FILE));
    let (key, command) = (values.text(KEY), values.text(COMMAND));
    let given: Vec<&str> = [FILE, KEY, COMMAND].into_iter().filter(|path| !values.text(path).is_empty()).collect();
    let mut problems = Vec::new();
    if given.len() > 1 {
        problems
            .push(format!("{} are set: one of them says what seals the store, remove the others", given.join(" and ")));
    }
    let sealed_by = if !enabled {
        SealedBy::Nobody
    } else if !file.is_empty() {
        SealedBy::File(PathBuf::from(file))
    } else if !key.is_empty() {
        match key.parse() {
            Ok(key) => SealedBy::Key(Arc::new(key)),
            Err(wrong) => {
                problems.push(format!("{}: {KEY}: {wrong}", values.source(KEY)));
                SealedBy::OwnFile
            }
        }
    } else if !command.is_empty() {
        SealedBy::Command(command.split_whitespace().map(str::to_owned).collect())
    } else {
        SealedBy::OwnFile
    };
    (sealed_by, problems)
}

#[cfg(test)]
mod tests {
    use crate::config::tests::{bad, good};

    #[test]
    fn one_setting_says_what_seals_the_store() {
        let sealed_by = |pairs: &[(&str, &str)]| format!("{:?}", good("", pairs).0.sealed_by);
        assert_eq!(sealed_by(&[]), "OwnFile");
        assert_eq!(sealed_by(&[("KUMA_STORE_SEALING_ENABLED", "false")]), "Nobody");
        assert_eq!(sealed_by(&[("KUMA_STORE_SEALING_KEY_FILE", "/keys/store")]), "File(\"/keys/store\")");
        assert_eq!(
            sealed_by(&[("KUMA_STORE_SEALING_COMMAND", "/bin/wrap  --key k")]),
            r#"Command(["/bin/wrap", "--key", "k"])"#
        );
        let both = [("KUMA_STORE_SEALING_KEY_FILE", "/keys/store"), ("KUMA_STORE_SEALING_COMMAND", "/bin/wrap")];
        bad("", &both, &["store.sealing.keyFile and store.sealing.command", "remove the others"]);
        bad("", &[("KUMA_STORE_SEALING_KEY", "c2hvcnQ=")], &["KUMA_STORE_SEALING_KEY", "32 bytes in base64"]);
    }

    #[test]
    fn a_key_is_never_shown() {
        let key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
        let (config, _) = good("", &[("KUMA_STORE_SEALING_KEY", key)]);
        assert!(!config.display_json().contains("AAECAw") && !format!("{config:?}").contains("AAECAw"));
    }
}
