//! What the REST API logs: who did what, and no secret.

use std::{
    fmt::Write as _,
    sync::{Arc, Mutex},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use control_plane::writes::Side;
use tracing::{Event, Subscriber, field};
use tracing_subscriber::{Layer, layer::Context, prelude::*};

use crate::stage::rest_world::{Ask, World};

/// Keeps all events as text.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<String>>);

struct Fields<'a>(&'a mut String);

impl field::Visit for Fields<'_> {
    fn record_debug(&mut self, field: &field::Field, value: &dyn std::fmt::Debug) {
        write!(self.0, "{field}={value:?} ").expect("write");
    }
}

impl<S: Subscriber> Layer<S> for Log {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let mut text = self.0.lock().expect("log");
        write!(text, "{} ", event.metadata().target()).expect("write");
        event.record(&mut Fields(&mut text));
        text.push('\n');
    }
}

async fn local(world: &World, method: &str, path: &str, body: &str, token: &str) -> String {
    let mut headers = vec![("content-type".to_owned(), "application/json".to_owned())];
    if !token.is_empty() {
        headers.push(("authorization".to_owned(), format!("Bearer {token}")));
    }
    let ask = Ask { remote: !token.is_empty(), method, path, headers, body: Some(body.to_owned()) };
    world.ask("127.0.0.1:5681", ask).await.body
}

