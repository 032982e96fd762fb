//! `kumactl generate`: tokens from the control plane or signed here, keys, and certificates.

mod key;
mod token;

use crate::{cli::verbs::Generate, failure::Failure, session::Session};

pub(super) fn run(session: &Session<'_>, what: &Generate) -> Result<(), Failure> {
    session.check_version();
    match what {
        Generate::ControlPlaneToken(flags) => token::control_plane(session, flags),
        Generate::DataplaneToken(flags) => token::dataplane(session, flags),
        Generate::PublicKey(flags) => key::public_key(session, &flags.signing_key_path),
        Generate::SigningKey(flags) => key::signing_key(session, flags),
        Generate::TlsCertificate(flags) => key::tls_certificate(session, flags),
        Generate::UserToken(flags) => token::user(session, flags),
        Generate::ZoneToken(flags) => token::zone(session, flags),
    }
}
