//! `kumactl completion`.

use clap_complete::{Shell, generate};

use crate::{cli, failure::Failure, session::Session};

/// Prints the completion script of a shell.
pub(super) fn run(session: &Session<'_>, shell: &str) -> Result<(), Failure> {
    let (shell, head) = match shell {
        "bash" => (Shell::Bash, "# bash completion for kumactl                              -*- shell-script -*-\n"),
        "fish" => (Shell::Fish, "# fish completion for kumactl                              -*- shell-script -*-\n"),
        _ => (Shell::Zsh, ""),
    };
    let mut script = head.as_bytes().to_vec();
    generate(shell, &mut cli::root(), "kumactl", &mut script);
    session.printer().data(&String::from_utf8_lossy(&script))
}
