//! The little DER that keys need: lengths, and the number inside.

/// One DER value and what follows it.
struct Element<'a> {
    tag: u8,
    content: &'a [u8],
    rest: &'a [u8],
}

const INTEGER: u8 = 0x02;
const OCTET_STRING: u8 = 0x04;
const SEQUENCE: u8 = 0x30;

fn element(input: &[u8]) -> Option<Element<'_>> {
    let (&tag, input) = input.split_first()?;
    let (&first, input) = input.split_first()?;
    let (length, input) = match first {
        0..=0x7f => (usize::from(first), input),
        0x81..=0x84 => {
            let (bytes, input) = input.split_at_checked(usize::from(first & 0x7f))?;
            let mut length = 0usize;
            for byte in bytes {
                length = (length << 8) | usize::from(*byte);
            }
            (length, input)
        }
        _ => return None,
    };
    let (content, rest) = input.split_at_checked(length)?;
    Some(Element { tag, content, rest })
}

fn expect(tag: u8, input: &[u8]) -> Option<Element<'_>> {
    element(input).filter(|found| found.tag == tag)
}

/// Tells if the input begins with a whole sequence, whatever follows it.
pub(crate) fn begins_with_sequence(input: &[u8]) -> bool {
    expect(SEQUENCE, input).is_some()
}

/// Tells if the input is one sequence and nothing else.
pub(crate) fn is_one_sequence(input: &[u8]) -> bool {
    expect(SEQUENCE, input).is_some_and(|whole| whole.rest.is_empty())
}

/// Returns the size of the modulus in bits of a PKCS#1 `RSAPrivateKey`.
pub(crate) fn private_modulus_bits(pkcs1: &[u8]) -> Option<usize> {
    let version = expect(INTEGER, expect(SEQUENCE, pkcs1)?.content)?;
    expect(INTEGER, version.rest).map(|modulus| bits(modulus.content))
}

/// Returns the size of the modulus in bits of a PKCS#1 `RSAPublicKey`.
pub(crate) fn public_modulus_bits(pkcs1: &[u8]) -> Option<usize> {
    expect(INTEGER, expect(SEQUENCE, pkcs1)?.content).map(|modulus| bits(modulus.content))
}

/// Returns modulus and exponent of a PKCS#1 `RSAPublicKey`, without zeros in front.
pub(crate) fn public_numbers(pkcs1: &[u8]) -> Option<(&[u8], &[u8])> {
    let modulus = expect(INTEGER, expect(SEQUENCE, pkcs1)?.content)?;
    let exponent = expect(INTEGER, modulus.rest)?;
    Some((without_zeros(modulus.content)?, without_zeros(exponent.content)?))
}

fn without_zeros(number: &[u8]) -> Option<&[u8]> {
    number.get(number.iter().take_while(|byte| **byte == 0).count()..)
}

/// Returns the PKCS#1 key inside a PKCS#8 `PrivateKeyInfo`.
pub(crate) fn pkcs1_in_pkcs8(pkcs8: &[u8]) -> Option<&[u8]> {
    let version = expect(INTEGER, expect(SEQUENCE, pkcs8)?.content)?;
    let algorithm = expect(SEQUENCE, version.rest)?;
    expect(OCTET_STRING, algorithm.rest).map(|key| key.content)
}

/// Returns what stands in the algorithm of a PKCS#8 `PrivateKeyInfo`: its object identifier and parameters.
pub(crate) fn pkcs8_algorithm(pkcs8: &[u8]) -> Option<&[u8]> {
    let version = expect(INTEGER, expect(SEQUENCE, pkcs8)?.content)?;
    expect(SEQUENCE, version.rest).map(|algorithm| algorithm.content)
}

/// Returns both numbers of a signature of P-256 in DER (RFC 3279, 2.2.3), 32 bytes each, as they stand in a token.
pub(crate) fn p256_signature(signature: &[u8]) -> Option<Vec<u8>> {
    let whole = expect(SEQUENCE, signature).filter(|whole| whole.rest.is_empty())?;
    let r = expect(INTEGER, whole.content)?;
    let s = expect(INTEGER, r.rest).filter(|s| s.rest.is_empty())?;
    let mut numbers = Vec::with_capacity(64);
    for number in [r.content, s.content] {
        let zeros = number.iter().take_while(|byte| **byte == 0).count();
        let digits = number.get(zeros..)?;
        numbers.resize(numbers.len() + 32_usize.checked_sub(digits.len())?, 0);
        numbers.extend_from_slice(digits);
    }
    Some(numbers)
}

fn bits(number: &[u8]) -> usize {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    match number.get(zeros) {
        None => 0,
        Some(first) => (number.len() - zeros) * 8 - first.leading_zeros() as usize,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modulus_is_counted_in_bits() {
        assert_eq!(public_modulus_bits(&[0x30, 4, 2, 2, 0x00, 0x80]), Some(8));
        assert_eq!(public_modulus_bits(&[0x30, 3, 2, 1, 0x01]), Some(1));
        assert_eq!(private_modulus_bits(&[0x30, 6, 2, 1, 0, 2, 1, 0x7f]), Some(7));
        assert_eq!(public_modulus_bits(&[0x30, 2, 2, 0]), Some(0));
    }

    #[test]
    fn lengths_beyond_the_input_are_refused() {
        for bad in
            [&[][..], &[0x30], &[0x30, 5, 1], &[0x30, 0x84, 0xff, 0xff, 0xff, 0xff], &[0x30, 0x80], &[0x30, 0x85]]
        {
            assert!(!is_one_sequence(bad), "{bad:?}");
        }
        assert!(is_one_sequence(&[0x30, 0]));
        assert!(is_one_sequence(&[0x30, 0x81, 1, 0]));
        assert!(!is_one_sequence(&[0x30, 0, 0]), "something follows");
        let long = |bytes: &[u8], length: usize| [&[0x30, 0x80 | bytes.len() as u8], bytes, &vec![0; length]].concat();
        assert!(is_one_sequence(&long(&[0x01, 0x02], 0x102)));
        assert!(is_one_sequence(&long(&[0x01, 0x00, 0x03], 0x1_0003)));
        assert!(is_one_sequence(&long(&[0, 0, 0, 5], 5)), "four bytes at most");
        assert!(!is_one_sequence(&long(&[0, 0, 0, 0, 5], 5)));
        assert!(is_one_sequence(&[&[0x30, 0x7f][..], &[0; 0x7f]].concat()));
        assert!(begins_with_sequence(&[0x30, 0, 0]) && !begins_with_sequence(&[0x31, 0]));
    }
}
