//! The built program: recorded runs that need no real control plane, and what no recording shows.
#![expect(clippy::expect_used, reason = "test code fails by panicking")]

mod doctor;
mod documents;
mod programs;
mod proxy;
mod redirects;
mod replay;
mod revocations;
#[cfg(test)]
mod rotate;
mod server;
mod tls;
