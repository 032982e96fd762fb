//! The global's port 5685.

pub mod admin;
pub(crate) mod auth;
mod down;
pub(crate) mod listener;
pub mod router;
mod throttle;
mod up;
