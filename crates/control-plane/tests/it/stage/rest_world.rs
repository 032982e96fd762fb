//! A control plane as it is after its first start, in memory.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use control_plane::{
    access::{Access, Allowed, Remote, Transport, ZoneGrants},
    bootstrap::{self, Wanted},
    clock::Clock,
    config::Config,
    issuing::{Issuer, Issuers},
    keys::Keys,
    ledger::Ledger,
    rest::{AdminAnswer, AdminError, AdminRequest, Api, EnvoyAdmin, Handles, Settings},
    tasks::Tasks,
    writes::{MeshDefaults, Rules, Side, Writes},
};
use http_body_util::{BodyExt as _, Full};
use model::{Key, Kind, Labels, ProxyView, Resource, labels, proto, secret};
use serde_json::{Map, Value, json};
use store::{Precondition, Query, ResourceStore, memory::MemoryStore};
use tokens::{Accept, KeyRing, SecretName, ZoneTerms};
use tokio::sync::{Mutex, watch};
use tokio_util::sync::DropGuard;

/// One control plane.
pub(crate) struct World {
    pub(crate) store: Arc<dyn ResourceStore>,
    clock: Clock,
    api: Api,
    followed: Mutex<Followed>,
    https: bool,
    /// The keys are followed for as long as this lives.
    _tasks: DropGuard,
}

/// How far the keys have followed the store.
struct Followed {
    rings: watch::Receiver<Arc<KeyRing>>,
    /// The secrets and records that tokens are verified with, as the newest ring has them.
    secrets: Vec<(Key, Bytes)>,
}

/// One request.
pub(crate) struct Ask<'a> {
    pub(crate) remote: bool,
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Option<String>,
}

/// An answer of ours.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// The status.
    pub(crate) status: u16,
    /// The headers the recorder kept.
    pub(crate) headers: Map<String, Value>,
    /// The body.
    pub(crate) body: String,
}

impl World {
    /// Starts a control plane; `settings` is how the recordings tell of settings beyond the defaults.
    pub(crate) async fn start(side: Side, settings: &str) -> Self {
        Self::start_on(Arc::new(MemoryStore::new()), side, settings).await
    }

    /// Starts a control plane on a store.
    pub(crate) async fn start_on(store: Arc<dyn ResourceStore>, side: Side, settings: &str) -> Self {
        let clock = Clock::starting_at("2026-11-24T12:00:00Z".parse().expect("time"));
        let has = |text: &str| settings.contains(text);
        let issuers_off = has("issuers off");
        let ops = Allowed { users: vec![], groups: vec!["ops".to_owned()] };
        let mut access = Access::default();
        if issuers_off {
            (access.control_plane_metadata, access.view_config_dump, access.view_stats) =
                (ops.clone(), ops.clone(), ops);
        }
        if has("john issues for west") {
            let zones = vec!["west".parse().expect("pattern"), "edge-*".parse().expect("pattern")];
            access.zones = ZoneGrants([("john".to_owned(), zones)].into());
        }
        if has("boss sees signing keys") {
            access.view_signing_keys = Allowed { users: vec!["boss".to_owned()], groups: vec![] };
        }
        let access = Arc::new(access);
        let rules = Rules {
            side: side.clone(),
            sends_keys: side == Side::Global,
            read_only: has("readOnly: true"),
            origin_label_is_free: false,
            unsafe_delete: false,
            mesh_defaults: MeshDefaults::AsTheMeshSays,
        };
        let base_path = if has("basePath: /api/cp") { "/api/cp" } else { "/" };
        let cors = if has("http://gui.example") { vec!["http://gui.example".to_owned()] } else { vec![] };
        let on = !issuers_off;
        let wanted = Wanted { admin_token: on, default_mesh: !has("skipMeshCreation"), ..Wanted::default() };
        let made = match &side {
            Side::Global => bootstrap::global(&store, &wanted, clock.now()).await,
            Side::FederatedZone(_) | Side::LoneZone(_) => bootstrap::zone(&store, &side, &wanted, clock.now()).await,
        };
        made.expect("what a first start makes");
        let tasks = Tasks::new();
        let keys = Keys::start(&store, &tasks).await.expect("keys");
        let followed = Followed { rings: keys.subscribe(), secrets: verifying(&store).await }.into();
        let ledger = Ledger::start(&store, &clock, &tasks).await.expect("ledger");
        let issuers = Issuers { dataplane: on, zone: on, user: on, control_plane: on, without_end_until: None };
        let issuer = Issuer::new(keys.clone(), clock.clone(), issuers, ledger.clone());
        let api = Api::new(Handles {
            readiness: control_plane::observe::readiness::Readiness::default(),
            rotations: None,
            doctor: None,
            store: store.clone(),
            clock: clock.clone(),
            writes: Writes::new(store.clone(), clock.clone(), rules),
            access,
            keys,
            issuer,
            ledger,
            admin: Arc::new(TheZone(store.clone())),
            settings: Settings {
                product: "Kuma".to_owned(),
                base_path: base_path.to_owned(),
                cors_allowed_domains: cors,
                read_timeout: Duration::from_secs(10),
                localhost_is_admin: !has("localhostIsAdmin: false"),
                zones: (side == Side::Global).then_some(ZoneTerms {
                    accept: Accept::CpToken,
                    leeway: Duration::from_secs(30),
                    legacy_until: None,
                }),
                elsewhere: None,
                config_json: configuration(&side).display_json().into(),
                hostname: "cp-host".to_owned(),
                instance_id: "cp-host-1a2b".to_owned(),
            },
        });
        Self { store, clock, api, followed, https: false, _tasks: tasks.stop_on_drop() }
    }

