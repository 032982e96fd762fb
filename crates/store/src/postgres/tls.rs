//! TLS on the way to the database: whom we believe, in four modes.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject as _};
use tokio_postgres::config::SslMode;
use tokio_postgres_rustls::MakeRustlsConnect;
use trust::{Anybody, Roots, Verifier};

use super::{
    OpenError,
    settings::{Tls, TlsMode},
};

/// Returns what makes TLS as the settings say, and whether there is to be any.
pub(super) fn connector(settings: &Tls) -> Result<(MakeRustlsConnect, SslMode), OpenError> {
    let wrong = |cause: Error| OpenError::Tls { detail: cause.to_string() };
    let builder =
        ClientConfig::builder_with_provider(trust::provider()).with_safe_default_protocol_versions().map_err(wrong)?;
    let verifier = verifier(settings)?;
    let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
    let mut config = match &settings.certificate {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let key_of = PrivateKeyDer::from_pem_file(key).map_err(|cause| unusable(key, &cause))?;
            builder.with_client_auth_cert(certificates(certificate)?, key_of).map_err(wrong)?
        }
    };
    config.enable_sni = !settings.without_server_name;
    let mode = if settings.mode == TlsMode::Disable { SslMode::Disable } else { SslMode::Require };
    Ok((MakeRustlsConnect::new(config), mode))
}

fn verifier(settings: &Tls) -> Result<Arc<dyn ServerCertVerifier>, OpenError> {
    if matches!(settings.mode, TlsMode::Disable | TlsMode::VerifyNone) {
        return Ok(Arc::new(Anybody::new()));
    }
    let roots = Arc::new(roots(settings.ca_file.as_ref())?);
    let verifier = Arc::new(Verifier::new(move || Arc::clone(&roots)));
    Ok(if settings.mode == TlsMode::VerifyCa { Arc::new(AnyName(verifier)) } else { verifier })
}

/// A server that signed its certificate itself, as the manual of PostgreSQL shows it, has that certificate in the file.
fn roots(file: Option<&PathBuf>) -> Result<Roots, OpenError> {
    let roots = match file {
        Some(file) => Roots::of_file(certificates(file)?).map_err(|cause| unusable(file, &cause))?,
        // As the system says, like everybody else.
        None => Roots::of_system(rustls_native_certs::load_native_certs().certs)
            .map_err(|detail| OpenError::Tls { detail })?,
    };
    if roots.is_empty() {
        let detail = "there is no authority to believe: name a file with some (store.postgres.tls.caPath)".to_owned();
        return Err(OpenError::Tls { detail });
    }
    Ok(roots)
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, OpenError> {
    let found = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let found = found.map_err(|cause| unusable(file, &cause))?;
    if found.is_empty() { Err(unusable(file, &"it holds no certificate in PEM")) } else { Ok(found) }
}

fn unusable(path: &Path, cause: &dyn std::fmt::Display) -> OpenError {
    OpenError::TlsFile { path: path.to_owned(), detail: cause.to_string() }
}

/// Believes whom the file vouches for, whatever the name is.
#[derive(Debug)]
struct AnyName(Arc<dyn ServerCertVerifier>);

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        // The name is looked at last: who got so far is vouched for and valid.
        match self.0.verify_server_cert(end_entity, intermediates, server_name, ocsp, now) {
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, cert, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, cert, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}
