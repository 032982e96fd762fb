//! Who we are: the certificate and key that a listener shows, read again when the files change.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;
use rustls::{
    ServerConfig,
    server::{ClientHello, NoServerSessionStorage, ResolvesServerCert},
    sign::CertifiedKey,
};
use tracing::{info, warn};
use x509_parser::prelude::{FromDer, X509Certificate};
use zeroize::Zeroizing;

use super::{
    Alpn, ClientCerts, PairFiles, Protocols, TlsError, pem, provider,
    reloaded::{Reloaded, Source},
};
use crate::tasks::Tasks;

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
pub(crate) struct ServerIdentity(Arc<Reloaded<PairFiles>>);

impl ServerIdentity {
    /// Reads the pair; certificate and key must belong together.
    pub(crate) fn load(files: &PairFiles) -> Result<Arc<Self>, TlsError> {
        Ok(Arc::new(Self(Reloaded::load(files.clone())?)))
    }

    /// Starts the task that reads the pair again when its files change.
    pub(crate) fn watch(&self, tasks: &Tasks) {
        self.0.watch(tasks);
    }

    /// Reads the pair again now.
    #[cfg(test)]
    pub(super) fn reload(&self) -> super::reloaded::Reload {
        self.0.reload()
    }

    /// Returns the file of the certificate, and when the one in use ends.
    fn told(&self) -> Option<(PathBuf, Timestamp)> {
        Some((self.0.source().cert.clone(), expires_at(&self.0.current())?))
    }

    /// Returns when the certificate in use ends.
    #[cfg(test)]
    pub(super) fn expires_at(&self) -> Option<Timestamp> {
        expires_at(&self.0.current())
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
        Some(self.0.current())
    }
}

impl fmt::Debug for ServerIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerIdentity").field("files", self.0.source()).finish_non_exhaustive()
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
