//! The commands, one file a verb.

mod apply;
mod completion;
mod config;
mod delete;
mod documents;
mod export;
mod generate;
mod get;
mod inspect;
mod pages;
mod version;

use model::{Kind, Scope};

use crate::{cli::flags::Flags, client, failure::Failure, session::Session};

/// Runs the command with these names.
pub(crate) fn dispatch(path: &[String], session: &Session<'_>, flags: &Flags) -> Result<(), Failure> {
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    match path.as_slice() {
        ["apply"] => apply::run(session, flags),
        ["completion", shell] => completion::run(session, shell),
        ["config", "view"] => config::view(session),
        ["config", "control-planes", "list"] => config::list(session),
        ["config", "control-planes", "add"] => config::add(session, flags),
        ["config", "control-planes", "switch"] => config::switch(session, flags),
        ["config", "control-planes", "remove"] => config::remove(session, flags),
        ["delete"] => delete::run(session, flags),
        ["export"] => export::run(session, flags),
        ["generate", what] => generate::run(session, what, flags),
        ["get", name] => get::run(session, name, flags),
        ["inspect", what] => inspect::run(session, what, flags),
        ["version"] => version::run(session, flags),
        other => Err(Failure::Refused(format!("unknown command \"{}\"", other.join(" ")))),
    }
}

/// Returns the route of the list of a kind.
fn list_route(kind: Kind, mesh: &str) -> String {
    match kind.scope {
        Scope::Mesh => format!("/meshes/{}/{}", client::segment(mesh), kind.path),
        Scope::Global => format!("/{}", kind.path),
    }
}

/// Returns the route of one resource.
fn item_route(kind: Kind, mesh: &str, name: &str) -> String {
    format!("{}/{}", list_route(kind, mesh), client::segment(name))
}