    /// Method and path of every route.
    pub(crate) fn routes(&self) -> Vec<(http::Method, String)> {
        self.api.routes()
    }

    /// Writes a resource past the API, as the parts do that are not under test here.
    pub(crate) async fn put(&self, key: Key, labels: Labels, spec: Bytes, owner: Option<Key>) {
        let now = self.clock.now();
        let status = key.kind.empty_status.map(|status| Bytes::from_static(status.as_bytes()));
        let resource = Resource { key, labels, spec, status, owner, created: now, modified: now };
        self.store.put(resource, Precondition::Any).await.expect("put");
        self.keys_follow().await;
    }

    /// Deletes a resource past the API.
    pub(crate) async fn delete(&self, key: &Key) {
        self.store.delete(key, Precondition::Present).await.expect("delete");
        self.keys_follow().await;
    }

    /// Writes an insight as it was recorded.
    pub(crate) async fn put_insight(&self, key: Key, shown: &Value, owner: Key) {
        let mut fields = shown.as_object().cloned().unwrap_or_default();
        fields.retain(|name, _| !model::document::META.contains(&name.as_str()));
        let spec = proto::spec_from_json(key.kind, &fields).expect("insight");
        let labels = serde_json::from_value(shown["labels"].clone()).unwrap_or_default();
        self.put(key, labels, spec, Some(owner)).await;
    }

    /// Everything of a kind.
    pub(crate) async fn all(&self, kind: Kind) -> Vec<Arc<Resource>> {
        let page = self.store.list(&Query::all(kind)).await.expect("list");
        page.items.into_iter().map(|stored| stored.resource).collect()
    }

    /// Waits until the keys that are relied on are those in the store. Each write is waited for by itself.
    async fn keys_follow(&self) {
        let mut followed = self.followed.lock().await;
        let secrets = verifying(&self.store).await;
        if followed.secrets != secrets {
            followed.secrets = secrets;
            followed.rings.changed().await.expect("the keys are followed");
        }
    }

    /// Sends a request and returns the answer.
    pub(crate) async fn ask(&self, host: &str, ask: Ask<'_>) -> Answer {
        let address: SocketAddr =
            if ask.remote { "10.9.9.1:40000" } else { "127.0.0.1:40000" }.parse().expect("address");
        let https = self.https || host.ends_with(":5682");
        let remote = Remote { address, transport: if https { Transport::Https } else { Transport::Http } };
        let mut request = http::Request::builder().method(ask.method).uri(uri(ask.path));
        if !ask.headers.iter().any(|(name, _)| name == "host") {
            request = request.header("host", host);
        }
        for (name, value) in &ask.headers {
            request = request.header(name, value);
        }
        let body = Full::new(Bytes::from(ask.body.unwrap_or_default()));
        let response = self.api.answer(remote, request.body(body).expect("request")).await;
        let (head, body) = response.into_parts();
        let headers = head.headers.iter().map(|(name, value)| (name.to_string(), json!(value.to_str().unwrap_or("?"))));
        let body = body.collect().await.expect("body").to_bytes();
        let answer = Answer {
            status: head.status.as_u16(),
            headers: headers.collect(),
            body: String::from_utf8_lossy(&body).into_owned(),
        };
        self.keys_follow().await;
        answer
    }

    /// What a connected zone sends up: its own resources, under names with a hash.
    pub(crate) async fn send_up(&self, global: &Self, zone: &str) {
        let owner = Key::global(Kind::ZONE, zone);
        for kind in Kind::all().filter(|kind| kind.flow.zone_to_global()) {
            for found in self.all(kind).await {
                if found.labels.get(labels::ORIGIN).is_some_and(|origin| origin == labels::ORIGIN_GLOBAL) {
                    continue;
                }
                let out = sync::to_global(&found, zone, &[]);
                let mut labels = out.labels;
                labels.insert(labels::ORIGIN.to_owned(), labels::ORIGIN_ZONE.to_owned());
                labels.insert(labels::ZONE.to_owned(), zone.to_owned());
                labels.entry(labels::DISPLAY_NAME.to_owned()).or_insert_with(|| found.key.name.clone());
                let key = Key { kind, mesh: out.name.mesh, name: out.name.name };
                global.put(key, labels, out.spec, Some(owner.clone())).await;
            }
        }
    }

