//! Which bytes may be a key for HS256: those that only their owner can know.
//!
//! A key that everybody may know (a public key, a certificate, a sentence) signs tokens that everybody can make. The bare
//! modulus of a public key cannot be told from random bytes, and is not. There are too
//! many forms of such data to list, so the forms that may are listed: an RSA private key (PKCS#1 as PEM or DER, the form
//! that every release made), and random bytes, as they are or written as base64 or hex.

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use zeroize::Zeroizing;

use crate::{
    der,
    key::{KeyProblem, PrivateKey},
    pem,
};

/// Of 32 random bytes, 30 differ on average; fewer than 20 happen less than once in 10^9 keys. Of fewer bytes, as many for
/// each eight.
const LEAST_DIFFERENT_BYTES: usize = 20;
/// A key that is written as text stands for at least 128 bits.
const LEAST_DECODED_BYTES: usize = 16;
/// What stands in public keys and certificates, and not in the keys that are taken: the object identifiers of RSA and of
/// elliptic curve keys in DER, and the names of keys in the form of SSH.
const PUBLIC_KEY_MARKS: [&[u8]; 5] = [
    &[6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1],
    &[6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1],
    b"ssh-rsa",
    b"ssh-ed25519",
    b"ecdsa-sha2-",
];

/// Says what is wrong with data that is to be a key for HS256. Its length is checked elsewhere.
pub(crate) fn check(data: &[u8]) -> Result<(), KeyProblem> {
    let no = |found| Err(KeyProblem::NotSecret { found });
    if let Some(text) = text(data) {
        if let Some(block) = pem::decode(data) {
            let whole = text.trim_start().starts_with("-----BEGIN ") && text.matches("-----BEGIN ").count() == 1;
            return match block.label {
                "RSA PRIVATE KEY" if whole => PrivateKey::rsa_from_pem(data).map(drop),
                "RSA PRIVATE KEY" => no("a text with a private key in it, not the key alone"),
                label if label.ends_with("PUBLIC KEY") => no("a public key"),
                label if label.ends_with("CERTIFICATE") => no("a certificate"),
                _ => no("PEM of something else"),
            };
        }
        let Some(inner) = decoded(text) else { return no("a text") };
        return if inner.len() < LEAST_DECODED_BYTES { no("a text") } else { check(&inner) };
    }
    if is_wide_text(data) {
        return no("a text");
    }
    if PrivateKey::parse(data).is_ok() {
        return Ok(());
    }
    if der::begins_with_sequence(data) || PUBLIC_KEY_MARKS.iter().any(|mark| contains(data, mark)) {
        return no("DER of something else");
    }
    if is_regular(data) { no("bytes that repeat") } else { Ok(()) }
}

fn text(data: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(data).ok()?;
    (!text.chars().any(|c| c.is_control() && !c.is_ascii_whitespace())).then_some(text)
}

/// Whether bytes are a text in UTF-16, as some editors write it: nearly every second byte is zero.
fn is_wide_text(data: &[u8]) -> bool {
    let pairs = data.len() / 2;
    let ascii = |pair: &&[u8]| matches!(pair, [0, other] | [other, 0] if other.is_ascii());
    pairs > 0 && data.chunks_exact(2).filter(ascii).count() * 4 > pairs * 3
}

/// The bytes that a text of base64 or hex stands for.
fn decoded(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    // Lines may be wrapped; words are a text.
    if text.trim().contains([' ', '\t']) {
        return None;
    }
    let compact: Zeroizing<String> = Zeroizing::new(text.chars().filter(|c| !c.is_ascii_whitespace()).collect());
    if compact.len().is_multiple_of(2) && compact.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return hex(&compact);
    }
    let core = compact.trim_end_matches('=');
    [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD].into_iter().find_map(|form| form.decode(core).ok()).map(Zeroizing::new)
}

fn hex(digits: &str) -> Option<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(digits.len() / 2));
    let mut rest = digits;
    while let Some((pair, after)) = rest.split_at_checked(2) {
        bytes.push(u8::from_str_radix(pair, 16).ok()?);
        rest = after;
    }
    Some(bytes)
}

