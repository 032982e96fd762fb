//! Signing keys: their names, what makes their data usable, how they are made.

use std::fmt;

use aws_lc_rs::{
    digest, hmac,
    encoding::AsDer as _,
    rsa::{self, KeySize},
    signature::{self, KeyPair as _},
};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::{der, pem};

/// A family of tokens, each with keys of its own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// `control-plane-signing-key-N`: control plane tokens.
    ControlPlane,
    /// `zone-token-signing-key-N`: zone tokens.
    Zone,
    /// `user-token-signing-key-N`: user tokens.
    User,
    /// `dataplane-token-signing-key-<mesh>-N`: dataplane tokens of one mesh.
    Dataplane {
        /// The mesh.
        mesh: String,
    },
}

impl Family {
    /// The name of the family's keys without their serial.
    pub fn prefix(&self) -> String {
        match self {
            Self::ControlPlane => "control-plane-signing-key".to_owned(),
            Self::Zone => "zone-token-signing-key".to_owned(),
            Self::User => "user-token-signing-key".to_owned(),
            Self::Dataplane { mesh } => format!("dataplane-token-signing-key-{mesh}"),
        }
    }
}

/// Names one signing key: `-2` and `-0002` are the same serial.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId {
    /// The family.
    pub family: Family,
    /// The serial.
    pub serial: u64,
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.family {
            Family::ControlPlane => write!(f, "{}-{:04}", self.family.prefix(), self.serial),
            Family::Zone | Family::User | Family::Dataplane { .. } => write!(f, "{}-{}", self.family.prefix(), self.serial),
        }
    }
}

/// Why the data of a signing key cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum KeyProblem {
    /// The name ends in something that is no number.
    #[error("the name of a signing key must end in its serial number, like `{prefix}-2`")]
    NoSerial {
        /// The name without serial.
        prefix: String,
    },
    /// A control plane key with less than 32 bytes.
    #[error("a control plane signing key must have at least 32 bytes, this one has {length}: make one with `kumactl generate signing-key`")]
    TooShort {
        /// How many it has.
        length: usize,
    },
    /// Not an RSA key in PKCS#1.
    #[error("the data is no RSA private key (PEM block `RSA PRIVATE KEY`, or PKCS#1 DER): make one with `kumactl generate signing-key`")]
    NotRsa,
    /// An RSA key of less than 2048 bits.
    #[error("an RSA signing key must have at least 2048 bits, this one has {bits}")]
    TooSmall {
        /// How many it has.
        bits: usize,
    },
}

/// Returns family and serial of a secret's name, or `None` if it names no signing key. A bare prefix is serial 0.
pub fn key_name(name: &str) -> Option<(Family, u64)> {
    parse_name(name)?.ok()
}

fn parse_name(name: &str) -> Option<Result<(Family, u64), KeyProblem>> {
    for family in [Family::ControlPlane, Family::Zone, Family::User] {
        let prefix = family.prefix();
        let Some(rest) = name.strip_prefix(&prefix) else { continue };
        if rest.is_empty() {
            return Some(Ok((family, 0)));
        }
        return rest.strip_prefix('-').map(|suffix| serial(suffix).map(|serial| (family, serial)).ok_or(KeyProblem::NoSerial { prefix }));
    }
    let rest = name.strip_prefix("dataplane-token-signing-key-")?;
    let (mesh, suffix) = rest.rsplit_once('-').unwrap_or((rest, ""));
    let family = Family::Dataplane { mesh: mesh.to_owned() };
    let prefix = family.prefix();
    Some(serial(suffix).map(|serial| (family, serial)).ok_or(KeyProblem::NoSerial { prefix }))
}

