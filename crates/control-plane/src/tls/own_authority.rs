//! The authority that the instances on one store sign their own certificates with: one for all of them, so that zones keep one
//! root file whichever instance they reach.
//!
//! It may be the certificate that a control plane made for itself when it was alone: that one is an authority, too, and
//! whoever has it as a root file believes what it signs.

use std::{fmt, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use model::duration::TEN_YEARS;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData as _, date_time_ymd,
};
use rustls::{
    pki_types::{CertificateDer, PrivatePkcs8KeyDer},
    sign::CertifiedKey,
};
use thiserror::Error;
use x509_parser::prelude::{FromDer as _, X509Certificate};
use zeroize::Zeroizing;

use super::{TlsError, provider, self_signed::serial};

/// The name of an authority that is made here.
const AUTHORITY_NAME: &str = "kuma-cp CA";
/// The name in the certificates that it signs: another one than that of any authority, or they would look self-signed.
const LEAF_NAME: &str = "kuma-cp server";
/// Clocks of two machines differ a little.
const BEFORE_NOW: Duration = Duration::from_secs(5 * 60);

/// Why a certificate and a key are no authority.
#[derive(Debug, Error)]
pub(crate) enum NoAuthority {
    #[error("there is no certificate in PEM that can be read")]
    NoCertificate,
    #[error("there is no private key in PEM that can be read")]
    NoKey,
    #[error("the private key is not that of the certificate")]
    OtherKey,
    #[error("the certificate is that of a server, which may not sign others")]
    NotOne,
    #[error("the certificate has ended at {0}")]
    Ended(Timestamp),
}

/// An authority with its private key.
pub(crate) struct OwnAuthority {
    certificate: CertificateDer<'static>,
    /// What the root file says.
    pem: String,
    ends: Timestamp,
    issuer: Issuer<'static, KeyPair>,
}

impl OwnAuthority {
    /// Makes a new one.
    pub(crate) fn make(now: Timestamp) -> Result<Self, TlsError> {
        let made = || {
            let mut params = params(AUTHORITY_NAME, Vec::new(), now, TEN_YEARS)?;
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
            let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
            let certificate = params.self_signed(&key)?;
            let (pem, ends) = (certificate.pem(), later(now, TEN_YEARS));
            Ok(Self { certificate: certificate.der().clone(), pem, ends, issuer: Issuer::new(params, key) })
        };
        made().map_err(|source| TlsError::Generate { source })
    }

    /// Reads one: the certificate and its private key, PEM, in any order.
    pub(crate) fn read(text: &[u8]) -> Result<Self, NoAuthority> {
        let certificates = trust::pem::certificates(text).map_err(|_none| NoAuthority::NoCertificate)?;
        let certificate = certificates.into_iter().next().ok_or(NoAuthority::NoCertificate)?;
        let key = trust::pem::private_key(text).map_err(|_none| NoAuthority::NoKey)?;
        let key = KeyPair::try_from(&key).map_err(|_unusable| NoAuthority::NoKey)?;
        let ends = {
            let (_, parsed) = X509Certificate::from_der(&certificate).map_err(|_odd| NoAuthority::NoCertificate)?;
            if parsed.public_key().raw != key.subject_public_key_info() {
                return Err(NoAuthority::OtherKey);
            }
            let signs = parsed.key_usage().is_ok_and(|usage| usage.is_none_or(|usage| usage.value.key_cert_sign()));
            if !parsed.is_ca() || !signs {
                return Err(NoAuthority::NotOne);
            }
            Timestamp::from_second(parsed.validity().not_after.timestamp()).unwrap_or(Timestamp::MAX)
        };
        let issuer = Issuer::from_ca_cert_der(&certificate, key).map_err(|_odd| NoAuthority::NoCertificate)?;
        Ok(Self { pem: pem_of(&certificate), certificate, ends, issuer })
    }

