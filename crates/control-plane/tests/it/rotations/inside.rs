//! Rotations of a global inside the test: what zones that are played do to them, and a store that is damaged.

use bytes::Bytes;
use model::{Key, Kind, Resource};
use prost::Message as _;
use prost_types::{Struct, Value as Field, value};
use serde_json::{Value, json};
use store::{Precondition, ResourceStore as _};
use testkit::{kds::Call, rpcs::DOWN};
use wire::envoy::{config::core::v3::Node, service::discovery::v3::DeltaDiscoveryRequest};

use crate::stage::database_global::{Global, soon};

const FAMILY: &str = "control-plane-signing-key";

/// A global, and the token of its administrator.
struct Stage {
    global: Global,
    admin: String,
}

impl Stage {
    async fn start() -> Self {
        let global = Global::start().await;
        let admin = global.admin_token().await;
        Self { global, admin }
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let (status, said) = self.global.rest(method, path, &self.admin, &body);
        (status, serde_json::from_str(&said).unwrap_or(Value::String(said)))
    }

    fn status(&self) -> Value {
        let (status, said) = self.ask("GET", &format!("/rotations/{FAMILY}"), &Value::Null);
        assert_eq!(status, 200, "{said}");
        said
    }

    fn step(&self, word: &str, force: bool) -> (u16, Value) {
        let now = self.status();
        let expect = json!({"phase": now["phase"], "from": now["from"], "to": now["to"]});
        self.ask("POST", &format!("/rotations/{FAMILY}/{word}"), &json!({"expect": expect, "force": force}))
    }

    fn made(&self, word: &str) {
        let (status, said) = self.step(word, false);
        assert_eq!(status, 200, "{word}: {said}");
    }

    /// What is said of who is in the way.
    fn reasons(&self) -> Vec<String> {
        let blockers = self.status()["blockers"].clone();
        blockers.as_array().unwrap().iter().map(|blocker| blocker["reason"].as_str().unwrap().to_owned()).collect()
    }

    /// A token without an end of the zone west.
    fn token(&self) -> String {
        let (status, said) = self.ask("POST", "/tokens/control-plane", &json!({"zone": "west"}));
        assert_eq!(status, 200, "{said}");
        said.as_str().unwrap().to_owned()
    }

    /// An instance of the zone west that says it renews its token, or not.
    async fn connect(&self, token: &str, instance: &str, renews: &str) -> Call {
        let headers = [
            ("client-id", "west"),
            ("authorization", token),
            ("features", "hash-suffix"),
            ("arctos-token-renewal", renews),
        ];
        let mut session = self.global.peer().await.open(DOWN, &headers);
        let name = Field { kind: Some(value::Kind::StringValue(instance.to_owned())) };
        let metadata = Struct { fields: [("control-plane-id".to_owned(), name)].into() };
        let first = DeltaDiscoveryRequest {
            node: Some(Node { id: "west".to_owned(), metadata: Some(metadata) }),
            type_url: "Mesh".to_owned(),
            resource_names_subscribe: vec!["*".to_owned()],
            ..DeltaDiscoveryRequest::default()
        };
        session.send(&first.encode_to_vec());
        assert!(session.next().await.is_some(), "a zone that is served");
        session
    }

