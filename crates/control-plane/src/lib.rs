//! The server program `kuma-cp`: global and zone control planes assembled from the same parts.

pub mod access;
pub mod bootstrap;
pub mod clock;
pub mod resources;
pub mod rest;
pub mod tasks;
pub mod tls;
