//! The server program `kuma-cp`: global and zone control planes assembled from the same parts.

pub mod clock;
pub mod tasks;
pub mod tls;
