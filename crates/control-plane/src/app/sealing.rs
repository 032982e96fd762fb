//! What seals the secrets in the store: a key in a file, of the settings, or a command that has one.
//!
//! A store in a file needs no setting: its key is made beside it, in `store.key`, when the first data key is sealed. A key
//! that is missing later is never made anew: what it sealed would be lost.

mod command;

use std::{
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use model::Key;
use store::sealing::{COMMAND, DataKey, DataKeyId, KeyText, SealedDataKey, Sealer, SealerError, Sealing, SealingKey};
use tracing::{info, warn};

use self::command::SealingCommand;
use crate::{
    config::{Config, SealedBy},
    files::{self, whole},
};

/// The key that a control plane makes for its store, in its work folder.
pub(super) const KEY_FILE: &str = "store.key";

/// Returns how secrets are kept in the store of this configuration.
pub(super) fn sealing(config: &Config) -> Arc<Sealing> {
    match sealer(config) {
        Some(sealer) => Arc::new(Sealing::by(sealer, is_secret)),
        None => {
            warn!(
                "store.sealing.enabled is `false`: whoever reads the store, or a backup of it, has every signing key"
            );
            Arc::new(Sealing::off())
        }
    }
}

/// Returns what the settings say seals data keys, if anything does.
pub(super) fn sealer(config: &Config) -> Option<Arc<dyn Sealer>> {
    match &config.sealed_by {
        SealedBy::Nobody => None,
        SealedBy::OwnFile => Some(Arc::new(KeyFile::own(&config.work_dir))),
        SealedBy::File(path) => Some(Arc::new(KeyFile::of(path))),
        SealedBy::Key(key) => Some(Arc::clone(key) as Arc<dyn Sealer>),
        SealedBy::Command(words) => Some(Arc::new(SealingCommand::of(words))),
    }
}

/// Which content is secret.
pub(super) fn is_secret(key: &Key) -> bool {
    key.kind.is_secret()
}

/// A key in a file, read when it is needed.
pub(super) struct KeyFile {
    path: PathBuf,
    /// Whether it is made where there is none, for the first data key.
    is_own: bool,
}

impl KeyFile {
    /// The file in the work folder.
    pub(super) fn own(work_dir: &Path) -> Self {
        Self { path: work_dir.join(KEY_FILE), is_own: true }
    }

    /// A file that somebody else made.
    pub(super) fn of(path: &Path) -> Self {
        Self { path: path.to_owned(), is_own: false }
    }

    /// Reads the key; nothing if there is no such file.
    pub(super) fn read(&self) -> Result<Option<SealingKey>, SealerError> {
        let path = self.path.display();
        let text = match files::read(&self.path, files::TOKEN) {
            Ok(text) => text,
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(cause) => {
                return Err(SealerError::Unusable {
                    detail: format!("cannot read the key of the store, `{path}`: {cause}"),
                });
            }
        };
        let key = std::str::from_utf8(&text).ok().and_then(|text| text.parse().ok());
        let no_key = || SealerError::Unusable { detail: format!("`{path}`: {}", store::sealing::NotAKey) };
        key.map(Some).ok_or_else(no_key)
    }

    fn make(&self) -> Result<SealingKey, SealerError> {
        let no_random = || SealerError::Unusable { detail: "the system gave no random bytes".to_owned() };
        let key = SealingKey::generate().ok_or_else(no_random)?;
        match write_new(&self.path, &key.text()) {
            Ok(()) => {
                info!(file = %self.path.display(), fingerprint = %key.fingerprint(), "made a key that seals the secrets of the store: no backup has it, keep a copy elsewhere");
                Ok(key)
            }
            // A global and a zone may share a folder and start at once.
            Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => self.read()?.ok_or_else(no_random),
            Err(cause) => Err(SealerError::Unusable {
                detail: format!("cannot write the key of the store, `{}`: {cause}", self.path.display()),
            }),
        }
    }

    fn missing(&self, wanted: &str) -> SealerError {
        let missing = if wanted == COMMAND {
            "that is not set: set it to the command of before".to_owned()
        } else {
            format!(
                "`{}` is not there: put that key back (it is in no backup), or say where it is (store.sealing.keyFile)",
                self.path.display()
            )
        };
        SealerError::NoKey { wanted: wanted.to_owned(), missing }
    }
}

impl Sealer for KeyFile {
    fn name(&self) -> Option<String> {
        Some(self.read().ok()??.fingerprint().to_string())
    }

    fn seal(&self, id: DataKeyId, key: &DataKey) -> Result<SealedDataKey, SealerError> {
        let ours = match self.read()? {
            Some(ours) => ours,
            None if self.is_own => self.make()?,
            None => {
                return Err(SealerError::Unusable {
                    detail: format!(
                        "there is no key `{}` (store.sealing.keyFile): `kuma-cp store generate-key` makes one",
                        self.path.display()
                    ),
                });
            }
        };
        ours.seal(id, key)
    }

    fn unseal(&self, sealed: &SealedDataKey) -> Result<DataKey, SealerError> {
        let ours = self.read()?.ok_or_else(|| self.missing(&sealed.sealed_by))?;
        ours.unseal(sealed).map_err(|refused| match refused {
            SealerError::AnotherKey { wanted, .. } => SealerError::AnotherKey {
                wanted,
                found: format!(
                    "the key `{}` of `{}`: put the right one there, or say where it is (store.sealing.keyFile)",
                    ours.fingerprint(),
                    self.path.display()
                ),
            },
            other => other,
        })
    }
}

/// Writes a key where none is.
fn write_new(path: &Path, text: &KeyText) -> io::Result<()> {
    whole::put_new(path, |file| file.write_all(text.reveal().as_bytes()))
}

/// Puts a key in the place of another one.
pub(super) fn replace(path: &Path, text: &KeyText) -> io::Result<()> {
    whole::put(path, |file| file.write_all(text.reveal().as_bytes()))
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::*;

    #[test]
    fn the_own_key_is_made_once_and_never_in_place_of_a_lost_one() {
        let folder = tempfile::tempdir().unwrap();
        let own = KeyFile::own(&folder.path().join("work"));
        let data_key = DataKey::generate().unwrap();
        let first = own.seal(DataKeyId::FIRST, &data_key).unwrap();
        let second = own.seal(DataKeyId::FIRST, &data_key).unwrap();
        assert_eq!(first.sealed_by, second.sealed_by, "the key that is there is used");
        assert_eq!(fs::metadata(&own.path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path().join("work")).unwrap().count(), 1, "nothing is left beside it");
        assert!(own.unseal(&first).is_ok());
        fs::remove_file(&own.path).unwrap();
        let refused = own.unseal(&first).unwrap_err().to_string();
        assert!(refused.contains(&first.sealed_by) && refused.contains("store.key` is not there"), "{refused}");
        assert!(!own.path.exists(), "no other key is made");
        let by_command = SealedDataKey { sealed_by: COMMAND.to_owned(), ..first };
        let refused = own.unseal(&by_command).unwrap_err().to_string();
        assert!(refused.contains("a command (store.sealing.command), and that is not set"), "{refused}");
    }

    #[test]
    fn a_key_of_the_settings_is_never_made() {
        let folder = tempfile::tempdir().unwrap();
        let file = KeyFile::of(&folder.path().join("key"));
        let data_key = DataKey::generate().unwrap();
        let refused = file.seal(DataKeyId::FIRST, &data_key).unwrap_err().to_string();
        assert!(refused.contains("generate-key"), "{refused}");
        fs::write(&file.path, "c2hvcnQ=\n").unwrap();
        let refused = file.seal(DataKeyId::FIRST, &data_key).unwrap_err().to_string();
        assert!(refused.contains("32 bytes in base64") && !refused.contains("c2hvcnQ"), "{refused}");
    }

    #[test]
    fn another_key_is_told_by_both_names_and_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let own = KeyFile::own(folder.path());
        let sealed = own.seal(DataKeyId::FIRST, &DataKey::generate().unwrap()).unwrap();
        let other = SealingKey::generate().unwrap();
        replace(&own.path, &other.text()).unwrap();
        let refused = own.unseal(&sealed).unwrap_err().to_string();
        for part in [sealed.sealed_by, other.fingerprint().to_string(), own.path.display().to_string()] {
            assert!(refused.contains(&part), "{part}: {refused}");
        }
        assert!(refused.contains("and not with the key `"), "{refused}");
    }
}
