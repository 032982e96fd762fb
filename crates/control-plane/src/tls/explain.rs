//! Says what an operator can do about a handshake that failed.

use std::{error::Error, io, path::Path};

use jiff::Timestamp;
use model::causes;
use rustls::{CertificateError, pki_types::UnixTime};
use thiserror::Error;
use trust::CaAsServer;

/// Why a handshake failed. The texts say what to do.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum HandshakeProblem {
    /// Nobody we believe signed the certificate.
    #[error(
        "x509: certificate of `{host}` is signed by an unknown authority: put the CA that signed it, or the \
         certificate itself if it is self-signed (`kuma-cp.crt` in the work directory of the global control plane), \
         into {roots}"
    )]
    UnknownCa {
        /// Whom we dialled.
        host: String,
        /// Where we look for CAs.
        roots: String,
    },
    /// The certificate is for others.
    #[error(
        "x509: certificate is not valid for `{host}`, but for {names}: dial one of these names, or give the global \
         control plane a certificate for `{host}`"
    )]
    WrongName {
        /// Whom we dialled.
        host: String,
        /// What the certificate says.
        names: String,
    },
    /// The certificate ended.
    #[error(
        "x509: certificate of `{host}` expired at {since}: give the global control plane a new one, it is read without a restart"
    )]
    Expired {
        /// Whom we dialled.
        host: String,
        /// When it ended.
        since: String,
    },
    /// The certificate begins later.
    #[error("x509: certificate of `{host}` is not valid before {from}: check the clocks of both machines")]
    NotYetValid {
        /// Whom we dialled.
        host: String,
        /// When it begins.
        from: String,
    },
    /// A CA's certificate as a server's own.
    #[error(
        "x509: `{host}` shows a CA's certificate as its own: put that certificate itself into {roots}, or give the \
         global control plane a server certificate"
    )]
    CaAsServer {
        /// Whom we dialled.
        host: String,
        /// Where we look for CAs.
        roots: String,
    },
    /// Something else is wrong with the certificate.
    #[error("x509: certificate of `{host}` is refused: {detail}")]
    BadCertificate {
        /// Whom we dialled.
        host: String,
        /// What the TLS library said.
        detail: String,
    },
    /// The other side speaks something else.
    #[error("`{host}` does not speak TLS on this port: check the port, or whether TLS is off there (`grpc://`)")]
    NotTls {
        /// Whom we dialled.
        host: String,
    },
    /// The other side closed the connection.
    #[error("`{host}` closed the connection in the TLS handshake: check that this is the port of the KDS server")]
    Closed {
        /// Whom we dialled.
        host: String,
    },
    /// Anything else.
    #[error("TLS handshake with `{host}` failed: {detail}")]
    Other {
        /// Whom we dialled.
        host: String,
        /// What was said.
        detail: String,
    },
}

impl HandshakeProblem {
    /// Finds the TLS library's verdict in a chain of causes.
    pub(super) fn of(host: &str, file: Option<&Path>, error: &(dyn Error + 'static)) -> Self {
        let host = host.to_owned();
        let roots = file.map_or_else(
            || "a file that `multizone.zone.kds.rootCaFile` names (now the system's trust store is used)".to_owned(),
            |file| format!("`{}` (it is read again without a restart)", file.display()),
        );
        match trust::refusal(error) {
            Some(rustls::Error::InvalidCertificate(cause)) => Self::of_certificate(host, roots, cause),
            Some(rustls::Error::InvalidMessage(_)) => Self::NotTls { host },
            Some(other) => Self::Other { host, detail: other.to_string() },
            None if was_closed(error) => Self::Closed { host },
            None => Self::Other { host, detail: causes::on_one_line(error) },
        }
    }

    fn of_certificate(host: String, roots: String, cause: &CertificateError) -> Self {
        match cause {
            CertificateError::UnknownIssuer => Self::UnknownCa { host, roots },
            CertificateError::NotValidForName => Self::WrongName { host, names: "other names".to_owned() },
            CertificateError::NotValidForNameContext { presented, .. } => {
                let names = if presented.is_empty() {
                    "no name at all".to_owned()
                } else {
                    presented.iter().map(|name| plain(name)).collect::<Vec<_>>().join(", ")
                };
                Self::WrongName { host, names }
            }
            CertificateError::Expired => Self::Expired { host, since: "a time in the past".to_owned() },
            CertificateError::ExpiredContext { not_after, .. } => Self::Expired { host, since: readable(*not_after) },
            CertificateError::NotValidYet => Self::NotYetValid { host, from: "a time to come".to_owned() },
            CertificateError::NotValidYetContext { not_before, .. } => {
                Self::NotYetValid { host, from: readable(*not_before) }
            }
            CertificateError::Other(other) if other.0.downcast_ref::<CaAsServer>().is_some() => {
                Self::CaAsServer { host, roots }
            }
            other => Self::BadCertificate { host, detail: other.to_string() },
        }
    }
}

/// A name of a certificate as people write it; the TLS library gives `DnsName("localhost")`.
fn plain(name: &str) -> String {
    let inner = name.split_once('(').and_then(|(_kind, rest)| rest.strip_suffix(')')).unwrap_or(name);
    format!("`{}`", inner.trim_matches('"'))
}

/// Returns the time as people read it.
fn readable(time: UnixTime) -> String {
    i64::try_from(time.as_secs())
        .ok()
        .and_then(|seconds| Timestamp::from_second(seconds).ok())
        .map_or_else(|| format!("second {}", time.as_secs()), |time| time.to_string())
}

fn was_closed(error: &(dyn Error + 'static)) -> bool {
    trust::cause(error, |one| one.downcast_ref::<io::Error>().map(io::Error::kind)).is_some_and(|kind| {
        matches!(kind, io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe)
    })
}