fn contains(data: &[u8], part: &[u8]) -> bool {
    data.windows(part.len()).any(|window| window == part)
}

/// Whether bytes are too few different ones, or a plain sequence.
fn is_regular(data: &[u8]) -> bool {
    let mut seen = [false; 256];
    for byte in data {
        if let Some(seen) = seen.get_mut(usize::from(*byte)) {
            *seen = true;
        }
    }
    let steps = || data.windows(2).map(|pair| pair.iter().fold(0u8, |before, byte| byte.wrapping_sub(before)));
    let one_step = steps().all(|step| Some(step) == steps().next());
    let least = LEAST_DIFFERENT_BYTES.min(data.len() * 5 / 8);
    seen.iter().filter(|seen| **seen).count() < least || one_step
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD;

    use super::*;
    use crate::{generate_signing_key, public_half};

    fn verdict(data: &[u8]) -> Result<(), &'static str> {
        check(data).map_err(|problem| match problem {
            KeyProblem::NotSecret { found } => found,
            other => panic!("{other}"),
        })
    }

    /// Bytes that look random and are the same in each run.
    fn random(length: usize) -> Vec<u8> {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[3]
        };
        (0..length).map(|_| next()).collect()
    }

    #[test]
    fn what_installations_have_is_taken() {
        let key = generate_signing_key();
        let pem = key.reveal().as_bytes();
        let der = pem::decode(pem).unwrap().der;
        let twice = STANDARD.encode(pem);
        let bytes = random(32);
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let base64 = STANDARD.encode(&bytes) + "\n";
        for good in [pem, &der, twice.as_bytes(), &bytes, &random(64), hex.as_bytes(), base64.as_bytes()] {
            assert_eq!(verdict(good), Ok(()), "{}", good.len());
        }
    }

    #[test]
    fn what_others_may_know_is_refused() {
        let public = public_half(generate_signing_key().reveal().as_bytes()).unwrap();
        let block = pem::decode(public.as_bytes()).unwrap();
        let mut longer = block.der.to_vec();
        longer.push(1);
        let mut shifted = random(3);
        shifted.extend(PUBLIC_KEY_MARKS[0]);
        shifted.extend(random(64));
        let commented = format!("# the key of our zones\n{public}");
        let hidden = format!("-----BEGIN nothing\n{public}");
        let twice = STANDARD.encode(&public);
        let der_text = STANDARD.encode(&*block.der);
        let jwk = br#"{"kty":"RSA","n":"sXchDaQebHnPiGvyDOAT4saGEUetSyo9MKLOoWFsueri23bOdgWp4Dy1WlUzewbgBHod5pcM9H95GQRV3JDXboIRROSBigeC5yjU1hGzHHyXss8UDprecbAYxknTcQkhslANGRUZmdTOQ5qTRsLAt6BTYuyvVRdhS8exSZEy_c4gs_7svlJJQ4H9_NxsiIoLwAEk7-Q3UXERGYw_75IDrGA84-lA_-Ct4eTlXHBIY2EaV7t7LjJaynVJCpkv4LKjTTAumiGUIuQhrNhZLuF_RJLqHpM2kgWFLU7-VTdL1VbC2tejvcI2BlMkEpk1BzBZI0KQB0GaDWFLN-aEAw3vRw","e":"AQAB"}"#;
        let certificate =
            "-----BEGIN CERTIFICATE-----\nMIIBszCCARygAwIBAgIJAJC1HiIAZAiIMA0GCSqGSIb3\n-----END CERTIFICATE-----\n";
        let mut wire = [&[0, 0, 0, 11], &b"ssh-ed25519"[..], &[0, 0, 0, 32]].concat();
        wire.extend(random(32));
        let ssh = STANDARD.encode(&wire);
        let counted: Vec<u8> = (128..=180).collect();
        let wide: Vec<u8> = public.encode_utf16().flat_map(u16::to_le_bytes).collect();
        for bad in [
            public.as_bytes(),
            &block.der,
            &longer,
            &shifted,
            commented.as_bytes(),
            hidden.as_bytes(),
            twice.as_bytes(),
            der_text.as_bytes(),
            jwk,
            certificate.as_bytes(),
            b"ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABgQC7 me@host and more",
            ssh.as_bytes(),
            format!("ssh-ed25519 {ssh}").as_bytes(),
            b"a sentence that is long enough to be a key but is none",
            b"................................................",
            &[0; 32],
            &[0xaa; 64],
            &counted,
            &wide,
            &[b'a'; 64],
        ] {
            assert!(verdict(bad).is_err(), "{:?}", String::from_utf8_lossy(bad));
        }
    }

    #[test]
    fn what_it_is_instead_is_said() {
        let key = generate_signing_key();
        let public = public_half(key.reveal().as_bytes()).unwrap();
        let block = |label: &str| format!("-----BEGIN {label}-----\nAAAA\n-----END {label}-----\n");
        let wide: Vec<u8> = public.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let mut shifted = random(3);
        shifted.extend(PUBLIC_KEY_MARKS[1]);
        shifted.extend(random(64));
        for (data, found) in [
            (public.as_bytes(), "a public key"),
            (block("EC PUBLIC KEY").as_bytes(), "a public key"),
            (block("CERTIFICATE").as_bytes(), "a certificate"),
            (block("TRUSTED CERTIFICATE").as_bytes(), "a certificate"),
            (block("PRIVATE KEY").as_bytes(), "PEM of something else"),
            (block("PUBLIC KEYS").as_bytes(), "PEM of something else"),
            (
                format!("of our zones\n{}", key.reveal()).as_bytes(),
                "a text with a private key in it, not the key alone",
            ),
            (key.reveal().repeat(2).as_bytes(), "a text with a private key in it, not the key alone"),
            (&wide, "a text"),
            (b"a sentence that is long enough to be a key but is none", "a text"),
            (&pem::decode(public.as_bytes()).unwrap().der, "DER of something else"),
            (&shifted, "DER of something else"),
            (&[0xaa; 64], "bytes that repeat"),
        ] {
            assert_eq!(verdict(data), Err(found), "{:?}", String::from_utf8_lossy(data));
        }
        let blank = format!("\n  {}", key.reveal());
        assert_eq!(verdict(blank.as_bytes()), Ok(()), "blanks around it are no text");
    }

    #[test]
    fn text_must_stand_for_16_bytes_and_bytes_must_differ() {
        for (length, expected) in [(15, Err("a text")), (16, Ok(()))] {
            let hex: String = random(length).iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(verdict(hex.as_bytes()), expected, "{length}");
            assert_eq!(verdict(STANDARD.encode(random(length)).as_bytes()), expected, "{length}");
        }
        // 32 bytes with this many different ones, in no order, and no text.
        let of = |different: u8| -> Vec<u8> { (0..32u8).map(|n| 0x80 | ((n.wrapping_mul(7)) % different)).collect() };
        assert_eq!(verdict(&of(19)), Err("bytes that repeat"));
        assert_eq!(verdict(&of(20)), Ok(()));
    }

    #[test]
    fn a_text_in_utf16_is_zero_in_more_than_three_of_four_pairs() {
        let of = |zeros: usize| -> Vec<u8> {
            (0..32).flat_map(|pair| if pair < zeros { [b'a', 0] } else { [0x81, 0x82] }).collect()
        };
        for (zeros, expected) in [(0, false), (1, false), (9, false), (24, false), (25, true), (32, true)] {
            assert_eq!(is_wide_text(&of(zeros)), expected, "{zeros}");
        }
        assert!(!is_wide_text(&[]));
        assert!(!is_wide_text(&[0]));
    }

    #[test]
    fn random_keys_are_not_taken_for_regular_ones() {
        let bytes = random(32 * 2000);
        for key in bytes.chunks(32).filter(|key| std::str::from_utf8(key).is_err()) {
            assert!(!is_regular(key), "{key:?}");
        }
    }
}
