//! How the server's certificate is checked: against given certificates, the machine's, or (on request) not at all. The
//! rule is that of the server program (`trust`).

use std::{fs, io, path::PathBuf, sync::Arc};

use rustls::{ClientConfig, Error, client::danger::ServerCertVerifier};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use trust::{Anybody, Roots, Verifier, pem};

use crate::settings::ApiServer;

/// What the settings say about TLS. Files are read at the first connection that needs them.
#[derive(Clone, Debug)]
pub(super) struct Tls {
    skip_verify: bool,
    ca_cert_file: Option<PathBuf>,
    client: Option<(PathBuf, PathBuf)>,
}

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsProblem {
    /// A file cannot be read.
    #[error("could not read {path:?}: {reason}")]
    File { path: PathBuf, reason: String },
    /// A file holds something else.
    #[error("{path:?} holds no PEM-encoded {what}")]
    Content {
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
    },
    /// The machine knows no certificates.
    #[error("x509: no certificates of the machine were found; give some with --ca-cert-file")]
    NoRoots,
    /// rustls refuses.
    #[error("tls: {0}")]
    Refused(#[from] Error),
}

impl Tls {
    /// Takes the settings that matter.
    pub(super) fn new(server: &ApiServer) -> Self {
        let file = |path: &str| (!path.is_empty()).then(|| PathBuf::from(path));
        Self {
            skip_verify: server.skip_verify,
            ca_cert_file: file(&server.ca_cert_file),
            client: file(&server.client_cert_file).zip(file(&server.client_key_file)),
        }
    }

    /// Returns the settings for rustls: TLS 1.2 and 1.3.
    pub(super) fn config(&self) -> Result<ClientConfig, TlsProblem> {
        let builder = ClientConfig::builder_with_provider(trust::provider())
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(self.verifier()?);
        Ok(match &self.client {
            Some((certificate, key)) => builder.with_client_auth_cert(certificates(certificate)?, private_key(key)?)?,
            None => builder.with_no_client_auth(),
        })
    }

    fn verifier(&self) -> Result<Arc<dyn ServerCertVerifier>, TlsProblem> {
        if self.skip_verify {
            return Ok(Arc::new(Anybody::new()));
        }
        let roots = match &self.ca_cert_file {
            Some(path) => Roots::of_bundle(certificates(path)?),
            None => Roots::of_system(rustls_native_certs::load_native_certs().certs),
        };
        let roots = Arc::new(roots.map_err(Error::General)?);
        if roots.is_empty() {
            return Err(TlsProblem::NoRoots);
        }
        Ok(Arc::new(Verifier::new(move || Arc::clone(&roots))))
    }
}

fn certificates(path: &PathBuf) -> Result<Vec<CertificateDer<'static>>, TlsProblem> {
    pem::certificates(&read(path)?).map_err(|_error| TlsProblem::Content { path: path.clone(), what: "certificate" })
}

fn private_key(path: &PathBuf) -> Result<PrivateKeyDer<'static>, TlsProblem> {
    pem::private_key(&read(path)?).map_err(|_error| TlsProblem::Content { path: path.clone(), what: "private key" })
}

fn read(path: &PathBuf) -> Result<Vec<u8>, TlsProblem> {
    let reason = |error: &io::Error| crate::files::reason(error);
    fs::read(path).map_err(|error| TlsProblem::File { path: path.clone(), reason: reason(&error) })
}
