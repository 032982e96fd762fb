//! The global's port 5685: who calls, what they may open, and the streams themselves.
//!
//! ```text
//! listener ──► router ──► down | up | admin | health ──► context
//!                └──► auth, throttle                        └──► asker
//! ```

pub(in crate::kds) mod admin;
pub mod asker;
pub(crate) mod auth;
pub mod context;
pub mod down;
mod health;
pub(crate) mod listener;
pub mod router;
mod throttle;
mod up;
