//! Keys that sign outside of the store: a PEM file, a command, a PKCS#11 token. The settings name them, by family.
//!
//! ```text
//! settings ─► OutsideKey (public half, signer) ─► StaticKeys ─► ring ─► verifies as all others do
//!     file changed ──┘                                                └─► issuing ─► Signers::signed ─► signer
//! ```
//!
//! Each shows at the start that it has the private half of its public one; a wrong pair stops the start. One that does not
//! answer then does not: what it signed before is still good, and a key service may be away. Afterwards whoever issues says
//! here how it went, for the doctor, the log and a metric.

mod command;
mod file;
#[cfg(feature = "pkcs11")]
mod pkcs11;
mod states;

use std::{path::PathBuf, sync::Arc, time::Duration};

use tokens::{Family, IssueError, OutsideKey, SigningProblem, StaticKeyProblem, StaticKeys};
use tokio::sync::{Semaphore, watch};
use tracing::{error, info};

pub(crate) use self::states::{SignerState, SigningMetrics};
use self::{command::CommandSigner, file::KeyFiles, states::States};
use crate::tasks::{OnError, Tasks};

/// How many tokens are signed outside at once: a signer that hangs must not take all threads.
const AT_ONCE: usize = 8;
/// How long whoever asks for a token waits for a signer; longer than a command may run.
const PATIENCE: Duration = Duration::from_secs(15);

/// A key of the settings that signs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignerSettings {
    /// Whose tokens it signs.
    pub family: Family,
    /// What its tokens call it; its thumbprint otherwise.
    pub kid: Option<String>,
    /// What signs.
    pub by: SignedBy,
    /// Its public half, as PEM. Of a file it is in the file.
    pub public: Option<Vec<u8>>,
}

/// What signs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignedBy {
    /// The private key in a PEM file, which is read again when it changes.
    File(PathBuf),
    /// A program and its arguments: standard input is what is to be signed, standard output the signature.
    Command(Vec<String>),
    /// A key on a PKCS#11 token.
    Pkcs11(TokenKey),
}

/// A key on a PKCS#11 token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenKey {
    /// The library of the token.
    pub module: PathBuf,
    /// Which token.
    pub token: TokenNamed,
    /// The label of the key on it.
    pub label: String,
    /// The file with the PIN.
    pub pin_file: PathBuf,
}

/// How a token is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenNamed {
    /// The number of its slot.
    Slot(u64),
    /// Its label.
    Label(String),
}

impl SignedBy {
    /// The word for it.
    fn word(&self) -> &'static str {
        match self {
            Self::File(_) => "file",
            Self::Command(_) => "command",
            Self::Pkcs11(_) => "pkcs11",
        }
    }
}

/// Why the settings name no signer that can be used.
#[derive(Debug, thiserror::Error)]
#[error("{}s are to be signed by a {} (signers), which cannot be used: {reason}", .family.token_word(), .by)]
pub struct NoSigner {
    family: Family,
    by: &'static str,
    reason: String,
}

/// What signs outside, and how it went. Cheap to clone; without settings there is nothing in it.
#[derive(Clone)]
pub(crate) struct Signers {
    states: Arc<States>,
    places: Arc<Semaphore>,
}

impl Default for Signers {
    fn default() -> Self {
        Self::of(SigningMetrics::default())
    }
}

impl Signers {
    fn of(metrics: SigningMetrics) -> Self {
        Self { states: Arc::new(States::of(metrics)), places: Arc::new(Semaphore::new(AT_ONCE)) }
    }

    /// Has every signer show that it works, and returns the keys of the settings with them; those change when a file does.
    pub(crate) async fn start(
        keys: &Arc<StaticKeys>,
        settings: &[SignerSettings],
        metrics: SigningMetrics,
        tasks: &Tasks,
    ) -> Result<(Self, watch::Receiver<Arc<StaticKeys>>), NoSigner> {
        let signers = Self::of(metrics);
        let mut outside = Vec::new();
        for one in settings {
            let key = load(one)?;
            signers.probe(one, &key).await?;
            outside.push((one.clone(), key));
        }
        let (keys_now, told) = watch::channel(Arc::new(with_signers(keys, &outside)?));
        let files = KeyFiles::of(Arc::clone(keys), outside);
        if files.are_there() {
            let following = files.follow(keys_now, signers.clone(), tasks.clone());
            tasks.spawn("signer-files", OnError::Log, following);
        }
        Ok((signers, told))
    }

