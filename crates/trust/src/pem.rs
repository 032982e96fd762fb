//! Certificates and keys in PEM texts.

use rustls_pki_types::{
    CertificateDer, PrivateKeyDer,
    pem::{self, PemObject},
};
use thiserror::Error;

/// Why a text does not hold what was looked for.
#[derive(Debug, Error)]
pub enum PemError {
    /// The text is not PEM.
    #[error("not PEM")]
    NotPem(#[source] pem::Error),
    /// The text holds nothing of the kind.
    #[error("nothing of the kind in it")]
    Missing,
}

/// Returns all certificates of a text, at least one. They were not parsed.
pub fn certificates(content: &[u8]) -> Result<Vec<CertificateDer<'static>>, PemError> {
    let certificates: Vec<_> =
        CertificateDer::pem_slice_iter(content).collect::<Result<_, _>>().map_err(PemError::NotPem)?;
    if certificates.is_empty() { Err(PemError::Missing) } else { Ok(certificates) }
}

/// Returns the first private key of a text: PKCS#1, PKCS#8 or SEC1.
pub fn private_key(content: &[u8]) -> Result<PrivateKeyDer<'static>, PemError> {
    PrivateKeyDer::from_pem_slice(content).map_err(|error| match error {
        pem::Error::NoItemsFound => PemError::Missing,
        error => PemError::NotPem(error),
    })
}
