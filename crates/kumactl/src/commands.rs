//! The commands, one file a verb. They know nothing of each other; what several need lies beside this module.

mod apply;
mod completion;
mod config;
mod delete;
mod doctor;
mod export;
mod generate;
mod get;
mod inspect;
mod revoke;
mod rotate;
mod version;

use crate::{
    cli::verbs::{Config, ControlPlanes, Verb},
    failure::Failure,
    session::Session,
};

/// Runs a command.
pub(crate) fn dispatch(session: &Session<'_>, verb: &Verb) -> Result<(), Failure> {
    match verb {
        Verb::Apply(flags) => apply::run(session, flags),
        Verb::Completion(shell) => completion::run(session, *shell),
        Verb::Config(Config::View) => config::view(session),
        Verb::Config(Config::ControlPlanes(what)) => match what {
            ControlPlanes::Add(flags) => config::add(session, flags),
            ControlPlanes::List => config::list(session),
            ControlPlanes::Remove(flags) => config::remove(session, &flags.name),
            ControlPlanes::Switch(flags) => config::switch(session, &flags.name),
        },
        Verb::Delete(flags) => delete::run(session, flags),
        Verb::Doctor(flags) => doctor::run(session, flags),
        Verb::Export(flags) => export::run(session, flags),
        Verb::Generate(what) => generate::run(session, what),
        Verb::Get(flags) => get::run(session, flags),
        // Its text was printed instead.
        Verb::Help => Ok(()),
        Verb::Inspect(flags) => inspect::run(session, flags),
        Verb::Revoke(what) => revoke::run(session, what),
        Verb::Rotate(what) => rotate::run(session, what),
        Verb::Version(flags) => version::run(session, flags),
    }
}
