//! The certificates that are believed, and whether one more is.

use std::{sync::Arc, time::Duration};

use rustls::{
    CertificateError, Error, OtherError, RootCertStore,
    client::{
        WebPkiServerVerifier,
        danger::{ServerCertVerified, ServerCertVerifier},
        verify_server_name,
    },
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::ParsedCertificate,
};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{provider, refusal::CaAsServer};

/// Everything that one state of the root file makes us believe.
#[derive(Debug)]
pub struct Roots {
    /// The certificates of the file: one of them may be the server's own.
    own: Vec<CertificateDer<'static>>,
    /// Those of them that may sign others. None, if none may.
    signed: Option<Arc<WebPkiServerVerifier>>,
}

impl Roots {
    /// Sorts the certificates of a root file. `Err` tells what is wrong with one of them.
    pub fn of_file(certificates: Vec<CertificateDer<'static>>) -> Result<Self, String> {
        let mut store = RootCertStore::empty();
        for certificate in certificates.iter().filter(|one| may_sign(one)) {
            store.add(certificate.clone()).map_err(|cause| cause.to_string())?;
        }
        Ok(Self { own: certificates, signed: verifier_of(store)? })
    }

    /// Sorts the certificates of a file that people name at hand, often a bundle with odd ones: those that cannot be read
    /// are left out.
    pub fn of_bundle(certificates: Vec<CertificateDer<'static>>) -> Result<Self, String> {
        let own: Vec<_> = certificates.into_iter().filter(|one| X509Certificate::from_der(one).is_ok()).collect();
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(own.iter().filter(|one| may_sign(one)).cloned());
        Ok(Self { own, signed: verifier_of(store)? })
    }

    /// Takes CAs alone, as the system has them; those that cannot be read are left out.
    pub fn of_system(certificates: Vec<CertificateDer<'static>>) -> Result<Self, String> {
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(certificates);
        Ok(Self { own: Vec::new(), signed: verifier_of(store)? })
    }

    /// Returns whether nobody is believed.
    pub fn is_empty(&self) -> bool {
        self.own.is_empty() && self.signed.is_none()
    }

    pub(crate) fn verify(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.own.iter().any(|one| one.as_ref() == end_entity.as_ref()) {
            check_validity(end_entity, now)?;
            verify_server_name(&ParsedCertificate::try_from(end_entity)?, name)?;
            return Ok(ServerCertVerified::assertion());
        }
        let Some(signed) = &self.signed else {
            return Err(Error::InvalidCertificate(CertificateError::UnknownIssuer));
        };
        signed
            .verify_server_cert(end_entity, intermediates, name, ocsp, now)
            .map_err(|error| say_more(error, end_entity))
    }
}

fn verifier_of(store: RootCertStore) -> Result<Option<Arc<WebPkiServerVerifier>>, String> {
    if store.is_empty() {
        return Ok(None);
    }
    WebPkiServerVerifier::builder_with_provider(Arc::new(store), provider())
        .build()
        .map(Some)
        .map_err(|cause| cause.to_string())
}

/// A server's certificate in the root file must not become a CA by standing there.
fn may_sign(certificate: &CertificateDer<'_>) -> bool {
    X509Certificate::from_der(certificate).is_ok_and(|(_, parsed)| {
        // Version 1 has no way to say it; old corporate roots are like that.
        parsed.is_ca() || parsed.version() == x509_parser::x509::X509Version::V1
    })
}

fn check_validity(certificate: &CertificateDer<'_>, now: UnixTime) -> Result<(), Error> {
    let bad = |error| Err(Error::InvalidCertificate(error));
    let Ok((_, parsed)) = X509Certificate::from_der(certificate) else {
        return bad(CertificateError::BadEncoding);
    };
    let time =
        |seconds: i64| UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(seconds).unwrap_or_default()));
    let (not_before, not_after) =
        (time(parsed.validity().not_before.timestamp()), time(parsed.validity().not_after.timestamp()));
    if now < not_before {
        return bad(CertificateError::NotValidYetContext { time: now, not_before });
    }
    if now > not_after {
        return bad(CertificateError::ExpiredContext { time: now, not_after });
    }
    Ok(())
}

/// Webpki looks at the certificate's role before its signer; what an operator needs to hear is the reverse.
fn say_more(error: Error, end_entity: &CertificateDer<'_>) -> Error {
    let Error::InvalidCertificate(CertificateError::Other(_)) = error else { return error };
    let Ok((_, parsed)) = X509Certificate::from_der(end_entity) else { return error };
    if parsed.subject() == parsed.issuer() {
        return Error::InvalidCertificate(CertificateError::UnknownIssuer);
    }
    if parsed.is_ca() {
        return Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(CaAsServer))));
    }
    error
}
