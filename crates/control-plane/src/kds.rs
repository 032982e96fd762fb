//! The Kuma Discovery Service: the global's port 5685 and the zone's connection to it.
//!
//! ```text
//! global:  listener -> auth (every RPC) -> global_to_zone | zone_to_global | admin | health
//! zone:    connection (dial, token, back-off) -> consumer of GlobalToZoneSync, provider of ZoneToGlobalSync
//! both:    store watch -> provider snapshots (encoded once) -> sync::Sender;  sync::Receiver -> apply -> store
//! ```
//!
//! Only this folder turns generated messages into `sync` messages and back.

pub mod admin;
mod apply;
mod auth;
mod codec;
mod convert;
#[cfg(test)]
mod fuzz;
mod global_to_zone;
mod gzip;
mod inbound;
pub(crate) mod listener;
mod node;
mod outbound;
mod patch;
pub mod port;
pub mod quota;
mod request;
pub mod snapshots;
mod throttle;
mod unanswered;
mod weight;
pub mod zone;
mod zone_to_global;