    /// What a global sends down to a zone that connects.
    pub(crate) async fn send_down(&self, zone: &Self) {
        for kind in Kind::all().filter(|kind| kind.flow.from_global()) {
            for found in self.all(kind).await {
                let name = found.key.name.as_str();
                if kind == Kind::GLOBAL_SECRET && model::reserved::is_reserved_global_secret(name) {
                    continue;
                }
                let out = sync::to_zone(&found, true, &[]);
                let key = Key { kind, mesh: out.name.mesh, name: out.name.name };
                zone.put(key, out.labels, out.spec, None).await;
            }
        }
        let public = Key::global(Kind::GLOBAL_SECRET, "zone-token-signing-public-key-1");
        let key = self.store.get(&Key::global(Kind::GLOBAL_SECRET, "zone-token-signing-key-1")).await.expect("store");
        let pem = secret::decode(&key.expect("a first start makes it").resource.spec).expect("secret");
        let pem = tokens::public_half(&pem).expect("public half");
        let labels = [(labels::DISPLAY_NAME, "zone-token-signing-key-1"), (labels::ORIGIN, labels::ORIGIN_GLOBAL)];
        let labels = labels.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        zone.put(public, labels, secret::encode(pem.as_bytes()), None).await;
    }
}

/// The settings of every recorded server.
fn configuration(side: &Side) -> Config {
    let mut settings = vec![
        ("KUMA_MODE", "global"),
        ("KUMA_ENVIRONMENT", "universal"),
        ("KUMA_STORE_TYPE", "memory"),
        ("KUMA_REPORTS_ENABLED", "false"),
        ("KUMA_GENERAL_WORK_DIR", "global"),
        ("KUMA_INTER_CP_CATALOG_INSTANCE_ADDRESS", "127.0.0.1"),
        ("KUMA_MULTIZONE_GLOBAL_KDS_TLS_ENABLED", "false"),
    ];
    if let Some(zone) = side.zone() {
        settings = vec![
            ("KUMA_MODE", "zone"),
            ("KUMA_STORE_TYPE", "memory"),
            ("KUMA_GENERAL_WORK_DIR", "zone"),
            ("KUMA_INTER_CP_CATALOG_INSTANCE_ADDRESS", "127.0.0.1"),
            ("KUMA_INTER_CP_SERVER_PORT", "6683"),
            ("KUMA_API_SERVER_HTTP_PORT", "6681"),
            ("KUMA_API_SERVER_HTTPS_PORT", "6682"),
            ("KUMA_DIAGNOSTICS_SERVER_PORT", "6680"),
            ("KUMA_DP_SERVER_PORT", "6678"),
            ("KUMA_MONITORING_ASSIGNMENT_SERVER_PORT", "6676"),
            ("KUMA_MULTIZONE_ZONE_NAME", zone),
            ("KUMA_MULTIZONE_ZONE_GLOBAL_ADDRESS", "grpc://127.0.0.1:5685"),
        ];
    }
    let settings: Vec<(String, String)> =
        settings.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    Config::from_sources(None, &settings, "/home/kuma").expect("configuration").0
}

/// The secrets and records that tokens are verified with, in order.
async fn verifying(store: &Arc<dyn ResourceStore>) -> Vec<(Key, Bytes)> {
    let mut found = Vec::new();
    for kind in [Kind::SECRET, Kind::GLOBAL_SECRET, Kind::RECORD] {
        let page = store.list(&Query::all(kind)).await.expect("list");
        found.extend(page.items.into_iter().map(|stored| (stored.resource.key.clone(), stored.resource.spec.clone())));
    }
    let revokes = |key: &Key| key.kind == Kind::RECORD && key.name.starts_with("revocation.");
    found.retain(|(key, _)| SecretName::parse(&key.mesh, &key.name).is_some() || revokes(key));
    found
}

/// The recorder wrote some characters as they are that a client writes escaped.
fn uri(path: &str) -> http::Uri {
    let escaped = path.replace(' ', "%20").replace('<', "%3C").replace('>', "%3E");
    escaped.parse().unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The streams to the zone of the recordings, whose proxies have no admin interface.
struct TheZone(Arc<dyn ResourceStore>);

#[async_trait::async_trait]
impl EnvoyAdmin for TheZone {
    async fn ask(&self, zone: &str, _proxy: &Resource, request: AdminRequest) -> Result<AdminAnswer, AdminError> {
        let insight = self.0.get(&Key::global(Kind::ZONE_INSIGHT, zone)).await.expect("store");
        let insight = insight.and_then(|insight| proto::spec_to_json(Kind::ZONE_INSIGHT, &insight.resource.spec).ok());
        let online = insight.is_some_and(|insight| insight["subscriptions"][0].get("disconnectTime").is_none());
        let (operation, request, path) = match request.view {
            ProxyView::ConfigDump => ("XDSConfig", "XDSConfigRequest", "config_dump"),
            ProxyView::Stats => ("Stats", "StatsRequest", "stats?usedonly="),
            ProxyView::Clusters => ("Clusters", "ClustersRequest", "clusters"),
        };
        if !online {
            return Err(AdminError::ZoneOffline { operation });
        }
        let text =
            format!("unable to send GET to config_dump: Get \"http://127.0.0.1:9901/{path}\": dial tcp: refused");
        Err(AdminError::Zone { request, text })
    }
}
