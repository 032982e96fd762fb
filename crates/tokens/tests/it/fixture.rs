//! Keys, rings and forged tokens.

use std::{sync::OnceLock, time::Duration};

use aws_lc_rs::{
    hmac,
    rand::SystemRandom,
    signature::{RSA_PKCS1_SHA256, RSA_PKCS1_SHA512, RSA_PSS_SHA256, RsaEncoding, RsaKeyPair},
};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use jiff::Timestamp;
use model::ZoneName;
use tokens::{Accept, KeyRing, PemKey, Rejection, RingProblem, SecretEntry, VerifiedZone, Want};
use uuid::Uuid;

/// The moment of all tests.
pub(crate) const NOW: i64 = 1_795_475_234;
/// The leeway of all tests.
pub(crate) const LEEWAY: Duration = Duration::from_secs(30);
/// An hour.
pub(crate) const HOUR: Duration = Duration::from_secs(3600);

pub(crate) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

pub(crate) fn now() -> Timestamp {
    at(NOW)
}

pub(crate) fn west() -> ZoneName {
    ZoneName::parse("west").unwrap()
}

pub(crate) fn jti() -> Uuid {
    Uuid::from_u128(0x5766_e443_ef30_4916_afbd_a680_d244_fc16)
}

/// One of a few keys that are made once.
pub(crate) fn pem(index: usize) -> &'static str {
    static KEYS: OnceLock<Vec<PemKey>> = OnceLock::new();
    KEYS.get_or_init(|| (0..4).map(|_| tokens::generate_signing_key()).collect())[index].reveal()
}

pub(crate) fn ring_with_problems(secrets: &[(&str, &str)]) -> (KeyRing, Vec<RingProblem>) {
    let entries: Vec<SecretEntry<'_>> =
        secrets.iter().map(|(name, data)| SecretEntry { mesh: "", name, data: Some(data.as_bytes()) }).collect();
    KeyRing::build(1, &entries)
}

/// A ring of global secrets that are all in order.
pub(crate) fn ring(secrets: &[(&str, &str)]) -> KeyRing {
    let (ring, problems) = ring_with_problems(secrets);
    assert_eq!(problems, []);
    ring
}

/// One key in each family: 0 for control planes, 1 for zones, 2 for users.
pub(crate) fn usual() -> Vec<(&'static str, &'static str)> {
    vec![
        ("control-plane-signing-key-0001", pem(0)),
        ("zone-token-signing-key-1", pem(1)),
        ("user-token-signing-key-1", pem(2)),
    ]
}

pub(crate) fn want(accept: Accept) -> Want<'static> {
    Want { zone: "west", accept, leeway: LEEWAY, legacy_until: None }
}

/// Verifies for zone `west`, with control plane tokens accepted.
pub(crate) fn verify(raw: &str, ring: &KeyRing) -> Result<VerifiedZone, Rejection> {
    tokens::verify(raw, ring, now(), &want(Accept::CpToken))
}

/// A key pair of a PEM, read without the code under test.
fn pair(pem: &str) -> RsaKeyPair {
    let body: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    RsaKeyPair::from_der(&STANDARD.decode(body).unwrap()).unwrap()
}

fn sign_rsa(encoding: &'static dyn RsaEncoding, pem: &str, message: &[u8]) -> Vec<u8> {
    let pair = pair(pem);
    let mut signature = vec![0; pair.public_modulus_len()];
    pair.sign(encoding, &SystemRandom::new(), message, &mut signature).unwrap();
    signature
}

/// Ways to sign.
pub(crate) enum By<'a> {
    Rs256(&'a str),
    Rs512(&'a str),
    Ps256(&'a str),
    Hmac(&'a [u8]),
    Nothing,
}

/// Signs any header and payload, however wrong.
pub(crate) fn forge(header: &str, payload: &str, by: &By<'_>) -> String {
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
    let signature = match by {
        By::Rs256(pem) => sign_rsa(&RSA_PKCS1_SHA256, pem, signed.as_bytes()),
        By::Rs512(pem) => sign_rsa(&RSA_PKCS1_SHA512, pem, signed.as_bytes()),
        By::Ps256(pem) => sign_rsa(&RSA_PSS_SHA256, pem, signed.as_bytes()),
        By::Hmac(key) => hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), signed.as_bytes()).as_ref().to_vec(),
        By::Nothing => Vec::new(),
    };
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// A payload that lets zone `west` in, with these members added.
pub(crate) fn payload(more: &str) -> String {
    format!(r#"{{"Zone":"west","Scope":["cp"],"exp":{}{more}}}"#, NOW + 3600)
}

pub(crate) const RS256: &str = r#"{"alg":"RS256","kid":"1","typ":"JWT"}"#;
pub(crate) const HS256: &str = r#"{"alg":"HS256","typ":"JWT"}"#;

/// Header and payload of a token as text.
pub(crate) fn decoded(token: &str) -> (String, String) {
    let mut parts = token.split('.').map(|part| URL_SAFE_NO_PAD.decode(part).unwrap());
    let mut text = || String::from_utf8(parts.next().unwrap()).unwrap();
    (text(), text())
}
