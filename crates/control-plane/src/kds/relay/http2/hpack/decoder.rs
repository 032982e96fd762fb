//! Reads header blocks, with the table that the peer fills.

use std::{borrow::Cow, collections::VecDeque};

use super::{Wrong, huffman, static_table::ENTRIES};

/// Counted for each entry of the table beside its name and value (RFC 7541, 4.1).
const OVERHEAD: usize = 32;

/// So much may all blocks say between two times of [`Decoder::forgive`], in bytes as RFC 7541 counts them: 20,000 calls with
/// a token each. A byte may stand for an entry of the table, so what came is no measure of what it takes to read it.
const MOST: usize = 32 << 20;

/// Of one connection.
pub(in super::super) struct Decoder {
    /// The newest is in front.
    table: VecDeque<Entry>,
    /// Of the table, in bytes as RFC 7541 counts them.
    size: usize,
    largest: usize,
    /// What the peer may set as the largest.
    limit: usize,
    /// What was said since it was forgiven.
    said: usize,
}

/// Name and value.
type Entry = (Box<[u8]>, Box<[u8]>);
type Field<'b> = (Cow<'b, [u8]>, Cow<'b, [u8]>);

impl Decoder {
    /// Returns one whose peer may fill so many bytes.
    pub(in super::super) fn new(limit: usize) -> Self {
        Self { table: VecDeque::new(), size: 0, largest: limit, limit, said: 0 }
    }

    /// Forgets how much was said. To be called from time to time.
    pub(in super::super) fn forgive(&mut self) {
        self.said = 0;
    }

    /// Reads a whole block; `field` hears name and value of each field in turn, and whether it is sensitive.
    pub(in super::super) fn decode(
        &mut self,
        mut block: &[u8],
        mut field: impl FnMut(&[u8], &[u8], bool),
    ) -> Result<(), Wrong> {
        let mut may_resize = true;
        let mut said = self.said;
        let mut field = |name: &[u8], value: &[u8], sensitive| {
            said += name.len() + value.len() + OVERHEAD;
            field(name, value, sensitive);
            if said > MOST { Err(Wrong::TooMuch) } else { Ok(()) }
        };
        while let Some(&first) = block.first() {
            // By the first bits (RFC 7541, 6).
            match first {
                0x80.. => {
                    let index = integer(&mut block, 7)?;
                    let (name, value) = self.entry(index)?;
                    field(name, value, false)?;
                }
                0x40..0x80 => {
                    let (name, value) = self.literal(&mut block, 6)?;
                    field(&name, &value, false)?;
                    // Copied before others make room for it: the name may be of one of those (RFC 7541, 4.4).
                    let (name, value) = (name.into(), value.into());
                    self.add(name, value);
                }
                0x20..0x40 => {
                    let largest = integer(&mut block, 5)?;
                    if !may_resize || largest > self.limit {
                        return Err(Wrong::TableSize);
                    }
                    self.largest = largest;
                    self.make_room(0);
                    continue;
                }
                0x00..0x20 => {
                    let (name, value) = self.literal(&mut block, 4)?;
                    field(&name, &value, first >= 0x10)?;
                }
            }
            may_resize = false;
        }
        self.said = said;
        Ok(())
    }

    fn literal<'b>(&self, block: &mut &'b [u8], bits: u8) -> Result<Field<'b>, Wrong> {
        let name = match integer(block, bits)? {
            0 => string(block)?,
            index => Cow::Owned(self.entry(index)?.0.to_vec()),
        };
        Ok((name, string(block)?))
    }

    fn entry(&self, index: usize) -> Result<(&[u8], &[u8]), Wrong> {
        let index = index.checked_sub(1).ok_or(Wrong::Index)?;
        if let Some((name, value)) = ENTRIES.get(index) {
            return Ok((name.as_bytes(), value.as_bytes()));
        }
        let (name, value) = self.table.get(index - ENTRIES.len()).ok_or(Wrong::Index)?;
        Ok((name, value))
    }

    fn add(&mut self, name: Box<[u8]>, value: Box<[u8]>) {
        let size = name.len() + value.len() + OVERHEAD;
        self.make_room(size);
        // One that is larger than the table empties it, and that is no error.
        if size <= self.largest {
            self.size += size;
            self.table.push_front((name, value));
        }
    }

    fn make_room(&mut self, wanted: usize) {
        while self.size + wanted > self.largest
            && let Some((name, value)) = self.table.pop_back()
        {
            self.size -= name.len() + value.len() + OVERHEAD;
        }
        if self.table.is_empty() {
            self.table = VecDeque::new();
        }
    }
}

/// A number behind the first bits of a byte (RFC 7541, 5.1).
fn integer(block: &mut &[u8], bits: u8) -> Result<usize, Wrong> {
    let most = (1 << bits) - 1;
    let mut value = usize::from(take(block)?) & most;
    if value < most {
        return Ok(value);
    }
    for shift in [0, 7, 14, 21] {
        let byte = take(block)?;
        value += usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(Wrong::Number)
}

/// A string, as it is or as a Huffman code (RFC 7541, 5.2).
fn string<'b>(block: &mut &'b [u8]) -> Result<Cow<'b, [u8]>, Wrong> {
    let is_coded = block.first().is_some_and(|first| first & 0x80 != 0);
    let length = integer(block, 7)?;
    let (text, rest) = block.split_at_checked(length).ok_or(Wrong::Cut)?;
    *block = rest;
    if !is_coded {
        return Ok(text.into());
    }
    let mut decoded = Vec::with_capacity(length * 8 / 5);
    huffman::decode(text, &mut decoded)?;
    Ok(decoded.into())
}

fn take(block: &mut &[u8]) -> Result<u8, Wrong> {
    let (&first, rest) = block.split_first().ok_or(Wrong::Cut)?;
    *block = rest;
    Ok(first)
}
