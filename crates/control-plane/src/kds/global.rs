//! The global's port 5685: who calls, what they may open, and the streams themselves.
//!
//! ```text
//! listener ──► router ──► down | up | admin | health ──► context
//!                └──► auth, throttle                        └──► asker
//! ```

pub(in crate::kds) mod admin;
pub(crate) mod asker;
pub(crate) mod auth;
pub(crate) mod context;
pub(crate) mod down;
mod health;
pub(crate) mod listener;
pub(crate) mod router;
mod throttle;
mod up;
