//! Who may use which route: every route, asked by each sort of caller, against a table.
//!
//! A new route, or a rule that changes, changes `rest_access.txt`: read the difference before you take it over.

use control_plane::resources::Side;

use crate::rest_replay::world::{Ask, World};

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

#[tokio::test(start_paused = true)]
async fn every_route_is_in_the_table_of_access() {
    let world = World::start(Side::Global, "").await;
    let john = token(&world, r#"{"name":"john","groups":["dev"],"validFor":"1h"}"#).await;
    let admin = token(&world, r#"{"name":"boss","groups":["mesh-system:admin"],"validFor":"1h"}"#).await;
    let callers = [
        As { remote: true, token: None },
        As { remote: true, token: Some(&john) },
        As { remote: true, token: Some(&admin) },
        As { remote: false, token: None },
    ];
    let mut rows = vec!["# method and route: anonymous, user, admin, localhost".to_owned()];
    let mut routes = world.routes();
    routes.sort_by(|left, right| (&left.1, left.0.as_str()).cmp(&(&right.1, right.0.as_str())));
    for (method, template) in routes {
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
        rows.push(format!("{method} {template}: {}", verdicts.join(", ")));
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
