//! The promise of the crate, kept by each backend.

mod conformance;
mod crash;
mod disk;
mod file;
mod model;
mod process;
mod property;
mod shapes;
