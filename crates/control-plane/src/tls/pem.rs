//! Reads certificates and keys from PEM files.

use std::path::Path;

use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use trust::pem::{self, PemError};
use x509_parser::prelude::{FromDer, X509Certificate};
use zeroize::Zeroizing;

use super::TlsError;
use crate::files;

/// Reads a file; the content is wiped when dropped, because it may be a key.
pub(super) fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, TlsError> {
    files::read(path, files::LARGEST).map_err(|source| TlsError::Read { path: path.to_path_buf(), source })
}

/// Returns all certificates of a file, at least one, each of which parses.
pub(super) fn certificates(path: &Path, content: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let certificates = pem::certificates(content).map_err(|error| match error {
        PemError::NotPem(source) => TlsError::NotPem { path: path.to_path_buf(), source },
        PemError::Missing => TlsError::NoCertificate { path: path.to_path_buf() },
    })?;
    for certificate in &certificates {
        X509Certificate::from_der(certificate)
            .map_err(|cause| TlsError::BadCertificate { path: path.to_path_buf(), detail: cause.to_string() })?;
    }
    Ok(certificates)
}

/// Returns the first private key of a file: PKCS#1, PKCS#8 or SEC1.
pub(super) fn private_key(path: &Path, content: &[u8]) -> Result<PrivateKeyDer<'static>, TlsError> {
    pem::private_key(content).map_err(|error| match error {
        PemError::NotPem(source) => TlsError::NotPem { path: path.to_path_buf(), source },
        PemError::Missing => TlsError::NoKey { path: path.to_path_buf() },
    })
}
