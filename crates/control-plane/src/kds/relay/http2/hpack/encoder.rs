//! Writes header blocks: what stands in the static table by its index, everything else as it is.

use super::static_table::{Found, find};

const INDEXED: u8 = 0x80;
const WITHOUT_INDEXING: u8 = 0x00;
const NEVER_INDEXED: u8 = 0x10;
const TABLE_SIZE: u8 = 0x20;

/// Of one connection.
pub(in super::super) struct Encoder {
    has_begun: bool,
}

impl Encoder {
    pub(in super::super) fn new() -> Self {
        Self { has_begun: false }
    }

    /// Begins a block. The first one says that no table is used, whatever the peer would allow (RFC 7541, 4.2 and 6.3).
    pub(in super::super) fn begin(&mut self, out: &mut Vec<u8>) {
        if !std::mem::replace(&mut self.has_begun, true) {
            out.push(TABLE_SIZE);
        }
    }

    /// Says a field; a sensitive one must not come into any table on its way (RFC 7541, 7.1.3).
    pub(in super::super) fn field(&self, name: &[u8], value: &[u8], sensitive: bool, out: &mut Vec<u8>) {
        let literal = if sensitive { NEVER_INDEXED } else { WITHOUT_INDEXING };
        match find(name, value) {
            Some(Found::Field(index)) if !sensitive => return integer(INDEXED, 7, index, out),
            Some(Found::Field(index) | Found::Name(index)) => integer(literal, 4, index, out),
            None => {
                out.push(literal);
                string(name, out);
            }
        }
        string(value, out);
    }
}

fn string(text: &[u8], out: &mut Vec<u8>) {
    integer(0, 7, text.len(), out);
    out.extend_from_slice(text);
}

/// A number behind the first bits of a byte (RFC 7541, 5.1).
pub(super) fn integer(first: u8, bits: u8, value: usize, out: &mut Vec<u8>) {
    let most = (1 << bits) - 1;
    if value < most {
        return out.push(first | value as u8);
    }
    out.push(first | most as u8);
    let mut left = value - most;
    while left >= 0x80 {
        out.push(left as u8 & 0x7f | 0x80);
        left >>= 7;
    }
    out.push(left as u8);
}
