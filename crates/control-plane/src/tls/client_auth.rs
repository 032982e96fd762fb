//! Certificates that clients show: ignored, or demanded and checked against a file of CAs that is watched.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use rustls::{
    DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    pki_types::{CertificateDer, UnixTime},
    server::{
        WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
};
use tracing::{info, warn};

use super::{FileChanges, TlsError, pem, provider};
use crate::tasks::{OnError, Tasks};

/// Files are read again this often even if they look unchanged.
const LOOK_AT_LEAST_EVERY: Duration = Duration::from_secs(10);

/// What a listener asks of its clients.
#[derive(Clone, Debug)]
pub enum ClientCerts {
    /// Nothing.
    Ignore,
    /// A certificate that one of these CAs signed.
    Require(Arc<ClientRoots>),
}

impl ClientCerts {
    /// Demands certificates signed by a CA of `file`, which is read again when it changes.
    pub fn require(file: impl Into<PathBuf>, tasks: &Tasks) -> Result<Self, TlsError> {
        let roots = Arc::new(ClientRoots::load(file.into())?);
        roots.watch(tasks);
        Ok(Self::Require(roots))
    }
}

/// The CAs whose clients are let in.
pub struct ClientRoots {
    file: PathBuf,
    current: ArcSwap<Arc<dyn ClientCertVerifier>>,
    last_read: Mutex<String>,
}

impl ClientRoots {
    fn load(file: PathBuf) -> Result<Self, TlsError> {
        let content = pem::read(&file)?;
        let verifier = parse(&file, &content)?;
        let last_read = Mutex::new(String::from_utf8_lossy(&content).into_owned());
        Ok(Self { file, current: ArcSwap::from_pointee(verifier), last_read })
    }

    fn watch(self: &Arc<Self>, tasks: &Tasks) {
        let roots = Arc::clone(self);
        let owner = tasks.clone();
        let mut changes = FileChanges::of(&[&self.file], LOOK_AT_LEAST_EVERY);
        tasks.spawn("tls-client-roots", OnError::Log, async move {
            loop {
                tokio::select! {
                    () = owner.stopping() => return Ok(()),
                    () = changes.next() => roots.reload(),
                }
            }
        });
    }

    fn reload(&self) {
        let content = pem::read(&self.file);
        let seen = match &content {
            Ok(content) => String::from_utf8_lossy(content).into_owned(),
            Err(error) => error.chain(),
        };
        {
            let mut last = self.last_read.lock().unwrap_or_else(PoisonError::into_inner);
            if *last == seen {
                return;
            }
            *last = seen;
        }
        match content.and_then(|content| parse(&self.file, &content)) {
            Ok(verifier) => {
                self.current.store(Arc::new(verifier));
                info!(file = %self.file.display(), "new client CAs in use");
            }
            Err(error) => {
                warn!(file = %self.file.display(), reason = %error.chain(), "the new client CAs cannot be used, the old ones stay in use");
            }
        }
    }

    pub(super) fn verifier(self: &Arc<Self>) -> Arc<dyn ClientCertVerifier> {
        Arc::<Self>::clone(self)
    }

    fn now(&self) -> Arc<dyn ClientCertVerifier> {
        Arc::clone(&self.current.load())
    }
}

fn parse(file: &Path, content: &[u8]) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let bad = |detail: String| TlsError::BadCertificate { path: file.to_path_buf(), detail };
    let mut store = RootCertStore::empty();
    for certificate in pem::certificates(file, content)? {
        store.add(certificate).map_err(|cause| bad(cause.to_string()))?;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(store), provider())
        .build()
        .map_err(|cause| bad(cause.to_string()))?;
    Ok(verifier)
}

impl fmt::Debug for ClientRoots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientRoots").field("file", &self.file).finish_non_exhaustive()
    }
}

impl ClientCertVerifier for ClientRoots {
    /// No hints: they would have to outlive a reload, and clients with one certificate need none.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.now().verify_client_cert(end_entity, intermediates, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.now().verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.now().verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.now().supported_verify_schemes()
    }
}
