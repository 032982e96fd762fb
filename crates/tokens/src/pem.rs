//! Reads and writes one PEM block.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use zeroize::Zeroizing;

/// What a PEM block holds.
pub(crate) struct Block<'a> {
    /// The words after BEGIN.
    pub(crate) label: &'a str,
    /// The decoded bytes.
    pub(crate) der: Zeroizing<Vec<u8>>,
}

const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";
const DASHES: &str = "-----";

/// Returns the first block of a text, or nothing if there is none that can be read.
pub(crate) fn decode(data: &[u8]) -> Option<Block<'_>> {
    let text = std::str::from_utf8(data).ok()?;
    let (_, from_label) = text.split_once(BEGIN)?;
    let (label, body) = from_label.split_once(DASHES)?;
    let (body, end) = body.split_once(END)?;
    if !end.strip_prefix(label)?.starts_with(DASHES) {
        return None;
    }
    // As large as it can get, so that no copy of a key is left behind by growing.
    let mut compact = Zeroizing::new(String::with_capacity(body.len()));
    compact.extend(body.chars().filter(|c| !c.is_ascii_whitespace()));
    let mut der = Zeroizing::new(vec![0; compact.len()]);
    let length = STANDARD.decode_slice(compact.as_bytes(), &mut der).ok()?;
    der.truncate(length);
    Some(Block { label, der })
}

/// Returns the block as text, with lines of 64 characters and a final newline.
pub(crate) fn encode(label: &str, der: &[u8]) -> Zeroizing<String> {
    let body = Zeroizing::new(STANDARD.encode(der));
    let mut text = Zeroizing::new(String::with_capacity(body.len() + body.len() / 64 + 2 * label.len() + 40));
    text.push_str(BEGIN);
    text.push_str(label);
    text.push_str("-----\n");
    let mut rest = body.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at_checked(64).unwrap_or((rest, ""));
        text.push_str(line);
        text.push('\n');
        rest = after;
    }
    text.push_str(END);
    text.push_str(label);
    text.push_str("-----\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_can_be_read() {
        for length in [0usize, 1, 47, 48, 49, 96, 1200] {
            let der: Vec<u8> = (0..length).map(|n| u8::try_from(n % 251).unwrap()).collect();
            let text = encode("RSA PRIVATE KEY", &der);
            assert!(text.lines().all(|line| line.len() <= 64));
            assert!(text.starts_with("-----BEGIN RSA PRIVATE KEY-----\n"));
            assert!(text.ends_with("\n-----END RSA PRIVATE KEY-----\n"));
            let block = decode(text.as_bytes()).unwrap();
            assert_eq!((block.label, &**block.der), ("RSA PRIVATE KEY", &*der));
        }
    }

    #[test]
    fn broken_blocks_are_none() {
        for bad in [
            "",
            "-----BEGIN A-----",
            "-----BEGIN A-----\nAAAA\n",
            "-----BEGIN A-----\nAAAA\n-----END B-----\n",
            "-----BEGIN A-----\nAAAA\n-----END A B-----\n",
            "-----BEGIN A B-----\nAAAA\n-----END A-----\n",
            "-----BEGIN A-----\nAAAA\n-----END A",
            "-----BEGIN A\nAAAA\n-----END A-----\n",
            "-----BEGIN A-----\nA\n-----END A-----\n",
            "-----BEGIN A-----\nProc-Type: 4,ENCRYPTED\n\nAAAA\n-----END A-----\n",
        ] {
            assert!(decode(bad.as_bytes()).is_none(), "{bad:?}");
        }
        assert!(decode(b"\xff\xfe").is_none());
        assert!(decode(b"-----BEGIN A-----\r\nAAAA\r\n-----END A-----\r\n").is_some());
    }
}
