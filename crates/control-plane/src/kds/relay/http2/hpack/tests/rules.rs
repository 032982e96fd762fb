//! The rules of RFC 7541, each with a block that keeps to it and one that does not.

use super::{super::encoder, Decoder, Encoder, Wrong, huffman};

/// What a decoder told: name, value, and whether it is sensitive.
pub(super) type Told = (Vec<u8>, Vec<u8>, bool);

pub(super) fn told(decoder: &mut Decoder, block: &[u8]) -> Result<Vec<Told>, Wrong> {
    let mut fields = Vec::new();
    decoder.decode(block, |name, value, sensitive| fields.push((name.to_vec(), value.to_vec(), sensitive)))?;
    Ok(fields)
}

/// Name and value of each field that a block says.
#[track_caller]
fn check(decoder: &mut Decoder, block: &[u8], expected: &[(&str, &str)]) {
    let expected: Vec<Told> =
        expected.iter().map(|(name, value)| (name.as_bytes().into(), value.as_bytes().into(), false)).collect();
    assert_eq!(told(decoder, block), Ok(expected));
}

#[track_caller]
fn check_wrong(block: &[u8], expected: Wrong) {
    assert_eq!(told(&mut Decoder::new(4096), block), Err(expected));
}

/// A literal field that is added to the table.
fn added(name: &str, value: &str) -> Vec<u8> {
    let mut block = vec![0x40];
    for text in [name, value] {
        encoder::integer(0, 7, text.len(), &mut block);
        block.extend_from_slice(text.as_bytes());
    }
    block
}

/// A change of the size of the table.
fn resized(size: usize) -> Vec<u8> {
    let mut block = Vec::new();
    encoder::integer(0x20, 5, size, &mut block);
    block
}

/// A value that is a Huffman code.
fn coded(code: &[u8]) -> Vec<u8> {
    let mut block = vec![0x00, 0x01, b'n'];
    encoder::integer(0x80, 7, code.len(), &mut block);
    block.extend_from_slice(code);
    block
}

/// C.2: fields that are added, that are not, and that must never be.
#[test]
fn fields_are_read_as_in_the_standard() {
    let mut decoder = Decoder::new(4096);
    check(&mut decoder, b"\x40\x0acustom-key\x0dcustom-header", &[("custom-key", "custom-header")]);
    check(&mut decoder, b"\x04\x0c/sample/path", &[(":path", "/sample/path")]);
    let password = (b"password".into(), b"secret".into(), true);
    assert_eq!(told(&mut decoder, b"\x10\x08password\x06secret"), Ok(vec![password]));
    check(&mut decoder, &[0x82, 0xbe], &[(":method", "GET"), ("custom-key", "custom-header")]);
    assert_eq!(told(&mut decoder, &[0xbf]), Err(Wrong::Index));
}

#[test]
fn no_field_has_index_zero() {
    check_wrong(&[0x80], Wrong::Index);
}

#[test]
fn indexes_end_with_the_table() {
    check(&mut Decoder::new(4096), &[0xbd], &[("www-authenticate", "")]);
    check_wrong(&[0xbe], Wrong::Index);
    check_wrong(&[0x7f, 0x00, 0x00], Wrong::Index);
    let mut decoder = Decoder::new(4096);
    check(&mut decoder, &added("a", "b"), &[("a", "b")]);
    check(&mut decoder, &[0xbe], &[("a", "b")]);
    assert_eq!(told(&mut decoder, &[0xbf]), Err(Wrong::Index));
}

#[test]
fn numbers_have_an_end() {
    check_wrong(&[0xff, 0x80, 0x80, 0x80, 0x80, 0x00], Wrong::Number);
    check_wrong(&[0xff, 0xff, 0xff, 0xff, 0xff, 0x7f], Wrong::Number);
    // So many bytes are not too many yet, though they say nothing.
    let value = "v".repeat(127);
    let block = [&[0x00, 0x01, b'n', 0x7f, 0x80, 0x80, 0x80, 0x00], value.as_bytes()].concat();
    check(&mut Decoder::new(4096), &block, &[("n", &value)]);
    check_wrong(&[0xff, 0xff, 0xff, 0xff, 0x7f], Wrong::Index);
}

#[test]
fn blocks_are_whole() {
    let block = added("name", "value");
    for length in 1..block.len() {
        check_wrong(&block[..length], Wrong::Cut);
    }
    check_wrong(&[0xff], Wrong::Cut);
    check_wrong(&[0xff, 0x80], Wrong::Cut);
}

#[test]
fn padding_is_less_than_a_byte_of_ones() {
    // `0` is 00000 in five bits.
    check(&mut Decoder::new(4096), &coded(&[0b0000_0111]), &[("n", "0")]);
    check_wrong(&coded(&[0b0000_0110]), Wrong::Huffman);
    check_wrong(&coded(&[0b0000_0000]), Wrong::Huffman);
    check_wrong(&coded(&[0b0000_0111, 0xff]), Wrong::Huffman);
    // `&` is 11111000 in eight bits, which leaves none to pad.
    check(&mut Decoder::new(4096), &coded(&[0xf8]), &[("n", "&")]);
    check_wrong(&coded(&[0xf8, 0xff]), Wrong::Huffman);
    check_wrong(&coded(&[0xff]), Wrong::Huffman);
}

