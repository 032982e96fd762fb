//! Certificate authorities that a control plane keeps for itself: certificate and key, PEM, one after the other.

use std::time::Duration;

use jiff::Timestamp;
use model::duration::TEN_YEARS;
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use zeroize::Zeroizing;

use crate::writes::authority_certificate;

const BEFORE_NOW: Duration = Duration::from_secs(5 * 60);

/// A certificate authority and the global secret that holds it.
pub(super) struct Authority {
    pub(super) secret: &'static str,
    /// The common name of the certificate.
    name: &'static str,
}

/// Between instances of one control plane.
pub(super) const INTER_CP: Authority = Authority { secret: "inter-cp-ca", name: "Control Plane Intercommunication CA" };
/// Between a zone control plane and the admin ports of its proxies.
pub(super) const ENVOY_ADMIN: Authority = Authority { secret: "envoy-admin-ca", name: "Envoy Admin CA" };

pub(super) fn make(authority: &Authority, now: Timestamp) -> Result<Zeroizing<String>, rcgen::Error> {
    let params = authority_certificate(authority.name, now, BEFORE_NOW, TEN_YEARS);
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let certificate = params.self_signed(&key)?.pem();
    let key = Zeroizing::new(key.serialize_pem());
    Ok(Zeroizing::new(format!("{certificate}{}", key.as_str())))
}
