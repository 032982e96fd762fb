//! The little DER that key files need: unwrapping PKCS#8 and SubjectPublicKeyInfo.

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const OCTET_STRING: u8 = 0x04;
const BIT_STRING: u8 = 0x03;

/// Takes one element with this tag; returns its content and moves past it.
fn take<'a>(rest: &mut &'a [u8], tag: u8) -> Option<&'a [u8]> {
    let (&found, after) = rest.split_first()?;
    let (&first, after) = after.split_first()?;
    let (length, after) = if first < 0x80 {
        (usize::from(first), after)
    } else {
        let (digits, after) = after.split_at_checked(usize::from(first & 0x7f))?;
        if digits.len() > 4 {
            return None;
        }
        (digits.iter().fold(0, |length, &digit| length << 8 | usize::from(digit)), after)
    };
    let (content, after) = after.split_at_checked(length)?;
    *rest = after;
    (found == tag).then_some(content)
}

/// The PKCS#1 key inside a PKCS#8 private key (RFC 5208 section 5).
pub(crate) fn pkcs1_of_pkcs8(der: &[u8]) -> Option<&[u8]> {
    let mut rest = take(&mut &*der, SEQUENCE)?;
    take(&mut rest, INTEGER)?;
    take(&mut rest, SEQUENCE)?;
    take(&mut rest, OCTET_STRING)
}

/// The PKCS#1 key inside a SubjectPublicKeyInfo (RFC 5280 section 4.1.2.7).
pub(crate) fn pkcs1_of_spki(der: &[u8]) -> Option<&[u8]> {
    let mut rest = take(&mut &*der, SEQUENCE)?;
    take(&mut rest, SEQUENCE)?;
    let bits = take(&mut rest, BIT_STRING)?;
    match bits.split_first() {
        Some((0, key)) => Some(key),
        _ => None,
    }
}

/// The size of the modulus of a PKCS#1 private key in bits, as far as the bytes say (RFC 8017 appendix A.1.2).
pub(crate) fn modulus_bits(pkcs1: &[u8]) -> Option<usize> {
    let mut rest = take(&mut &*pkcs1, SEQUENCE)?;
    take(&mut rest, INTEGER)?;
    let modulus = take(&mut rest, INTEGER)?;
    let significant = modulus.iter().skip_while(|byte| **byte == 0).count();
    (significant > 0).then_some(significant * 8)
}
