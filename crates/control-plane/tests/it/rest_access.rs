//! Who may use which route: every route on every side, asked by each sort of caller, against a table.
//!
//! A new route, or a rule that changes, changes `rest_access.txt`: read the difference before you take it over.

use std::collections::BTreeMap;

use bytes::Bytes;
use control_plane::writes::Side;
use model::{Key, Kind, Labels, Resource, proto};
use serde_json::{Value, json};
use store::Precondition;

use crate::stage::rest_world::{Ask, World};

const TABLE: &str = include_str!("rest_access.txt");

struct As<'a> {
    remote: bool,
    token: Option<&'a str>,
}

/// What an answer says of access.
fn verdict(status: u16) -> &'static str {
    match status {
        401 | 403 => "denied",
        // The kind is written nowhere here, or not on this side, whoever asks.
        405 => "nobody",
        _ => "allowed",
    }
}

async fn ask(world: &World, method: &str, path: &str, caller: &As<'_>) -> (u16, String) {
    let mut headers = vec![("content-type".to_owned(), "application/json".to_owned())];
    headers.extend(caller.token.map(|token| ("authorization".to_owned(), format!("Bearer {token}"))));
    let body = matches!(method, "PUT" | "POST").then(|| "{}".to_owned());
    let host = if caller.remote { "10.9.9.1:5681" } else { "127.0.0.1:5681" };
    let answer = world.ask(host, Ask { remote: caller.remote, method, path, headers, body }).await;
    (answer.status, answer.body)
}

async fn token(world: &World, body: &str) -> String {
    let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
    let ask = Ask { remote: false, method: "POST", path: "/tokens/user", headers, body: Some(body.to_owned()) };
    world.ask("127.0.0.1:5681", ask).await.body
}

