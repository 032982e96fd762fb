//! Who we are: the certificate and key that a listener shows, read again when the files change.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use jiff::Timestamp;
use rustls::{
    ServerConfig,
    server::{ClientHello, NoServerSessionStorage, ResolvesServerCert},
    sign::CertifiedKey,
};
use sha2::{Digest as _, Sha256};
use tracing::{info, warn};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{Alpn, ClientCerts, FileChanges, PairFiles, Protocols, TlsError, pem, provider};
use crate::tasks::{OnError, Tasks};

/// Files are read again this often even if they look unchanged.
const LOOK_AT_LEAST_EVERY: Duration = Duration::from_secs(10);

/// What reading the files again did.
#[derive(Debug)]
pub enum Reload {
    /// The files say what they said when they were read last.
    Same,
    /// New handshakes use the new content.
    Replaced,
    /// The new content is no good; the old one stays in force.
    Kept(TlsError),
}

/// The certificate and key of a listener. Handshakes take what is current; connections that are up stay up.
pub struct ServerIdentity {
    files: PairFiles,
    current: ArcSwap<CertifiedKey>,
    /// What was read last, good or bad: the same fault is told once.
    last_read: Mutex<Seen>,
}

#[derive(PartialEq, Eq)]
enum Seen {
    Content([u8; 32]),
    Unreadable(String),
}

impl ServerIdentity {
    /// Reads the pair; certificate and key must belong together.
    pub fn load(files: &PairFiles) -> Result<Arc<Self>, TlsError> {
        let (seen, loaded) = read(files);
        let current = ArcSwap::from_pointee(loaded?);
        Ok(Arc::new(Self { files: files.clone(), current, last_read: Mutex::new(seen) }))
    }

    /// Starts the task that reads the pair again when its files change.
    pub fn watch(self: &Arc<Self>, tasks: &Tasks) {
        let identity = Arc::clone(self);
        let owner = tasks.clone();
        let mut changes = FileChanges::of(&[&self.files.cert, &self.files.key], LOOK_AT_LEAST_EVERY);
        tasks.spawn("tls-identity", OnError::Log, async move {
            loop {
                tokio::select! {
                    () = owner.stopping() => return Ok(()),
                    () = changes.next() => { identity.reload(); }
                }
            }
        });
    }

    /// Reads the pair again now; logs what that did.
    pub fn reload(&self) -> Reload {
        let (seen, loaded) = read(&self.files);
        {
            let mut last = self.last_read.lock().unwrap_or_else(PoisonError::into_inner);
            if *last == seen {
                return Reload::Same;
            }
            *last = seen;
        }
        match loaded {
            Ok(pair) => {
                self.current.store(Arc::new(pair));
                let expires = self.expires_at().map(|at| at.to_string()).unwrap_or_default();
                info!(cert = %self.files.cert.display(), expires, "new certificate in use");
                Reload::Replaced
            }
            Err(error) => {
                warn!(
                    cert = %self.files.cert.display(), key = %self.files.key.display(), reason = %error.chain(),
                    "the new certificate cannot be used, the old one stays in use"
                );
                Reload::Kept(error)
            }
        }
    }

    /// Returns when the certificate in use ends.
    pub fn expires_at(&self) -> Option<Timestamp> {
        let current = self.current.load();
        let (_, certificate) = X509Certificate::from_der(current.cert.first()?).ok()?;
        Timestamp::from_second(certificate.validity().not_after.timestamp()).ok()
    }

    /// Returns the configuration of a listener that shows this identity, now and after reloads.
    pub fn server_config(
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
        Some(self.current.load_full())
    }
}

impl fmt::Debug for ServerIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerIdentity").field("files", &self.files).finish_non_exhaustive()
    }
}

/// Reads both files; tells what was seen apart from whether it is any good.
fn read(files: &PairFiles) -> (Seen, Result<CertifiedKey, TlsError>) {
    let (cert, key) = match (pem::read(&files.cert), pem::read(&files.key)) {
        (Ok(cert), Ok(key)) => (cert, key),
        (Err(error), _) | (_, Err(error)) => return (Seen::Unreadable(error.chain()), Err(error)),
    };
    let mut hash = Sha256::new();
    hash.update((cert.len() as u64).to_be_bytes());
    hash.update(&cert);
    hash.update(&key);
    (Seen::Content(hash.finalize().into()), parse(files, &cert, &key))
}

fn parse(files: &PairFiles, cert: &[u8], key: &[u8]) -> Result<CertifiedKey, TlsError> {
    let chain = pem::certificates(&files.cert, cert)?;
    let key = pem::private_key(&files.key, key)?;
    CertifiedKey::from_der(chain, key, &provider()).map_err(|source| TlsError::Pair {
        cert: files.cert.clone(),
        key: files.key.clone(),
        source,
    })
}
