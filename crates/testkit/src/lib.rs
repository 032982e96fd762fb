//! Worlds for tests: real programs on loopback, their logs, and the recordings of real peers. A dev-dependency only.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::indexing_slicing,
    reason = "test code fails by panicking, and waits for real processes with real time"
)]

pub mod captures;
pub mod client;
pub mod fuzz;
pub mod kds;
pub mod kds_server;
pub mod kumactl_replay;
pub mod named_tests;
pub mod network;
pub mod ports;
pub mod postgres;
pub mod program;
pub mod rpcs;
pub mod runtime;
pub mod seed;
