//! Replays what real peers said: bodies of PUT, what GET shows of them, files that kumactl reads, default documents.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]
#![expect(clippy::print_stderr, reason = "a skipped test must be seen")]

mod captures;
mod fuzz;
mod kumactl;
mod rest;
mod robust;
mod sent;
