//! Standard base64 as Go reads it: padding required, line breaks skipped, the first bad byte named.

use ::base64::{DecodeError, Engine, engine::general_purpose::STANDARD};
use thiserror::Error;

/// A text that is not standard base64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("illegal base64 data at input byte {at}")]
pub struct Base64Error {
    /// The offset of the first bad byte, as Go counts it.
    pub at: usize,
}

/// Decodes standard base64.
pub(crate) fn decode(text: &str) -> Result<Vec<u8>, Base64Error> {
    let mut kept = Vec::with_capacity(text.len());
    let mut offsets = Vec::with_capacity(text.len());
    for (offset, byte) in text.bytes().enumerate().filter(|(_, byte)| !matches!(byte, b'\r' | b'\n')) {
        kept.push(byte);
        offsets.push(offset);
    }
    STANDARD.decode(&kept).map_err(|error| Base64Error {
        at: bad_byte(&kept, &error).and_then(|at| offsets.get(at).copied()).unwrap_or(text.len()),
    })
}

/// Encodes in standard base64.
pub(crate) fn encode(data: &[u8]) -> String {
    STANDARD.encode(data)
}

fn bad_byte(kept: &[u8], error: &DecodeError) -> Option<usize> {
    match error {
        DecodeError::InvalidByte(at, _) | DecodeError::InvalidLastSymbol(at, _) => Some(*at),
        // Go names the start of the last, incomplete group.
        DecodeError::InvalidLength(_) | DecodeError::InvalidPadding => Some(kept.len() / 4 * 4),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<&[u8], usize>) {
        assert_eq!(decode(text).map_err(|error| error.at), expected.map(<[u8]>::to_vec), "{text:?}");
    }

    #[test]
    fn only_padded_standard_base64_is_read() {
        check("aGVsbG8=", Ok(b"hello"));
        check("aGVs\nbG8=", Ok(b"hello"));
        check("aGVs\r\nbG8=\n", Ok(b"hello"));
        check("", Ok(b""));
        check("!!!", Err(0));
        check("aGVsbG8", Err(4));
        check("_-8=", Err(0));
    }
}
