//! Private keys and certificates in the forms that people keep in files.

use std::{fs, net::IpAddr, time::Duration};

use aws_lc_rs::{
    encoding::AsBigEndian,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use model::duration::TEN_YEARS;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
    SanType, SerialNumber, date_time_ymd,
};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs1KeyDer, PrivateSec1KeyDer, pem::PemObject};
use tokens::KeyProblem;
use uuid::Uuid;

use crate::{failure::Failure, files};

const FIVE_MINUTES: Duration = Duration::from_secs(5 * 60);

/// Who shows a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    Server,
    Client,
}

/// The kind of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Algorithm {
    /// RSA with 2048 bits.
    Rsa,
    /// ECDSA on P-256.
    Ecdsa,
}

/// A private key and its self-signed certificate, both in PEM.
pub(crate) struct Pair {
    pub(crate) key: String,
    pub(crate) certificate: String,
}

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyError {
    /// The key could not be made.
    #[error("could not generate a private key")]
    Key,
    /// The certificate could not be made.
    #[error("could not generate a certificate: {0}")]
    Certificate(#[from] rcgen::Error),
}

/// Makes a key and a certificate that is its own CA, good from five minutes ago for ten years.
pub(crate) fn self_signed(
    usage: Use,
    algorithm: Algorithm,
    hosts: &[String],
    now: Timestamp,
) -> Result<Pair, KeyError> {
    let (key, signer) = match algorithm {
        Algorithm::Rsa => rsa_key()?,
        Algorithm::Ecdsa => ecdsa_key()?,
    };
    let mut params = CertificateParams::default();
    params.subject_alt_names = hosts
        .iter()
        .map(|host| match host.parse::<IpAddr>() {
            Ok(address) => Ok(SanType::IpAddress(address)),
            Err(_) => host.as_str().try_into().map(SanType::DnsName),
        })
        .collect::<Result<_, _>>()?;
    params.distinguished_name = DistinguishedName::new();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages =
        vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment, KeyUsagePurpose::KeyCertSign];
    params.extended_key_usages = vec![match usage {
        Use::Server => ExtendedKeyUsagePurpose::ServerAuth,
        Use::Client => ExtendedKeyUsagePurpose::ClientAuth,
    }];
    params.serial_number = Some(SerialNumber::from_slice(&serial()));
    let now = Duration::from_secs(u64::try_from(now.as_second()).unwrap_or_default());
    let start = now.saturating_sub(FIVE_MINUTES);
    params.not_before = date_time_ymd(1970, 1, 1) + start;
    params.not_after = date_time_ymd(1970, 1, 1) + start + TEN_YEARS;
    Ok(Pair { key, certificate: params.self_signed(&signer)?.pem() })
}

pub(crate) fn read_signing_key(path: &str) -> Result<Vec<u8>, Failure> {
    fs::read(path).map_err(|error| {
        Failure::Refused(format!("could not read a signing key file: open {path}: {}", files::reason(&error)))
    })
}

/// Words why a file holds no signing key.
pub(crate) fn no_signing_key(problem: &KeyProblem) -> Failure {
    match problem {
        KeyProblem::Size { .. } | KeyProblem::Unreadable { .. } => Failure::Refused(problem.to_string()),
        _ => Failure::refused("provided file is not a PEM-encoded signing key"),
    }
}

/// 128 bits, positive: a UUID leaves 122 of them to chance.
fn serial() -> [u8; 16] {
    let mut serial = Uuid::new_v4().into_bytes();
    if let Some(first) = serial.first_mut() {
        *first = (*first & 0x7f) | 0x40;
    }
    serial
}

/// Returns a key as PEM `RSA PRIVATE KEY`, and the same key for signing.
fn rsa_key() -> Result<(String, KeyPair), KeyError> {
    let pem = tokens::generate_signing_key();
    let der = PrivatePkcs1KeyDer::from_pem_slice(pem.reveal().as_bytes()).map_err(|_error| KeyError::Key)?;
    let signer = KeyPair::from_der_and_sign_algo(&PrivateKeyDer::Pkcs1(der), &rcgen::PKCS_RSA_SHA256)?;
    Ok((pem.reveal().to_owned(), signer))
}

/// Returns a key as PEM `EC PRIVATE KEY`, and the same key for signing.
fn ecdsa_key() -> Result<(String, KeyPair), KeyError> {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).map_err(|_error| KeyError::Key)?;
    let secret = pair.private_key().as_be_bytes().map_err(|_error| KeyError::Key)?;
    // ECPrivateKey of RFC 5915: version 1, the secret, the curve P-256, the public point.
    let mut der = vec![0x30, 0x77, 0x02, 0x01, 0x01, 0x04, 0x20];
    der.extend_from_slice(secret.as_ref());
    der.extend_from_slice(&[0xa0, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07]);
    der.extend_from_slice(&[0xa1, 0x44, 0x03, 0x42, 0x00]);
    der.extend_from_slice(pair.public_key().as_ref());
    let pem = pem("EC PRIVATE KEY", &der);
    let der = PrivateKeyDer::Sec1(PrivateSec1KeyDer::from(der));
    Ok((pem, KeyPair::from_der_and_sign_algo(&der, &rcgen::PKCS_ECDSA_P256_SHA256)?))
}

fn pem(label: &str, der: &[u8]) -> String {
    let mut text = format!("-----BEGIN {label}-----\n");
    for (place, letter) in STANDARD.encode(der).chars().enumerate() {
        if place > 0 && place % 64 == 0 {
            text.push('\n');
        }
        text.push(letter);
    }
    text + &format!("\n-----END {label}-----\n")
}

#[cfg(test)]
mod tests {
    use rustls_pki_types::CertificateDer;

    use super::*;

    fn make(usage: Use, algorithm: Algorithm) -> Pair {
        let now = "2026-11-24T12:00:00Z".parse().unwrap();
        self_signed(usage, algorithm, &["localhost".to_owned(), "127.0.0.1".to_owned()], now).unwrap()
    }

    fn check(algorithm: Algorithm, label: &str) {
        let pair = make(Use::Server, algorithm);
        assert!(pair.key.starts_with(&format!("-----BEGIN {label}-----\n")), "{label}");
        let certificate = CertificateDer::from_pem_slice(pair.certificate.as_bytes()).unwrap();
        let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        rustls::ServerConfig::builder_with_provider(provider.into())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .expect("key and certificate belong together");
    }

    #[test]
    fn key_and_certificate_belong_together() {
        check(Algorithm::Rsa, "RSA PRIVATE KEY");
        check(Algorithm::Ecdsa, "EC PRIVATE KEY");
    }

    #[test]
    fn lines_of_pem_have_64_letters() {
        assert_eq!(make(Use::Client, Algorithm::Ecdsa).key.lines().nth(1).unwrap().len(), 64);
    }

    #[test]
    fn serial_has_128_bits_and_is_positive() {
        assert!((0x40..0x80).contains(&serial()[0]));
    }
}
