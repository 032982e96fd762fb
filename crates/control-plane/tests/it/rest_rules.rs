//! Rules of the REST API that no recording shows: ours alone.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use control_plane::writes::Side;
use model::{Key, Kind};
use store::{Applied, Batch, Kinds, Page, Query, ResourceStore, StoreError, Stored, Watch, memory::MemoryStore};

use crate::stage::rest_world::{Answer, Ask, World};

async fn local(world: &World, method: &str, path: &str, body: &str) -> Answer {
    let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
    let body = (!body.is_empty()).then(|| body.to_owned());
    world.ask("127.0.0.1:5681", Ask { remote: false, method, path, headers, body }).await
}

async fn secret(world: &World, name: &str, data: &[u8]) -> Answer {
    let data = STANDARD.encode(data);
    let body = format!(r#"{{"type":"GlobalSecret","name":"{name}","data":"{data}"}}"#);
    local(world, "PUT", &format!("/global-secrets/{name}"), &body).await
}

/// Random bytes, written as base64.
const RANDOM: &[u8] = b"WJYYLYHNpsTlUPj5aSwUu0TkXSXS5FaFEDmZL9fLZ2E=";

#[tokio::test(start_paused = true)]
async fn a_signing_key_must_be_able_to_sign() {
    let world = World::start(Side::Global, "").await;
    let pem = tokens::generate_signing_key();
    for (name, data, status) in [
        ("user-token-signing-key-2", b"no key".as_slice(), 400),
        ("zone-token-signing-key-2", b"".as_slice(), 400),
        ("control-plane-signing-key-0001", b"too short".as_slice(), 400),
        ("control-plane-signing-key-0001", [0; 32].as_slice(), 400),
        ("control-plane-signing-key-0001", b"a sentence that is as long as a key".as_slice(), 400),
        ("user-token-signing-key-two", pem.reveal().as_bytes(), 400),
        ("control-plane-signing-key-0002", RANDOM, 201),
        ("user-token-signing-key-2", pem.reveal().as_bytes(), 201),
        ("my-key", b"anything".as_slice(), 201),
    ] {
        assert_eq!(secret(&world, name, data).await.status, status, "{name}");
    }
    assert_eq!(secret(&world, "user-token-signing-key-2", b"no key").await.status, 400, "an update is checked too");
    let path = "/meshes/default/secrets/dataplane-token-signing-key-default-2";
    let body = r#"{"type":"Secret","mesh":"default","name":"dataplane-token-signing-key-default-2","data":"eA=="}"#;
    assert_eq!(local(&world, "PUT", path, body).await.status, 400);
}

/// In shadow whoever says the name of a zone is let in as that zone.
#[tokio::test(start_paused = true)]
async fn only_who_may_write_secrets_puts_a_zone_into_shadow_or_takes_it_out() {
    let world = World::start(Side::Global, "").await;
    let order = r#"{"name":"jo","groups":["dev"],"validFor":"1h"}"#;
    let token = local(&world, "POST", "/tokens/user", order).await.body;
    let user = async |body: &str| {
        let headers = vec![
            ("content-type".to_owned(), "application/json".to_owned()),
            ("authorization".to_owned(), format!("Bearer {token}")),
        ];
        let ask = Ask { remote: true, method: "PUT", path: "/zones/west", headers, body: Some(body.to_owned()) };
        world.ask("10.1.1.1:5681", ask).await.status
    };
    let plain = r#"{"type":"Zone","name":"west","enabled":true}"#;
    let shadow = r#"{"type":"Zone","name":"west","enabled":true,"labels":{"arctos.io/auth":"shadow"}}"#;
    assert_eq!(user(shadow).await, 403, "a new zone");
    assert_eq!(user(plain).await, 201);
    assert_eq!(user(shadow).await, 403, "one that is there");
    assert_eq!(local(&world, "PUT", "/zones/west", shadow).await.status, 200);
    assert_eq!(user(plain).await, 403, "taking it out cuts the zone off");
    assert_eq!(user(shadow).await, 200, "nothing changes");
}

#[tokio::test(start_paused = true)]
async fn a_key_that_connected_zones_cannot_read_is_taken_with_a_warning() {
    let world = World::start(Side::Global, "").await;
    let (rsa, other) = (tokens::generate_signing_key(), tokens::generate_key(tokens::Algorithm::Es256));
    let warned = async |name: &str, data: &[u8]| {
        let answer = secret(&world, name, data).await;
        assert!([200, 201].contains(&answer.status), "{}", answer.body);
        let said: serde_json::Value = serde_json::from_str(&answer.body).expect("JSON");
        said["warnings"].as_array().map(|warnings| serde_json::json!(warnings).to_string())
    };
    assert_eq!(warned("zone-token-signing-key-2", other.reveal()).await, None, "nobody is connected");
    let subscription = |features: &str| {
        format!(
            r#"{{"subscriptions":[{{"connectTime":"2026-11-24T12:00:00Z","version":{{"kumaCp":{{}}}},"features":{features}}}]}}"#
        )
    };
    for (zone, features) in [("ours", r#"["key-algorithms"]"#), ("real-1", "[]"), ("real-2", "[]")] {
        world.put(Key::global(Kind::ZONE, zone), model::Labels::new(), "".into(), None).await;
        let insight: serde_json::Value = serde_json::from_str(&subscription(features)).expect("JSON");
        world.put_insight(Key::global(Kind::ZONE_INSIGHT, zone), &insight, Key::global(Kind::ZONE, zone)).await;
    }
    for name in ["zone-token-signing-key-2", "zone-token-signing-key-3"] {
        let warning = warned(name, other.reveal()).await.expect("a warning");
        assert!(
            warning.contains("read RSA keys alone") && warning.contains("refuse what it signs: real-1, real-2\""),
            "{warning}"
        );
    }
    assert_eq!(warned("zone-token-signing-key-4", rsa.reveal().as_bytes()).await, None);
    assert_eq!(warned("user-token-signing-key-2", other.reveal()).await, None, "zones do not verify with it");
    assert_eq!(warned("my-key", other.reveal()).await, None);
}

#[tokio::test(start_paused = true)]
async fn everybody_gets_the_public_halves_and_nothing_else() {
    let world = World::start(Side::Global, "localhostIsAdmin: false").await;
    let bytes = tokens::generate_key(tokens::Algorithm::Hs256);
    for (name, data) in [
        ("zone-token-signing-key-0002", tokens::generate_key(tokens::Algorithm::Es256)),
        ("control-plane-signing-key-0002", bytes),
    ] {
        let spec = model::secret::encode(data.reveal());
        world.put(Key::global(Kind::GLOBAL_SECRET, name), model::Labels::new(), spec, None).await;
    }
    let keys = async |host: &str, query: &str| {
        let path = format!("/.well-known/jwks.json{query}");
        let ask = Ask { remote: true, method: "GET", path: &path, headers: Vec::new(), body: None };
        let answer = world.ask(host, ask).await;
        assert_eq!(
            (answer.status, answer.headers["content-type"].as_str()),
            (200, Some("application/json")),
            "{query}"
        );
        let set: serde_json::Value = serde_json::from_str(&answer.body).expect("JSON");
        let text =
            |key: &serde_json::Value| format!("{} {} {}", key["family"], key["kid"], key["alg"]).replace('"', "");
        set["keys"].as_array().expect("keys").iter().map(text).collect::<Vec<_>>()
    };
    let (zone, user) = (["zone-token 1 RS256", "zone-token 2 ES256"], "user-token 1 RS256");
    let dataplane = "dataplane-token 1 RS256";
    let all = [&zone[..], &[user, dataplane]].concat();
    for host in ["cp.example:5681", "cp.example:5682"] {
        assert_eq!(keys(host, "").await, all, "{host}");
    }
    let host = "cp.example:5681";
    assert_eq!(keys(host, "?family=zone-token").await, zone);
    assert_eq!(keys(host, "?family=user-token").await, [user]);
    for query in ["?family=dataplane-token", "?family=dataplane-token&mesh=default", "?mesh=default"] {
        assert_eq!(keys(host, query).await, [dataplane], "{query}");
    }
    for query in ["?family=control-plane-token", "?family=control-plane-signing-key", "?mesh=other"] {
        assert_eq!(keys(host, query).await, Vec::<String>::new(), "{query}");
    }
    for query in ["?family=nonsense", "?family=", "?family=zone-token&mesh=default"] {
        assert_eq!(local(&world, "GET", &format!("/.well-known/jwks.json{query}"), "").await.status, 400, "{query}");
    }
    let below = World::start(Side::Global, "basePath: /api/cp").await;
    for path in ["/.well-known/jwks.json", "/api/cp/.well-known/jwks.json"] {
        assert_eq!(local(&below, "GET", path, "").await.status, 200, "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn two_secrets_with_one_serial_are_refused() {
    let world = World::start(Side::Global, "").await;
    let pem = tokens::generate_signing_key();
    let pem = pem.reveal().as_bytes();
    assert_eq!(secret(&world, "zone-token-signing-key-2", pem).await.status, 201);
    let refused = secret(&world, "zone-token-signing-key-0002", pem).await;
    assert_eq!(refused.status, 400);
    assert!(refused.body.contains("zone-token-signing-key-2"), "{}", refused.body);
    assert_eq!(secret(&world, "user-token-signing-key-0002", pem).await.status, 201, "families do not share serials");
    assert_eq!(secret(&world, "zone-token-signing-key-2", pem).await.status, 200, "a key is not in its own way");
    assert_eq!(local(&world, "DELETE", "/global-secrets/zone-token-signing-key-2", "").await.status, 200);
    assert_eq!(secret(&world, "zone-token-signing-key-0002", pem).await.status, 201);
}

#[tokio::test(start_paused = true)]
async fn no_secret_without_data_takes_revocations_back() {
    let world = World::start(Side::Global, "").await;
    let path = "/global-secrets/control-plane-token-revocations";
    let written = secret(&world, "control-plane-token-revocations", b"5766e443-ef30-4916-afbd-a680d244fc16\n").await;
    assert_eq!(written.status, 201);
    let named = r#""type":"GlobalSecret","name":"control-plane-token-revocations""#;
    for nothing in ["", r#","value":"eA==""#, r#","date":"eA==""#, r#","data":"""#, r#","data":null"#] {
        let refused = local(&world, "PUT", path, &format!("{{{named}{nothing}}}")).await;
        assert_eq!(refused.status, 400, "{nothing}");
        assert!(refused.body.contains("delete the secret"), "{}", refused.body);
    }
    for no_list in
        [",", " \n", "[\"5766e443-ef30-4916-afbd-a680d244fc16\"]", "jti=5766e443-ef30-4916-afbd-a680d244fc16"]
    {
        let refused = secret(&world, "control-plane-token-revocations", no_list.as_bytes()).await;
        assert_eq!(refused.status, 400, "{no_list}");
    }
    for near_miss in ["control-plane-token-revocations-2", "control-plane-revocations", "user-token-revocation"] {
        let refused = secret(&world, near_miss, b"5766e443-ef30-4916-afbd-a680d244fc16").await;
        assert_eq!(refused.status, 400, "{near_miss}");
        assert!(refused.body.contains("no list of revoked tokens is read"), "{}", refused.body);
    }
    let in_mesh = "/meshes/default/secrets/control-plane-token-revocations";
    let body = r#"{"type":"Secret","mesh":"default","name":"control-plane-token-revocations","data":"eA=="}"#;
    assert_eq!(local(&world, "PUT", in_mesh, body).await.status, 400, "a secret of a mesh revokes nothing");
    let kept = local(&world, "GET", path, "").await;
    assert!(kept.body.contains(&STANDARD.encode(b"5766e443-ef30-4916-afbd-a680d244fc16\n")), "{}", kept.body);
    let other =
        local(&world, "PUT", "/meshes/default/secrets/s", r#"{"type":"Secret","mesh":"default","name":"s"}"#).await;
    assert_eq!(other.status, 400, "any secret");
    assert_eq!(local(&world, "DELETE", path, "").await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn a_control_plane_token_says_its_zone_and_its_key() {
    let world = World::start(Side::Global, "").await;
    world.delete(&Key::global(Kind::GLOBAL_SECRET, "control-plane-signing-key-0001")).await;
    let missing = local(&world, "POST", "/tokens/control-plane", r#"{"zone":"west"}"#).await;
    assert_eq!(missing.status, 404);
    secret(&world, "control-plane-signing-key-0001", RANDOM).await;
    let token = local(&world, "POST", "/tokens/control-plane", r#"{"zone":"west"}"#).await;
    assert_eq!((token.status, token.body.split('.').count()), (200, 3));
    for bad in [r#"{"zone":""}"#, r#"{"zone":"West"}"#, r#"{"zone":"west","validFor":"0s"}"#, "{"] {
        assert_eq!(local(&world, "POST", "/tokens/control-plane", bad).await.status, 400, "{bad}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_has_a_limit() {
    let world = World::start(Side::Global, "").await;
    let body = " ".repeat(32 * 1024 * 1024 + 1);
    assert_eq!(local(&world, "PUT", "/meshes/demo", &body).await.status, 413);
}

#[tokio::test(start_paused = true)]
async fn deleting_a_mesh_deletes_what_is_in_it() {
    let world = World::start(Side::Global, "").await;
    let body = r#"{"type":"Secret","mesh":"default","name":"s","data":"eA=="}"#;
    assert_eq!(local(&world, "PUT", "/meshes/default/secrets/s", body).await.status, 201);
    // Written by somebody who set no owner.
    let stray = Key::in_mesh(Kind::SECRET, "default", "stray");
    world.put(stray, model::Labels::new(), bytes::Bytes::new(), None).await;
    assert_eq!(local(&world, "DELETE", "/meshes/default", "").await.status, 200);
    for kind in Kind::all().filter(|kind| kind.scope == model::Scope::Mesh) {
        assert!(world.all(kind).await.is_empty(), "{kind}");
    }
}

/// A store on a disk that can fill up.
struct Disk {
    memory: MemoryStore,
    full: AtomicBool,
}

#[async_trait]
impl ResourceStore for Disk {
    async fn get(&self, key: &Key) -> Result<Option<Stored>, StoreError> {
        self.memory.get(key).await
    }

    async fn list(&self, query: &Query) -> Result<Page, StoreError> {
        self.memory.list(query).await
    }

    async fn apply(&self, batch: Batch) -> Result<Applied, StoreError> {
        if self.full.load(Ordering::SeqCst) {
            return Err(StoreError::Unavailable { detail: "database or disk is full".to_owned() });
        }
        self.memory.apply(batch).await
    }

    fn watch(&self, kinds: Kinds) -> Watch {
        self.memory.watch(kinds)
    }

    fn freshness(&self) -> tokio::sync::watch::Receiver<store::Freshness> {
        self.memory.freshness()
    }

    async fn settled(&self) -> Result<(), StoreError> {
        self.memory.settled().await
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_is_a_503_and_nothing_is_lost() {
    let disk = Arc::new(Disk { memory: MemoryStore::new(), full: AtomicBool::new(false) });
    let world = World::start_on(disk.clone(), Side::Global, "").await;
    let mesh = |name: &str| format!(r#"{{"type":"Mesh","name":"{name}"}}"#);
    assert_eq!(local(&world, "PUT", "/meshes/one", &mesh("one")).await.status, 201);
    disk.full.store(true, Ordering::SeqCst);
    for (method, path, body) in [
        ("PUT", "/meshes/two", mesh("two")),
        ("PUT", "/meshes/one", mesh("one")),
        ("DELETE", "/meshes/one", String::new()),
    ] {
        let answer = local(&world, method, path, &body).await;
        assert_eq!(answer.status, 503, "{method} {path}");
        assert!(!answer.body.contains("disk"), "the caller is not told about disks: {}", answer.body);
    }
    assert_eq!(local(&world, "GET", "/meshes/one", "").await.status, 200);
    assert_eq!(local(&world, "GET", "/meshes/two", "").await.status, 404);
    disk.full.store(false, Ordering::SeqCst);
    assert_eq!(local(&world, "PUT", "/meshes/two", &mesh("two")).await.status, 201);
}
