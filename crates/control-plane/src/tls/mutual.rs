//! TLS between two of a kind: both ends show a certificate of one authority, and believe that authority alone.

use std::sync::Arc;

use rustls::{
    ALL_VERSIONS, ClientConfig, RootCertStore, ServerConfig,
    client::Resumption,
    pki_types::CertificateDer,
    server::{NoServerSessionStorage, WebPkiClientVerifier},
    sign::{CertifiedKey, SingleCertAndKey},
};

use super::{Alpn, Protocols, provider, trust::ClockTime};
use crate::clock::Clock;

/// Both ends of such connections.
#[derive(Clone, Debug)]
pub(crate) struct Mutual {
    pub(crate) server: Arc<ServerConfig>,
    pub(crate) client: Arc<ClientConfig>,
}

impl Mutual {
    /// Shows a certificate, and believes those that `authority` signed.
    pub(crate) fn new(
        authority: CertificateDer<'static>,
        shown: CertifiedKey,
        protocols: &Protocols,
        clock: &Clock,
    ) -> Result<Self, rustls::Error> {
        let mut roots = RootCertStore::empty();
        roots.add(authority)?;
        let shown = Arc::new(SingleCertAndKey::from(shown));
        let (roots, time) = (Arc::new(roots), Arc::new(ClockTime(clock.clone())));
        let clients = WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), provider())
            .build()
            .map_err(|cause| rustls::Error::General(cause.to_string()))?;
        let mut server = ServerConfig::builder_with_details(protocols.provider(), Arc::clone(&time) as _)
            .with_protocol_versions(protocols.versions())?
            .with_client_cert_verifier(clients)
            .with_cert_resolver(Arc::clone(&shown) as _);
        server.alpn_protocols = Alpn::None.offer();
        // A resumed session would not look at the certificate again.
        server.session_storage = Arc::new(NoServerSessionStorage {});
        server.send_tls13_tickets = 0;
        let mut client = ClientConfig::builder_with_details(provider(), time)
            .with_protocol_versions(ALL_VERSIONS)?
            .with_root_certificates(roots)
            .with_client_cert_resolver(shown);
        client.resumption = Resumption::disabled();
        Ok(Self { server: Arc::new(server), client: Arc::new(client) })
    }
}
