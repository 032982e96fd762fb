//! The command line of the control plane: a blocking REST client, and a maker of keys, tokens and certificates.
//!
//! ```text
//! main ── run ──┬─ cli (words to a command and its flags)
//!               └─ commands (one file a verb)
//!                     ├── documents (what is written)   views, output (what is shown)
//!                     └── session (settings, client, version check)
//!                            ├── client (HTTP, TLS, errors of the API)
//!                            └── printer
//! ```
//!
//! Arrows point down and to the right only; no two modules need each other.
//!
//! It starts no threads and no runtime, links no server, and asks for time and environment in `main.rs` only. Data
//! goes to standard output, everything else to standard error, both through [`printer::Printer`].

mod about;
mod cli;
mod client;
mod commands;
mod csv;
mod documents;
mod environment;
mod failure;
mod files;
mod keys;
mod mustache;
mod output;
mod printer;
mod routes;
mod run;
mod session;
mod settings;
mod surroundings;
mod views;

pub use environment::Environment;
pub use printer::Printer;
pub use run::run;
pub use surroundings::Surroundings;
