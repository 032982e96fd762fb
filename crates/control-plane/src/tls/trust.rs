//! Whom we believe when we dial: a root file that is watched, the system's roots, or (by explicit wish) anybody.

use std::{
    error::Error,
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use rustls::{
    ALL_VERSIONS, ClientConfig,
    client::{Resumption, danger::ServerCertVerifier},
    pki_types::UnixTime,
    time_provider::TimeProvider,
};
use tracing::{info, warn};
use trust::{Anybody, Roots, Verifier};

use super::{Alpn, FileChanges, HandshakeProblem, Reload, TlsError, pem, provider};
use crate::{
    clock::Clock,
    tasks::{OnError, Tasks},
};

/// Files are read again this often even if they look unchanged.
const LOOK_AT_LEAST_EVERY: Duration = Duration::from_secs(10);

/// Whom we believe when we dial. Handshakes ask what is current.
pub struct ClientTrust {
    /// The root file; the system's roots if absent.
    file: Option<PathBuf>,
    current: Arc<ArcSwap<Roots>>,
    /// What was read last, good or bad: the same fault is told once.
    last_read: Mutex<String>,
    clock: Clock,
}

impl ClientTrust {
    /// Believes the certificates of a PEM file: servers that show one of them, and servers that one of them signed.
    pub fn from_file(file: impl Into<PathBuf>, clock: Clock) -> Result<Arc<Self>, TlsError> {
        let file = file.into();
        let (seen, roots) = read(&file);
        let current = Arc::new(ArcSwap::from_pointee(roots?));
        Ok(Arc::new(Self { file: Some(file), current, last_read: Mutex::new(seen), clock }))
    }

    /// Believes whom this machine believes. Read once: a new system CA needs a restart.
    pub fn system(clock: Clock) -> Result<Arc<Self>, TlsError> {
        let found = rustls_native_certs::load_native_certs();
        let roots = Roots::of_system(found.certs).map_err(|_empty| TlsError::NoSystemRoots)?;
        if roots.is_empty() {
            return Err(TlsError::NoSystemRoots);
        }
        let current = Arc::new(ArcSwap::from_pointee(roots));
        Ok(Arc::new(Self { file: None, current, last_read: Mutex::default(), clock }))
    }

    /// Starts the task that reads the root file again when it changes.
    pub fn watch(self: &Arc<Self>, tasks: &Tasks) {
        let Some(file) = &self.file else { return };
        let mut changes = FileChanges::of(&[file], LOOK_AT_LEAST_EVERY);
        let trust = Arc::clone(self);
        let owner = tasks.clone();
        tasks.spawn("tls-trust", OnError::Log, async move {
            loop {
                tokio::select! {
                    () = owner.stopping() => return Ok(()),
                    () = changes.next() => { trust.reload(); }
                }
            }
        });
    }

    /// Reads the root file again now; logs what that did.
    pub fn reload(&self) -> Reload {
        let Some(file) = &self.file else { return Reload::Same };
        let (seen, roots) = read(file);
        {
            let mut last = self.last_read.lock().unwrap_or_else(PoisonError::into_inner);
            if *last == seen {
                return Reload::Same;
            }
            *last = seen;
        }
        match roots {
            Ok(roots) => {
                self.current.store(Arc::new(roots));
                info!(file = %file.display(), "new root certificates in use");
                Reload::Replaced
            }
            Err(error) => {
                warn!(
                    file = %file.display(), reason = %error.chain(),
                    "the new root certificates cannot be used, the old ones stay in use"
                );
                Reload::Kept(error)
            }
        }
    }

    /// Returns the configuration for dialling; it follows reloads.
    pub fn client_config(&self, alpn: Alpn) -> Result<Arc<ClientConfig>, TlsError> {
        let current = Arc::clone(&self.current);
        config(alpn, Arc::new(Verifier::new(move || current.load_full())), self.clock.clone())
    }

    /// Tells why a handshake with `host` failed, and what an operator can do about it.
    pub fn explain(&self, host: &str, error: &(dyn Error + 'static)) -> HandshakeProblem {
        HandshakeProblem::of(host, self.file.as_deref(), error)
    }
}

impl fmt::Debug for ClientTrust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientTrust").field("file", &self.file).finish_non_exhaustive()
    }
}

/// Believes anybody: somebody in between can read and change everything, tokens included.
///
/// A type of its own, so that it cannot be used by mistake. Whoever dials with it logs a warning each time.
#[derive(Clone, Copy, Debug, Default)]
pub struct InsecureTrust;

impl InsecureTrust {
    /// What to warn with at each connect.
    pub const WARNING: &'static str =
        "insecure: the certificate of the global control plane is not verified (tlsSkipVerify)";

    /// Returns the configuration for dialling without verification.
    pub fn client_config(self, alpn: Alpn, clock: Clock) -> Result<Arc<ClientConfig>, TlsError> {
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
struct ClockTime(Clock);

impl TimeProvider for ClockTime {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = u64::try_from(self.0.now().as_second()).ok()?;
        Some(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
    }
}

/// Reads the root file; tells what was seen apart from whether it is any good.
fn read(file: &Path) -> (String, Result<Roots, TlsError>) {
    let content = match pem::read(file) {
        Ok(content) => content,
        Err(error) => return (error.chain(), Err(error)),
    };
    let roots = pem::certificates(file, &content).and_then(|certificates| {
        Roots::of_file(certificates).map_err(|detail| TlsError::BadCertificate { path: file.to_path_buf(), detail })
    });
    (String::from_utf8_lossy(&content).into_owned(), roots)
}