/// A serial: decimal digits, leading zeros allowed.
pub(crate) fn serial(text: &str) -> Option<u64> {
    (!text.is_empty() && text.len() <= 19 && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}

/// Checks the data of a secret whose name is a signing key's; other names pass.
pub fn check_key(name: &str, data: &[u8]) -> Result<(), KeyProblem> {
    match parse_name(name) {
        None => Ok(()),
        Some(Err(problem)) => Err(problem),
        Some(Ok((Family::ControlPlane, _))) => ControlPlaneKey::read(data).map(|_| ()),
        Some(Ok((Family::Zone | Family::User | Family::Dataplane { .. }, _))) => RsaKey::read(data).map(|_| ()),
    }
}

/// The SHA-256 of a key's bytes: tells whether a key is still the same one.
pub(crate) type Fingerprint = [u8; 32];

fn fingerprint(data: &[u8]) -> Fingerprint {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest::digest(&digest::SHA256, data).as_ref());
    bytes
}

/// A key of the control plane family: its bytes, unaltered, are the HMAC key; a PEM key verifies RS256 too.
pub(crate) struct ControlPlaneKey {
    pub(crate) hmac: hmac::Key,
    pub(crate) rsa: Option<RsaKey>,
    pub(crate) fingerprint: Fingerprint,
}

impl ControlPlaneKey {
    pub(crate) fn read(data: &[u8]) -> Result<Self, KeyProblem> {
        if data.len() < 32 {
            return Err(KeyProblem::TooShort { length: data.len() });
        }
        let rsa = pem::read(data).and_then(|_| RsaKey::read(data).ok());
        Ok(Self { hmac: hmac::Key::new(hmac::HMAC_SHA256, data), rsa, fingerprint: fingerprint(data) })
    }
}

/// A parsed RSA private key.
pub(crate) struct RsaKey {
    pub(crate) pair: rsa::KeyPair,
    pub(crate) fingerprint: Fingerprint,
}

impl RsaKey {
    /// Reads PEM `RSA PRIVATE KEY` or bare PKCS#1 DER.
    pub(crate) fn read(data: &[u8]) -> Result<Self, KeyProblem> {
        let block = pem::read(data);
        let der = match &block {
            Some(block) if block.label == "RSA PRIVATE KEY" => block.der.as_slice(),
            Some(block) if block.label == "PRIVATE KEY" => der::pkcs1_of_pkcs8(&block.der).ok_or(KeyProblem::NotRsa)?,
            Some(_) => return Err(KeyProblem::NotRsa),
            None => data,
        };
        let pair = rsa::KeyPair::from_der(der).map_err(|_rejected| small_or_broken(der))?;
        let bits = pair.public_modulus_len() * 8;
        if bits < 2048 {
            return Err(KeyProblem::TooSmall { bits });
        }
        Ok(Self { pair, fingerprint: fingerprint(data) })
    }

    /// The public key, PKCS#1 DER.
    pub(crate) fn public(&self) -> &[u8] {
        self.pair.public_key().as_ref()
    }
}

/// The library refuses small keys with the same error as broken ones.
fn small_or_broken(der: &[u8]) -> KeyProblem {
    match der::modulus_bits(der) {
        Some(bits) if (256..2048).contains(&bits) => KeyProblem::TooSmall { bits },
        _ => KeyProblem::NotRsa,
    }
}

/// A signing key as `kumactl generate signing-key` makes it. Never shown but through [`PemKey::reveal`].
pub struct PemKey(Zeroizing<String>);

