//! Why a handshake was refused: what the certificate check says beyond webpki, and how to find the verdict again.

use std::{error::Error, io};

use thiserror::Error;

/// The server showed a CA's certificate as its own, and it does not stand in the root file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a CA's certificate is used as a server's own")]
pub struct CaAsServer;

/// Returns the TLS library's verdict in a chain of causes.
pub fn refusal<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    cause(error, |one| one.downcast_ref::<rustls::Error>())
}

/// Walks the chain of causes until `pick` finds something; an `io::Error` hides what it wraps from `source`.
pub fn cause<'a, T>(
    error: &'a (dyn Error + 'static),
    pick: impl Fn(&'a (dyn Error + 'static)) -> Option<T>,
) -> Option<T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = pick(error) {
            return Some(found);
        }
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = match wrapped {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}

#[cfg(test)]
mod tests {
    use rustls::CertificateError::UnknownIssuer;

    use super::*;

    #[test]
    fn the_verdict_is_found_behind_io_errors() {
        let verdict = || rustls::Error::InvalidCertificate(UnknownIssuer);
        let twice = io::Error::other(io::Error::other(verdict()));
        assert_eq!(refusal(&twice), Some(&verdict()));
        assert_eq!(refusal(&io::Error::other("no verdict")), None);
    }
}
