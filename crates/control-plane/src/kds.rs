//! The Kuma Discovery Service: the global's port 5685 and the zone's connection to it.
//!
//! ```text
//! global:  listener -> router (authentication of every RPC) -> down | up | admin | health -> context
//! zone:    dial, token, backoff -> streams -> consume (GlobalToZoneSync), provide (ZoneToGlobalSync), admin
//! gateway: listener -> router -> upstream -> relay -> a global control plane
//! connector: its listener -> relay -> global, with the dialling, token and renewal of a zone
//! both:    store watch -> snapshots (encoded once) -> sync::Sender;  sync::Receiver -> apply -> store
//! ```
//!
//! Only this folder turns generated messages into `sync` messages and back.

mod apply;
pub(crate) mod connector;
pub(crate) mod dial;
mod frames;
#[cfg(test)]
mod fuzz;
pub(crate) mod global;
mod grpc;
pub(crate) mod link;
mod messages;
pub(crate) mod quota;
pub(crate) mod relay;
pub(crate) mod rpc;
mod serving;
pub(crate) mod snapshots;
mod unanswered;
pub(crate) mod zone;
