//! Decompresses one message.
//!
//! A zone that connects sends its configuration with each of some forty first requests: that is most of what a connect
//! costs. So the state of the decompressor (some forty kilobytes) is made once a thread and not once a message, and the
//! output is as large as the message says it is.

use std::cell::RefCell;

use flate2::{Crc, Decompress, FlushDecompress};
use thiserror::Error;

/// Why there is no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum Unreadable {
    /// It is no gzip.
    #[error("invalid gzip header")]
    Header,
    /// The compressed bytes make no sense, or end too early.
    #[error("corrupt deflate stream")]
    Content,
    /// The content is not what was compressed.
    #[error("corrupt gzip stream does not have a matching checksum")]
    Checksum,
    /// There is more in it than is allowed.
    #[error("size limit exceeded")]
    TooLarge,
}

thread_local! {
    static INFLATE: RefCell<Decompress> = RefCell::new(Decompress::new(false));
}

/// Returns what a gzip member holds, at most `limit` bytes. What follows the member is ignored.
pub(crate) fn decompressed(gzip: &[u8], limit: usize) -> Result<Vec<u8>, Unreadable> {
    let deflated = after_header(gzip).ok_or(Unreadable::Header)?;
    let mut content = Vec::with_capacity(size_hint(gzip).min(limit));
    let rest = INFLATE.with_borrow_mut(|inflate| {
        inflate.reset(false);
        loop {
            let (read, written) = (inflate.total_in(), content.len());
            let rest = usize::try_from(read).ok().and_then(|read| deflated.get(read..)).ok_or(Unreadable::Content)?;
            let status = inflate
                .decompress_vec(rest, &mut content, FlushDecompress::None)
                .map_err(|_broken| Unreadable::Content)?;
            if content.len() > limit {
                return Err(Unreadable::TooLarge);
            }
            let (read, stuck) = (inflate.total_in() - read, inflate.total_in() == read && content.len() == written);
            match status {
                flate2::Status::StreamEnd => {
                    return usize::try_from(read).ok().and_then(|read| rest.get(read..)).ok_or(Unreadable::Content);
                }
                // Room for one byte more than is allowed is enough to see that there are more.
                _ if content.len() == content.capacity() => {
                    content.reserve(content.len().max(64).min(limit.saturating_add(1)));
                },
                _ if stuck => return Err(Unreadable::Content),
                _ => {}
            }
        }
    })?;
    let Some(&[a, b, c, d, ..]) = rest.first_chunk::<8>() else { return Err(Unreadable::Content) };
    let mut checksum = Crc::new();
    checksum.update(&content);
    if checksum.sum() != u32::from_le_bytes([a, b, c, d]) {
        return Err(Unreadable::Checksum);
    }
    Ok(content)
}

/// What stands after the header (RFC 1952, 2.3).
fn after_header(gzip: &[u8]) -> Option<&[u8]> {
    const CHECKSUM: u8 = 2;
    const EXTRA: u8 = 4;
    const NAME: u8 = 8;
    const COMMENT: u8 = 16;
    let (&[0x1f, 0x8b, 8, flags, ..], mut rest) = gzip.split_first_chunk::<10>()? else { return None };
    if flags & EXTRA != 0 {
        let (length, after) = rest.split_first_chunk::<2>()?;
        rest = after.get(usize::from(u16::from_le_bytes(*length))..)?;
    }
    for text in [NAME, COMMENT] {
        if flags & text != 0 {
            let end = rest.iter().position(|byte| *byte == 0)?;
            rest = rest.get(end + 1..)?;
        }
    }
    if flags & CHECKSUM != 0 {
        rest = rest.get(2..)?;
    }
    Some(rest)
}

/// How large the content says it is, in its last bytes; believed as far as a configuration shrinks.
fn size_hint(gzip: &[u8]) -> usize {
    let said = gzip.last_chunk::<4>().map_or(0, |size| u32::from_le_bytes(*size));
    usize::try_from(said).unwrap_or(usize::MAX).min(gzip.len().saturating_mul(8))
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
    }

    #[test]
    fn the_size_at_the_end_is_a_hint_only() {
        let content = [7; 100_000];
        for size in [0, 1, u32::MAX] {
            let mut bytes = gzip(&content);
            let at = bytes.len() - 4;
            bytes[at..].copy_from_slice(&size.to_le_bytes());
            assert_eq!(decompressed(&bytes, 100_000).unwrap(), content);
            assert_eq!(decompressed(&bytes, 99_999), Err(Unreadable::TooLarge));
        }
    }

    #[test]
    fn every_field_of_a_header_is_skipped() {
        let builder = GzBuilder::new().extra([1, 2, 3]).filename("name").comment("comment");
        let mut encoder = builder.write(Vec::new(), Compression::default());
        encoder.write_all(b"content").unwrap();
        let bytes = encoder.finish().unwrap();
        assert_eq!(decompressed(&bytes, 100).unwrap(), b"content");
        for end in 0..20 {
            assert_eq!(decompressed(&bytes[..end], 100), Err(Unreadable::Header), "{end}");
        }
        // With a checksum of the header, which nobody looks at.
        let plain = gzip(b"content");
        let checked = [&plain[..3], &[2], &plain[4..10], &[0, 0], &plain[10..]].concat();
        assert_eq!(decompressed(&checked, 100).unwrap(), b"content");
    }

    #[test]
    fn what_is_broken_is_refused_and_the_next_is_read() {
        let good = gzip(b"some content, some content, some content");
        let cut = &good[..good.len() - 1];
        assert_eq!(decompressed(cut, 100), Err(Unreadable::Content));
        assert_eq!(decompressed(&good[..15], 100), Err(Unreadable::Content));
        let mut other = good.clone();
        let at = other.len() - 8;
        other[at] ^= 1;
        assert_eq!(decompressed(&other, 100), Err(Unreadable::Checksum));
        assert_eq!(decompressed(b"no gzip at all", 100), Err(Unreadable::Header));
        assert_eq!(decompressed(&[&good[..], b"more"].concat(), 100).unwrap().len(), 40);
    }
}
