//! Measured claims: load tools and benchmarks.
