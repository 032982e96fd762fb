//! `kumactl completion`.

use clap_complete::generate;

use crate::{
    cli::{self, verbs::Shell},
    failure::Failure,
    session::Session,
};

/// Prints the completion script of a shell.
pub(super) fn run(session: &Session<'_>, shell: Shell) -> Result<(), Failure> {
    let (shell, head) = match shell {
        Shell::Bash => (
            clap_complete::Shell::Bash,
            "# bash completion for kumactl                              -*- shell-script -*-\n",
        ),
        Shell::Fish => (
            clap_complete::Shell::Fish,
            "# fish completion for kumactl                              -*- shell-script -*-\n",
        ),
        Shell::Zsh => (clap_complete::Shell::Zsh, ""),
    };
    let mut script = head.as_bytes().to_vec();
    generate(shell, &mut cli::root(), "kumactl", &mut script);
    session.printer().data(&String::from_utf8_lossy(&script))
}
