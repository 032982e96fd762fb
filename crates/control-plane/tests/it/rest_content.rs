//! What answers of the REST API say and what bodies may say, beyond what recordings show.

use control_plane::writes::Side;
use model::MASK;
use serde_json::{Value, json};

use crate::stage::rest_world::{Answer, Ask, World};

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

#[tokio::test(start_paused = true)]
async fn a_mesh_with_a_builtin_backend_has_its_authority() {
    let world = World::start(Side::Global, "").await;
    let mesh = |backends: &[&str]| {
        let backends: Vec<Value> = backends.iter().map(|name| json!({"name": name, "type": "builtin"})).collect();
        json!({"type": "Mesh", "name": "tls", "mtls": {"enabledBackend": "ca-1", "backends": backends}})
    };
    let secrets = async |world: &World| -> Vec<(String, String)> {
        let all = read(world, "/meshes/tls/secrets").await;
        let items = all["items"].as_array().cloned().unwrap_or_default();
        let text = |item: &Value, name: &str| item[name].as_str().unwrap_or_default().to_owned();
        items.iter().map(|item| (text(item, "name"), text(item, "data"))).collect()
    };
    let names = |secrets: &[(String, String)]| secrets.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    assert_eq!(put(&world, "/meshes/tls", &mesh(&["ca-1"])).await.status, 201);
    let first = secrets(&world).await;
    assert_eq!(
        names(&first),
        ["dataplane-token-signing-key-tls-1", "tls.ca-builtin-cert-ca-1", "tls.ca-builtin-key-ca-1"]
    );
    assert_eq!(put(&world, "/meshes/tls", &mesh(&["ca-1"])).await.status, 200);
    assert_eq!(secrets(&world).await, first, "an authority is made once");
    assert_eq!(put(&world, "/meshes/tls", &mesh(&["ca-1", "ca-2"])).await.status, 200);
    let second = secrets(&world).await;
    assert_eq!(second.len(), 5);
    assert!(first.iter().all(|secret| second.contains(secret)), "the first authority stays");
    // Half of an authority is none.
    let path = "/meshes/tls/secrets/tls.ca-builtin-key-ca-1";
    assert_eq!(ask(&world, false, "DELETE", path, &Value::Null).await.status, 200);
    assert_eq!(put(&world, "/meshes/tls", &mesh(&["ca-1", "ca-2"])).await.status, 200);
    let third = secrets(&world).await;
    assert_eq!((names(&third), third == second), (names(&second), false));
    assert_eq!(ask(&world, false, "DELETE", "/meshes/tls", &Value::Null).await.status, 200);
    assert_eq!(put(&world, "/meshes/tls", &json!({"type": "Mesh", "name": "tls"})).await.status, 201);
    assert_eq!(names(&secrets(&world).await), ["dataplane-token-signing-key-tls-1"], "they went with the mesh");
}

#[tokio::test(start_paused = true)]
async fn an_authority_that_cannot_be_made_is_refused_with_its_mesh() {
    let world = World::start(Side::Global, "").await;
    let backend = json!({"name": "ca", "type": "builtin", "conf": {"caCert": {"RSAbits": 512}}});
    let mesh = json!({"type": "Mesh", "name": "tls", "mtls": {"backends": [backend]}});
    let refused = put(&world, "/meshes/tls", &mesh).await;
    assert_eq!(refused.status, 400);
    assert!(refused.body.contains("mtls.backends[0].conf.caCert.RSAbits"), "{}", refused.body);
    assert_eq!(ask(&world, false, "GET", "/meshes/tls", &Value::Null).await.status, 404);
}

fn timeout(name: &str, labels: &Value) -> Value {
    json!({"type": "MeshTimeout", "mesh": "default", "name": name, "labels": labels,
           "spec": {"to": [{"targetRef": {"kind": "Mesh"}, "default": {"idleTimeout": "1h"}}]}})
}

