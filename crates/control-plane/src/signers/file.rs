//! Private keys in PEM files, read again when they change.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokens::{OutsideKey, PemSigner, StaticKeys};
use tokio::sync::watch;
use tracing::info;

use super::{SignedBy, SignerSettings, Signers, tell_kept, with_signers};
use crate::{files, tasks::Tasks, tls::FileChanges};

/// Files are read again this often even if they look unchanged.
const LOOK_AT_LEAST_EVERY: Duration = Duration::from_secs(10);

/// Reads the key in a file, or says what is wrong with it.
pub(super) fn read(path: &Path, kid: Option<&str>) -> Result<OutsideKey, String> {
    let named = path.display();
    let content = files::read(path, files::LARGEST).map_err(|cause| format!("file {named} cannot be read: {cause}"))?;
    let wrong = |problem: &dyn std::fmt::Display| format!("file {named}: {problem}");
    let signer = PemSigner::read(&content).map_err(|problem| wrong(&problem))?;
    let public = signer.public().map_err(|problem| wrong(&problem))?;
    OutsideKey::new(kid, public.as_bytes(), Arc::new(signer)).map_err(|problem| wrong(&problem))
}

/// All keys that sign outside, those in files among them.
pub(super) struct KeyFiles {
    keys: Arc<StaticKeys>,
    outside: Vec<(SignerSettings, OutsideKey)>,
}

impl KeyFiles {
    pub(super) fn of(keys: Arc<StaticKeys>, outside: Vec<(SignerSettings, OutsideKey)>) -> Self {
        Self { keys, outside }
    }

    pub(super) fn are_there(&self) -> bool {
        !self.paths().is_empty()
    }

    fn paths(&self) -> Vec<PathBuf> {
        let path = |settings: &SignerSettings| match &settings.by {
            SignedBy::File(path) => Some(path.clone()),
            SignedBy::Command(_) | SignedBy::Pkcs11(_) => None,
        };
        self.outside.iter().filter_map(|(settings, _)| path(settings)).collect()
    }

    /// Reads files that may have changed until the program stops. What is no good is told once, and the key of before signs on.
    pub(super) async fn follow(
        mut self,
        told: watch::Sender<Arc<StaticKeys>>,
        signers: Signers,
        tasks: Tasks,
    ) -> anyhow::Result<()> {
        let mut changes = FileChanges::of(&self.paths(), LOOK_AT_LEAST_EVERY);
        let mut faults = vec![None; self.outside.len()];
        loop {
            tokio::select! {
                () = tasks.stopping() => return Ok(()),
                () = changes.next() => {}
            }
            for (index, fault) in faults.iter_mut().enumerate() {
                let now = self.look(index, &told, &signers);
                if let (Some(reason), Some((settings, _))) = (&now, self.outside.get(index))
                    && *fault != now
                {
                    tell_kept(&settings.family, reason);
                }
                *fault = now;
            }
        }
    }

    /// Takes the key that is in a file now; returns what is wrong with it.
    fn look(&mut self, index: usize, told: &watch::Sender<Arc<StaticKeys>>, signers: &Signers) -> Option<String> {
        let (settings, before) = self.outside.get(index)?;
        let SignedBy::File(path) = &settings.by else { return None };
        let key = match read(path, settings.kid.as_deref()) {
            Err(reason) => return Some(reason),
            Ok(key) if key.is(before) => return None,
            Ok(key) => key,
        };
        let (settings, kid) = (settings.clone(), key.kid().to_owned());
        let mut outside = self.outside.clone();
        *outside.get_mut(index)? = (settings.clone(), key);
        match with_signers(&self.keys, &outside) {
            Err(refused) => Some(refused.to_string()),
            Ok(keys) => {
                let family = &settings.family;
                self.outside = outside;
                signers.states.know(family, settings.by.word(), &kid);
                told.send_replace(Arc::new(keys));
                let mesh = family.mesh().unwrap_or_default();
                info!(family = family.token_word(), mesh, kid, "a signing key file changed, and the new key signs");
                None
            }
        }
    }
}