    /// Has something signed that says nothing.
    async fn probe(&self, settings: &SignerSettings, key: &OutsideKey) -> Result<(), NoSigner> {
        let (family, by, kid) = (&settings.family, settings.by.word(), key.kid());
        self.states.know(family, by, kid);
        let probed = key.clone();
        let shown = self.beside(family, kid, move || {
            probed.probe().map_err(|problem| IssueError::Outside { kid: probed.kid().to_owned(), problem })
        });
        match shown.await {
            Ok(()) => {
                let mesh = family.mesh().unwrap_or_default();
                let algorithm = key.algorithm().as_str();
                info!(family = family.token_word(), mesh, by, kid, algorithm, "tokens are signed outside of the store");
                Ok(())
            }
            Err(IssueError::Outside { problem: problem @ SigningProblem::WrongSignature { .. }, .. }) => {
                Err(settings.refused(problem.to_string()))
            }
            Err(_told) => Ok(()),
        }
    }

    /// Signs a token beside the executor, within a time, and keeps how it went.
    pub(crate) async fn signed<T: Send + 'static>(
        &self,
        family: &Family,
        kid: &str,
        sign: impl FnOnce() -> Result<T, IssueError> + Send + 'static,
    ) -> Result<T, IssueError> {
        self.beside(family, kid, sign).await
    }

    #[expect(clippy::disallowed_methods, reason = "a signer blocks, and whoever asked for a token waits for it")]
    async fn beside<T: Send + 'static>(
        &self,
        family: &Family,
        kid: &str,
        sign: impl FnOnce() -> Result<T, IssueError> + Send + 'static,
    ) -> Result<T, IssueError> {
        let failed = |reason: String| {
            Err(IssueError::Outside { kid: kid.to_owned(), problem: SigningProblem::Failed { reason } })
        };
        let places = Arc::clone(&self.places);
        let work = async {
            let Ok(place) = places.acquire_owned().await else { return failed("the program stops".to_owned()) };
            let worked = tokio::task::spawn_blocking(move || {
                // One that hangs keeps its place.
                let _place = place;
                sign()
            });
            worked.await.unwrap_or_else(|_panicked| failed("signing broke off".to_owned()))
        };
        let signed = match tokio::time::timeout(PATIENCE, work).await {
            Ok(signed) => signed,
            Err(_) => failed(format!("it did not sign within {} s", PATIENCE.as_secs())),
        };
        match &signed {
            Err(IssueError::Outside { problem, .. }) => self.states.failed(family, kid, problem),
            // What is wrong with the order says nothing of the signer.
            Err(_) => {}
            Ok(_) => self.states.signed(family),
        }
        signed
    }

    /// What signs outside, and whether it did when it was asked last.
    pub(crate) fn states(&self) -> Vec<SignerState> {
        self.states.all()
    }
}

impl SignerSettings {
    fn refused(&self, reason: String) -> NoSigner {
        NoSigner { family: self.family.clone(), by: self.by.word(), reason }
    }
}

/// Reaches for a key; asks it for nothing.
fn load(settings: &SignerSettings) -> Result<OutsideKey, NoSigner> {
    let kid = settings.kid.as_deref();
    let wrong = |problem: StaticKeyProblem| settings.refused(problem.to_string());
    let public = || settings.public.as_deref().unwrap_or_default();
    match &settings.by {
        SignedBy::File(path) => file::read(path, kid).map_err(|reason| settings.refused(reason)),
        SignedBy::Command(words) => OutsideKey::new(kid, public(), Arc::new(CommandSigner::of(words, command::DEADLINE))).map_err(wrong),
        #[cfg(feature = "pkcs11")]
        SignedBy::Pkcs11(key) => {
            let signer = pkcs11::TokenSigner::of(key, public()).map_err(|reason| settings.refused(reason))?;
            OutsideKey::new(kid, public(), Arc::new(signer)).map_err(wrong)
        }
        #[cfg(not(feature = "pkcs11"))]
        SignedBy::Pkcs11(_) => Err(settings.refused(
            "this kuma-cp is built without PKCS#11; build it with the cargo feature `pkcs11`, or name a file or a command"
                .to_owned(),
        )),
    }
}

fn with_signers(keys: &StaticKeys, outside: &[(SignerSettings, OutsideKey)]) -> Result<StaticKeys, NoSigner> {
    let mut keys = keys.clone();
    for (settings, key) in outside {
        let added = keys.sign_with(settings.family.clone(), key.clone());
        added.map_err(|problem| settings.refused(problem.to_string()))?;
    }
    Ok(keys)
}

/// Logs that a file is not used.
fn tell_kept(family: &Family, reason: &str) {
    let mesh = family.mesh().unwrap_or_default();
    error!(
        family = family.token_word(),
        mesh, reason, "a signing key file changed and is not used; the key of before signs"
    );
}

#[cfg(test)]
mod tests;
