//! Our global, assembled in this process as `kuma-cp run` assembles it, on a store that the test writes to.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use control_plane::{
    app::{self, Running},
    clock::Clock,
    config::Config,
    observe::log::Log,
    tls::{Alpn, ClientTrust},
};
use model::{Key, Kind, Resource};
use serde_json::{Value, json};
use store::{Batch, Query, ResourceStore, Write, memory::MemoryStore};
use tempfile::TempDir;
use testkit::{client, kds::Peer, program::LIMIT};
use tokio::net::TcpStream;

/// How the recorded zone reaches our global.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// As it was recorded: plain text, nothing to prove.
    Recorded,
    /// Over verified TLS, with a token put into its headers.
    Authenticated,
    /// Through a gateway.
    Relayed,
}

/// What our global makes by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fresh {
    /// The default mesh and host name generators, as 3.0 does.
    WithDefaults,
    /// Neither; the recorded global held others, or none.
    Bare,
}

/// A running global.
pub(crate) struct Global {
    pub(crate) store: Arc<dyn ResourceStore>,
    running: Running,
    /// Before it.
    gateway: Option<Running>,
    folder: TempDir,
    way: Way,
    fresh: Fresh,
}

impl Global {
    pub(crate) async fn start(way: Way, fresh: Fresh) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store: Arc<dyn ResourceStore> = Arc::new(MemoryStore::new());
        let running = run(&store, &folder, way, fresh).await;
        let gateway = match way {
            Way::Relayed => Some(run_gateway(&folder, loopback(running.addresses().kds)).await),
            Way::Recorded | Way::Authenticated => None,
        };
        Self { store, running, gateway, folder, way, fresh }
    }

    /// Stops, and starts again with an empty store.
    pub(crate) async fn restart_empty(&mut self) {
        assert!(self.gateway.is_none(), "the gateway would look for it on another port");
        self.stop().await;
        self.store = Arc::new(MemoryStore::new());
        self.running = run(&self.store, &self.folder, self.way, self.fresh).await;
    }

    /// Stops; nothing may have gone wrong before.
    pub(crate) async fn stop(&self) {
        if let Some(gateway) = &self.gateway {
            let (finished, failure) = gateway.stop(Duration::from_secs(10)).await;
            assert_eq!((finished, failure), (true, None), "the gateway ended well");
        }
        let (finished, failure) = self.running.stop(Duration::from_secs(10)).await;
        assert_eq!((finished, failure), (true, None), "the global ended well");
    }

    /// A connection to the KDS port.
    pub(crate) async fn connect(&self) -> Peer {
        let tcp = TcpStream::connect(self.kds()).await.unwrap();
        // As every real zone has it.
        tcp.set_nodelay(true).unwrap();
        match self.way {
            Way::Recorded | Way::Relayed => Peer::over(tcp).await,
            Way::Authenticated => {
                let trust = ClientTrust::from_file(self.folder.path().join("kuma-cp.crt"), Clock::system()).unwrap();
                let config = trust.client_config(Alpn::H2).unwrap();
                let name = "localhost".try_into().unwrap();
                Peer::over(tokio_rustls::TlsConnector::from(config).connect(name, tcp).await.unwrap()).await
            }
        }
    }

    /// The headers that prove a zone, if it has to prove anything.
    pub(crate) fn proof(&self, zone: &str) -> Option<(String, String)> {
        (self.way == Way::Authenticated).then(|| {
            let wanted = json!({"zone": zone, "validFor": "1h"});
            let (status, token) = self.rest("POST", "/tokens/control-plane", Some(&wanted));
            assert_eq!(status, 200, "{token}");
            ("authorization".to_owned(), token)
        })
    }

    /// Asks REST.
    pub(crate) fn rest(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, String) {
        client::ask(self.http(), method, path, body)
    }

    pub(crate) fn kds(&self) -> SocketAddr {
        loopback(self.gateway.as_ref().unwrap_or(&self.running).addresses().kds)
    }

    pub(crate) fn http(&self) -> SocketAddr {
        loopback(self.running.addresses().http)
    }

    /// The metrics as text.
    pub(crate) fn metrics(&self) -> String {
        client::ask(loopback(self.running.addresses().diagnostics), "GET", "/metrics", None).1
    }

    /// Waits until a zone has so many streams of a method.
    pub(crate) async fn open(&self, zone: &str, method: &str, count: usize) {
        let registry = self.running.registry().expect("a global");
        let mut changes = registry.changes();
        let settled = async {
            while registry
                .open()
                .iter()
                .filter(|open| open.caller.zone().as_str() == zone && open.method == method)
                .count()
                != count
            {
                changes.changed().await.expect("a registry");
            }
        };
        tokio::time::timeout(LIMIT, settled).await.expect("the stream is noticed");
    }

    /// Writes past the API, all at once.
    pub(crate) async fn write(&self, writes: Vec<Write>) {
        if !writes.is_empty() {
            self.store.apply(Batch::of(writes)).await.unwrap();
        }
    }

    /// What is stored under a key.
    pub(crate) async fn get(&self, key: &Key) -> Option<Arc<Resource>> {
        self.store.get(key).await.unwrap().map(|stored| stored.resource)
    }

    /// Everything of a kind.
    pub(crate) async fn all(&self, kind: Kind) -> Vec<Arc<Resource>> {
        self.store.list(&Query::all(kind)).await.unwrap().items.into_iter().map(|stored| stored.resource).collect()
    }
}

