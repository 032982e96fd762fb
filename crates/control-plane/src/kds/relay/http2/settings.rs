//! Settings of both ends (RFC 9113, 6.5).

use super::{
    Code, Fatal,
    frame::{LARGEST, LARGEST_STREAM},
};

const HEADER_TABLE_SIZE: u16 = 1;
const ENABLE_PUSH: u16 = 2;
const MAX_CONCURRENT_STREAMS: u16 = 3;
const INITIAL_WINDOW_SIZE: u16 = 4;
const MAX_FRAME_SIZE: u16 = 5;
const MAX_HEADER_LIST_SIZE: u16 = 6;

/// The window of a stream, and of the connection, that nothing was said of.
pub(super) const DEFAULT_WINDOW: u32 = 65_535;

/// What the peer said of itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer {
    /// Of each new stream.
    pub(super) window: u32,
    /// How many streams it takes at a time.
    pub(super) streams: u32,
}

impl Default for Peer {
    fn default() -> Self {
        Self { window: DEFAULT_WINDOW, streams: u32::MAX }
    }
}

impl Peer {
    /// Takes what the peer says.
    pub(super) fn hear(&mut self, payload: &[u8]) -> Result<(), Fatal> {
        let (settings, rest) = payload.as_chunks::<6>();
        if !rest.is_empty() {
            return Err(Fatal::new(Code::FRAME_SIZE_ERROR, "settings are cut"));
        }
        for &[a, b, c, d, e, f] in settings {
            let (name, value) = (u16::from_be_bytes([a, b]), u32::from_be_bytes([c, d, e, f]));
            match name {
                ENABLE_PUSH if value > 1 => return Err(Fatal::protocol("the setting of pushes is neither on nor off")),
                INITIAL_WINDOW_SIZE if value > LARGEST_STREAM => {
                    return Err(Fatal::new(Code::FLOW_CONTROL_ERROR, "the setting of windows is too large"));
                }
                MAX_FRAME_SIZE if !(LARGEST..1 << 24).contains(&(value as usize)) => {
                    return Err(Fatal::protocol("the setting of frames is not within its bounds"));
                }
                INITIAL_WINDOW_SIZE => self.window = value,
                MAX_CONCURRENT_STREAMS => self.streams = value,
                // Nothing larger is sent than what every peer takes, and nothing of a table.
                _ => {}
            }
        }
        Ok(())
    }
}

/// What this end says of itself. Its streams have windows of `window` bytes; headers that use no table need no memory.
pub(super) fn ours(is_server: bool, window: u32, streams: u32, header_list: usize) -> Vec<u8> {
    let header_list = u32::try_from(header_list).unwrap_or(u32::MAX);
    let mut settings = vec![(HEADER_TABLE_SIZE, 0), (MAX_HEADER_LIST_SIZE, header_list)];
    if window != DEFAULT_WINDOW {
        settings.push((INITIAL_WINDOW_SIZE, window));
    }
    settings.push(if is_server { (MAX_CONCURRENT_STREAMS, streams) } else { (ENABLE_PUSH, 0) });
    settings.iter().flat_map(|(name, value)| [&name.to_be_bytes()[..], &value.to_be_bytes()].concat()).collect()
}
