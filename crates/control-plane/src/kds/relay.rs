//! Passes gRPC calls from one HTTP/2 connection on to another, as bytes and both ways: a connector and a gateway are this
//! with something in front.
//!
//! ```text
//! near side ──request──► [RequestBody: looked at, if somebody has to] ──► far side
//!           ◄─response── [ResponseBody]                               ◄──
//! ```
//!
//! No message is decoded and none is kept: a frame is asked for when the other side has room for it, so that HTTP/2's own
//! flow control goes through from end to end, and what a slow side makes this hold is a frame and a window. Trailers,
//! half-closed sides and resets go through with their codes. Only two things are said by the relay itself: why a call has
//! to end ([`Ending`]), and that the far side is gone. Neither is ever OK, since a zone does not come back after that
//! (contract: kds 13.12).

mod ending;
mod far;
mod inspect;
mod pass;
mod request;
mod response;
mod scan;
mod untaken;

pub(crate) use self::{
    ending::Ending,
    far::{Far, Slot, WINDOWS, WeakSlot},
    inspect::{Inspect, Payload},
    pass::{Passing, pass},
    scan::Rule,
};
