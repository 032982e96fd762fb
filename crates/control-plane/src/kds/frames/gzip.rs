//! Decompresses one message.
//!
//! A zone that connects sends its configuration with each of some forty first requests, and to decompress them is the
//! largest part of what a connect costs. A message is complete before it is looked at, so that a library for whole
//! buffers serves: it needs half the time of one for streams. Its state is made once a thread and not once a message.

use std::cell::RefCell;

use libdeflater::{DecompressionError, Decompressor};
use thiserror::Error;

/// Why there is no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum Unreadable {
    /// It is no gzip member, it is cut, or its content is not what was compressed.
    #[error("invalid or corrupt gzip data")]
    Corrupt,
    /// There is more in it than is allowed.
    #[error("size limit exceeded")]
    TooLarge,
}

/// No byte of compressed data makes more than this (1032 by the format of deflate: a match of 258 bytes in two bits).
const MOST_OF_ONE_BYTE: usize = 1032;

thread_local! {
    static DECOMPRESSOR: RefCell<Decompressor> = RefCell::new(Decompressor::new());
}

/// Returns what a gzip member (RFC 1952) holds, at most `limit` bytes.
///
/// The room is what the member says of itself in its last four bytes; that this is true is checked, and it is not
/// believed where no compression could be so good.
pub(crate) fn decompressed(gzip: &[u8], limit: usize) -> Result<Vec<u8>, Unreadable> {
    let size = gzip.last_chunk::<4>().ok_or(Unreadable::Corrupt)?;
    let size = usize::try_from(u32::from_le_bytes(*size)).unwrap_or(usize::MAX);
    if size > gzip.len().saturating_mul(MOST_OF_ONE_BYTE) {
        return Err(Unreadable::Corrupt);
    }
    if size > limit {
        return Err(Unreadable::TooLarge);
    }
    let mut content = vec![0; size];
    let written = DECOMPRESSOR.with_borrow_mut(|decompressor| decompressor.gzip_decompress(gzip, &mut content));
    match written {
        Ok(written) if written == size => Ok(content),
        // More than it says.
        Ok(_) | Err(DecompressionError::BadData | DecompressionError::InsufficientSpace) => Err(Unreadable::Corrupt),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::{Compression, GzBuilder};
    use proptest::prelude::*;

    use super::*;

    fn gzip(content: &[u8]) -> Vec<u8> {
        let mut encoder = GzBuilder::new().write(Vec::new(), Compression::default());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    proptest! {
        #[test]
        fn any_content_comes_back(content in prop::collection::vec(any::<u8>(), 0..3000), times in 1..40_usize) {
            let content = content.repeat(times);
            prop_assert_eq!(decompressed(&gzip(&content), content.len()), Ok(content));
        }

        #[test]
        fn any_bytes_are_content_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let whole = [&[0x1f, 0x8b, 8][..], &bytes].concat();
            let _either = decompressed(&whole, 1000);
        }

        #[test]
        fn a_bit_that_fell_over_changes_nothing_unnoticed(
            content in prop::collection::vec(any::<u8>(), 0..300),
            bit in any::<prop::sample::Index>(),
        ) {
            let mut bytes = gzip(&content);
            let bit = bit.index(bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            // Time, system and padding say nothing of the content.
            if let Ok(read) = decompressed(&bytes, 10_000) {
                prop_assert_eq!(read, content);
            }
        }
    }

    #[test]
    fn the_size_at_the_end_is_true_and_within_the_limit() {
        let content = [7; 100_000];
        assert_eq!(decompressed(&gzip(&content), 100_000).unwrap(), content);
        assert_eq!(decompressed(&gzip(&content), 99_999), Err(Unreadable::TooLarge));
        for size in [0, 1, 99_999, u32::MAX] {
            let mut bytes = gzip(&content);
            let at = bytes.len() - 4;
            bytes[at..].copy_from_slice(&size.to_le_bytes());
            assert_eq!(decompressed(&bytes, 100_000), Err(Unreadable::Corrupt), "{size}");
        }
    }

    #[test]
    fn every_field_of_a_header_is_skipped() {
        let builder = GzBuilder::new().extra([1, 2, 3]).filename("name").comment("comment");
        let mut encoder = builder.write(Vec::new(), Compression::default());
        encoder.write_all(b"content").unwrap();
        let bytes = encoder.finish().unwrap();
        assert_eq!(decompressed(&bytes, 100).unwrap(), b"content");
    }

    #[test]
    fn what_is_cut_broken_or_followed_is_refused_and_the_next_is_read() {
        let good = gzip(b"some content, some content, some content");
        for end in 0..good.len() {
            assert!(decompressed(&good[..end], 100).is_err(), "{end}");
        }
        assert_eq!(decompressed(b"no gzip at all", 100), Err(Unreadable::Corrupt));
        assert_eq!(decompressed(&[&good[..], b"more"].concat(), 100), Err(Unreadable::Corrupt));
        assert_eq!(decompressed(&good, 100).unwrap().len(), 40);
    }
}
