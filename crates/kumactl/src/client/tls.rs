//! How the server's certificate is checked: against given certificates, the machine's, or (on request) not at all.
//!
//! A control plane that makes its own certificate marks it as a CA. Such a certificate is accepted when it is, byte for
//! byte, one of those the user named; everything else goes through the usual checks.

use std::{fs, io, path::PathBuf, sync::Arc};

use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_name,
    },
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    server::ParsedCertificate,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject};

use x509_parser::prelude::{FromDer, X509Certificate};

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
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A file holds something else.
    #[error("{path:?} holds no PEM-encoded {what}")]
    Content {
        /// The file.
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
        let provider = CryptoProvider::get_default()
            .cloned()
            .unwrap_or_else(|| Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
        let verifier: Arc<dyn ServerCertVerifier> = if self.skip_verify {
            Arc::new(Unchecked(Arc::clone(&provider)))
        } else {
            let named = self.ca_cert_file.as_ref().map(|path| certificates(path)).transpose()?;
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(match &named {
                Some(named) => named.clone(),
                None => rustls_native_certs::load_native_certs().certs,
            });
            if roots.is_empty() {
                return Err(TlsProblem::NoRoots);
            }
            let usual = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
                .build()
                .map_err(|error| Error::General(error.to_string()))?;
            Arc::new(Checked { usual, named: named.unwrap_or_default() })
        };
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        Ok(match &self.client {
            Some((certificate, key)) => builder.with_client_auth_cert(certificates(certificate)?, private_key(key)?)?,
            None => builder.with_no_client_auth(),
        })
    }
}

fn certificates(path: &PathBuf) -> Result<Vec<CertificateDer<'static>>, TlsProblem> {
    let content = || TlsProblem::Content { path: path.clone(), what: "certificate" };
    let pem = read(path)?;
    let found: Vec<_> = CertificateDer::pem_slice_iter(&pem).collect::<Result<_, _>>().map_err(|_error| content())?;
    if found.is_empty() { Err(content()) } else { Ok(found) }
}

fn private_key(path: &PathBuf) -> Result<PrivateKeyDer<'static>, TlsProblem> {
    PrivateKeyDer::from_pem_slice(&read(path)?)
        .map_err(|_error| TlsProblem::Content { path: path.clone(), what: "private key" })
}

fn read(path: &PathBuf) -> Result<Vec<u8>, TlsProblem> {
    let reason = |error: &io::Error| crate::files::reason(error);
    fs::read(path).map_err(|error| TlsProblem::File { path: path.clone(), reason: reason(&error) })
}

/// The usual checks, and the exception for certificates that the user named.
#[derive(Debug)]
struct Checked {
    usual: Arc<WebPkiServerVerifier>,
    named: Vec<CertificateDer<'static>>,
}

impl ServerCertVerifier for Checked {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.named.iter().any(|named| named == end_entity) {
            check_dates(end_entity, now)?;
            verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
            return Ok(ServerCertVerified::assertion());
        }
        self.usual.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now).map_err(|error| {
            // A CA's certificate is refused as a server's own before its signer is looked at.
            match error {
                Error::InvalidCertificate(CertificateError::Other(_)) if is_self_signed(end_entity) => {
                    Error::InvalidCertificate(CertificateError::UnknownIssuer)
                }
                other => other,
            }
        })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.usual.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.usual.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.usual.supported_verify_schemes()
    }
}

fn check_dates(certificate: &CertificateDer<'_>, now: UnixTime) -> Result<(), Error> {
    let bad = |problem| Err(Error::InvalidCertificate(problem));
    let Ok((_, parsed)) = X509Certificate::from_der(certificate) else {
        return bad(CertificateError::BadEncoding);
    };
    let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    if now < parsed.validity().not_before.timestamp() {
        return bad(CertificateError::NotValidYet);
    }
    if now > parsed.validity().not_after.timestamp() {
        return bad(CertificateError::Expired);
    }
    Ok(())
}

fn is_self_signed(certificate: &CertificateDer<'_>) -> bool {
    X509Certificate::from_der(certificate).is_ok_and(|(_, parsed)| parsed.subject() == parsed.issuer())
}

/// No check of the certificate at all; the handshake itself must be right.
#[derive(Debug)]
struct Unchecked(Arc<CryptoProvider>);

impl ServerCertVerifier for Unchecked {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
