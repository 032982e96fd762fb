//! Why certificates, keys or settings of TLS cannot be used.

use std::{io, path::PathBuf};

use model::causes;
use rustls_pki_types::pem;
use thiserror::Error;

/// Why certificates, keys or settings of TLS cannot be used.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file or folder cannot be written.
    #[error("cannot write `{}`", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file is not PEM.
    #[error("`{}` is not PEM", path.display())]
    NotPem {
        /// The file.
        path: PathBuf,
        /// Where parsing stopped.
        source: pem::Error,
    },
    /// A file holds no certificate.
    #[error("`{}` holds no certificate, expected a PEM block `CERTIFICATE`", path.display())]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// A file holds no private key.
    #[error(
        "`{}` holds no private key, expected a PEM block `PRIVATE KEY`, `RSA PRIVATE KEY` or `EC PRIVATE KEY`",
        path.display()
    )]
    NoKey {
        /// The file.
        path: PathBuf,
    },
    /// A certificate cannot be parsed.
    #[error("`{}` holds a certificate that cannot be read: {detail}", path.display())]
    BadCertificate {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// Certificate and key cannot serve together.
    #[error("the certificate in `{}` and the key in `{}` cannot be used together", cert.display(), key.display())]
    Pair {
        /// The file of the certificate.
        cert: PathBuf,
        /// The file of the key.
        key: PathBuf,
        /// Why not: no match, unknown kind of key.
        source: rustls::Error,
    },
    /// The machine trusts nobody.
    #[error("the system's trust store holds no certificate, name a file with the CA of the other side")]
    NoSystemRoots,
    /// A TLS version that is not known or not supported.
    #[error("unknown TLS version `{name}`, supported: TLSv1_2, TLSv1_3")]
    Version {
        /// What was asked for.
        name: String,
    },
    /// No version lies between minimum and maximum.
    #[error("the minimum TLS version `{min}` is newer than the maximum `{max}`")]
    VersionOrder {
        /// The minimum.
        min: String,
        /// The maximum.
        max: String,
    },
    /// A cipher suite that is not known or not supported.
    #[error("unknown TLS cipher suite `{name}`, supported: {supported}")]
    CipherSuite {
        /// What was asked for.
        name: String,
        /// What there is, separated by commas.
        supported: String,
    },
    /// The parts are fine one by one, but make no configuration.
    #[error("the TLS settings do not go together")]
    Settings {
        /// What the TLS library said.
        source: rustls::Error,
    },
    /// A certificate could not be made.
    #[error("cannot make a certificate")]
    Generate {
        /// What the certificate library said.
        source: rcgen::Error,
    },
}

impl TlsError {
    /// Returns the whole chain of causes in one line, for a log field.
    pub(crate) fn chain(&self) -> String {
        causes::on_one_line(self)
    }
}
