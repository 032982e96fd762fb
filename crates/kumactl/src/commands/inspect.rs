//! `kumactl inspect`: what the control plane knows beyond what was written.

mod dataplanes;
mod meshes;
mod policies;
mod zones;

use crate::{cli::flags::Flags, client::Ask, client::Method, failure::Failure, session::Session};

/// Shows one view.
pub(super) fn run(session: &Session<'_>, what: &str, flags: &Flags) -> Result<(), Failure> {
    session.check_version();
    match what {
        "zones" => zones::run(session, flags),
        "meshes" => meshes::run(session, flags),
        "dataplanes" => dataplanes::run(session, flags),
        "dataplane" => policies::dataplane(session, flags),
        policy => policies::affected(session, policy, flags),
    }
}

/// Asks for a view.
fn view(route: &str) -> Ask<'_> {
    Ask::other(Method::Get, route)
}
