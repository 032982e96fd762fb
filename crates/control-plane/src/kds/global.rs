//! The global's port 5685: who calls, what they may open, and the streams themselves.
//!
//! ```text
//! listener ──► router ──► down | up | admin | health | token_service ──► context
//!                └──► auth, throttle                      └──► renewals     └──► asker
//! ```

pub(in crate::kds) mod admin;
pub(crate) mod asker;
pub(crate) mod auth;
pub(crate) mod context;
pub(crate) mod down;
mod health;
pub(crate) mod listener;
pub(crate) mod renewals;
pub(crate) mod router;
mod throttle;
mod token_service;
mod unary;
mod up;
pub(crate) mod upstream;