/// The verdicts of every route on one side.
async fn verdicts(side: Side) -> BTreeMap<(String, String), String> {
    let world = World::start(side, "").await;
    if world.all(Kind::MESH).await.is_empty() {
        let now = "2026-11-24T12:00:00Z".parse().expect("time");
        let mesh = Resource {
            key: Key::global(Kind::MESH, "default"),
            labels: Labels::new(),
            spec: Bytes::new(),
            status: None,
            owner: None,
            created: now,
            modified: now,
        };
        world.store.put(mesh, Precondition::Absent).await.expect("mesh");
    }
    let john = token(&world, r#"{"name":"john","groups":["dev"],"validFor":"1h"}"#).await;
    let admin = token(&world, r#"{"name":"boss","groups":["mesh-system:admin"],"validFor":"1h"}"#).await;
    let callers = [
        As { remote: true, token: None },
        As { remote: true, token: Some(&john) },
        As { remote: true, token: Some(&admin) },
        As { remote: false, token: None },
    ];
    let mut rows = BTreeMap::new();
    for (method, template) in world.routes() {
        let path = template
            .replace("{mesh}", "default")
            .replace("{name}", "nope")
            .replace("{kri}", "kri_m____default_")
            .replace("{route}", "kri_m____default_")
            .replace("{plural}", "meshservices")
            .replace("{operation}", "stats");
        let mut verdicts = Vec::new();
        for caller in &callers {
            let (status, body) = ask(&world, method.as_str(), &path, caller).await;
            assert!(!body.contains("405: Method") && !body.contains("404: Page"), "{method} {path}: {body}");
            verdicts.push(verdict(status));
        }
        let writes = matches!(method.as_str(), "PUT" | "DELETE" | "POST");
        assert!(!writes || verdicts.first() != Some(&"allowed"), "an anonymous caller writes: {method} {template}");
        rows.insert((template, method.to_string()), verdicts.join(", "));
    }
    rows
}

#[tokio::test(start_paused = true)]
async fn every_route_is_in_the_table_of_access() {
    let global = verdicts(Side::Global).await;
    let federated = verdicts(Side::FederatedZone("east".to_owned())).await;
    let alone = verdicts(Side::LoneZone("east".to_owned())).await;
    let mut rows = vec![
        "# method and route: anonymous, user, admin, localhost; where they differ: on global | on a federated zone | on \
         a zone on its own"
            .to_owned(),
    ];
    for (key @ (template, method), on_global) in &global {
        let sides = [on_global, &federated[key], &alone[key]];
        let same = sides.iter().all(|side| *side == on_global);
        let told = if same { on_global.clone() } else { sides.map(String::as_str).join(" | ") };
        rows.push(format!("{method} {template}: {told}"));
    }
    let found = rows.join("\n") + "\n";
    if found != TABLE {
        let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("rest_access.txt");
        std::fs::write(&path, found).expect("write the table");
        panic!("the table of access changed; what was found is in {}", path.display());
    }
}

#[tokio::test(start_paused = true)]
async fn who_may_not_know_is_not_told_what_is_there() {
    let world = World::start(Side::Global, "").await;
    let john = token(&world, r#"{"name":"john","validFor":"1h"}"#).await;
    for caller in [As { remote: true, token: None }, As { remote: true, token: Some(&john) }] {
        for method in ["GET", "PUT", "DELETE"] {
            let there = ask(&world, method, "/global-secrets/admin-user-token", &caller).await;
            let missing = ask(&world, method, "/global-secrets/nope", &caller).await;
            assert_eq!(there, missing, "{method}");
            assert_eq!(there.0, 403, "{method}");
            let there =
                ask(&world, method, "/meshes/default/secrets/dataplane-token-signing-key-default-1", &caller).await;
            let missing = ask(&world, method, "/meshes/nope/secrets/nope", &caller).await;
            assert_eq!(there, missing, "{method}");
        }
        let (_, insights) = ask(&world, "GET", "/global-insights", &caller).await;
        assert!(!insights.contains("Secret"), "{insights}");
        let (_, insight) = ask(&world, "GET", "/global-insight", &caller).await;
        assert!(!insight.contains("Secret"), "{insight}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_user_without_the_admin_role_writes_what_is_not_secret() {
    let world = World::start(Side::Global, "").await;
    let john = token(&world, r#"{"name":"john","validFor":"1h"}"#).await;
    let put = |path, body: &str, token: Option<String>| {
        let mut headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        headers.extend(token.map(|token| ("authorization".to_owned(), format!("Bearer {token}"))));
        world.ask("10.9.9.1:5681", Ask { remote: true, method: "PUT", path, headers, body: Some(body.to_owned()) })
    };
    let mesh = r#"{"type":"Mesh","name":"demo"}"#;
    assert_eq!(put("/meshes/demo", mesh, None).await.status, 403);
    assert_eq!(put("/meshes/demo", mesh, Some(john.clone())).await.status, 201);
    let secret = r#"{"type":"GlobalSecret","name":"s","data":"eA=="}"#;
    assert_eq!(put("/global-secrets/s", secret, Some(john)).await.status, 403);
}

#[tokio::test(start_paused = true)]
async fn what_goes_with_a_resource_needs_its_own_permission() {
    let world = World::start(Side::Global, "").await;
    let john = token(&world, r#"{"name":"john","validFor":"1h"}"#).await;
    let john = As { remote: true, token: Some(&john) };
    let admin = As { remote: false, token: None };
    let (status, body) = ask(&world, "DELETE", "/meshes/default", &john).await;
    assert!(status == 403 && body.contains("Secret") && body.contains("Mesh"), "{status} {body}");
    assert!(!world.all(Kind::SECRET).await.is_empty() && !world.all(Kind::MESH).await.is_empty());

    // A secret that is owned by what is owned by what is deleted; and one that is owned by nobody who goes.
    let zone = Key::global(Kind::ZONE, "east");
    world.put(zone.clone(), Labels::new(), Bytes::new(), None).await;
    let mesh = Key::global(Kind::MESH, "of-zone");
    world.put(mesh.clone(), Labels::new(), Bytes::new(), Some(zone)).await;
    let secret = Key::in_mesh(Kind::SECRET, "elsewhere", "s");
    world.put(secret.clone(), Labels::new(), Bytes::new(), Some(mesh)).await;
    assert_eq!(ask(&world, "DELETE", "/zones/east", &john).await.0, 403);
    world.put(Key::global(Kind::ZONE, "west"), Labels::new(), Bytes::new(), None).await;
    assert_eq!(ask(&world, "DELETE", "/zones/west", &john).await.0, 200);
    assert_eq!(ask(&world, "DELETE", "/zones/east", &admin).await.0, 200);
    assert!(world.store.get(&secret).await.expect("store").is_none());

    // A mesh without secrets is anybody's who may write meshes; one comes with a key in the place of older ones.
    world.put(Key::global(Kind::MESH, "bare"), Labels::new(), Bytes::new(), None).await;
    assert_eq!(ask(&world, "DELETE", "/meshes/bare", &john).await.0, 200);
    let stray = Key::in_mesh(Kind::SECRET, "demo", "dataplane-token-signing-key-demo-1");
    world.put(stray, Labels::new(), Bytes::new(), None).await;
    let put = |token: Option<&str>| {
        let mut headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        headers.extend(token.map(|token| ("authorization".to_owned(), format!("Bearer {token}"))));
        let body = Some(r#"{"type":"Mesh","name":"demo"}"#.to_owned());
        let (remote, host) = (token.is_some(), "127.0.0.1:5681");
        world.ask(host, Ask { remote, method: "PUT", path: "/meshes/demo", headers, body })
    };
    assert_eq!(put(john.token).await.status, 403);
    assert_eq!(put(None).await.status, 201);
    assert_eq!(ask(&world, "DELETE", "/meshes/default", &admin).await.0, 200);
}

#[tokio::test(start_paused = true)]
async fn the_configuration_of_zones_is_guarded_as_that_of_global() {
    for (settings, expected) in [("", true), ("issuers off", false)] {
        let world = World::start(Side::Global, settings).await;
        world.put(Key::global(Kind::ZONE, "east"), Labels::new(), Bytes::new(), None).await;
        let insight = json!({"subscriptions": [{"id": "1", "config": "{\"store\":\"tell-tale\"}"}]});
        let Value::Object(insight) = insight else { panic!("an object") };
        let spec = proto::spec_from_json(Kind::ZONE_INSIGHT, &insight).expect("insight");
        world.put(Key::global(Kind::ZONE_INSIGHT, "east"), Labels::new(), spec, None).await;
        let anonymous = As { remote: true, token: None };
        for path in [
            "/config",
            "/zone-insights",
            "/zone-insights/east",
            "/zone-insights/east?format=k8s",
            "/zones/_overview",
            "/zones/east/_overview",
            "/zones+insights",
            "/zones+insights/east",
        ] {
            let (status, body) = ask(&world, "GET", path, &anonymous).await;
            let told = if path == "/config" { status == 200 } else { body.contains("tell-tale") };
            assert_eq!(told, expected, "{path}: {body}");
            assert!(path == "/config" || (status == 200 && body.contains("\"id\": \"1\"")), "{path}: {body}");
        }
    }
}
