//! The Huffman code of strings (RFC 7541, 5.2 and appendix B). It is canonical: the lengths of its codes say all.

use super::Wrong;

/// How many bits the code of each byte has; the last one is that of the end of a string, which never stands in one.
#[rustfmt::skip]
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28,
    28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5,
    6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23,
    21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
    19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
    30,
];

const SHORTEST: usize = 5;
const LONGEST: usize = 30;
const END: u16 = 256;

/// Codes of each length, in order: where they end, to the left in 32 bits; which is the first; and where its symbol stands.
struct Codes {
    ends: [u32; LONGEST + 1],
    firsts: [u32; LONGEST + 1],
    places: [usize; LONGEST + 1],
    symbols: [u16; 257],
}

static CODES: Codes = codes();

#[expect(clippy::indexing_slicing, reason = "runs in the compiler, over tables of known length")]
const fn codes() -> Codes {
    let mut codes =
        Codes { ends: [0; LONGEST + 1], firsts: [0; LONGEST + 1], places: [0; LONGEST + 1], symbols: [0; 257] };
    let (mut code, mut place, mut length) = (0u64, 0, 1);
    while length <= LONGEST {
        code <<= 1;
        codes.firsts[length] = (code << (32 - length)) as u32;
        codes.places[length] = place;
        let mut symbol = 0;
        while symbol < LENGTHS.len() {
            if LENGTHS[symbol] as usize == length {
                codes.symbols[place] = symbol as u16;
                (place, code) = (place + 1, code + 1);
            }
            symbol += 1;
        }
        // All ones are the end of the longest: kept below what 32 bits hold.
        let end = code << (32 - length);
        codes.ends[length] = if end > u32::MAX as u64 { u32::MAX } else { end as u32 };
        length += 1;
    }
    codes
}

/// Appends what a code stands for.
pub(super) fn decode(coded: &[u8], out: &mut Vec<u8>) -> Result<(), Wrong> {
    let mut bytes = coded.iter();
    // The next bits, to the left, and how many there are.
    let (mut bits, mut count) = (0u64, 0usize);
    loop {
        while count <= 32
            && let Some(&byte) = bytes.next()
        {
            bits |= u64::from(byte) << (56 - count);
            count += 8;
        }
        let window = (bits >> 32) as u32;
        if count < SHORTEST {
            break;
        }
        let (length, symbol) = symbol(window)?;
        if length > count {
            break;
        }
        out.push(u8::try_from(symbol).map_err(|_end| Wrong::Huffman)?);
        bits <<= length;
        count -= length;
    }
    // What is left is the beginning of the end of a string, and less than a byte.
    let is_padding = count < 8 && (count == 0 || bits >> (64 - count) == (1 << count) - 1);
    if is_padding { Ok(()) } else { Err(Wrong::Huffman) }
}

/// The symbol that these bits begin with, and how many of them are its code.
fn symbol(window: u32) -> Result<(usize, u16), Wrong> {
    let lengths = CODES.ends.iter().zip(&CODES.firsts).zip(&CODES.places).enumerate().skip(SHORTEST);
    for (length, ((&end, &first), &place)) in lengths {
        if window < end {
            let behind = (window - first) >> (32 - length);
            let symbol = CODES.symbols.get(place + behind as usize).copied().unwrap_or(END);
            return Ok((length, symbol));
        }
    }
    Ok((LONGEST, END))
}

/// The code of a text, for tests of what reads it.
#[cfg(test)]
pub(super) fn encode(text: &[u8]) -> Vec<u8> {
    let code_of = |byte: u8| {
        let length = usize::from(LENGTHS[usize::from(byte)]);
        let place = CODES.symbols.iter().position(|symbol| *symbol == u16::from(byte)).unwrap();
        let code = (CODES.firsts[length] >> (32 - length)) as usize + place - CODES.places[length];
        format!("{code:0length$b}")
    };
    let mut bits: String = text.iter().map(|byte| code_of(*byte)).collect();
    while !bits.len().is_multiple_of(8) {
        bits.push('1');
    }
    (0..bits.len()).step_by(8).map(|at| u8::from_str_radix(&bits[at..at + 8], 2).unwrap()).collect()
}
