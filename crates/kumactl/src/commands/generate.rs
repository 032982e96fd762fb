//! `kumactl generate`: tokens from the control plane or signed here, keys, and certificates.

mod key;
mod token;

use crate::{cli::flags::Flags, failure::Failure, session::Session};

/// Generates one thing.
pub(super) fn run(session: &Session<'_>, what: &str, flags: &Flags) -> Result<(), Failure> {
    session.check_version();
    match what {
        "control-plane-token" => token::control_plane(session, flags),
        "zone-token" => token::zone(session, flags),
        "user-token" => token::user(session, flags),
        "dataplane-token" => token::dataplane(session, flags),
        "signing-key" => key::signing_key(session, flags),
        "public-key" => key::public_key(session, flags),
        "tls-certificate" => key::tls_certificate(session, flags),
        other => Err(Failure::Refused(format!("unknown command {other:?} for \"kumactl generate\""))),
    }
}
