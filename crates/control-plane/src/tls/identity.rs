//! Who we are: the certificate and key that a listener shows, read again when the files change, or made here from the authority
//! of the store.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;
use rustls::{
    ServerConfig,
    client::verify_server_name,
    pki_types::ServerName,
    server::{ClientHello, NoServerSessionStorage, ParsedCertificate, ResolvesServerCert},
    sign::CertifiedKey,
};
use tracing::{info, warn};
use x509_parser::prelude::{FromDer, X509Certificate};
use zeroize::Zeroizing;

use super::{
    Alpn, ClientCerts, OwnAuthority, PairFiles, Protocols, TlsError,
    leaf::Leaf,
    pem, provider,
    reloaded::{Reloaded, Source},
};
use crate::{clock::Clock, tasks::Tasks};

/// The certificates that this program shows on its ports. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Certificates(Arc<Mutex<Vec<Arc<ServerIdentity>>>>);

impl Certificates {
    /// Adds one that is shown from now on.
    pub(crate) fn add(&self, identity: &Arc<ServerIdentity>) {
        self.lock().push(Arc::clone(identity));
    }

    /// Their files, and when each ends.
    pub(crate) fn ends(&self) -> Vec<(PathBuf, Timestamp)> {
        self.lock().iter().filter_map(|identity| identity.told()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<ServerIdentity>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The certificate and key of a listener. Handshakes take what is current; connections that are up stay up.
pub(crate) struct ServerIdentity(Shown);

enum Shown {
    Files(Arc<Reloaded<PairFiles>>),
    Made(Arc<Leaf>),
}

impl ServerIdentity {
    /// Reads the pair; certificate and key must belong together.
    pub(crate) fn load(files: &PairFiles) -> Result<Arc<Self>, TlsError> {
        Ok(Arc::new(Self(Shown::Files(Reloaded::load(files.clone())?))))
    }

    /// Makes a certificate with the names of this machine and others. The root file has the authority's own.
    pub(crate) fn of_authority(
        authority: OwnAuthority,
        root_file: &Path,
        also: &[String],
        clock: Clock,
    ) -> Result<Arc<Self>, TlsError> {
        Ok(Arc::new(Self(Shown::Made(Leaf::new(authority, root_file, also, clock)?))))
    }

    /// Starts the task that reads the pair again when its files change, or makes the certificate anew before its end.
    pub(crate) fn watch(&self, tasks: &Tasks) {
        match &self.0 {
            Shown::Files(files) => files.watch(tasks),
            Shown::Made(leaf) => leaf.watch(tasks),
        }
    }

    /// Reads the pair again now.
    #[cfg(test)]
    pub(super) fn reload(&self) -> super::reloaded::Reload {
        match &self.0 {
            Shown::Files(files) => files.reload(),
            Shown::Made(_) => super::reloaded::Reload::Same,
        }
    }

    fn current(&self) -> Arc<CertifiedKey> {
        match &self.0 {
            Shown::Files(files) => files.current(),
            Shown::Made(leaf) => leaf.current(),
        }
    }

    /// Returns the file of the certificate, and when the one in use ends.
    fn told(&self) -> Option<(PathBuf, Timestamp)> {
        match &self.0 {
            Shown::Files(files) => Some((files.source().cert.clone(), expires_at(&files.current())?)),
            Shown::Made(leaf) => Some(leaf.told()),
        }
    }

    /// Whether the certificate in use has all these names.
    pub(crate) fn has_names(&self, names: &[String]) -> bool {
        let current = self.current();
        let parsed = current.cert.first().and_then(|certificate| ParsedCertificate::try_from(certificate).ok());
        parsed.is_some_and(|certificate| {
            let is_in = |name: &String| {
                ServerName::try_from(name.as_str()).is_ok_and(|name| verify_server_name(&certificate, &name).is_ok())
            };
            names.iter().all(is_in)
        })
    }

    /// Returns when the certificate in use ends.
    #[cfg(test)]
    pub(super) fn expires_at(&self) -> Option<Timestamp> {
        expires_at(&self.current())
    }

    /// Returns the configuration of a listener that shows this identity, now and after reloads.
    pub(crate) fn server_config(
        self: &Arc<Self>,
        alpn: Alpn,
        protocols: &Protocols,
        clients: &ClientCerts,
    ) -> Result<Arc<ServerConfig>, TlsError> {
        let builder = ServerConfig::builder_with_provider(protocols.provider())
            .with_protocol_versions(protocols.versions())
            .map_err(|source| TlsError::Settings { source })?;
        let mut config = match clients {
            ClientCerts::Ignore => builder.with_no_client_auth(),
            ClientCerts::Require(roots) => builder.with_client_cert_verifier(roots.verifier()),
        }
        .with_cert_resolver(Arc::<Self>::clone(self));
        config.alpn_protocols = alpn.offer();
        // A resumed session would not show a new certificate, and would cost memory for each zone.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Arc::new(config))
    }
}

impl ResolvesServerCert for ServerIdentity {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current())
    }
}

impl fmt::Debug for ServerIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Shown::Files(files) => {
                f.debug_struct("ServerIdentity").field("files", files.source()).finish_non_exhaustive()
            }
            Shown::Made(_) => f.debug_struct("ServerIdentity").finish_non_exhaustive(),
        }
    }
}

impl Source for PairFiles {
    type Content = CertifiedKey;
    const TASK: &'static str = "tls-identity";

    fn files(&self) -> Vec<&Path> {
        vec![&self.cert, &self.key]
    }

    fn parse(&self, texts: &[Zeroizing<Vec<u8>>]) -> Result<CertifiedKey, TlsError> {
        let text = |place: usize| texts.get(place).map_or(&[][..], |text| text.as_slice());
        let chain = pem::certificates(&self.cert, text(0))?;
        let key = pem::private_key(&self.key, text(1))?;
        CertifiedKey::from_der(chain, key, &provider()).map_err(|source| TlsError::Pair {
            cert: self.cert.clone(),
            key: self.key.clone(),
            source,
        })
    }

    fn tell_replaced(&self, content: &CertifiedKey) {
        let expires = expires_at(content).map(|at| at.to_string()).unwrap_or_default();
        info!(cert = %self.cert.display(), expires, "new certificate in use");
    }

    fn tell_kept(&self, reason: &TlsError) {
        warn!(
            cert = %self.cert.display(), key = %self.key.display(), reason = %reason.chain(),
            "the new certificate cannot be used, the old one stays in use"
        );
    }
}

fn expires_at(pair: &CertifiedKey) -> Option<Timestamp> {
    let (_, certificate) = X509Certificate::from_der(pair.cert.first()?).ok()?;
    Timestamp::from_second(certificate.validity().not_after.timestamp()).ok()
}
