//! Blocks of RFC 7541, appendix C, and blocks that are none.

mod peer;
mod rules;

use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

use super::{encoder::integer, *};

type Fields = Vec<(String, String)>;

fn hex(text: &str) -> Vec<u8> {
    let digits: String = text.split_whitespace().collect();
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

fn read(decoder: &mut Decoder, block: &[u8]) -> Result<Fields, Wrong> {
    let mut fields = Vec::new();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    decoder.decode(block, |name, value, _never| fields.push((text(name), text(value))))?;
    Ok(fields)
}

/// Each block after the others on one connection.
fn check(limit: usize, blocks: &[(&str, &[(&str, &str)])]) {
    let mut decoder = Decoder::new(limit);
    for (block, expected) in blocks {
        let read = read(&mut decoder, &hex(block)).unwrap();
        let expected: Fields = expected.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        assert_eq!(read, expected, "{block}");
    }
}

const FIRST: &[(&str, &str)] =
    &[(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "www.example.com")];
const SECOND: &[(&str, &str)] = &[
    (":method", "GET"),
    (":scheme", "http"),
    (":path", "/"),
    (":authority", "www.example.com"),
    ("cache-control", "no-cache"),
];
const THIRD: &[(&str, &str)] = &[
    (":method", "GET"),
    (":scheme", "https"),
    (":path", "/index.html"),
    (":authority", "www.example.com"),
    ("custom-key", "custom-value"),
];

#[test]
fn requests_of_the_standard_are_read_as_they_are_and_as_huffman_codes() {
    let plain = [
        ("828684410f7777772e6578616d706c652e636f6d", FIRST),
        ("828684be58086e6f2d6361636865", SECOND),
        ("828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565", THIRD),
    ];
    let coded = [
        ("828684418cf1e3c2e5f23a6ba0ab90f4ff", FIRST),
        ("828684be5886a8eb10649cbf", SECOND),
        ("828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf", THIRD),
    ];
    check(4096, &plain);
    check(4096, &coded);
}

/// With a table of 256 bytes, so that older fields go.
#[test]
fn responses_of_the_standard_are_read_while_their_table_overflows() {
    let date = "Mon, 21 Oct 2013 20:13:21 GMT";
    let location = "https://www.example.com";
    let first: &[_] = &[(":status", "302"), ("cache-control", "private"), ("date", date), ("location", location)];
    let second: &[_] = &[(":status", "307"), ("cache-control", "private"), ("date", date), ("location", location)];
    let later = "Mon, 21 Oct 2013 20:13:22 GMT";
    let third: &[_] = &[
        (":status", "200"),
        ("cache-control", "private"),
        ("date", later),
        ("location", location),
        ("content-encoding", "gzip"),
        ("set-cookie", "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1"),
    ];
    let blocks = [
        (
            "488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f0b97c8e9ae82ae43d3",
            first,
        ),
        ("4883640effc1c0bf", second),
        (
            "88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7f2e6c7b335dfdfcd5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007",
            third,
        ),
    ];
    check(256, &blocks);
}

#[test]
fn what_is_no_block_is_refused() {
    let check = |block: &str, wrong| assert_eq!(read(&mut Decoder::new(4096), &hex(block)), Err(wrong), "{block}");
    check("80", Wrong::Index);
    check("be", Wrong::Index);
    check("7f80808080808001", Wrong::Number);
    check("ff", Wrong::Cut);
    check("4001", Wrong::Cut);
    check("400161", Wrong::Cut);
    check("40016105616263", Wrong::Cut);
    // A byte of padding; padding that is not all ones; the end of a string.
    check("400161821fff", Wrong::Huffman);
    check("4001618118", Wrong::Huffman);
    check("40016184ffffffff", Wrong::Huffman);
    // The table may change its size before all fields, and to nothing above the limit.
    check("8220", Wrong::TableSize);
    check("3fe21f", Wrong::TableSize);
    check("203fe11f82203fe11f", Wrong::TableSize);
}

#[test]
fn a_name_of_a_field_that_has_to_go_is_still_a_name() {
    let mut decoder = Decoder::new(64);
    // 32 + 4 + 20 bytes: the next one has no room beside it.
    let value = "v".repeat(20);
    let field = |prefix: &[u8]| [prefix, &[20], value.as_bytes()].concat();
    assert_eq!(read(&mut decoder, &field(b"\x40\x04name")).unwrap(), [("name".to_owned(), value.clone())]);
    assert_eq!(read(&mut decoder, &field(b"\x7e")).unwrap(), [("name".to_owned(), value.clone())]);
    assert_eq!(read(&mut decoder, b"\xbe").unwrap(), [("name".to_owned(), value)]);
    assert_eq!(read(&mut decoder, b"\xbf"), Err(Wrong::Index));
    // One that is larger than the table empties it.
    let large = [b"\x40\x01n\x28".as_slice(), &[b'v'; 40]].concat();
    read(&mut decoder, &large).unwrap();
    assert_eq!(read(&mut decoder, b"\xbe"), Err(Wrong::Index));
}

#[test]
fn every_byte_has_its_code() {
    let all: Vec<u8> = (0..=255).collect();
    for text in [&all[..], b"", b"a", b"0", b"\xff\xf9\x0a\x0d"] {
        let mut decoded = Vec::new();
        huffman::decode(&huffman::encode(text), &mut decoded).unwrap();
        assert_eq!(decoded, text);
    }
    assert_eq!(huffman::encode(b"www.example.com"), hex("f1e3c2e5f23a6ba0ab90f4ff"));
}

#[test]
fn what_is_written_is_read_and_says_first_that_no_table_is_used() {
    let fields: &[(&[u8], &[u8], bool)] = &[
        (b":method", b"POST", false),
        (b":scheme", b"https", false),
        (b":path", b"/kuma.mesh.v1alpha1.KDSSyncService/GlobalToZoneSync", false),
        (b"authorization", b"a.b.c", true),
        (b"x", &[b'y'; 300], false),
        (b"content-type", b"application/grpc", false),
        (b":method", b"POST", true),
    ];
    let mut encoder = Encoder::new();
    let mut decoder = Decoder::new(4096);
    for first in [true, false] {
        let mut block = Vec::new();
        encoder.begin(&mut block);
        assert_eq!(block.is_empty(), !first);
        fields.iter().for_each(|(name, value, never)| encoder.field(name, value, *never, &mut block));
        let mut read = Vec::new();
        decoder.decode(&block, |name, value, never| read.push((name.to_vec(), value.to_vec(), never))).unwrap();
        let expected: Vec<_> =
            fields.iter().map(|(name, value, never)| (name.to_vec(), value.to_vec(), *never)).collect();
        assert_eq!(read, expected);
    }
    // 1337 behind five bits (RFC 7541, C.1.2).
    let mut number = Vec::new();
    integer(0, 5, 1337, &mut number);
    assert_eq!(number, [0x1f, 0x9a, 0x0a]);
}

#[test]
fn bytes_by_chance_end_nothing_but_their_connection() {
    let mut random = StdRng::seed_from_u64(7541);
    for _ in 0..20_000 {
        let mut decoder = Decoder::new(random.random_range(0..300));
        for _ in 0..4 {
            let block: Vec<u8> = (0..random.random_range(0..60)).map(|_| random.random()).collect();
            let _either = decoder.decode(&block, |_, _, _| {});
        }
    }
}
