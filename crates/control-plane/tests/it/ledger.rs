//! The ledger over the API: what is told of tokens that were issued, to whom, and what is told of a token in hand.

use control_plane::writes::Side;
use model::{Key, Kind, Labels, secret};
use prost::Message as _;
use serde_json::{Value, json};
use testkit::rpcs::PING;
use wire::kuma::mesh::v1alpha1::ZoneHealthCheckRequest;

use crate::stage::{
    database_global::{Global, open, soon},
    rest_world::{Answer, Ask, World},
};

const HERE: &str = "127.0.0.1:5681";
const ELSEWHERE: &str = "10.9.9.1:5681";
const ELSEWHERE_OVER_TLS: &str = "10.9.9.1:5682";

async fn ask(world: &World, host: &str, method: &str, path: &str, token: &str, body: &str) -> Answer {
    let mut headers = vec![("content-type".to_owned(), "application/json".to_owned())];
    if !token.is_empty() {
        headers.push(("authorization".to_owned(), format!("Bearer {token}")));
    }
    let body = (method != "GET").then(|| body.to_owned());
    world.ask(host, Ask { remote: host != HERE, method, path, headers, body }).await
}

async fn issue(world: &World, kind: &str, body: &Value) -> String {
    let answer = ask(world, HERE, "POST", &format!("/tokens/{kind}"), "", &body.to_string()).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.body
}

async fn listed(world: &World, query: &str) -> Value {
    let answer = ask(world, HERE, "GET", &format!("/tokens{query}"), "", "").await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    serde_json::from_str(&answer.body).unwrap()
}

fn column(list: &Value, name: &str) -> Vec<Value> {
    list["items"].as_array().unwrap().iter().map(|item| item[name].clone()).collect()
}

#[tokio::test(start_paused = true)]
async fn every_issued_token_is_listed_and_no_token_is() {
    let world = World::start(Side::Global, "").await;
    let zone = issue(&world, "zone", &json!({"zone": "west", "scope": ["cp"], "validFor": "1h"})).await;
    let page = json!({"zone": "east"});
    let endless = issue(&world, "control-plane", &page).await;
    assert_eq!(issue(&world, "control-plane", &page).await, endless);
    let user = issue(&world, "user", &json!({"name": "john", "validFor": "1h"})).await;
    issue(&world, "dataplane", &json!({"name": "dp", "mesh": "default", "validFor": "1h"})).await;
    let all = listed(&world, "").await;
    assert_eq!(all["total"], 5, "those four, and the admin's of the start: {all}");
    for token in [&zone, &endless, &user] {
        assert!(!all.to_string().contains(token.rsplit('.').next().unwrap()));
    }
    let of_west = listed(&world, "?zone=west").await;
    let [entry] = &of_west["items"].as_array().unwrap()[..] else { panic!("{of_west}") };
    for (field, expected) in [
        ("family", json!("zone-token")),
        ("zone", json!("west")),
        ("scope", json!(["cp"])),
        ("key", json!(1)),
        ("algorithm", json!("RS256")),
        ("by", json!("mesh-system:admin")),
        ("how", json!("command")),
        ("revoked", json!(false)),
        ("seen", json!(false)),
    ] {
        assert_eq!(entry[field], expected, "{field}");
    }
    let mut users = column(&listed(&world, "?family=user-token").await, "name");
    users.sort_by_key(ToString::to_string);
    assert_eq!(users, ["john", "mesh-system:admin"]);
    assert_eq!(column(&listed(&world, "?family=dataplane-token").await, "mesh"), ["default"]);
    assert_eq!(column(&listed(&world, "?family=dataplane-token&mesh=other").await, "mesh"), [] as [Value; 0]);
    let without_end = listed(&world, "?withoutEnd=true").await;
    assert_eq!(column(&without_end, "zone"), ["east"]);
    assert!(without_end["items"][0]["id"].as_str().unwrap().starts_with("sha256:"));
    assert_eq!(listed(&world, "?key=2").await["total"], 0);
    let first = listed(&world, "?size=2").await;
    assert_eq!((first["items"].as_array().unwrap().len(), &first["total"]), (2, &json!(5)));
    assert!(first["next"].as_str().unwrap().ends_with("/tokens?offset=2&size=2"), "{first}");
    for wrong in ["?family=nope", "?key=x", "?withoutEnd=x", "?size=0"] {
        assert_eq!(ask(&world, HERE, "GET", &format!("/tokens{wrong}"), "", "").await.status, 400, "{wrong}");
    }
    for token in ["", user.as_str()] {
        assert_eq!(ask(&world, ELSEWHERE, "GET", "/tokens", token, "").await.status, 403);
    }
}

#[tokio::test(start_paused = true)]
async fn a_revoked_token_is_listed_as_such() {
    let world = World::start(Side::Global, "").await;
    issue(&world, "zone", &json!({"zone": "west", "scope": ["cp"], "validFor": "1h"})).await;
    let id = column(&listed(&world, "?zone=west").await, "id").remove(0);
    let list = secret::encode(id.as_str().unwrap().as_bytes());
    world.put(Key::global(Kind::GLOBAL_SECRET, "zone-token-revocations"), Labels::new(), list, None).await;
    assert_eq!(column(&listed(&world, "?zone=west").await, "revoked"), [json!(true)]);
}

