//! What is between our zone and the recorded global.

use std::{net::SocketAddr, path::Path, sync::Arc};

use control_plane::{
    app::Running,
    clock::Clock,
    tasks::{OnError, Tasks},
};
use model::ZoneName;
use rustls::{ServerConfig, pki_types::PrivateKeyDer};
use tempfile::TempDir;
use tokens::{KeyRing, SecretEntry};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::DropGuard;
use uuid::Uuid;

use crate::stage::{
    relays::{Guard, believing, connector_here, here},
    way::Way,
};

/// The relays, running.
#[derive(Default)]
pub(crate) struct Between {
    /// Where the zone finds the first of them.
    pub(crate) near: Option<SocketAddr>,
    pub(crate) has_connector: bool,
    /// What the recorded global hears in the name of the zone; nothing where a gateway keeps it.
    pub(crate) token: Option<String>,
    _running: Vec<Running>,
    /// What ends TLS.
    _tls: Option<DropGuard>,
    _folder: Option<TempDir>,
}

impl Between {
    /// Starts what this way has, before this address.
    pub(crate) async fn start(way: Way, zone: &str, global: SocketAddr) -> Self {
        let (folder, tasks) = (tempfile::tempdir().unwrap(), Tasks::new());
        let (near, token, running) = match way {
            Way::Direct => return Self::default(),
            Way::Gateway => {
                let gateway = believing(folder.path(), global).await;
                (here(gateway.addresses().kds), None, vec![gateway])
            }
            Way::Connector => {
                let token = token(zone);
                // A token does not travel in plain text.
                let ca = folder.path().join("ca.pem");
                let global = behind_tls(global, &ca, &tasks).await;
                let connector = connector_here(zone, &token, global, &ca).await;
                (here(connector.addresses().connector), Some(token), vec![connector])
            }
            Way::Both => {
                let guard = Guard::start(folder.path(), global).await;
                let connector = connector_here(zone, &guard.token(zone), guard.kds(), &guard.ca).await;
                (here(connector.addresses().connector), None, vec![connector, guard.running])
            }
        };
        let has_connector = matches!(way, Way::Connector | Way::Both);
        Self {
            near: Some(near),
            has_connector,
            token,
            _running: running,
            _tls: Some(tasks.stop_on_drop()),
            _folder: Some(folder),
        }
    }
}

/// Ends TLS before a port that has none, as a balancer does; returns where, and writes whom to believe.
async fn behind_tls(global: SocketAddr, ca: &Path, tasks: &Tasks) -> SocketAddr {
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

/// A token of a zone that the recorded global does not look at.
fn token(zone: &str) -> String {
    let key = tokens::generate_signing_key();
    let entry = SecretEntry { mesh: "", name: "control-plane-signing-key-0001", data: Some(key.reveal().as_bytes()) };
    let (ring, _) = KeyRing::build(1, &[entry]);
    let zone = ZoneName::parse(zone).unwrap();
    tokens::issue_control_plane(&ring, &zone, None, Clock::system().now(), Uuid::new_v4()).unwrap().reveal().to_owned()
}