#[tokio::test(start_paused = true)]
async fn the_log_says_who_did_what_and_holds_no_secret() {
    let log = Log::default();
    // With one subscriber alive, other threads decide for themselves whether anybody listens: keep two.
    let _second = tracing::Dispatch::new(tracing_subscriber::registry());
    let _here = tracing::subscriber::set_default(tracing_subscriber::registry().with(log.clone()));
    let world = World::start(Side::Global, "").await;
    let pem = tokens::generate_signing_key();
    let data = STANDARD.encode(pem.reveal());
    let body = format!(r#"{{"type":"GlobalSecret","name":"user-token-signing-key-2","data":"{data}"}}"#);
    local(&world, "PUT", "/global-secrets/user-token-signing-key-2", &body, "").await;
    let token = local(&world, "POST", "/tokens/user", r#"{"name":"john","validFor":"1h"}"#, "").await;
    let zone = local(&world, "POST", "/tokens/zone", r#"{"zone":"east","scope":["cp"]}"#, "").await;
    local(&world, "PUT", "/meshes/demo", r#"{"type":"Mesh","name":"demo"}"#, &token).await;
    local(&world, "DELETE", "/global-secrets/admin-user-token", "", &token).await;
    local(&world, "GET", "/who-am-i", "", "not.a.token").await;
    local(&world, "PUT", "/global-secrets/hush", r#"{"type":"GlobalSecret","name":"hush","data":"c2Vzc2Ft!"}"#, "")
        .await;
    let text = log.0.lock().expect("log").clone();
    for expected in [
        "name=\"user-token-signing-key-2\" result=\"created\"",
        "caller=mesh-system:admin/mesh-system:admin,mesh-system:authenticated",
        "caller=john/mesh-system:authenticated method=\"PUT\" kind=\"Mesh\" mesh=\"\" name=\"demo\" result=\"created\"",
        "method=\"DELETE\" kind=\"GlobalSecret\" mesh=\"\" name=\"admin-user-token\" result=\"refused",
        "zone=\"east\" scope=\"cp\"",
        "key=\"user-token-signing-key-2\"",
        "authentication rejected",
    ] {
        assert!(text.contains(expected), "{expected} is not in:\n{text}");
    }
    let second_line = pem.reveal().lines().nth(1).expect("a line of the key");
    for secret in [token.as_str(), zone.as_str(), second_line, data.as_str(), "not.a.token", "c2Vzc2Ft"] {
        assert!(!text.contains(secret), "a secret is in the log:\n{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn callers_who_proved_nothing_do_not_fill_the_log() {
    let log = Log::default();
    let _second = tracing::Dispatch::new(tracing_subscriber::registry());
    let _here = tracing::subscriber::set_default(tracing_subscriber::registry().with(log.clone()));
    let world = World::start(Side::Global, "").await;
    let odd = "%01".repeat(1300);
    let path = format!("/meshes/{odd}/secrets/{odd}");
    let json = ("content-type".to_owned(), "application/json".to_owned());
    let ask = |method, path: String, header: Option<(String, String)>, body: Option<String>| {
        let headers = [json.clone()].into_iter().chain(header).collect();
        let world = &world;
        async move { world.ask("10.9.9.1:5681", Ask { remote: true, method, path: &path, headers, body }).await.status }
    };
    for _ in 0..500 {
        assert_eq!(ask("DELETE", path.clone(), None, None).await, 403);
        assert_eq!(ask("PUT", path.clone(), None, Some(String::new())).await, 403);
        let token = ("authorization".to_owned(), "Bearer a.b.c".to_owned());
        assert_eq!(ask("GET", "/who-am-i".to_owned(), Some(token), None).await, 401);
        for kind in ["user", "zone", "control-plane", "dataplane"] {
            let body = format!(r#"{{"zone":"{}","name":"x"}}"#, "\\u0001".repeat(1300));
            assert_eq!(ask("POST", format!("/tokens/{kind}"), None, Some(body)).await, 403);
        }
    }
    let text = log.0.lock().expect("log").clone();
    let lines: Vec<&str> = text.lines().filter(|line| line.contains("left_out=")).collect();
    assert_eq!(lines.len(), 50, "of 3,500 refusals");
    for line in lines {
        assert!(line.len() < 2600 && !line.contains('\u{1}'), "{} bytes: {line}", line.len());
    }
    tokio::time::advance(std::time::Duration::from_secs(20)).await;
    ask("DELETE", path, None, None).await;
    assert!(log.0.lock().expect("log").contains("left_out=3450"), "what was left out is counted");
}

#[tokio::test(start_paused = true)]
async fn a_user_who_is_refused_over_and_over_does_not_fill_the_log() {
    let log = Log::default();
    let _second = tracing::Dispatch::new(tracing_subscriber::registry());
    let _here = tracing::subscriber::set_default(tracing_subscriber::registry().with(log.clone()));
    let world = World::start(Side::Global, "").await;
    let joe = local(&world, "POST", "/tokens/user", r#"{"name":"joe","validFor":"1h"}"#, "").await;
    let ann = local(&world, "POST", "/tokens/user", r#"{"name":"ann","validFor":"1h"}"#, "").await;
    let odd = format!("/meshes/default/meshtimeouts/{}", "%1b".repeat(200));
    let mesh = r#"{"type":"Mesh","name":"demo"}"#;
    for _ in 0..500 {
        local(&world, "DELETE", &odd, "", &joe).await;
        local(&world, "PUT", &odd, "{}", &joe).await;
        local(&world, "PUT", "/global-secrets/x", "{}", &joe).await;
        local(&world, "POST", "/tokens/zone", r#"{"zone":"east"}"#, &joe).await;
    }
    local(&world, "DELETE", &odd, "", &ann).await;
    local(&world, "PUT", "/meshes/demo", mesh, &joe).await;
    let text = log.0.lock().expect("log").clone();
    let lines = |text: &str, what: &str| text.lines().filter(|line| line.contains(what)).count();
    assert_eq!(lines(&text, "caller=joe/"), 101, "50 before and 50 after the body, and what was done:\n{text}");
    assert_eq!((lines(&text, "name=\"demo\" result=\"created\""), lines(&text, "caller=ann/")), (1, 1), "{text}");
    for line in text.lines() {
        assert!(line.len() < 2600, "{} bytes: {line}", line.len());
    }
    tokio::time::advance(std::time::Duration::from_secs(20)).await;
    local(&world, "DELETE", &odd, "", &joe).await;
    let text = log.0.lock().expect("log").clone();
    assert!(
        text.lines().last().is_some_and(|line| line.contains("left_out=950")),
        "what was left out is told:\n{text}"
    );
}
