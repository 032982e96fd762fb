//! Who sees the private halves of keys over the REST API: the administrator of the machine and whom the settings name, and
//! nobody else who may read secrets.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use control_plane::writes::Side;
use model::{Key, Kind, Labels, secret};
use serde_json::Value;

use crate::stage::rest_world::{Answer, Ask, World};

async fn ask(world: &World, method: &str, path: &str, token: Option<&str>, body: Option<String>) -> Answer {
    let mut headers = vec![("content-type".to_owned(), "application/json".to_owned())];
    headers.extend(token.map(|token| ("authorization".to_owned(), format!("Bearer {token}"))));
    let (remote, host) = match token {
        Some(_) => (true, "10.9.9.1:5681"),
        None => (false, "127.0.0.1:5681"),
    };
    world.ask(host, Ask { remote, method, path, headers, body }).await
}

async fn get(world: &World, path: &str, token: Option<&str>) -> Answer {
    ask(world, "GET", path, token, None).await
}

/// A token of an administrator who is not on the machine.
async fn token(world: &World, name: &str) -> String {
    let body = format!(r#"{{"name":"{name}","groups":["mesh-system:admin"],"validFor":"1h"}}"#);
    ask(world, "POST", "/tokens/user", None, Some(body)).await.body
}

/// Keys of all families, and the authorities.
const GLOBAL: [&str; 6] = [
    "control-plane-signing-key-0001",
    "zone-token-signing-key-1",
    "user-token-signing-key-1",
    "envoy-admin-ca",
    "inter-cp-ca",
    "control-plane-tls-ca",
];
const IN_MESH: [&str; 2] = ["dataplane-token-signing-key-default-1", "default.ca-builtin-key-ca-1"];

/// A global with a secret under each of these names, and a password beside them.
async fn world(settings: &str) -> World {
    let world = World::start(Side::Global, settings).await;
    let key = tokens::generate_key(tokens::Algorithm::Es256);
    let of_mesh = Key::in_mesh(Kind::SECRET, "default", "default.ca-builtin-key-ca-1");
    world.put(of_mesh, Labels::new(), secret::encode(key.reveal()), None).await;
    let password = Key::in_mesh(Kind::SECRET, "default", "password");
    world.put(password, Labels::new(), secret::encode(b"open sesame"), None).await;
    for name in ["control-plane-tls-ca", "envoy-admin-ca", "inter-cp-ca", "control-plane-signing-key-0001"] {
        let made = Key::global(Kind::GLOBAL_SECRET, name);
        if world.store.get(&made).await.expect("store").is_none() {
            world.put(made, Labels::new(), secret::encode(key.reveal()), None).await;
        }
    }
    world
}

/// All that holds a private half: its routes, and its data as it would be shown.
async fn keys(world: &World) -> Vec<(String, String)> {
    let mut keys = Vec::new();
    for (kind, mesh, name) in GLOBAL
        .map(|name| (Kind::GLOBAL_SECRET, "", name))
        .into_iter()
        .chain(IN_MESH.map(|name| (Kind::SECRET, "default", name)))
    {
        let stored = world.store.get(&Key::of(kind, mesh, name)).await.expect("store").expect(name);
        let data = secret::decode(&stored.resource.spec).expect("data");
        let folder = if mesh.is_empty() { "/global-secrets".to_owned() } else { format!("/meshes/{mesh}/secrets") };
        keys.push((format!("{folder}/{name}"), STANDARD.encode(&data)));
    }
    keys
}

#[tokio::test(start_paused = true)]
async fn an_administrator_elsewhere_sees_no_signing_key_and_one_on_the_machine_does() {
    let world = world("").await;
    let boss = token(&world, "boss").await;
    for (route, data) in keys(&world).await {
        for shape in ["", "?format=k8s"] {
            let denied = get(&world, &format!("{route}{shape}"), Some(&boss)).await;
            assert_eq!(denied.status, 403, "{route}: {}", denied.body);
            assert!(denied.body.contains("access.static.viewSigningKeys"), "{}", denied.body);
            let shown = get(&world, &format!("{route}{shape}"), None).await;
            assert!(shown.status == 200 && shown.body.contains(&data), "{route}: {}", shown.status);
        }
    }
    let other = get(&world, "/meshes/default/secrets/password", Some(&boss)).await;
    assert!(other.status == 200 && other.body.contains(&STANDARD.encode("open sesame")), "{}", other.body);
}

#[tokio::test(start_paused = true)]
async fn whom_the_settings_name_sees_signing_keys_elsewhere_too() {
    let world = world("boss sees signing keys").await;
    let (boss, jane) = (token(&world, "boss").await, token(&world, "jane").await);
    for (route, data) in keys(&world).await {
        let shown = get(&world, &route, Some(&boss)).await;
        assert!(shown.status == 200 && shown.body.contains(&data), "{route}: {}", shown.status);
        assert_eq!(get(&world, &route, Some(&jane)).await.status, 403, "{route}");
    }
    let list = get(&world, "/global-secrets", Some(&boss)).await.body;
    assert!(!list.contains("dataHidden"), "{list}");
}

#[tokio::test(start_paused = true)]
async fn lists_say_that_signing_keys_are_there_and_not_what_they_are() {
    let world = world("").await;
    let boss = token(&world, "boss").await;
    for (list, names) in
        [("/global-secrets", &GLOBAL[..]), ("/secrets", &IN_MESH), ("/meshes/default/secrets", &IN_MESH)]
    {
        let answer = get(&world, &format!("{list}?size=100"), Some(&boss)).await;
        let shown: Value = serde_json::from_str(&answer.body).expect("json");
        let items = shown["items"].as_array().expect("items");
        for name in names {
            let item = items.iter().find(|item| item["name"] == *name).expect(name);
            assert_eq!(item.get("data"), None, "{name}");
            assert!(item["dataHidden"].as_str().is_some_and(|why| why.contains("viewSigningKeys")), "{item}");
        }
        assert!(items.iter().all(|item| item.get("data").is_some() != item.get("dataHidden").is_some()), "{shown}");
        assert!(!get(&world, list, None).await.body.contains("dataHidden"), "{list}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_shown_without_data_cannot_be_written_back() {
    let world = world("").await;
    let boss = token(&world, "boss").await;
    let (before, list) = (keys(&world).await, get(&world, "/global-secrets?size=100", Some(&boss)).await.body);
    let list: Value = serde_json::from_str(&list).expect("json");
    let hidden = list["items"].as_array().expect("items").iter().filter(|item| item.get("dataHidden").is_some());
    let mut tried = 0;
    for item in hidden {
        let path = format!("/global-secrets/{}", item["name"].as_str().expect("name"));
        for token in [None, Some(boss.as_str())] {
            let refused = ask(&world, "PUT", &path, token, Some(item.to_string())).await;
            assert_eq!(refused.status, 400, "{path}: {}", refused.body);
            assert!(refused.body.contains("data"), "{path}: {}", refused.body);
            assert!(refused.body.contains("the key that is there stays as it is"), "{path}: {}", refused.body);
            tried += 1;
        }
    }
    assert_eq!(tried, 2 * GLOBAL.len());
    assert_eq!(keys(&world).await, before);
}

#[tokio::test(start_paused = true)]
async fn no_route_tells_a_private_byte_to_anybody_but_those_who_may_see_it() {
    let world = world("").await;
    let (boss, routes) = (token(&world, "boss").await, world.routes());
    let john =
        ask(&world, "POST", "/tokens/user", None, Some(r#"{"name":"john","validFor":"1h"}"#.to_owned())).await.body;
    let keys = keys(&world).await;
    // A part of each that no other text has: behind what all keys begin with.
    let bytes: Vec<&str> = keys.iter().map(|(_, data)| data.get(80..140).expect("a key is longer")).collect();
    let mut asked = 0;
    for (_, template) in routes.iter().filter(|(method, _)| method.as_str() == "GET") {
        for name in GLOBAL.iter().chain(&IN_MESH) {
            let path = template
                .replace("{mesh}", "default")
                .replace("{name}", name)
                .replace("{kri}", "kri_m____default_")
                .replace("{route}", "kri_m____default_")
                .replace("{plural}", "secrets")
                .replace("{operation}", "stats")
                .replace("{family}", "zone-token");
            for token in [&boss, &john] {
                let answer = get(&world, &path, Some(token)).await;
                assert!(!bytes.iter().any(|part| answer.body.contains(part)), "{path}");
                asked += 1;
            }
            if !template.contains("{name}") {
                break;
            }
        }
    }
    assert!(asked > 100, "{asked}");
    assert!(bytes.iter().all(|part| keys.iter().any(|(_, data)| data.contains(part))));
}
