//! The promise of the crate, kept by each backend.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "all of this is tests")]

mod beside;
mod conformance;
mod crash;
mod disk;
mod file;
mod full_disk;
mod hooked;
mod lacking;
mod migrating;
mod mirror;
mod model;
mod postgres;
mod process;
mod property;
mod racing;
mod replacing;
mod sealing;
mod shapes;
