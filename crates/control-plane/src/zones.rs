//! Zones as global sees them: who is connected, on which key, and what is known of each connection.

pub mod ageing;
pub mod caller;
pub mod confirmed;
pub(crate) mod elsewhere;
#[cfg(test)]
pub(crate) mod examples;
pub(crate) mod first_seen;
pub mod health;
pub mod in_use;
pub mod insight;
pub mod registry;
pub mod rsa_alone;
mod shadow;
pub mod sweeper;
