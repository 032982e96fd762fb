//! The promise of the crate, kept by each backend.

mod conformance;
