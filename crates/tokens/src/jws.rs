//! JSON Web Signature, compact form (RFC 7515), read strictly.

use std::fmt;

use aws_lc_rs::{hmac, rand::SystemRandom, rsa, signature};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, Visitor},
};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

/// No token of ours comes near.
const LONGEST: usize = 8 * 1024;

/// A token taken apart, its signature not yet checked.
pub(crate) struct Unverified<'a> {
    pub(crate) header: Map<String, Value>,
    pub(crate) claims: Map<String, Value>,
    signed: &'a [u8],
    signature: Vec<u8>,
}

/// Why a text is no token, in the words of the peer where it has some (contract: tokens 2.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NotAToken(pub(crate) String);

impl<'a> Unverified<'a> {
    pub(crate) fn read(raw: &'a str) -> Result<Self, NotAToken> {
        let malformed = |what: &str| NotAToken(format!("could not parse token: token is malformed: {what}"));
        if raw.len() > LONGEST {
            return Err(malformed("token is too long"));
        }
        let mut segments = raw.split('.');
        let (Some(header), Some(claims), Some(signature), None) =
            (segments.next(), segments.next(), segments.next(), segments.next())
        else {
            return Err(malformed("token contains an invalid number of segments"));
        };
        let decode = |segment: &str, what: &str| {
            URL_SAFE_NO_PAD.decode(segment).map_err(|_bad| malformed(&format!("could not base64 decode {what}")))
        };
        let object = |segment: &str, what: &str| {
            let bytes = decode(segment, what)?;
            serde_json::from_slice::<Strict>(&bytes)
                .map(|strict| strict.0)
                .map_err(|error| malformed(&format!("could not JSON decode {what}: {error}")))
        };
        let signed = raw.len() - signature.len() - 1;
        Ok(Self {
            header: object(header, "header")?,
            claims: object(claims, "claim")?,
            signed: raw.as_bytes().get(..signed).unwrap_or_default(),
            signature: decode(signature, "signature")?,
        })
    }

    /// The text of a header member; anything but a text is nothing.
    pub(crate) fn header_text(&self, name: &str) -> Option<&str> {
        self.header.get(name).and_then(Value::as_str)
    }

    /// Checks the signature as HMAC-SHA256, in constant time.
    pub(crate) fn is_hmac(&self, key: &hmac::Key) -> bool {
        hmac::verify(key, self.signed, &self.signature).is_ok()
    }

    /// Checks the signature as RSASSA-PKCS1-v1_5 with SHA-256.
    pub(crate) fn is_rsa(&self, public_pkcs1: &[u8]) -> bool {
        let key = signature::UnparsedPublicKey::new(&signature::RSA_PKCS1_2048_8192_SHA256, public_pkcs1);
        key.verify(self.signed, &self.signature).is_ok()
    }
}

/// Signs as HMAC-SHA256.
pub(crate) fn sign_hmac(header: &str, claims: &str, key: &hmac::Key) -> Zeroizing<String> {
    let signed = signing_input(header, claims);
    let tag = hmac::sign(key, signed.as_bytes());
    finish(&signed, tag.as_ref())
}

/// Signs as RSASSA-PKCS1-v1_5 with SHA-256; `None` if the key refuses to sign.
pub(crate) fn sign_rsa(header: &str, claims: &str, key: &rsa::KeyPair) -> Option<Zeroizing<String>> {
    let signed = signing_input(header, claims);
    let mut tag = vec![0; key.public_modulus_len()];
    key.sign(&signature::RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut tag).ok()?;
    Some(finish(&signed, &tag))
}

fn signing_input(header: &str, claims: &str) -> Zeroizing<String> {
    Zeroizing::new(format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims)))
}

fn finish(signed: &str, tag: &[u8]) -> Zeroizing<String> {
    Zeroizing::new(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag)))
}

/// A JSON object without repeated members (RFC 8725 section 3.4: two readers must not see two tokens).
struct Strict(Map<String, Value>);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Strict;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Strict, A::Error> {
                let mut members = Map::new();
                while let Some(name) = access.next_key::<String>()? {
                    let value = access.next_value()?;
                    if members.insert(name, value).is_some() {
                        return Err(A::Error::custom("a member is repeated"));
                    }
                }
                Ok(Strict(members))
            }
        }
        deserializer.deserialize_map(Members)
    }
}