#[tokio::test(start_paused = true)]
async fn who_issues_for_some_zones_gets_tokens_for_no_others() {
    let world = World::start(Side::Global, "john issues for west").await;
    let john = issue(&world, "user", &json!({"name": "john", "validFor": "1h"})).await;
    let jane = issue(&world, "user", &json!({"name": "jane", "validFor": "1h"})).await;
    let asks = async |who: &str, kind: &str, zone: &str| {
        let body = json!({"zone": zone, "validFor": "1h", "scope": ["cp"]}).to_string();
        ask(&world, ELSEWHERE, "POST", &format!("/tokens/{kind}"), who, &body).await
    };
    for kind in ["zone", "control-plane"] {
        for zone in ["west", "edge-7"] {
            assert_eq!(asks(&john, kind, zone).await.status, 200, "{kind} {zone}");
            assert_eq!(asks(&jane, kind, zone).await.status, 403, "{kind} {zone}");
        }
        let refused = asks(&john, kind, "east").await;
        assert_eq!(refused.status, 403);
        assert!(refused.body.contains("token for zone 'east'"), "{}", refused.body);
    }
    let by = column(&listed(&world, "?zone=edge-7").await, "by");
    assert_eq!(by, ["john", "john"]);
}

#[tokio::test(start_paused = true)]
async fn a_token_in_hand_is_judged_and_never_repeated() {
    let world = World::start(Side::Global, "").await;
    let user = issue(&world, "user", &json!({"name": "john", "validFor": "1h"})).await;
    let zone = issue(&world, "zone", &json!({"zone": "west", "scope": ["cp"], "validFor": "1h"})).await;
    let inspect = async |host: &str, who: &str, token: &str| {
        let answer = ask(&world, host, "POST", "/tokens/inspect", who, token).await;
        assert!(!answer.body.contains(token.rsplit('.').next().unwrap()), "{}", answer.body);
        (answer.status, serde_json::from_str::<Value>(&answer.body).unwrap_or_default())
    };
    let (status, found) = inspect(HERE, "", &format!("{zone}\n")).await;
    assert_eq!((status, &found["accepted"], &found["as"]), (200, &json!(true), &json!("zone control plane west")));
    assert_eq!((&found["inLedger"], &found["how"]), (&json!(true), &json!("command")));
    let (_, in_a_header) = inspect(HERE, "", &format!("Bearer {zone}")).await;
    assert_eq!(in_a_header["accepted"], true, "as zones may send it");
    assert_eq!((&found["claims"]["Zone"], &found["header"]["kid"]), (&json!("west"), &json!("1")));

    let (_, found) = inspect(ELSEWHERE_OVER_TLS, &user, &user).await;
    assert_eq!((&found["as"], &found["inLedger"]), (&json!("user john"), &json!(true)));
    assert_eq!(found["by"], Value::Null, "who issued it is for those who read the ledger");

    let id = found["id"].clone();
    let list = secret::encode(id.as_str().unwrap().as_bytes());
    world.put(Key::global(Kind::GLOBAL_SECRET, "user-token-revocations"), Labels::new(), list, None).await;
    let (_, found) = inspect(HERE, "", &user).await;
    assert_eq!(
        (&found["accepted"], &found["reason"], &found["revoked"]),
        (&json!(false), &json!("revoked"), &json!(true))
    );

    let strangers = World::start(Side::Global, "").await;
    let foreign = issue(&strangers, "user", &json!({"name": "john", "validFor": "1h"})).await;
    let (_, found) = inspect(HERE, "", &foreign).await;
    assert_eq!((&found["reason"], &found["inLedger"]), (&json!("bad-signature"), &json!(false)));

    assert_eq!(inspect(HERE, "", "one-segment-alone").await.0, 400);
    assert_eq!(inspect(ELSEWHERE_OVER_TLS, "", &zone).await.0, 403, "a stranger");
}

#[tokio::test(start_paused = true)]
async fn a_token_that_came_in_the_clear_is_not_looked_at() {
    let world = World::start(Side::Global, "").await;
    let user = issue(&world, "user", &json!({"name": "john", "validFor": "1h"})).await;
    let answer = ask(&world, ELSEWHERE, "POST", "/tokens/inspect", &user, &user).await;
    assert_eq!(answer.status, 400);
    assert!(answer.body.contains("https address") && !answer.body.contains(&user), "{}", answer.body);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_a_zone_showed_is_seen_also_one_without_an_end() {
    let global = Global::start().await;
    let admin = global.admin_token().await;
    for body in [r#"{"zone": "west", "validFor": "1h"}"#, r#"{"zone": "west"}"#] {
        let (status, token) = global.rest("POST", "/tokens/control-plane", &admin, body);
        assert_eq!(status, 200, "{token}");
        let peer = global.peer().await;
        let mut ping = open(&peer, PING, &token);
        ping.send(&ZoneHealthCheckRequest::default().encode_to_vec());
        ping.half_close();
        assert_eq!(ping.ended().await.code, 0);
    }
    // It is known at once, and written a moment later.
    let written = soon(async || {
        tokio::task::yield_now().await;
        let (_, list) = global.rest("GET", "/tokens?zone=west", &admin, "");
        let list: Value = serde_json::from_str(&list).unwrap();
        assert_eq!(column(&list, "seen"), [json!(true), json!(true)]);
        column(&list, "firstSeen").iter().all(Value::is_string).then_some(())
    });
    written.await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_store_takes_no_writes_no_token_is_handed_out() {
    let global = Global::start().await;
    let admin = global.admin_token().await;
    let body = r#"{"zone": "west", "validFor": "1h"}"#;
    global.store.refuse_writes("disk full");
    let (status, text) = global.rest("POST", "/tokens/control-plane", &admin, body);
    assert_eq!(status, 503, "{text}");
    assert!(text.contains("ledger") && !text.contains("eyJ"), "{text}");
    global.store.take_writes();
    assert_eq!(global.rest("POST", "/tokens/control-plane", &admin, body).0, 200);
}
