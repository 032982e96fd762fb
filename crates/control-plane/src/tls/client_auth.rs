//! Certificates that clients show: ignored, or demanded and checked against a file of CAs that is watched.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

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
use zeroize::Zeroizing;

use super::{
    TlsError, pem, provider,
    reloaded::{Reloaded, Source},
};
use crate::tasks::Tasks;

/// What a listener asks of its clients.
#[derive(Clone, Debug)]
pub(crate) enum ClientCerts {
    /// Nothing.
    Ignore,
    /// A certificate that one of these CAs signed.
    Require(Arc<ClientRoots>),
}

impl ClientCerts {
    /// Demands certificates signed by a CA of `file`, which is read again when it changes.
    pub(crate) fn require(file: impl Into<PathBuf>, tasks: &Tasks) -> Result<Self, TlsError> {
        let roots = Reloaded::load(CaFile(file.into()))?;
        roots.watch(tasks);
        Ok(Self::Require(Arc::new(ClientRoots(roots))))
    }
}

/// The CAs whose clients are let in.
pub(crate) struct ClientRoots(Arc<Reloaded<CaFile>>);

struct CaFile(PathBuf);

impl ClientRoots {
    pub(super) fn verifier(self: &Arc<Self>) -> Arc<dyn ClientCertVerifier> {
        Arc::<Self>::clone(self)
    }

    fn now(&self) -> Arc<dyn ClientCertVerifier> {
        Arc::clone(&self.0.current())
    }
}

impl Source for CaFile {
    type Content = Arc<dyn ClientCertVerifier>;
    const TASK: &'static str = "tls-client-roots";

    fn files(&self) -> Vec<&Path> {
        vec![&self.0]
    }

    fn parse(&self, texts: &[Zeroizing<Vec<u8>>]) -> Result<Self::Content, TlsError> {
        let bad = |detail: String| TlsError::BadCertificate { path: self.0.clone(), detail };
        let mut store = RootCertStore::empty();
        for text in texts {
            for certificate in pem::certificates(&self.0, text)? {
                store.add(certificate).map_err(|cause| bad(cause.to_string()))?;
            }
        }
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(store), provider())
            .build()
            .map_err(|cause| bad(cause.to_string()))?;
        Ok(verifier)
    }

    fn tell_replaced(&self, _content: &Self::Content) {
        info!(file = %self.0.display(), "new client CAs in use");
    }

    fn tell_kept(&self, reason: &TlsError) {
        warn!(file = %self.0.display(), reason = %reason.chain(), "the new client CAs cannot be used, the old ones stay in use");
    }
}

impl fmt::Debug for ClientRoots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientRoots").field("file", &self.0.source().0).finish_non_exhaustive()
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