    /// Refuses one whose time is over.
    pub(crate) fn running(self, now: Timestamp) -> Result<Self, NoAuthority> {
        if self.ends <= now { Err(NoAuthority::Ended(self.ends)) } else { Ok(self) }
    }

    /// Certificate and private key, as [`OwnAuthority::read`] takes them.
    pub(crate) fn secret(&self) -> Zeroizing<String> {
        let key = Zeroizing::new(self.issuer.key().serialize_pem());
        Zeroizing::new(format!("{}{}", self.pem, key.as_str()))
    }

    /// Its certificate.
    pub(crate) fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// The root file of whoever is to believe what it signs, PEM.
    pub(crate) fn root(&self) -> &str {
        &self.pem
    }

    /// Whether a root file says this authority before any other.
    pub(crate) fn is_first_in(&self, root: &[u8]) -> bool {
        trust::pem::certificates(root).is_ok_and(|found| found.first() == Some(&self.certificate))
    }

    /// When its certificate ends, and with it all that it signed.
    pub(crate) fn ends(&self) -> Timestamp {
        self.ends
    }

    /// Makes the certificate of a server with these names and a key of its own.
    pub(crate) fn sign(&self, names: &[String], now: Timestamp, life: Duration) -> Result<CertifiedKey, TlsError> {
        self.sign_for(vec![ExtendedKeyUsagePurpose::ServerAuth], names, now, life)
    }

    /// The same of one that shows it where it calls others, too.
    pub(crate) fn sign_for_both_ends(
        &self,
        names: &[String],
        now: Timestamp,
        life: Duration,
    ) -> Result<CertifiedKey, TlsError> {
        let both = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        self.sign_for(both, names, now, life)
    }

    fn sign_for(
        &self,
        purposes: Vec<ExtendedKeyUsagePurpose>,
        names: &[String],
        now: Timestamp,
        life: Duration,
    ) -> Result<CertifiedKey, TlsError> {
        let made = move || {
            let mut params = params(LEAF_NAME, names.to_vec(), now, life)?;
            params.is_ca = IsCa::ExplicitNoCa;
            params.use_authority_key_identifier_extension = true;
            params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
            params.extended_key_usages = purposes;
            let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
            let certificate = params.signed_by(&key, &self.issuer)?;
            Ok((certificate.der().clone(), PrivatePkcs8KeyDer::from(key.serialize_der())))
        };
        let (certificate, key) = made().map_err(|source| TlsError::Generate { source })?;
        CertifiedKey::from_der(vec![certificate], key.into(), &provider())
            .map_err(|source| TlsError::Settings { source })
    }
}

impl fmt::Debug for OwnAuthority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnAuthority").field("ends", &self.ends).finish_non_exhaustive()
    }
}

fn params(name: &str, names: Vec<String>, now: Timestamp, life: Duration) -> Result<CertificateParams, rcgen::Error> {
    let now = Duration::from_secs(u64::try_from(now.as_second()).unwrap_or_default());
    let epoch = date_time_ymd(1970, 1, 1);
    let mut params = CertificateParams::new(names)?;
    params.serial_number = Some(serial());
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = epoch + now.saturating_sub(BEFORE_NOW);
    params.not_after = epoch + now + life;
    Ok(params)
}

fn later(now: Timestamp, by: Duration) -> Timestamp {
    now.checked_add(by).unwrap_or(Timestamp::MAX)
}

