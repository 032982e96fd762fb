//! Our global, assembled in this process as `kuma-cp run` assembles it, on a store that the test writes to.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

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

use crate::stage::relays::{self, Guard, here};

/// How the recorded zone reaches our global.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// As it was recorded: plain text, nothing to prove.
    Recorded,
    /// Over verified TLS, with a token put into its headers.
    Authenticated,
    /// Through a gateway.
    Relayed,
    /// Through a connector, which has the token.
    Connected,
    /// Through a connector and a gateway, which has the keys: our global wants no token.
    Both,
}

impl Way {
    /// Whether our global wants a token.
    fn is_authenticated(self) -> bool {
        matches!(self, Self::Authenticated | Self::Connected)
    }

    fn has_connectors(self) -> bool {
        matches!(self, Self::Connected | Self::Both)
    }
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
    /// Before it: one that believes every zone.
    gateway: Option<Running>,
    /// Before it: one that wants tokens.
    guard: Option<Guard>,
    /// Beside the zones.
    connectors: BTreeMap<String, Running>,
    /// Beside the zones before the global started again.
    former: Vec<Running>,
    folder: TempDir,
    way: Way,
    fresh: Fresh,
}

impl Global {
    pub(crate) async fn start(way: Way, fresh: Fresh) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store: Arc<dyn ResourceStore> = Arc::new(MemoryStore::new());
        let running = run(&store, &folder, way, fresh, 0).await;
        let (kds, mut gateway, mut guard) = (here(running.addresses().kds), None, None);
        match way {
            Way::Relayed => gateway = Some(relays::believing(folder.path(), kds).await),
            Way::Both => guard = Some(Guard::start(folder.path(), kds).await),
            Way::Recorded | Way::Authenticated | Way::Connected => {}
        }
        let (connectors, former) = (BTreeMap::new(), Vec::new());
        Self { store, running, gateway, guard, connectors, former, folder, way, fresh }
    }

    /// Stops, and starts again with an empty store.
    pub(crate) async fn restart_empty(&mut self) {
        ended_well(&self.running).await;
        if self.way.is_authenticated() {
            // Their tokens are of keys that are gone with the store. They run on, so that zones hear all that the global said.
            self.former.extend(std::mem::take(&mut self.connectors).into_values());
        }
        self.store = Arc::new(MemoryStore::new());
        // Where a gateway before it looks.
        let port = here(self.running.addresses().kds).port();
        self.running = run(&self.store, &self.folder, self.way, self.fresh, port).await;
    }

    /// Stops; nothing may have gone wrong before.
    pub(crate) async fn stop(&self) {
        let gateway = self.guard.as_ref().map(|guard| &guard.running).or(self.gateway.as_ref());
        for one in self.connectors.values().chain(&self.former).chain(gateway).chain([&self.running]) {
            ended_well(one).await;
        }
    }

    /// A connection of a zone that was recorded.
    pub(crate) async fn connect_as(&mut self, zone: &str) -> Peer {
        if !self.way.has_connectors() {
            return self.connect().await;
        }
        if !self.connectors.contains_key(zone) {
            let token = self.proof(zone).map(|(_, token)| token).unwrap_or_default();
            let connector = relays::connector_here(zone, &token, self.kds(), &self.ca()).await;
            self.connectors.insert(zone.to_owned(), connector);
        }
        let tcp = TcpStream::connect(here(self.connectors[zone].addresses().connector)).await.unwrap();
        tcp.set_nodelay(true).unwrap();
        Peer::over(tcp).await
    }

    /// The headers by which a recorded zone proves who it is, if it has to by itself.
    pub(crate) fn proof_of_the_zone(&self, zone: &str) -> Option<(String, String)> {
        self.proof(zone).filter(|_| self.way == Way::Authenticated)
    }

    /// A connection to the KDS port.
    pub(crate) async fn connect(&self) -> Peer {
        let tcp = TcpStream::connect(self.kds()).await.unwrap();
        // As every real zone has it.
        tcp.set_nodelay(true).unwrap();
        match self.way {
            Way::Recorded | Way::Relayed => Peer::over(tcp).await,
            Way::Authenticated | Way::Connected | Way::Both => {
                let trust = ClientTrust::from_file(self.ca(), Clock::system()).unwrap();
                let config = trust.client_config(Alpn::H2).unwrap();
                let name = "localhost".try_into().unwrap();
                Peer::over(tokio_rustls::TlsConnector::from(config).connect(name, tcp).await.unwrap()).await
            }
        }
    }

    /// The headers that prove a zone, if it has to prove anything.
    pub(crate) fn proof(&self, zone: &str) -> Option<(String, String)> {
        let token = match &self.guard {
            Some(guard) => Some(guard.token(zone)),
            None => self.way.is_authenticated().then(|| {
                let wanted = json!({"zone": zone, "validFor": "1h"});
                let (status, token) = self.rest("POST", "/tokens/control-plane", Some(&wanted));
                assert_eq!(status, 200, "{token}");
                token
            }),
        };
        token.map(|token| ("authorization".to_owned(), token))
    }

    /// Whom to believe to be the port that zones dial.
    fn ca(&self) -> PathBuf {
        self.guard.as_ref().map_or_else(|| self.folder.path().join("kuma-cp.crt"), |guard| guard.ca.clone())
    }

    /// Asks REST.
    pub(crate) fn rest(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, String) {
        client::ask(self.http(), method, path, body)
    }

    pub(crate) fn kds(&self) -> SocketAddr {
        let gateway = self.guard.as_ref().map(|guard| &guard.running).or(self.gateway.as_ref());
        here(gateway.unwrap_or(&self.running).addresses().kds)
    }

    pub(crate) fn http(&self) -> SocketAddr {
        here(self.running.addresses().http)
    }

    /// The metrics as text.
    pub(crate) fn metrics(&self) -> String {
        client::ask(here(self.running.addresses().diagnostics), "GET", "/metrics", None).1
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

async fn ended_well(control_plane: &Running) {
    let (finished, failure) = control_plane.stop(Duration::from_secs(10)).await;
    assert_eq!((finished, failure), (true, None), "it ended well");
}

async fn run(store: &Arc<dyn ResourceStore>, folder: &TempDir, way: Way, fresh: Fresh, port: u16) -> Running {
    let (auth, tls) = if way.is_authenticated() { ("cpToken", "true") } else { ("none", "false") };
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
        ("KUMA_MULTIZONE_GLOBAL_KDS_GRPC_PORT", &port.to_string()),
        ("KUMA_MULTIZONE_GLOBAL_KDS_AUTH_TYPE", auth),
        ("KUMA_MULTIZONE_GLOBAL_KDS_TLS_ENABLED", tls),
        // Counters are compared: show them soon.
        ("KUMA_MULTIZONE_GLOBAL_KDS_ZONE_INSIGHT_FLUSH_INTERVAL", "50ms"),
        ("KUMA_DEFAULTS_SKIP_MESH_CREATION", &bare),
        ("KUMA_DEFAULTS_SKIP_HOSTNAME_GENERATORS", &bare),
    ];
    let settings: Vec<_> = settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let (config, _remarks) = Config::from_sources(None, &settings, "/nowhere").unwrap();
    app::start_global_on(Arc::clone(store), None, config, Clock::system(), Log::quiet()).await.unwrap()
}
