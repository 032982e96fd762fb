//! `kuma-cp`: parses the command line, runs, exits.

use std::process::ExitCode;

fn main() -> ExitCode {
    control_plane::cli::run(std::env::args_os())
}