#[tokio::test(start_paused = true)]
async fn on_global_nobody_says_where_a_resource_is_from() {
    let world = World::start(Side::Global, "").await;
    let path = "/meshes/default/meshtimeouts/t1";
    for labels in [
        json!({"kuma.io/zone": "east"}),
        json!({"kuma.io/mesh": "other"}),
        json!({"kuma.io/origin": "zone"}),
        json!({"kuma.io/env": "universal"}),
    ] {
        let refused = put(&world, path, &timeout("t1", &labels)).await;
        assert_eq!(refused.status, 400, "{labels}");
        for label in labels.as_object().into_iter().flatten().map(|(label, _)| label) {
            assert!(refused.body.contains(label), "{}", refused.body);
        }
    }
    assert_eq!(put(&world, path, &timeout("t1", &json!({"kuma.io/mesh": "default", "team": "a"}))).await.status, 201);
}

#[tokio::test(start_paused = true)]
async fn a_stored_label_of_a_zone_goes_with_the_next_change() {
    let world = World::start(Side::Global, "").await;
    let key = model::Key::in_mesh(model::Kind::by_name("MeshTimeout").expect("kind"), "default", "t1");
    let labels = [("kuma.io/zone", "solo"), ("kuma.io/origin", "global"), ("kuma.io/display-name", "t1")];
    let labels = labels.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    world.put(key, labels, bytes::Bytes::from_static(b"{}"), None).await;
    let path = "/meshes/default/meshtimeouts/t1";
    let kri = read(&world, path).await["kri"].as_str().expect("kri").to_owned();
    assert_eq!(read(&world, &format!("/_kri/{kri}")).await["name"], "t1", "what we print resolves");
    assert_eq!(put(&world, path, &timeout("t1", &json!({}))).await.status, 200);
    assert_eq!(read(&world, path).await["labels"].get("kuma.io/zone"), None);
}

#[tokio::test(start_paused = true)]
async fn identifiers_in_answers_resolve() {
    let (global, zone) =
        (World::start(Side::Global, "").await, World::start(Side::FederatedZone("z1".to_owned()), "").await);
    global.send_down(&zone).await;
    assert_eq!(
        put(&zone, "/meshes/default/meshtimeouts/zt", &timeout("zt", &json!({"kuma.io/origin": "zone"}))).await.status,
        201
    );
    assert_eq!(put(&global, "/zones/z1", &json!({"type": "Zone", "name": "z1", "enabled": true})).await.status, 201);
    zone.send_up(&global, "z1").await;
    // A zone of 2.x puts its name in front.
    let timeouts = model::Kind::by_name("MeshTimeout").expect("kind");
    let labels = [("kuma.io/zone".to_owned(), "z2".to_owned()), ("kuma.io/origin".to_owned(), "zone".to_owned())];
    let key = model::Key::in_mesh(timeouts, "default", "z2.old");
    global.put(key, labels.into(), bytes::Bytes::from_static(b"{}"), None).await;
    for world in [&global, &zone] {
        let mut checked = 0;
        for list in ["/meshes", "/meshtimeouts", "/meshretries", "/hostnamegenerators", "/zones"] {
            for item in read(world, list).await["items"].as_array().into_iter().flatten() {
                let kri = item["kri"].as_str().expect("kri");
                let found = read(world, &format!("/_kri/{kri}")).await;
                assert_eq!((&found["name"], &found["kri"]), (&item["name"], &item["kri"]), "{kri}");
                checked += 1;
            }
        }
        assert!(checked > 5, "{checked}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_has_no_effect_is_a_warning() {
    let world = World::start(Side::Global, "").await;
    let mut body = timeout("t1", &json!({}));
    body["spec"]["from"] = json!([{"targetRef": {"kind": "Mesh"}, "default": {"idleTimeout": "1h"}}]);
    body["spec"]["tos"] = json!([]);
    let answer = put(&world, "/meshes/default/meshtimeouts/t1", &body).await;
    assert_eq!(answer.status, 201);
    let said: Value = serde_json::from_str(&answer.body).expect("JSON");
    assert_eq!(
        said["warnings"],
        json!([
            "'from' field is not supported any more and was left out, use 'rules' instead",
            "MeshTimeout has no field 'spec.tos': was left out"
        ])
    );
    let read_back = read(&world, "/meshes/default/meshtimeouts/t1").await;
    let answer = put(&world, "/meshes/default/meshtimeouts/t1", &read_back).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "{}\n"), "what we show has an effect");
}

