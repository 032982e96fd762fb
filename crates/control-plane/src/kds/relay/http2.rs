//! One end of an HTTP/2 connection (RFC 9113), as much of it as a relay needs: bytes in, [`Event`]s and bytes out. Pure: no
//! IO and no clock.
//!
//! A library would do it, and did; two ends of one hold 73 KiB for each zone, whatever goes through. Here a connection that
//! is idle holds what it knows of its streams, and nothing else: what came is read from whoever read it, what goes out is
//! kept until it is written, and headers are written without a table.
//!
//! ```text
//! bytes ──► Cut ──frames──► Connection ──► Event: a head, data, a reset
//!                               │
//!                               └──► Output ──► bytes
//! ```
//!
//! Flow control is of each connection; whoever passes data on says when it has gone ([`Connection::forwarded`]), and not
//! before that may the peer say more. So what is held for a side that does not read is what its windows let through.

mod connection;
mod fields;
mod frame;
mod heard;
mod hpack;
mod output;
mod said;
mod settings;
mod stream;
#[cfg(test)]
mod tests;

use thiserror::Error;

#[cfg(test)]
pub(super) use self::frame::Frame;
pub(super) use self::{
    connection::{Connection, Event, Limits},
    fields::{Origin, request_fields, response_fields},
    frame::Cut,
};

/// Why a stream or a connection is ended (RFC 9113, 7). Codes of others go through as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Code(pub(super) u32);

impl Code {
    pub(super) const NO_ERROR: Self = Self(0x0);
    pub(super) const PROTOCOL_ERROR: Self = Self(0x1);
    pub(super) const FLOW_CONTROL_ERROR: Self = Self(0x3);
    pub(super) const STREAM_CLOSED: Self = Self(0x5);
    pub(super) const FRAME_SIZE_ERROR: Self = Self(0x6);
    pub(super) const REFUSED_STREAM: Self = Self(0x7);
    pub(super) const CANCEL: Self = Self(0x8);
    pub(super) const COMPRESSION_ERROR: Self = Self(0x9);
    pub(super) const ENHANCE_YOUR_CALM: Self = Self(0xb);
}

/// What no connection goes on after.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{why} (HTTP/2 error {:#x})", code.0)]
pub(super) struct Fatal {
    /// What the peer hears.
    pub(super) code: Code,
    pub(super) why: &'static str,
}

impl Fatal {
    pub(super) const fn new(code: Code, why: &'static str) -> Self {
        Self { code, why }
    }

    const fn protocol(why: &'static str) -> Self {
        Self::new(Code::PROTOCOL_ERROR, why)
    }
}
