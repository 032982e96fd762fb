//! `kumactl inspect`: what the control plane knows beyond what was written.

mod dataplanes;
mod meshes;
mod policies;
mod token;
mod zones;

use crate::{
    cli::verbs::{Inspect, View},
    failure::Failure,
    session::Session,
};

/// Shows one view.
pub(super) fn run(session: &Session<'_>, flags: &Inspect) -> Result<(), Failure> {
    // A token may be looked at without a control plane.
    if !matches!(flags.view, View::Token(_)) {
        session.check_version();
    }
    let form = flags.form.output.as_str();
    match &flags.view {
        View::Zones => zones::run(session, form),
        View::Meshes => meshes::run(session, form),
        View::Dataplanes(flags) => dataplanes::run(session, form, flags),
        View::Dataplane(flags) => policies::dataplane(session, form, flags),
        View::Token(flags) => token::run(session, form, flags),
        View::Policy(policy) => policies::affected(session, form, policy),
    }
}
