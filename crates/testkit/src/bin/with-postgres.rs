//! `with-postgres COMMAND...`: runs a command whose tests share one PostgreSQL, which is started before it and stopped after
//! it. Where the caller names one, or there is none to start, the command runs as it would without this program.
#![expect(clippy::print_stderr, reason = "a tool of the tests")]

use std::{
    env,
    process::{Command, ExitCode},
};

use testkit::postgres::{Server, VARIABLE};

fn main() -> ExitCode {
    let mut arguments = env::args_os().skip(1);
    let Some(program) = arguments.next() else {
        eprintln!("with-postgres: which command?");
        return ExitCode::FAILURE;
    };
    let mut command = Command::new(program);
    command.args(arguments);
    let is_named = env::var_os(VARIABLE).is_some_and(|value| !value.is_empty());
    let server = if is_named { None } else { Server::start() };
    if let Some(server) = &server {
        command.env(VARIABLE, server.place().url());
    }
    match command.status() {
        Ok(status) => status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from),
        Err(error) => {
            eprintln!("with-postgres: {error}");
            ExitCode::FAILURE
        }
    }
}
