//! Who is calling, and what they may do.
//!
//! A [`Caller`] comes only out of [`Authenticator::authenticate`]: no handler of the REST API can run for a caller
//! that was not looked at. [`Access`] holds the static rules (`access.static`) and makes of a caller and the [`Rule`] of
//! a route a [`Permit`]. Beside the settings one rule has none: who did not say who they are writes nothing.

mod authenticate;
mod caller;
mod localhost;
mod permit;
mod rules;
mod zones;

pub use authenticate::{Authenticator, Remote, Transport, Unproved};
pub use caller::Caller;
pub(crate) use localhost::{TwoHosts, host_of};
pub use permit::{Permit, Rule, TokenKind};
pub use rules::{Access, Allowed, Denied};
pub use zones::{NoPattern, ZoneGrants, ZonePattern};
