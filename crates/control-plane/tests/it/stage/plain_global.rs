//! What a connector needs before a global in plain text: TLS that ends before it, and a token that nobody looks at.

use std::{net::SocketAddr, path::Path, sync::Arc};

use control_plane::{
    clock::Clock,
    tasks::{OnError, Tasks},
};
use model::ZoneName;
use rustls::{ServerConfig, pki_types::PrivateKeyDer};
use tokens::{KeyRing, SecretEntry};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use uuid::Uuid;

/// Ends TLS before a port that has none, as a balancer does; returns where, and writes whom to believe.
pub(crate) async fn behind_tls(global: SocketAddr, ca: &Path, tasks: &Tasks) -> SocketAddr {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(ca, made.cert.pem()).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = config.with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key).unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, connections) = (listener.local_addr().unwrap(), tasks.clone());
    tasks.spawn("tls", OnError::Log, async move {
        loop {
            let (near, _) = listener.accept().await?;
            let acceptor = acceptor.clone();
            connections.spawn("tls-connection", OnError::Log, async move {
                let (mut near, mut far) = (acceptor.accept(near).await?, TcpStream::connect(global).await?);
                far.set_nodelay(true)?;
                // An end without a farewell is one, too.
                let _cut = tokio::io::copy_bidirectional(&mut near, &mut far).await;
                Ok(())
            });
        }
    });
    address
}

/// A token of a zone that no global looks at.
pub(crate) fn token(zone: &str) -> String {
    let key = tokens::generate_signing_key();
    let entry = SecretEntry { mesh: "", name: "control-plane-signing-key-0001", data: Some(key.reveal().as_bytes()) };
    let (ring, _) = KeyRing::build(1, &[entry]);
    let zone = ZoneName::parse(zone).unwrap();
    tokens::issue_control_plane(&ring, &zone, None, Clock::system().now(), Uuid::new_v4()).unwrap().reveal().to_owned()
}
