//! Passes gRPC calls from one HTTP/2 connection on to another, as bytes and both ways: a connector and a gateway are this
//! with something in front.
//!
//! ```text
//!             ┌─ service: who answers? ─► here, or passed on ─┐
//! near side ──┤                                               ├──► far side
//!   http2     └─ streams, windows, resets: passage ───────────┘     http2
//! ```
//!
//! No message is decoded. HTTP/2 is read as far as its frames and headers ([`http2`]): what a stream says on one side is said
//! on the other as it comes, within the windows of both, so that flow control goes through from end to end, and what a slow
//! side makes this hold is a window. Trailers, half-closed sides and resets go through with their codes. Only two things are
//! said by the relay itself: why a call has to end, and that the far side is gone. Neither is ever OK, since a zone does not
//! come back after that (contract: kds 13.12).
//!
//! A near connection and its far one are moved by one task, the near one's ([`Relay`]); others give it orders ([`Orders`]).

mod answer;
mod call;
mod end;
mod far;
mod http2;
mod inbox;
mod inspect;
mod orders;
mod passage;
mod scan;
mod standing;
mod task;
#[cfg(test)]
mod tests;

pub(crate) use self::{
    answer::{Answer, Answers, Arriving},
    call::Calls,
    far::{Ending, Far, Slot, WeakSlot},
    inspect::{Inspect, Payload},
    orders::Orders,
    scan::Rule,
    task::{Ended, Relay},
};