#[test]
fn the_end_of_a_string_stands_in_none() {
    check_wrong(&coded(&[0xff, 0xff, 0xff, 0xff]), Wrong::Huffman);
    check_wrong(&coded(&[0xff, 0xff, 0xff, 0xfc, 0x07]), Wrong::Huffman);
    // A code that is cut is no padding either.
    check_wrong(&coded(&[0xff, 0xff, 0xfe]), Wrong::Huffman);
}

/// What no header of a library can say: the codes of control bytes, as RFC 7541 prints them. They are said of others in
/// [`super::peer`].
#[test]
fn control_bytes_have_the_codes_of_the_standard() {
    let mut codes = vec![(0, 0x1ff8, 13), (1, 0x7f_ffd8, 23), (9, 0xff_ffea, 24)];
    codes.extend([(10, 0x3fff_fffc, 30), (13, 0x3fff_fffd, 30), (22, 0x3fff_fffe, 30)]);
    let of_28_bits = (2..=8).chain([11, 12]).chain(14..=21).chain(23..=31).chain([127, 220, 249]);
    codes.extend((0x0fff_ffe2..).zip(of_28_bits).map(|(code, byte)| (byte, code, 28)));
    for (byte, code, length) in codes {
        // Padded with ones.
        let bits = ((code + 1u64) << (40 - length)) - 1;
        let coded = &bits.to_be_bytes()[3..][..usize::div_ceil(length, 8)];
        let mut decoded = Vec::new();
        assert_eq!(huffman::decode(coded, &mut decoded), Ok(()), "{byte}");
        assert_eq!(decoded, [byte]);
    }
}

#[test]
fn the_table_is_resized_before_any_field() {
    check(&mut Decoder::new(4096), &[resized(0), resized(100), vec![0x82]].concat(), &[(":method", "GET")]);
    check_wrong(&[vec![0x82], resized(100)].concat(), Wrong::TableSize);
    check_wrong(&[added("a", "b"), resized(100)].concat(), Wrong::TableSize);
}

#[test]
fn the_table_is_no_larger_than_is_allowed() {
    check(&mut Decoder::new(4096), &resized(4096), &[]);
    check_wrong(&resized(4097), Wrong::TableSize);
    let mut decoder = Decoder::new(0);
    check(&mut decoder, &added("a", "b"), &[("a", "b")]);
    assert_eq!(told(&mut decoder, &[0xbe]), Err(Wrong::Index));
}

#[test]
fn entries_make_room_oldest_first() {
    // Each entry has 34 bytes.
    let mut decoder = Decoder::new(2 * 34);
    check(&mut decoder, &added("a", "1"), &[("a", "1")]);
    check(&mut decoder, &added("b", "2"), &[("b", "2")]);
    check(&mut decoder, &[0xbf, 0xbe], &[("a", "1"), ("b", "2")]);
    check(&mut decoder, &added("c", "3"), &[("c", "3")]);
    check(&mut decoder, &[0xbf, 0xbe], &[("b", "2"), ("c", "3")]);
    assert_eq!(told(&mut decoder, &[0xc0]), Err(Wrong::Index));
    // A smaller table keeps the newest, and one that grows again has no more.
    check(&mut decoder, &[resized(67), vec![0xbe]].concat(), &[("c", "3")]);
    assert_eq!(told(&mut decoder, &[0xbf]), Err(Wrong::Index));
    check(&mut decoder, &[resized(0), resized(68)].concat(), &[]);
    assert_eq!(told(&mut decoder, &[0xbe]), Err(Wrong::Index));
}

#[test]
fn an_entry_larger_than_the_table_empties_it() {
    let mut decoder = Decoder::new(40);
    check(&mut decoder, &added("a", "1"), &[("a", "1")]);
    check(&mut decoder, &added("name", "value"), &[("name", "value")]);
    assert_eq!(told(&mut decoder, &[0xbe]), Err(Wrong::Index));
    check(&mut decoder, &added("a", "1"), &[("a", "1")]);
    check(&mut decoder, &[0xbe], &[("a", "1")]);
}

#[test]
fn the_name_of_an_entry_that_goes_is_copied_before() {
    let mut decoder = Decoder::new(34);
    check(&mut decoder, &added("a", "1"), &[("a", "1")]);
    // The new entry takes its name of the one that has to make room for it (RFC 7541, 4.4).
    check(&mut decoder, &[0x7e, 0x01, b'2'], &[("a", "2")]);
    check(&mut decoder, &[0xbe], &[("a", "2")]);
}

#[test]
fn the_first_block_gives_up_the_table_of_the_peer() {
    let (mut encoder, mut decoder) = (Encoder::new(), Decoder::new(4096));
    check(&mut decoder, &added("a", "1"), &[("a", "1")]);
    let (mut first, mut second) = (Vec::new(), Vec::new());
    encoder.begin(&mut first);
    encoder.begin(&mut second);
    check(&mut decoder, &first, &[]);
    assert_eq!(told(&mut decoder, &[0xbe]), Err(Wrong::Index));
    assert!(second.is_empty());
}