/// A certificate as the text of a file.
fn pem_of(certificate: &CertificateDer<'_>) -> String {
    let text = STANDARD.encode(certificate);
    let mut pem = "-----BEGIN CERTIFICATE-----\n".to_owned();
    let mut rest = text.as_str();
    while let Some((line, after)) = rest.split_at_checked(64) {
        pem.push_str(line);
        pem.push('\n');
        rest = after;
    }
    if !rest.is_empty() {
        pem.push_str(rest);
        pem.push('\n');
    }
    pem.push_str("-----END CERTIFICATE-----\n");
    pem
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::self_signed;

    fn now() -> Timestamp {
        "2026-10-02T10:00:00Z".parse().unwrap()
    }

    /// Asks a verifier that has this root file.
    fn is_believed(root: &str, shown: &CertifiedKey, name: &str, now: Timestamp) -> bool {
        let roots = trust::Roots::of_file(trust::pem::certificates(root.as_bytes()).unwrap()).unwrap();
        let roots = std::sync::Arc::new(roots);
        let verifier = trust::Verifier::new(move || std::sync::Arc::clone(&roots));
        let time = Duration::from_secs(u64::try_from(now.as_second()).unwrap());
        rustls::client::danger::ServerCertVerifier::verify_server_cert(
            &verifier,
            &shown.cert[0],
            &[],
            &rustls::pki_types::ServerName::try_from(name.to_owned()).unwrap(),
            &[],
            rustls::pki_types::UnixTime::since_unix_epoch(time),
        )
        .is_ok()
    }

    #[test]
    fn what_is_read_again_signs_what_the_root_file_believes() {
        let made = OwnAuthority::make(now()).unwrap();
        let read = OwnAuthority::read(made.secret().as_bytes()).unwrap();
        assert_eq!((read.root(), read.ends()), (made.root(), made.ends()));
        assert!(made.is_first_in(read.root().as_bytes()));
        let names = ["cp-1".to_owned(), "10.0.0.7".to_owned()];
        let leaf = read.sign(&names, now(), Duration::from_secs(3600)).unwrap();
        for name in ["cp-1", "10.0.0.7"] {
            assert!(is_believed(made.root(), &leaf, name, now()), "{name}");
        }
        assert!(!is_believed(made.root(), &leaf, "cp-2", now()), "another name");
        assert!(!is_believed(made.root(), &leaf, "cp-1", later(now(), Duration::from_secs(3601))), "its time is over");
        let other = OwnAuthority::make(now()).unwrap();
        assert!(!is_believed(other.root(), &leaf, "cp-1", now()) && !other.is_first_in(made.root().as_bytes()));
    }

    #[test]
    fn the_certificate_that_a_control_plane_made_for_itself_is_one() {
        let folder = tempfile::tempdir().unwrap();
        let files = self_signed(folder.path(), &[], now()).unwrap();
        let root = std::fs::read_to_string(&files.cert).unwrap();
        let pair = format!("{root}{}", std::fs::read_to_string(&files.key).unwrap());
        let authority = OwnAuthority::read(pair.as_bytes()).unwrap();
        let leaf = authority.sign(&["cp-2".to_owned()], now(), Duration::from_secs(3600)).unwrap();
        assert!(is_believed(&root, &leaf, "cp-2", now()));
        assert!(authority.is_first_in(root.as_bytes()));
    }

    #[test]
    fn what_is_no_authority_is_refused_with_the_reason() {
        let authority = OwnAuthority::make(now()).unwrap();
        let secret = authority.secret();
        let said = |text: &str| OwnAuthority::read(text.as_bytes()).unwrap_err().to_string();
        assert!(said("").contains("no certificate"));
        assert!(said(authority.root()).contains("no private key"));
        let other = OwnAuthority::make(now()).unwrap().secret();
        let other_key = other.split_once("-----BEGIN PRIVATE").unwrap().1;
        assert!(said(&format!("{}-----BEGIN PRIVATE{other_key}", authority.root())).contains("not that of"));
        let params = params("cp", vec!["cp".to_owned()], now(), TEN_YEARS).unwrap();
        let key = KeyPair::generate().unwrap();
        let server = params.self_signed(&key).unwrap().pem();
        assert!(said(&format!("{server}{}", key.serialize_pem())).contains("of a server"));
        let read = || OwnAuthority::read(secret.as_bytes()).unwrap();
        assert!(read().running(now()).is_ok());
        let ended = read().running(later(now(), TEN_YEARS)).unwrap_err().to_string();
        assert!(ended.contains("has ended"), "{ended}");
    }
}