impl PemKey {
    /// The PEM text, with its final newline.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

/// Makes an RSA key of 2048 bits.
#[expect(clippy::expect_used, reason = "fails only if the machine has no randomness; there is no safe way on from there")]
pub fn generate_signing_key() -> PemKey {
    let pair = rsa::KeyPair::generate(KeySize::Rsa2048).expect("the machine has randomness");
    let pkcs8 = pair.as_der().expect("a key that was just made can be encoded");
    let pkcs1 = der::pkcs1_of_pkcs8(pkcs8.as_ref()).expect("PKCS#8 of an RSA key holds PKCS#1");
    PemKey(pem::write("RSA PRIVATE KEY", pkcs1))
}

/// Returns the public half of a private key as PEM `RSA PUBLIC KEY` (PKCS#1). The key may be PEM or DER.
pub fn public_half(key: &[u8]) -> Result<String, KeyProblem> {
    let key = RsaKey::read(key)?;
    Ok(pem::write("RSA PUBLIC KEY", key.public()).to_string())
}

/// Reads a public key for verification only: PEM `RSA PUBLIC KEY` or `PUBLIC KEY`, or PKCS#1 DER.
pub(crate) fn read_public(data: &[u8]) -> Option<Vec<u8>> {
    let pkcs1 = match pem::read(data) {
        Some(block) if block.label == "RSA PUBLIC KEY" => block.der.to_vec(),
        Some(block) if block.label == "PUBLIC KEY" => der::pkcs1_of_spki(&block.der)?.to_vec(),
        Some(_) => return None,
        None => data.to_vec(),
    };
    // A key that verifies nothing is told from one that cannot be parsed.
    signature::ParsedPublicKey::new(&signature::RSA_PKCS1_2048_8192_SHA256, &pkcs1).ok()?;
    Some(pkcs1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, expected: Option<(Family, u64)>) {
        assert_eq!(key_name(name), expected, "{name}");
    }

    #[test]
    fn padded_and_plain_serials_are_one() {
        check("control-plane-signing-key-0002", Some((Family::ControlPlane, 2)));
        check("control-plane-signing-key-2", Some((Family::ControlPlane, 2)));
        check("zone-token-signing-key-10", Some((Family::Zone, 10)));
        check("user-token-signing-key", Some((Family::User, 0)));
        check("dataplane-token-signing-key-my-mesh-3", Some((Family::Dataplane { mesh: "my-mesh".to_owned() }, 3)));
        for name in ["zone-token-signing-key-foo", "zone-token-signing-key-", "zone-token-signing-key-2026q1", "zone-token-signing-keys-1", "zone-token-signing-public-key-1", "gs1", "zone-token-signing-key--1"] {
            check(name, None);
        }
    }

    #[test]
    fn a_made_key_is_usable_for_every_family() {
        let key = generate_signing_key();
        assert!(key.reveal().starts_with("-----BEGIN RSA PRIVATE KEY-----\n"));
        assert!(key.reveal().ends_with("-----END RSA PRIVATE KEY-----\n"));
        for name in ["control-plane-signing-key-0001", "zone-token-signing-key-1", "user-token-signing-key-1", "dataplane-token-signing-key-default-1"] {
            assert_eq!(check_key(name, key.reveal().as_bytes()), Ok(()), "{name}");
        }
        let der = pem::read(key.reveal().as_bytes()).unwrap().der;
        assert_eq!(check_key("zone-token-signing-key-1", &der), Ok(()));
        let public = public_half(key.reveal().as_bytes()).unwrap();
        assert!(public.starts_with("-----BEGIN RSA PUBLIC KEY-----\n"));
        assert!(read_public(public.as_bytes()).is_some());
    }

    #[test]
    fn unusable_data_is_refused() {
        let short = [0u8; 31];
        assert_eq!(check_key("control-plane-signing-key-0002", &short), Err(KeyProblem::TooShort { length: 31 }));
        assert_eq!(check_key("control-plane-signing-key-0002", &[0u8; 32]), Ok(()));
        let public = public_half(generate_signing_key().reveal().as_bytes()).unwrap();
        for data in [&b""[..], b"secret", &[0x30; 600], public.as_bytes(), b"-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n"] {
            assert_eq!(check_key("zone-token-signing-key-1", data), Err(KeyProblem::NotRsa), "{data:?}");
        }
        assert!(matches!(check_key("user-token-signing-key-x", b""), Err(KeyProblem::NoSerial { .. })));
        assert_eq!(check_key("gs1", b""), Ok(()));
    }
}
