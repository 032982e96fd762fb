//! The REST API: from HTTP requests to the store and back (contract: rest 1).
//!
//! ```text
//! path cleaned ─► base path ─► caller ─► route ─► method ─► Content-Type ─► Accept ─► rule ─► body ─► handler ─► answer
//! ```
//!
//! The router is our own function: the answers of the peer's framework (plain texts for 404, 405, 406 and 415, 307 for
//! paths that are not clean) are part of the contract. All conditions become statuses in [`error`] alone. A handler
//! works with an `access::Permit`, which only the judgement of the route's rule makes; it has no other way to the store.

mod admin;
mod answer;
mod api;
mod audit;
mod body;
mod call;
mod cors;
mod error;
mod handlers;
mod held;
mod negotiate;
mod query;
mod routes;
mod settings;

pub use admin::{AdminAnswer, AdminError, AdminRequest, EnvoyAdmin, NoZones};
pub use api::{Api, Handles};
pub use settings::Settings;
