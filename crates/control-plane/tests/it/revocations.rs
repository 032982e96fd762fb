//! Tokens are taken back by id, zone, key and time: sessions end with the reason, nobody comes back with such a token, and
//! the next token is good at once.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use control_plane::clock::Clock;
use model::{Key, Kind, Resource, secret};
use serde_json::{Value, json};
use store::{Precondition, ResourceStore as _, testing::Database};
use testkit::{
    kds::{Call, Ended},
    rpcs::DOWN,
};

use crate::stage::{
    database_global::{Global, open, soon, subscribe},
    world::{World, decode},
};

const UNAUTHENTICATED: u32 = 16;
const REVOCATIONS: &str = "/tokens/revocations";
const LIST: &str = "control-plane-token-revocations";

/// A global, and the token of its administrator.
struct Stage {
    global: Global,
    admin: String,
}

impl Stage {
    async fn start_on(database: &Database) -> Self {
        let global = Global::start_on(database).await;
        let admin = global.admin_token().await;
        Self { global, admin }
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> (u16, String) {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.global.rest(method, path, &self.admin, &body)
    }

    /// A control plane token of the zone west.
    fn issue(&self, valid_for: Option<&str>) -> (u16, String) {
        let mut order = json!({"zone": "west"});
        if let Some(valid_for) = valid_for {
            order["validFor"] = valid_for.into();
        }
        self.ask("POST", "/tokens/control-plane", &order)
    }

    fn token(&self) -> String {
        let (status, token) = self.issue(Some("1h"));
        assert_eq!(status, 200, "{token}");
        token
    }

    fn revoke(&self, what: &Value) -> Value {
        let mut body = json!({"family": "control-plane-token", "reason": "leaked"});
        for (name, value) in what.as_object().unwrap() {
            body[name] = value.clone();
        }
        let (status, said) = self.ask("POST", REVOCATIONS, &body);
        assert_eq!(status, 200, "{body}: {said}");
        serde_json::from_str(&said).unwrap()
    }

    fn revocations(&self) -> Vec<Value> {
        let (status, said) = self.ask("GET", REVOCATIONS, &Value::Null);
        assert_eq!(status, 200, "{said}");
        serde_json::from_str::<Value>(&said).unwrap()["items"].as_array().unwrap().clone()
    }

    async fn connect(&self, token: &str) -> Call {
        let mut session = open(&self.global.peer().await, DOWN, token);
        session.send(&subscribe("Mesh"));
        assert!(session.next().await.is_some(), "a zone that is served");
        session
    }

    async fn is_let_in(&self, token: &str) -> bool {
        let mut call = open(&self.global.peer().await, DOWN, token);
        call.half_close();
        let ended = call.ended().await;
        assert!(ended.code != UNAUTHENTICATED || ended.message.contains("revoked"), "{ended:?}");
        ended.code != UNAUTHENTICATED
    }

    async fn put_past_the_api(&self, spec: bytes::Bytes) {
        let key = Key::global(Kind::GLOBAL_SECRET, LIST);
        let stored = self.global.other.get(&key).await.unwrap().unwrap();
        let resource = Resource { spec, ..Resource::clone(&stored.resource) };
        self.global.other.put(resource, Precondition::Present).await.unwrap();
    }
}

fn id_of(token: &str) -> String {
    serde_json::from_str::<Value>(&decode(token).1).unwrap()["jti"].as_str().unwrap().to_owned()
}

fn was_revoked(ended: &Ended) -> bool {
    ended.code == UNAUTHENTICATED && ended.message.contains("token is revoked")
}

/// The body of a secret that lists ids.
fn list(ids: &str) -> Value {
    json!({"type": "GlobalSecret", "name": LIST, "data": STANDARD.encode(ids)})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_selector_ends_the_session_and_the_next_token_is_good() {
    let stage = Stage::start_on(&Database::new()).await;
    for selector in ["id", "zone", "key", "issuedBefore"] {
        let token = stage.token();
        let mut session = stage.connect(&token).await;
        let value: Value = match selector {
            "id" => id_of(&token).into(),
            "zone" => "west".into(),
            "key" => 1.into(),
            _ => Clock::system().now().to_string().into(),
        };
        let said = stage.revoke(&json!({selector: value}));
        assert!(was_revoked(&session.ended().await), "{selector}");
        assert!(!stage.is_let_in(&token).await, "{selector}");
        // And the one that the turn before left good.
        let affected = if selector == "id" { json!(1) } else { json!(2) };
        let found = (&said["affected"], &said["reason"], &said["notes"]);
        assert_eq!(found, (&affected, &json!("leaked"), &json!([])), "{said}");
        assert_eq!(said["inLedger"], json!(selector == "id"), "{said}");
        let shown = if selector == "id" { "token" } else { selector };
        // A time may come out a little later, so that it leaves out nothing that was dated forward.
        assert!(said[shown] == value || selector == "issuedBefore" && said[shown].is_string(), "{said}");
        assert_eq!(said["until"].is_string(), selector == "id", "{said}");
        // Within the same second, though its time of issue is set back.
        let next = stage.token();
        let mut session = stage.connect(&next).await;
        session.send(&subscribe("MeshTimeout"));
        assert!(session.next().await.is_some(), "{selector}: what is issued now is good, and stays");
    }
    let all = stage.revocations();
    assert_eq!(all.len(), 4);
    assert!(all.iter().all(|one| one["by"] == "mesh-system:admin" && one["at"].is_string()), "{all:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revocation_survives_a_put_of_the_list_and_a_restart_until_it_is_taken_back() {
    let database = Database::new();
    let stage = Stage::start_on(&database).await;
    let [by_record, by_list, good] = [(); 3].map(|()| stage.token());
    let said = stage.revoke(&json!({"id": id_of(&by_record)}));
    for body in [list("another-id"), list(&id_of(&by_list))] {
        let (status, answer) = stage.ask("PUT", &format!("/global-secrets/{LIST}"), &body);
        assert!(matches!(status, 200 | 201), "{answer}");
    }
    soon(async || (!stage.is_let_in(&by_list).await).then_some(())).await;
    let again = Stage::start_on(&database).await;
    for stage in [&stage, &again] {
        assert!(!stage.is_let_in(&by_record).await && !stage.is_let_in(&by_list).await && stage.is_let_in(&good).await);
    }
    let path = format!("{REVOCATIONS}/{}", said["id"].as_str().unwrap());
    assert_eq!(again.ask("DELETE", &path, &Value::Null).0, 200);
    assert!(again.is_let_in(&by_record).await && !again.is_let_in(&by_list).await, "the list is as it was");
    assert_eq!(again.ask("DELETE", &path, &Value::Null).0, 404);
    assert_eq!(again.revocations(), Vec::<Value>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_without_end_is_not_issued_again_after_its_zone_was_revoked() {
    let stage = Stage::start_on(&Database::new()).await;
    let (_, page) = stage.issue(None);
    let mut session = stage.connect(&page).await;
    stage.revoke(&json!({"zone": "west"}));
    assert!(was_revoked(&session.ended().await));
    let (status, said) = stage.issue(None);
    assert!(
        status == 400 && said.contains("validFor") && said.contains("--valid-for") && said.contains("rotate"),
        "{said}"
    );
    assert!(stage.is_let_in(&stage.token()).await, "one way out");
    let key = json!({
        "type": "GlobalSecret",
        "name": "control-plane-signing-key-0002",
        "data": STANDARD.encode(b"WJYYLYHNpsTlUPj5aSwUu0TkXSXS5FaFEDmZL9fLZ2E="),
    });
    let (status, said) = stage.ask("PUT", "/global-secrets/control-plane-signing-key-0002", &key);
    assert_eq!(status, 201, "{said}");
    let next = soon(async || Some(stage.issue(None)).filter(|(status, _)| *status == 200)).await.1;
    assert!(next != page && stage.is_let_in(&next).await, "and the other one");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_who_revoke_at_once_on_two_control_planes_both_revoke() {
    let database = Database::new();
    let stages = [Stage::start_on(&database).await, Stage::start_on(&database).await];
    let tokens = [stages[0].token(), stages[0].token()];
    let mut sessions = [stages[1].connect(&tokens[0]).await, stages[0].connect(&tokens[1]).await];
    std::thread::scope(|scope| {
        for (stage, token) in stages.iter().zip(&tokens) {
            scope.spawn(|| stage.revoke(&json!({"id": id_of(token)})));
        }
    });
    for session in &mut sessions {
        assert!(was_revoked(&session.ended().await), "here and there");
    }
    for stage in &stages {
        soon(async || (stage.revocations().len() == 2).then_some(())).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_that_becomes_unreadable_stays_in_force_as_it_was() {
    let stage = Stage::start_on(&Database::new()).await;
    let [revoked, good] = [stage.token(), stage.token()];
    let mut session = stage.connect(&good).await;
    let (status, said) = stage.ask("PUT", &format!("/global-secrets/{LIST}"), &list(&id_of(&revoked)));
    assert_eq!(status, 201, "{said}");
    soon(async || (!stage.is_let_in(&revoked).await).then_some(())).await;
    stage.put_past_the_api(bytes::Bytes::from_static(b"\xff\xff")).await;
    let (_, said) = soon(async || Some(stage.global.ready()).filter(|(_, said)| said.contains("cannot be read"))).await;
    assert!(said.contains(LIST) && said.contains("stays in force"), "{said}");
    assert_eq!(stage.global.ready().0, 200, "another control plane reads the same");
    assert!(!stage.is_let_in(&revoked).await && stage.is_let_in(&good).await);
    session.send(&subscribe("MeshTimeout"));
    assert!(session.next().await.is_some(), "nobody else is cut off");
    stage.put_past_the_api(secret::encode(id_of(&good).as_bytes())).await;
    assert!(was_revoked(&session.ended().await), "a readable one counts at once");
    soon(async || Some(stage.global.ready()).filter(|(_, said)| !said.contains("cannot be read"))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_revoked_is_refused_and_says_why() {
    let stage = Stage::start_on(&Database::new()).await;
    for (body, expected) in [
        (json!({"family": "nope", "id": "x"}), "there is no family"),
        (json!({"family": "dataplane-token", "id": "x"}), "name the mesh"),
        (json!({"family": "dataplane-token", "mesh": "nope", "id": "x"}), "there is no mesh"),
        (json!({"family": "user-token", "mesh": "default", "id": "x"}), "leave the mesh out"),
        (json!({"family": "user-token"}), "exactly one of id, zone, key and issuedBefore"),
        (json!({"family": "zone-token", "zone": "west", "key": 1}), "exactly one of id, zone, key and issuedBefore"),
        (json!({"family": "zone-token", "zone": "No Zone"}), "zone"),
        (json!({"family": "user-token", "zone": "west"}), "is for no zone"),
        (json!({"family": "user-token", "key": 7}), "there is no signing key 7 of this family; there are: 1"),
        (json!({"family": "user-token", "key": "one"}), "invalid type"),
        (json!({"family": "user-token", "issuedBefore": "yesterday"}), "is no time"),
        (json!({"family": "user-token", "issuedBefore": "2999-01-01T00:00:00Z"}), "must not be in the future"),
        (json!({"family": "user-token", "id": ""}), "no id"),
        (json!({"family": "user-token", "id": "a,b"}), "one id at a time"),
        (json!({"family": "user-token", "id": "x", "resaon": "typo"}), "unknown field"),
        (json!({"family": "user-token", "id": "x", "reason": "x".repeat(2000)}), "1024 bytes"),
        (json!("nope"), "invalid type"),
    ] {
        let (status, said) = stage.ask("POST", REVOCATIONS, &body);
        assert!(status == 400 && said.contains(expected), "{body}: {status} {said}");
    }
    assert_eq!(stage.revocations(), Vec::<Value>::new());
    assert_eq!(stage.ask("DELETE", &format!("{REVOCATIONS}/nope"), &Value::Null).0, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_revokes_themselves_is_told() {
    let stage = Stage::start_on(&Database::new()).await;
    let said = stage.revoke(&json!({"family": "user-token", "key": 1}));
    assert!(said["notes"][0].as_str().unwrap().contains("token of this very request"), "{said}");
    assert_eq!(stage.ask("GET", REVOCATIONS, &Value::Null).0, 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_id_that_is_not_in_the_ledger_is_taken_with_a_note() {
    let stage = Stage::start_on(&Database::new()).await;
    let said = stage.revoke(&json!({"id": "5766e443-ef30-4916-afbd-a680d244fc16"}));
    assert_eq!((&said["affected"], &said["inLedger"]), (&json!(0), &json!(false)), "{said}");
    assert!(said["notes"][0].as_str().unwrap().contains("in the ledger"), "{said}");
    assert_eq!(stage.revocations().len(), 1);
}

#[test]
fn kumactl_revokes_a_zone_and_its_next_token_brings_it_back() {
    let world = World::new(&[]);
    let west = world.connected_zone("west");
    let _east = world.connected_zone("east");
    let mark = world.global.mark();
    let family = "--family=control-plane-token";
    let said = world.kumactl.ok(&["revoke", "token", family, "--zone=west", "--reason=lost"], "");
    assert!(said.starts_with("revoked all control-plane-tokens of zone west that were issued before "), "{said}");
    assert!(said.contains(": 1 known token that was good (revocation "), "{said}");
    world.global.line_after(mark, &["tokens revoked", "zone west", "lost"]);
    world.global.line_after(mark, &["closed live streams", r#""zone": "west""#, "revoked"]);
    west.line(&["refused this zone", "revoked"]);
    assert!(world.online("east"));
    let page = world.kumactl.run(&["generate", "control-plane-token", "--zone=west"], "");
    assert!(!page.status.success(), "the way out is told");
    world.file(
        "west.token",
        &world.kumactl.ok(&["generate", "control-plane-token", "--zone=west", "--valid-for=1h"], ""),
    );
    world.wait_online("west");
}