    async fn last_refusal(&self) -> Value {
        self.ask("GET", "/zones/west/_overview", &Value::Null).1["zoneInsight"]["lastRefusal"].clone()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_instance_of_a_zone_is_reckoned_with() {
    let stage = Stage::start().await;
    let old = stage.token();
    stage.made("start");
    stage.made("advance");
    stage.made("advance");
    let new = stage.token();
    assert_ne!(old, new);
    // Each puts the other out.
    let mut first = stage.connect(&old, "host-0001", "no").await;
    let mut second = stage.connect(&new, "host-0002", "no").await;
    first.ended().await;
    let mut first = stage.connect(&old, "host-0001", "no").await;
    second.ended().await;
    let _second = stage.connect(&new, "host-0002", "no").await;
    first.ended().await;
    let told = soon(async || {
        let reasons = stage.reasons();
        reasons.into_iter().find(|reason| reason.contains("another instance"))
    });
    let told = told.await;
    assert!(told.contains("`host-0001`") && told.contains("revoke token"), "{told}");
    let (status, said) = stage.step("advance", false);
    assert_eq!(status, 409, "{said}");
    assert_eq!(stage.status()["zonesByKey"], json!({"1": 1, "2": 1}));
    // Who took its token away waits for nobody.
    let id = told.rsplit("--id ").next().unwrap().trim_end_matches('`');
    let body = json!({"family": "control-plane-token", "id": id});
    assert_eq!(stage.ask("POST", "/tokens/revocations", &body).0, 200);
    soon(async || stage.reasons().is_empty().then_some(())).await;
    stage.made("advance");
    assert_eq!(stage.status()["phase"], "idle");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_zone_whose_next_token_is_revoked_is_told_with_the_way_out() {
    let stage = Stage::start().await;
    let old = stage.token();
    stage.made("start");
    stage.made("advance");
    let _zone = stage.connect(&stage.token(), "host-0001", "yes").await;
    let (_, ledger) = stage.ask("GET", "/tokens", &Value::Null);
    let of_key = |key: u64| {
        let items = ledger["items"].as_array().unwrap();
        items.iter().find(|one| one["key"] == key && one["zone"] == "west").unwrap()["id"].clone()
    };
    assert!(!old.is_empty());
    let body = json!({"family": "control-plane-token", "id": of_key(1)});
    assert_eq!(stage.ask("POST", "/tokens/revocations", &body).0, 200);
    stage.made("rollback");
    let reasons = stage.reasons();
    assert!(
        reasons.iter().any(|reason| reason.contains("cannot renew it") && reason.contains("--valid-for")),
        "{reasons:?}"
    );
    let (_, found) = stage.ask("GET", "/doctor", &Value::Null);
    let found = found.to_string();
    assert!(found.contains("cannot renew it"), "{found}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn why_a_zone_was_put_out_stands_in_its_status_before_and_after_it_comes_again() {
    let stage = Stage::start().await;
    let old = stage.token();
    let mut zone = stage.connect(&old, "host-0001", "no").await;
    for _ in 0..3 {
        assert_eq!(stage.step(if stage.status()["phase"] == "idle" { "start" } else { "advance" }, false).0, 200);
    }
    let (status, said) = stage.step("advance", true);
    assert_eq!(status, 200, "{said}");
    zone.ended().await;
    let refusal = soon(async || Some(stage.last_refusal().await).filter(|refusal| !refusal.is_null())).await;
    assert_eq!(refusal["reason"], "key-retired", "{refusal}");
    let headers = [("client-id", "west"), ("authorization", &*old), ("features", "hash-suffix")];
    let mut again = stage.global.peer().await.open(DOWN, &headers);
    assert!(again.ended().await.message.contains("key retired"));
    let word = soon(async || Some(stage.last_refusal().await).filter(|new| *new != refusal)).await;
    assert_eq!(word["reason"], "key-retired", "{word}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_record_hides_no_other_family_and_can_be_dropped() {
    let stage = Stage::start().await;
    stage.made("start");
    stage.made("rollback");
    let key = Key::global(Kind::RECORD, format!("rotation.{FAMILY}"));
    let stored = stage.global.other.get(&key).await.unwrap().unwrap();
    let spec = Bytes::from_static(br#"{"highest":2,"history":7}"#);
    let damaged = Resource { spec, ..Resource::clone(&stored.resource) };
    stage.global.other.put(damaged, Precondition::Present).await.unwrap();
    let status = soon(async || Some(stage.status()).filter(|status| status["phase"] == "unreadable")).await;
    let problem = status["problem"].as_str().unwrap();
    assert!(problem.contains("kumactl rotate rollback control-plane-signing-key --force"), "{problem}");
    let (code, all) = stage.ask("GET", "/rotations", &Value::Null);
    let phases: Vec<_> = all["items"].as_array().unwrap().iter().map(|one| one["phase"].clone()).collect();
    assert_eq!((code, phases), (200, ["unreadable", "idle", "idle", "idle"].map(Value::from).to_vec()), "{all}");
    let (code, doctor) = stage.ask("GET", "/doctor", &Value::Null);
    assert!(code == 200 && doctor.to_string().contains("rotate rollback"), "{doctor}");
    let refused = stage.ask("POST", &format!("/rotations/{FAMILY}/start"), &json!({}));
    assert!(refused.0 == 500 && refused.1.to_string().contains("--force"), "{refused:?}");
    let body = json!({"expect": {"phase": "idle"}, "force": true});
    let (code, dropped) = stage.ask("POST", &format!("/rotations/{FAMILY}/rollback"), &body);
    assert_eq!((code, &dropped["phase"]), (200, &json!("idle")), "{dropped}");
    stage.made("start");
    assert_eq!(stage.status()["to"], 3, "no serial is given twice");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mesh_that_is_not_there_has_no_keys() {
    let stage = Stage::start().await;
    let path = "/rotations/dataplane-token-signing-key";
    for (method, path) in [("GET", format!("{path}?mesh=nosuch")), ("POST", format!("{path}/start?mesh=nosuch"))] {
        let (status, said) = stage.ask(method, &path, &Value::Null);
        assert!(status == 404 && said.to_string().contains("there is no mesh"), "{method}: {status} {said}");
    }
    assert_eq!(stage.ask("GET", &format!("{path}?mesh=default"), &Value::Null).0, 200);
}
