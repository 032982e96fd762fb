//! The command line of the control plane: a blocking REST client, and a maker of keys, tokens and certificates.
//!
//! ```text
//! main ── run ── cli (words to a command and its flags) ── commands (one file a verb)
//!                                                            ├── session (settings, client, version check)
//!                                                            ├── client  (HTTP, TLS, errors of the API)
//!                                                            └── output  (table, yaml, json) ── printer
//! ```
//!
//! It starts no threads and no runtime, links no server, and asks for time and environment in `main.rs` only. Data
//! goes to standard output, everything else to standard error, both through [`printer::Printer`].

mod about;
mod cli;
mod client;
mod commands;
mod csv;
mod environment;
mod failure;
mod files;
mod keys;
mod mustache;
mod output;
mod printer;
mod run;
mod session;
mod settings;

pub use environment::Environment;
pub use printer::Printer;
pub use run::{Surroundings, run};
