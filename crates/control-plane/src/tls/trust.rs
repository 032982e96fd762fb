//! Whom we believe when we dial: a root file that is watched, the system's roots, or (by explicit wish) anybody.

use std::{
    error::Error,
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use rustls::{
    ALL_VERSIONS, ClientConfig,
    client::{Resumption, danger::ServerCertVerifier},
    pki_types::UnixTime,
    time_provider::TimeProvider,
};
use tracing::{info, warn};
use trust::{Anybody, Roots, Verifier};
use zeroize::Zeroizing;

use super::{
    Alpn, TlsError,
    explain::HandshakeProblem,
    pem, provider,
    reloaded::{Reloaded, Source},
};
use crate::{clock::Clock, tasks::Tasks};

/// Whom we believe when we dial. Handshakes ask what is current.
pub struct ClientTrust {
    believed: Believed,
    clock: Clock,
}

#[derive(Clone)]
enum Believed {
    File(Arc<Reloaded<RootFile>>),
    System(Arc<Roots>),
}

struct RootFile(PathBuf);

impl ClientTrust {
    /// Believes the certificates of a PEM file: servers that show one of them, and servers that one of them signed.
    pub fn from_file(file: impl Into<PathBuf>, clock: Clock) -> Result<Arc<Self>, TlsError> {
        let believed = Believed::File(Reloaded::load(RootFile(file.into()))?);
        Ok(Arc::new(Self { believed, clock }))
    }

    /// Believes whom this machine believes. Read once: a new system CA needs a restart.
    pub(crate) fn system(clock: Clock) -> Result<Arc<Self>, TlsError> {
        let found = rustls_native_certs::load_native_certs();
        let roots = Roots::of_system(found.certs).map_err(|_empty| TlsError::NoSystemRoots)?;
        if roots.is_empty() {
            return Err(TlsError::NoSystemRoots);
        }
        Ok(Arc::new(Self { believed: Believed::System(Arc::new(roots)), clock }))
    }

    /// Starts the task that reads the root file again when it changes.
    pub(crate) fn watch(&self, tasks: &Tasks) {
        if let Believed::File(file) = &self.believed {
            file.watch(tasks);
        }
    }

    /// Reads the root file again now.
    #[cfg(test)]
    pub(super) fn reload(&self) -> super::reloaded::Reload {
        match &self.believed {
            Believed::File(file) => file.reload(),
            Believed::System(_) => super::reloaded::Reload::Same,
        }
    }

    /// Returns the configuration for dialling; it follows reloads.
    pub fn client_config(&self, alpn: Alpn) -> Result<Arc<ClientConfig>, TlsError> {
        let believed = self.believed.clone();
        config(alpn, Arc::new(Verifier::new(move || believed.now())), self.clock.clone())
    }

    /// Tells why a handshake with `host` failed, and what an operator can do about it.
    pub(crate) fn explain(&self, host: &str, error: &(dyn Error + 'static)) -> HandshakeProblem {
        HandshakeProblem::of(host, self.believed.file(), error)
    }
}

impl Believed {
    fn now(&self) -> Arc<Roots> {
        match self {
            Self::File(file) => file.current(),
            Self::System(roots) => Arc::clone(roots),
        }
    }

    /// Returns the root file, if there is one.
    fn file(&self) -> Option<&Path> {
        match self {
            Self::File(file) => Some(&file.source().0),
            Self::System(_) => None,
        }
    }
}

impl Source for RootFile {
    type Content = Roots;
    const TASK: &'static str = "tls-trust";

    fn files(&self) -> Vec<&Path> {
        vec![&self.0]
    }

    fn parse(&self, texts: &[Zeroizing<Vec<u8>>]) -> Result<Roots, TlsError> {
        let mut certificates = Vec::new();
        for text in texts {
            certificates.extend(pem::certificates(&self.0, text)?);
        }
        Roots::of_file(certificates).map_err(|detail| TlsError::BadCertificate { path: self.0.clone(), detail })
    }

    fn tell_replaced(&self, _content: &Roots) {
        info!(file = %self.0.display(), "new root certificates in use");
    }

    fn tell_kept(&self, reason: &TlsError) {
        warn!(
            file = %self.0.display(), reason = %reason.chain(),
            "the new root certificates cannot be used, the old ones stay in use"
        );
    }
}

impl fmt::Debug for ClientTrust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientTrust").field("file", &self.believed.file()).finish_non_exhaustive()
    }
}

/// Believes anybody: somebody in between can read and change everything, tokens included.
///
/// A type of its own, so that it cannot be used by mistake. Whoever dials with it logs a warning each time.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct InsecureTrust;

impl InsecureTrust {
    /// What to warn with at each connect.
    pub(crate) const WARNING: &'static str =
        "insecure: the certificate of the global control plane is not verified (tlsSkipVerify)";

    /// Returns the configuration for dialling without verification.
    pub(crate) fn client_config(self, alpn: Alpn, clock: Clock) -> Result<Arc<ClientConfig>, TlsError> {
        config(alpn, Arc::new(Anybody::new()), clock)
    }
}

fn config(alpn: Alpn, verifier: Arc<dyn ServerCertVerifier>, clock: Clock) -> Result<Arc<ClientConfig>, TlsError> {
    let mut config = ClientConfig::builder_with_details(provider(), Arc::new(ClockTime(clock)))
        .with_protocol_versions(ALL_VERSIONS)
        .map_err(|source| TlsError::Settings { source })?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.alpn_protocols = alpn.offer();
    // A resumed session skips the certificate: a root taken out of the file would still be believed.
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// Our clock, as the TLS library asks for it.
#[derive(Debug)]
pub(super) struct ClockTime(pub(super) Clock);

impl TimeProvider for ClockTime {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = u64::try_from(self.0.now().as_second()).ok()?;
        Some(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
    }
}
