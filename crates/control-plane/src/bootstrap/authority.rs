//! Certificate authorities that a control plane keeps for itself: certificate and key, PEM, one after the other.

use std::time::Duration;

use jiff::Timestamp;
use model::duration::TEN_YEARS;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, date_time_ymd,
};
use zeroize::Zeroizing;

const BEFORE_NOW: u64 = 5 * 60;

/// A certificate authority and the global secret that holds it.
pub(super) struct Authority {
    /// The name of the secret.
    pub(super) secret: &'static str,
    /// The common name of the certificate.
    name: &'static str,
}

/// Between instances of one control plane.
pub(super) const INTER_CP: Authority = Authority { secret: "inter-cp-ca", name: "Control Plane Intercommunication CA" };
/// Between a zone control plane and the admin ports of its proxies.
pub(super) const ENVOY_ADMIN: Authority = Authority { secret: "envoy-admin-ca", name: "Envoy Admin CA" };

pub(super) fn make(authority: &Authority, now: Timestamp) -> Result<Zeroizing<String>, rcgen::Error> {
    let start = u64::try_from(now.as_second()).unwrap_or_default();
    let epoch = date_time_ymd(1970, 1, 1);
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "Kuma");
    params.distinguished_name.push(DnType::OrganizationalUnitName, "Mesh");
    params.distinguished_name.push(DnType::CommonName, authority.name);
    params.not_before = epoch + Duration::from_secs(start.saturating_sub(BEFORE_NOW));
    params.not_after = epoch + Duration::from_secs(start) + TEN_YEARS;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let certificate = params.self_signed(&key)?.pem();
    let key = Zeroizing::new(key.serialize_pem());
    Ok(Zeroizing::new(format!("{certificate}{}", key.as_str())))
}
