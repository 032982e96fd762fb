//! Whose TLS certificate is believed: one rule for the server program and the command line, to be reviewed in one
//! sitting.
//!
//! Two ways lead to yes. The usual one: a CA of the root file signed it (webpki). The other: the certificate itself,
//! byte for byte, stands in the root file. Webpki refuses a CA certificate as a server's own, and the certificate that
//! a control plane makes for itself is exactly that: CA, self-signed, and copied to the zones as their root file. In
//! both ways name, validity and the handshake's signature are checked. A server certificate in the root file does not
//! become a CA by standing there.
//!
//! ```text
//! PEM text ── pem ──► certificates ──► Roots ◄── Verifier ◄── handshake (certificate, name, time)
//!                                                   └──► yes, or an error whose cause `refusal` finds
//! ```
//!
//! No files, no clock, no network: texts, certificates and the time come in.

pub mod pem;
mod refusal;
mod roots;
#[cfg(test)]
mod tests;
mod verifier;

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};

pub use refusal::{CaAsServer, cause, refusal};
pub use roots::Roots;
pub use verifier::{Anybody, Verifier};

/// Returns the one cryptography provider.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}
