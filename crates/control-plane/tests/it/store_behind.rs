//! A global control plane whose store does not hear what others write: who is in stays, nobody new is let in, and what was
//! deleted elsewhere ends with the first fresh picture.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use control_plane::{
    app::{self, Running},
    clock::Clock,
    config::Config,
    observe::log::Log,
};
use model::{Key, Kind};
use prost::Message as _;
use store::{
    Precondition, Query, ResourceStore,
    testing::{Database, Instance},
};
use tempfile::TempDir;
use testkit::{
    client,
    kds::{Call, Peer},
    program::LIMIT,
};
use tokio::{net::TcpStream, time::Instant};
use wire::{
    envoy::{config::core::v3::Node, service::discovery::v3::DeltaDiscoveryRequest},
    kuma::mesh::v1alpha1::ZoneHealthCheckRequest,
};

pub(crate) const DOWN: &str = "/kuma.mesh.v1alpha1.KDSSyncService/GlobalToZoneSync";
const PING: &str = "/kuma.mesh.v1alpha1.GlobalKDSService/HealthCheck";
const OK: u32 = 0;
const UNAVAILABLE: u32 = 14;
pub(crate) const UNAUTHENTICATED: u32 = 16;

pub(crate) struct Global {
    pub(crate) running: Running,
    /// The store that it works with.
    store: Instance,
    /// The store of another control plane on the same database.
    pub(crate) other: Instance,
    _folder: TempDir,
}

impl Global {
    async fn start() -> Self {
        Self::start_on(&Database::new()).await
    }

    /// One of several on a database.
    pub(crate) async fn start_on(database: &Database) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (store, other) = (database.instance(), database.instance());
        let settings = [
            ("KUMA_MODE", "global"),
            ("KUMA_GENERAL_WORK_DIR", folder.path().to_str().unwrap()),
            ("KUMA_API_SERVER_HTTP_PORT", "0"),
            ("KUMA_API_SERVER_HTTPS_ENABLED", "false"),
            ("KUMA_API_SERVER_AUTHN_LOCALHOST_IS_ADMIN", "false"),
            ("KUMA_DIAGNOSTICS_SERVER_PORT", "0"),
            ("KUMA_MULTIZONE_GLOBAL_KDS_GRPC_PORT", "0"),
            ("KUMA_MULTIZONE_GLOBAL_KDS_TLS_ENABLED", "false"),
        ];
        let settings: Vec<_> = settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let (config, _remarks) = Config::from_sources(None, &settings, "/nowhere").unwrap();
        let running = app::start_global_on(Arc::new(store.clone()), config, Clock::system(), Log::quiet());
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

    fn ready(&self) -> (u16, String) {
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_in_stays_and_nobody_new_is_let_in_while_the_store_is_behind() {
    let global = Global::start().await;
    let admin = global.admin_token().await;
    let wanted = r#"{"zone": "west", "validFor": "1h"}"#;
    let (status, token) = global.rest("POST", "/tokens/control-plane", &admin, wanted);
    assert_eq!(status, 200, "{token}");
    let peer = global.peer().await;
    let mut session = open(&peer, DOWN, &token);
    session.send(&subscribe("Mesh"));
    assert!(session.next().await.is_some());

    // The keys are deleted on another control plane, and this one does not hear it.
    let long_ago = Instant::now().checked_sub(Duration::from_secs(60)).expect("a machine that runs for a minute");
    global.store.fall_behind_since(long_ago);
    for secret in global.other.list(&Query::all(Kind::GLOBAL_SECRET)).await.unwrap().items {
        if secret.resource.key.name.starts_with("control-plane-signing-key") {
            global.other.delete(&secret.resource.key, Precondition::Present).await.unwrap();
        }
    }
    // What is published to the parts is there in a moment.
    let refused = soon(async || {
        let mut call = open(&peer, DOWN, &token);
        call.half_close();
        let ended = call.ended().await;
        (ended.code == UNAVAILABLE && ended.message.starts_with("tokens cannot be checked")).then_some(ended)
    })
    .await;
    assert!(refused.message.contains("try again later"), "{refused:?}");
    let (status, said) = soon(async || Some(global.ready()).filter(|(status, _)| *status != 200)).await;
    assert!(status == 503 && said.starts_with("store: behind since ") && said.lines().count() == 1, "{said}");
    let (status, said) = global.rest("GET", "/meshes", &admin, "");
    assert!(status == 503 && said.contains("tokens cannot be checked"), "{status} {said}");
    let mut ping = open(&peer, PING, &token);
    ping.send(&ZoneHealthCheckRequest::default().encode_to_vec());
    ping.half_close();
    assert_eq!(ping.ended().await.code, OK, "a session that stays is answered");
    session.send(&subscribe("MeshTimeout"));
    assert!(session.next().await.is_some(), "and served");

    global.store.catch_up();
    let ended = session.ended().await;
    assert_eq!(ended.code, UNAUTHENTICATED, "{ended:?}");
    let mut again = open(&global.peer().await, DOWN, &token);
    again.half_close();
    assert_eq!(again.ended().await.code, UNAUTHENTICATED);
    assert_eq!(global.rest("GET", "/meshes", &admin, "").0, 200, "the other keys are as good as before");
    let (finished, failure) = global.running.stop(Duration::from_secs(10)).await;
    assert_eq!((finished, failure), (true, None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_control_plane_that_hears_nothing_any_more_stops() {
    let global = Global::start().await;
    global.store.end_watches();
    global.running.tasks().stopping().await;
    let (_, failure) = global.running.stop(Duration::from_secs(10)).await;
    assert!(failure.is_some_and(|why| why.contains("watch")), "it says why");
}
