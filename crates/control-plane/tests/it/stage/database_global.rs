//! A global on a database that it may share with others, inside the test: a test reaches its store past it.

use std::{net::SocketAddr, sync::Arc};

use control_plane::{
    app::{self, Running},
    clock::Clock,
    config::Config,
    observe::log::Log,
};
use model::{Key, Kind};
use prost::Message as _;
use store::{
    ResourceStore,
    postgres::{Identity, Password, Pool, PostgresStore, Settings, Times, Tls},
    testing::{Database, Instance},
};
use tempfile::TempDir;
use testkit::{
    client,
    kds::{Call, Peer},
    program::LIMIT,
};
use tokio::net::TcpStream;
use wire::envoy::{config::core::v3::Node, service::discovery::v3::DeltaDiscoveryRequest};

/// What any number of stores can be opened on.
pub(crate) trait Shared {
    /// One of them.
    type Store: ResourceStore;

    /// Opens another one.
    async fn another(&self) -> Arc<Self::Store>;
}

impl Shared for Database {
    type Store = Instance;

    async fn another(&self) -> Arc<Instance> {
        Arc::new(self.instance())
    }
}

impl Shared for testkit::postgres::Database {
    type Store = PostgresStore;

    async fn another(&self) -> Arc<PostgresStore> {
        let place = self.place();
        let settings = Settings {
            host: place.host.clone(),
            port: place.port,
            user: place.user.clone(),
            password: Password::new(place.password.clone()),
            database: place.database.clone(),
            tls: Tls::default(),
            connect_timeout: LIMIT,
            pool: Pool::default(),
            identity: Identity {
                mode: "global".to_owned(),
                zone: None,
                cluster: None,
                new_cluster: "cluster-of-tests".to_owned(),
            },
            tolerate_newer: false,
            // Nothing gives up because the machine is busy.
            times: Times { answer: LIMIT, behind_after: LIMIT, ..Times::default() },
            options: store::Options::default(),
        };
        Arc::new(PostgresStore::open(settings).await.unwrap())
    }
}

pub(crate) struct Global<S = Instance> {
    pub(crate) running: Running,
    /// The store that it works with.
    pub(crate) store: Arc<S>,
    /// The store of another control plane on the same database.
    pub(crate) other: Arc<S>,
    _folder: TempDir,
}

impl Global {
    pub(crate) async fn start() -> Self {
        Self::start_on(&Database::new()).await
    }
}

impl<S: ResourceStore> Global<S> {
    /// One of several on a database.
    pub(crate) async fn start_on(database: &impl Shared<Store = S>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (store, other) = (database.another().await, database.another().await);
        let settings = [
            ("KUMA_MODE", "global"),
            ("KUMA_GENERAL_WORK_DIR", folder.path().to_str().unwrap()),
            ("KUMA_API_SERVER_HTTP_PORT", "0"),
            ("KUMA_API_SERVER_HTTPS_ENABLED", "false"),
            ("KUMA_API_SERVER_AUTHN_LOCALHOST_IS_ADMIN", "false"),
            ("KUMA_DIAGNOSTICS_SERVER_PORT", "0"),
            ("KUMA_INTER_CP_SERVER_PORT", "0"),
            ("KUMA_MULTIZONE_GLOBAL_KDS_GRPC_PORT", "0"),
            ("KUMA_MULTIZONE_GLOBAL_KDS_TLS_ENABLED", "false"),
            ("KUMA_MULTIZONE_GLOBAL_KDS_AUTH_MAX_STALENESS", "45s"),
        ];
        let settings: Vec<_> = settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let (config, _remarks) = Config::from_sources(None, &settings, "/nowhere").unwrap();
        let running = app::start_global_on(Arc::<S>::clone(&store), config, Clock::system(), Log::quiet());
        Self { running: running.await.unwrap(), store, other, _folder: folder }
    }

    pub(crate) async fn peer(&self) -> Peer {
        Peer::over(TcpStream::connect(loopback(self.running.addresses().kds)).await.unwrap()).await
    }

    /// The answer of the REST API to who shows this token.
    pub(crate) fn rest(&self, method: &str, path: &str, token: &str, body: &str) -> (u16, String) {
        let url = format!("http://{}{path}", loopback(self.running.addresses().http));
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let request = http::Request::builder()
            .method(method)
            .uri(url)
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", "application/json");
        let mut response = agent.run(request.body(body.to_owned()).unwrap()).unwrap();
        (response.status().as_u16(), response.body_mut().read_to_string().unwrap())
    }

    pub(crate) fn ready(&self) -> (u16, String) {
        client::ask(loopback(self.running.addresses().diagnostics), "GET", "/ready", None)
    }

    /// The token that the control plane made for its administrator.
    pub(crate) async fn admin_token(&self) -> String {
        let key = Key::global(Kind::GLOBAL_SECRET, "admin-user-token");
        let stored = self.store.get(&key).await.unwrap().unwrap();
        let data = model::secret::decode(&stored.resource.spec).unwrap();
        String::from_utf8(data.to_vec()).unwrap()
    }
}

fn loopback(address: Option<SocketAddr>) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], address.expect("a port that is served").port()))
}

/// Asks until there is an answer.
pub(crate) async fn soon<T>(ask: impl AsyncFn() -> Option<T>) -> T {
    let asking = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
        }
    };
    tokio::time::timeout(LIMIT, asking).await.expect("an answer within the limit")
}

pub(crate) fn open(peer: &Peer, path: &str, token: &str) -> Call {
    peer.open(path, &[("client-id", "west"), ("authorization", token), ("features", "hash-suffix,zone-ping-health")])
}

pub(crate) fn subscribe(kind: &str) -> Vec<u8> {
    DeltaDiscoveryRequest {
        node: Some(Node { id: "west".to_owned(), metadata: None }),
        type_url: kind.to_owned(),
        resource_names_subscribe: vec!["*".to_owned()],
        ..DeltaDiscoveryRequest::default()
    }
    .encode_to_vec()
}
