//! Compressed headers (RFC 7541): read with whatever a peer uses, written without a table and without Huffman codes.
//!
//! Own code, since the HTTP/2 library keeps its own to itself, and those crates that stand alone build a hash map of the
//! Huffman code for each string that they read.

mod decoder;
mod encoder;
mod huffman;
mod static_table;
#[cfg(test)]
mod tests;

use thiserror::Error;

pub(super) use self::{decoder::Decoder, encoder::Encoder};

/// Why a header block cannot be read. The connection has to go: the blocks after it hang on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(super) enum Wrong {
    #[error("it ends in the middle of a field")]
    Cut,
    #[error("a number is too large")]
    Number,
    #[error("an index is of no field")]
    Index,
    #[error("a string is no Huffman code")]
    Huffman,
    #[error("the size of the table changes where it may not, or to more than is allowed")]
    TableSize,
    #[error("more is said than anybody has to say")]
    TooMuch,
}