#[tokio::test(start_paused = true)]
async fn a_service_is_shown_as_it_was_written() {
    let zone = World::start(Side::LoneZone("z1".to_owned()), "").await;
    let spec = json!({"state": "Unavailable", "selector": {}, "ports": [{"port": 80, "appProtocol": "http"}]});
    let service = json!({"type": "MeshService", "mesh": "default", "name": "s", "spec": spec});
    assert_eq!(put(&zone, "/meshes/default/meshservices/s", &service).await.status, 201);
    assert_eq!(read(&zone, "/meshes/default/meshservices/s").await["spec"], spec);
    let backend = json!({"type": "File", "file": {"path": "/l", "format": {"type": "Json", "json": [], "omitEmptyValues": false}}});
    let spec = json!({"to": [{"targetRef": {"kind": "Mesh"}, "default": {"backends": [backend]}}]});
    let log = json!({"type": "MeshAccessLog", "mesh": "default", "name": "l", "spec": spec});
    assert_eq!(put(&zone, "/meshes/default/meshaccesslogs/l", &log).await.status, 201);
    assert_eq!(read(&zone, "/meshes/default/meshaccesslogs/l").await["spec"], spec);
    let workload = json!({"type": "Workload", "mesh": "default", "name": "w", "spec": {}});
    assert_eq!(put(&zone, "/meshes/default/workloads/w", &workload).await.status, 201);
    assert_eq!(
        read(&zone, "/meshes/default/workloads/w").await["status"],
        json!({"dataplaneProxies": {"connected": 0, "healthy": 0, "total": 0}})
    );
    let proxy = json!({"type": "Dataplane", "mesh": "default", "name": "d", "networking": {"address": "10.0.0.1",
        "inbound": [{"port": 80, "tags": {"kuma.io/service": "web"}}]}});
    assert_eq!(put(&zone, "/meshes/default/dataplanes/d", &proxy).await.status, 201);
    assert_eq!(read(&zone, "/meshes/default/dataplanes/d").await["networking"], proxy["networking"]);
}

#[tokio::test(start_paused = true)]
async fn gateways_are_not_inspected() {
    let world = World::start(Side::Global, "").await;
    let gateway = json!({"type": "MeshGateway", "mesh": "default", "name": "g", "selectors": [{"match": {"a": "b"}}]});
    assert_eq!(put(&world, "/meshes/default/meshgateways/g", &gateway).await.status, 201);
    for view in ["dataplanes", "_resources/dataplanes"] {
        let path = format!("/meshes/default/meshgateways/g/{view}");
        assert_eq!(ask(&world, false, "GET", &path, &Value::Null).await.status, 501, "{view}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_zone_revokes_the_tokens_of_its_own_users_and_no_others() {
    let path = "/tokens/revocations";
    for (side, families) in [
        (Side::FederatedZone("z1".to_owned()), ["control-plane-token", "zone-token", "dataplane-token"].as_slice()),
        (Side::LoneZone("z1".to_owned()), &["control-plane-token"]),
    ] {
        let zone = World::start(side.clone(), "").await;
        for family in families {
            let mut order = json!({"family": family, "id": "5766e443-ef30-4916-afbd-a680d244fc16"});
            if *family == "dataplane-token" {
                order["mesh"] = "default".into();
            }
            let answer = ask(&zone, false, "POST", path, &order).await;
            assert_eq!(answer.status, 400, "{side:?} {family}: {}", answer.body);
            assert!(answer.body.contains("nothing was revoked"), "{}", answer.body);
        }
        assert_eq!(read(&zone, path).await["items"], json!([]), "{side:?}");
        let order = json!({"family": "user-token", "id": "5766e443-ef30-4916-afbd-a680d244fc16"});
        let answer = ask(&zone, false, "POST", path, &order).await;
        assert_eq!(answer.status, 200, "{side:?}: {}", answer.body);
        let is_federated = matches!(side, Side::FederatedZone(_));
        assert_eq!(answer.body.contains("of this zone alone"), is_federated, "{}", answer.body);
        assert_eq!(read(&zone, path).await["items"].as_array().map(Vec::len), Some(1), "{side:?}");
    }
}
