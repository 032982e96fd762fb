//! The Kuma Discovery Service: the global's port 5685 and the zone's connection to it.
//!
//! ```text
//! global:  listener -> router (authentication of every RPC) -> down | up | admin
//! zone:    dial, token, back-off -> consume (GlobalToZoneSync), provide (ZoneToGlobalSync), admin
//! both:    store watch -> provider snapshots (encoded once) -> sync::Sender;  sync::Receiver -> apply -> store
//! ```
//!
//! Only this folder turns generated messages into `sync` messages and back.

mod apply;
mod frames;
#[cfg(test)]
mod fuzz;
pub mod global;
mod messages;
pub mod quota;
pub mod rpc;
pub mod snapshots;
mod unanswered;
pub mod zone;
