//! The two machines among themselves on a bad network, and against what real peers said.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
#![expect(clippy::print_stderr, reason = "a skipped test must be seen")]

mod captures;
mod convergence;
mod fuzz;
mod parts;
mod recorded_names;
mod recorded_streams;
mod seeds;
mod simulation;