fn loopback(address: Option<SocketAddr>) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], address.expect("a port that is served").port()))
}

async fn run(store: &Arc<dyn ResourceStore>, folder: &TempDir, way: Way, fresh: Fresh) -> Running {
    let (auth, tls) = if way == Way::Authenticated { ("cpToken", "true") } else { ("none", "false") };
    let bare = (fresh == Fresh::Bare).to_string();
    let settings = [
        ("KUMA_MODE", "global"),
        ("KUMA_ENVIRONMENT", "universal"),
        ("KUMA_GENERAL_WORK_DIR", folder.path().to_str().unwrap()),
        ("KUMA_API_SERVER_HTTP_PORT", "0"),
        ("KUMA_API_SERVER_HTTP_INTERFACE", "127.0.0.1"),
        ("KUMA_API_SERVER_HTTPS_ENABLED", "false"),
        ("KUMA_DIAGNOSTICS_SERVER_PORT", "0"),
        ("KUMA_INTER_CP_SERVER_PORT", "0"),
        ("KUMA_MULTIZONE_GLOBAL_KDS_GRPC_PORT", "0"),
        ("KUMA_MULTIZONE_GLOBAL_KDS_AUTH_TYPE", auth),
        ("KUMA_MULTIZONE_GLOBAL_KDS_TLS_ENABLED", tls),
        // Counters are compared: show them soon.
        ("KUMA_MULTIZONE_GLOBAL_KDS_ZONE_INSIGHT_FLUSH_INTERVAL", "50ms"),
        ("KUMA_DEFAULTS_SKIP_MESH_CREATION", &bare),
        ("KUMA_DEFAULTS_SKIP_HOSTNAME_GENERATORS", &bare),
    ];
    let settings: Vec<_> = settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let (config, _remarks) = Config::from_sources(None, &settings, "/nowhere").unwrap();
    app::start_global_on(Arc::clone(store), config, Clock::system(), Log::quiet()).await.unwrap()
}

/// A gateway that believes every zone, so that what was recorded goes through.
async fn run_gateway(folder: &TempDir, global: SocketAddr) -> Running {
    let (work, upstream) = (folder.path().join("gateway"), format!("grpc://{global}"));
    std::fs::create_dir_all(&work).unwrap();
    let settings = [
        ("KUMA_MODE", "gateway"),
        ("KUMA_GENERAL_WORK_DIR", work.to_str().unwrap()),
        ("KUMA_STORE_TYPE", "memory"),
        ("KUMA_API_SERVER_HTTP_ENABLED", "false"),
        ("KUMA_API_SERVER_HTTPS_ENABLED", "false"),
        ("KUMA_DIAGNOSTICS_SERVER_PORT", "0"),
        ("KUMA_MULTIZONE_GLOBAL_KDS_GRPC_PORT", "0"),
        ("KUMA_MULTIZONE_GLOBAL_KDS_AUTH_TYPE", "none"),
        ("KUMA_MULTIZONE_GLOBAL_KDS_TLS_ENABLED", "false"),
        ("KUMA_MULTIZONE_GATEWAY_UPSTREAM", &upstream),
    ];
    let settings: Vec<_> = settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let (config, _remarks) = Config::from_sources(None, &settings, "/nowhere").unwrap();
    app::start(config, Clock::system(), Log::quiet()).await.unwrap()
}
