//! How much one token may have open: what its thief has too.

/// Streams and calls at once: six are usual, twice that when a connection is renewed.
pub(super) const STREAMS: usize = 64;
/// Connections at once: one is usual, and one more is there while it is renewed.
pub(super) const CONNECTIONS: usize = 16;
