//! From the words of the command line to an exit code.

use crate::{
    cli::{self, Call},
    commands,
    failure::Failure,
    session::Session,
    surroundings::Surroundings,
};

/// Runs one command and returns the exit code: 0 done, 1 refused, failed or used wrongly, 2 what was given is unreadable.
pub fn run(surroundings: &Surroundings) -> u8 {
    match attempt(surroundings) {
        Ok(()) | Err(Failure::Closed) => 0,
        Err(Failure::Refused(text)) => {
            surroundings.printer.note(&format!("Error: {text}"));
            1
        }
        Err(Failure::Unreadable(text)) => {
            surroundings.printer.note(&format!("Error: {text}"));
            2
        }
        Err(Failure::Usage { text, usage }) => {
            surroundings.printer.note(&format!("Error: {text}"));
            // The peer prints the usage as data; a closed reader changes nothing about the exit code.
            drop(surroundings.printer.line(&usage));
            1
        }
    }
}

fn attempt(surroundings: &Surroundings) -> Result<(), Failure> {
    match cli::parse(&surroundings.arguments)? {
        Call::Help(text) => surroundings.printer.data(&text),
        Call::Command(line) => {
            let session = Session::open(surroundings, &line.globals)?;
            commands::dispatch(&session, &line.verb)
        }
    }
}
