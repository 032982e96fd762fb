//! What answers of the REST API say and what bodies may say, beyond what recordings show.

use control_plane::resources::Side;
use model::MASK;
use serde_json::{Value, json};

use crate::rest_replay::{
    compare::Answer,
    world::{Ask, World},
};

const KEY: &str = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n";

async fn ask(world: &World, remote: bool, method: &str, path: &str, body: &Value) -> Answer {
    let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
    let body = (!body.is_null()).then(|| body.to_string());
    let host = if remote { "10.9.9.1:5681" } else { "127.0.0.1:5681" };
    world.ask(host, Ask { remote, method, path, headers, body }).await
}

/// Asks as the administrator.
async fn put(world: &World, path: &str, body: &Value) -> Answer {
    ask(world, false, "PUT", path, body).await
}

/// Asks as the administrator; the answer is JSON.
async fn read(world: &World, path: &str) -> Value {
    let answer = ask(world, false, "GET", path, &Value::Null).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    serde_json::from_str(&answer.body).expect("JSON")
}

/// One document of each kind that may carry a secret: path and body.
fn with_secrets() -> Vec<(&'static str, Value)> {
    vec![
        (
            "/meshes/m1",
            json!({"type": "Mesh", "name": "m1", "mtls": {"enabledBackend": "ca", "backends": [
                {"name": "ca", "type": "provided", "conf": {"cert": {"inlineString": "public"}, "key": {"inlineString": KEY}}},
                {"name": "v", "type": "vault", "conf": {"fromCp": {"auth": {"token": {"inlineString": "sesame"}}}}},
            ]}}),
        ),
        (
            "/meshes/default/meshidentities/i1",
            json!({"type": "MeshIdentity", "mesh": "default", "name": "i1", "spec": {"provider": {"type": "Bundled", "bundled": {"ca": {
                "certificate": {"type": "InsecureInline", "insecureInline": {"value": "public"}},
                "privateKey": {"type": "InsecureInline", "insecureInline": {"value": "sesame"}},
            }}}}}),
        ),
        (
            "/meshes/default/meshexternalservices/e1",
            json!({"type": "MeshExternalService", "mesh": "default", "name": "e1", "spec": {
                "match": {"type": "HostnameGenerator", "port": 443, "protocol": "tcp"},
                "endpoints": [{"address": "public", "port": 443}],
                "tls": {"enabled": true, "verification": {"mode": "Secured", "clientCert": {"inlineString": "public"},
                        "clientKey": {"inlineString": "sesame"}}},
            }}),
        ),
        (
            "/meshes/default/external-services/e2",
            json!({"type": "ExternalService", "mesh": "default", "name": "e2", "tags": {"kuma.io/service": "public"},
                   "networking": {"address": "a:1", "tls": {"enabled": true, "clientKey": {"inline": "c2VzYW1l"}}}}),
        ),
        (
            "/meshes/default/meshtraces/t1",
            json!({"type": "MeshTrace", "mesh": "default", "name": "t1", "spec": {"default": {"backends": [
                {"type": "Zipkin", "zipkin": {"url": "https://me:sesame@public.example/spans"}}]}}}),
        ),
        (
            "/meshes/default/meshproxypatches/p1",
            json!({"type": "MeshProxyPatch", "mesh": "default", "name": "p1", "spec": {"default": {"appendModifications": [
                {"cluster": {"operation": "Add", "value": format!("name: x\nkey: |\n  {KEY}")}}]}}}),
        ),
    ]
}

fn tells(body: &str) -> bool {
    ["sesame", "c2VzYW1l", "c2VjcmV0"].iter().any(|secret| body.contains(secret))
}

#[tokio::test(start_paused = true)]
async fn secret_fields_are_for_administrators() {
    let world = World::start(Side::Global, "").await;
    for (path, body) in with_secrets() {
        let answer = put(&world, path, &body).await;
        assert_eq!(answer.status, 201, "{path}: {}", answer.body);
        let list = path.rsplit_once('/').map(|(list, _)| list.to_owned()).expect("a path");
        let mut views = vec![path.to_owned(), format!("{path}?format=universal"), format!("{path}?format=k8s"), list];
        let kri = read(&world, path).await["kri"].as_str().map(str::to_owned);
        if let Some(kri) = kri {
            views.extend([format!("/_kri/{kri}"), format!("/_kri/{kri}?format=k8s")]);
        }
        if let Some((_, kind)) = path.trim_matches('/').rsplit_once("default/") {
            views.push(format!("/{}", kind.split('/').next().expect("a kind")));
        }
        for view in views {
            let shown = ask(&world, true, "GET", &view, &Value::Null).await;
            assert_eq!(shown.status, 200, "{view}");
            assert!(!tells(&shown.body), "{view}: {}", shown.body);
            assert!(shown.body.contains(MASK) || shown.body.contains("W3JlZGFjdGVkXQ=="), "{view}: {}", shown.body);
            let whole = ask(&world, false, "GET", &view, &Value::Null).await;
            assert!(tells(&whole.body), "{view}: {}", whole.body);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_administrator_reads_and_writes_back() {
    let world = World::start(Side::Global, "").await;
    for (path, body) in with_secrets() {
        assert_eq!(put(&world, path, &body).await.status, 201, "{path}");
        let before = read(&world, path).await;
        assert_eq!(put(&world, path, &before).await.status, 200, "{path}");
        let after = read(&world, path).await;
        for member in ["spec", "mtls", "networking"] {
            assert_eq!(after[member], before[member], "{path}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_mask_does_not_take_the_place_of_a_secret() {
    let world = World::start(Side::Global, "").await;
    for (path, body) in with_secrets() {
        assert_eq!(put(&world, path, &body).await.status, 201, "{path}");
        let masked = ask(&world, true, "GET", path, &Value::Null).await.body;
        let masked: Value = serde_json::from_str(&masked).expect("JSON");
        let refused = put(&world, path, &masked).await;
        assert_eq!(refused.status, 400, "{path}");
        assert!(refused.body.contains("is the mask"), "{}", refused.body);
        assert!(tells(&read(&world, path).await.to_string()), "{path}");
    }
}
