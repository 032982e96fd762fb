//! The program `kumactl`: hands the outside world to the library and exits with its answer.

use std::process::ExitCode;

use kumactl::{Environment, Printer, Surroundings};

#[expect(clippy::disallowed_methods, reason = "the one place where this program asks the clock")]
fn main() -> ExitCode {
    // TLS needs one provider for the whole process; only a second installation could fail.
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    let surroundings = Surroundings {
        arguments: std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect(),
        environment: Environment::read(|name| std::env::var_os(name)),
        now: jiff::Timestamp::now,
        printer: Printer::new(Box::new(std::io::stdout()), Box::new(std::io::stderr())),
    };
    ExitCode::from(kumactl::run(&surroundings))
}
