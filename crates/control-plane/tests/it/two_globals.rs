//! Two global control planes on one database: what is written on one is in force on the other, and what one knows of its
//! zones stays true when the other writes, stops or starts again.

use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use model::{Key, Kind, Resource, labels};
use prost::Message as _;
use store::{Precondition, Query, ResourceStore, testing::Database};
use testkit::{
    client,
    kds::Call,
    program::LIMIT,
    rpcs::{ADMIN, DOWN},
};
use wire::{
    envoy::{
        config::core::v3::Node,
        service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse},
    },
    kuma::{
        mesh::v1alpha1::{XdsConfigRequest, XdsConfigResponse, xds_config_response},
        system::v1alpha1::ZoneInsight,
    },
};

use crate::stage::database_global::{Global, Shared, open, soon, subscribe};

const UNAUTHENTICATED: u32 = 16;

/// Makes each case a test on the database in memory and one on PostgreSQL, where there is one.
macro_rules! on_each_database {
    ($($case:ident,)*) => {
        mod in_memory {
            use super::*;

            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                super::$case(Database::new()).await;
            })*
        }

        mod on_postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                let Some(database) = testkit::postgres::database() else { return };
                super::$case(database).await;
            })*
        }
    };
}

on_each_database! {
    a_key_that_is_deleted_on_one_ends_the_sessions_of_both,
    what_is_written_on_one_goes_to_the_zones_of_the_other,
    what_is_written_on_one_can_be_deleted_on_the_other_at_once,
    who_moves_to_the_other_gets_the_difference_and_no_more,
    a_zone_stays_online_while_the_other_control_plane_stops_and_starts_again,
    a_zone_that_is_disabled_on_one_takes_its_resources_from_the_zones_of_the_other,
    of_writers_of_one_name_nobody_hears_an_error,
    a_proxy_is_inspected_through_whatever_control_plane,
    a_rotation_goes_on_when_all_instances_have_its_key,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_good_authority_all_but_the_other_instances_are_served() {
    let database = Database::new();
    let good = Global::start_on(&database).await;
    assert!(good.running.addresses().inter_cp.is_some());
    let key = Key::global(Kind::GLOBAL_SECRET, "inter-cp-ca");
    let mut secret = (*good.other.get(&key).await.unwrap().unwrap().resource).clone();
    secret.spec = model::secret::encode(b"no authority");
    good.other.put(secret, Precondition::Present).await.unwrap();
    let other = Global::start_on(&database).await;
    assert_eq!(other.running.addresses().inter_cp, None);
    let admin = other.admin_token().await;
    assert_eq!(other.rest("GET", "/zones", &admin, "").0, 200);
}

/// Two globals, the administrator's token and one of the zone west.
async fn two<D: Shared>(database: &D) -> ([Global<D::Store>; 2], String, String) {
    let globals = [Global::start_on(database).await, Global::start_on(database).await];
    let admin = globals[0].admin_token().await;
    let wanted = r#"{"zone": "west", "validFor": "1h"}"#;
    let (status, token) = globals[0].rest("POST", "/tokens/control-plane", &admin, wanted);
    assert_eq!(status, 200, "{token}");
    (globals, admin, token)
}

/// A zone that is connected and has what there is of a kind.
async fn connect<S: ResourceStore>(global: &Global<S>, token: &str, kind: &str) -> Call {
    let mut session = open(&global.peer().await, DOWN, token);
    session.send(&subscribe(kind));
    let first = received(&mut session).await;
    session.send(&acknowledge(kind, &first));
    session
}

async fn received(session: &mut Call) -> DeltaDiscoveryResponse {
    let response = tokio::time::timeout(LIMIT, session.next()).await.expect("a response in time");
    DeltaDiscoveryResponse::decode(response.expect("a response")).unwrap()
}

fn acknowledge(kind: &str, response: &DeltaDiscoveryResponse) -> Vec<u8> {
    DeltaDiscoveryRequest {
        node: Some(Node { id: "west".to_owned(), metadata: None }),
        type_url: kind.to_owned(),
        response_nonce: response.nonce.clone(),
        ..DeltaDiscoveryRequest::default()
    }
    .encode_to_vec()
}

/// Waits until so many subscriptions of the zone are open in the store.
async fn open_subscriptions<S: ResourceStore>(global: &Global<S>, count: usize) {
    let key = Key::global(Kind::ZONE_INSIGHT, "west");
    soon(async || {
        tokio::task::yield_now().await;
        let stored = global.other.get(&key).await.unwrap()?;
        let insight = ZoneInsight::decode(stored.resource.spec.clone()).unwrap();
        let open = insight.subscriptions.iter().filter(|one| one.disconnect_time.is_none());
        (open.count() == count).then_some(())
    })
    .await;
}

async fn a_key_that_is_deleted_on_one_ends_the_sessions_of_both<D: Shared>(database: D) {
    let ([first, second], _admin, token) = two(&database).await;
    let (mut here, mut there) = (connect(&first, &token, "Mesh").await, connect(&second, &token, "Mesh").await);
    open_subscriptions(&first, 2).await;
    for secret in first.other.list(&Query::all(Kind::GLOBAL_SECRET)).await.unwrap().items {
        if secret.resource.key.name.starts_with("control-plane-signing-key") {
            first.other.delete(&secret.resource.key, Precondition::Present).await.unwrap();
        }
    }
    assert_eq!(here.ended().await.code, UNAUTHENTICATED);
    assert_eq!(there.ended().await.code, UNAUTHENTICATED);
    open_subscriptions(&first, 0).await;
}

async fn what_is_written_on_one_goes_to_the_zones_of_the_other<D: Shared>(database: D) {
    let ([first, second], admin, token) = two(&database).await;
    let mut west = connect(&second, &token, "Mesh").await;
    let (status, said) = first.rest("PUT", "/meshes/payments", &admin, r#"{"type": "Mesh", "name": "payments"}"#);
    assert_eq!(status, 201, "{said}");
    let news = received(&mut west).await;
    assert_eq!(news.resources.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["payments."]);
    let (status, said) = second.rest("GET", "/meshes/payments", &admin, "");
    assert_eq!(status, 200, "{said}");
}

async fn what_is_written_on_one_can_be_deleted_on_the_other_at_once<D: Shared>(database: D) {
    let ([first, second], admin, _token) = two(&database).await;
    for round in 0..10 {
        let path = format!("/zones/z{round}");
        let zone = format!(r#"{{"type": "Zone", "name": "z{round}"}}"#);
        assert_eq!(first.rest("PUT", &path, &admin, &zone).0, 201);
        let (status, said) = second.rest("DELETE", &path, &admin, "");
        assert_eq!(status, 200, "{said}");
        assert_eq!(second.rest("DELETE", &path, &admin, "").0, 404, "now it is gone");
    }
}

async fn who_moves_to_the_other_gets_the_difference_and_no_more<D: Shared>(database: D) {
    let ([first, second], admin, token) = two(&database).await;
    for mesh in ["payments", "orders", "search"] {
        let body = format!(r#"{{"type": "Mesh", "name": "{mesh}"}}"#);
        assert_eq!(first.rest("PUT", &format!("/meshes/{mesh}"), &admin, &body).0, 201);
    }
    let mut west = open(&first.peer().await, DOWN, &token);
    west.send(&subscribe("Mesh"));
    let all = received(&mut west).await;
    assert_eq!(all.resources.len(), 4);
    west.send(&acknowledge("Mesh", &all));
    drop(west);
    assert_eq!(first.rest("DELETE", "/meshes/orders", &admin, "").0, 200);
    let changed = r#"{"type": "Mesh", "name": "search", "labels": {"team": "search"}}"#;
    assert_eq!(first.rest("PUT", "/meshes/search", &admin, changed).0, 200);
    second.store.settled().await.unwrap();
    let known = all.resources.iter().map(|one| (one.name.clone(), one.version.clone())).collect();
    let mut request = DeltaDiscoveryRequest::decode(&*subscribe("Mesh")).unwrap();
    request.initial_resource_versions = known;
    let mut west = open(&second.peer().await, DOWN, &token);
    west.send(&request.encode_to_vec());
    let difference = received(&mut west).await;
    let names: Vec<_> = difference.resources.iter().map(|one| one.name.as_str()).collect();
    assert_eq!((names, difference.removed_resources), (vec!["search."], vec!["orders.".to_owned()]));
}

async fn a_zone_stays_online_while_the_other_control_plane_stops_and_starts_again<D: Shared>(database: D) {
    let ([first, second], admin, token) = two(&database).await;
    let _west = connect(&first, &token, "Mesh").await;
    let moved = connect(&second, &token, "Mesh").await;
    open_subscriptions(&first, 2).await;
    let (finished, failure) = second.running.stop(LIMIT).await;
    assert_eq!((finished, failure), (true, None));
    drop(moved);
    open_subscriptions(&first, 1).await;
    let again = Global::start_on(&database).await;
    open_subscriptions(&again, 1).await;
    // Nobody may delete a zone that is connected, wherever it is.
    let (status, said) = again.rest("DELETE", "/zones/west", &admin, "");
    assert_eq!(status, 400, "{said}");
    open_subscriptions(&again, 1).await;
}

async fn a_zone_that_is_disabled_on_one_takes_its_resources_from_the_zones_of_the_other<D: Shared>(database: D) {
    let ([first, second], admin, token) = two(&database).await;
    let (status, said) = first.rest("PUT", "/zones/east", &admin, r#"{"type": "Zone", "name": "east"}"#);
    assert_eq!(status, 201, "{said}");
    let origin = [(labels::ORIGIN, "zone"), (labels::ZONE, "east")];
    let ingress = Resource {
        key: Key::global(Kind::by_name("ZoneIngress").unwrap(), "ingress-of-east"),
        labels: origin.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
        spec: Bytes::new(),
        status: None,
        owner: None,
        created: Timestamp::UNIX_EPOCH,
        modified: Timestamp::UNIX_EPOCH,
    };
    first.other.put(ingress, Precondition::Absent).await.unwrap();
    second.store.settled().await.unwrap();
    let mut west = open(&second.peer().await, DOWN, &token);
    west.send(&subscribe("ZoneIngress"));
    let held = received(&mut west).await;
    assert_eq!(held.resources.len(), 1);
    west.send(&acknowledge("ZoneIngress", &held));
    let disabled = r#"{"type": "Zone", "name": "east", "enabled": false}"#;
    let (status, said) = first.rest("PUT", "/zones/east", &admin, disabled);
    assert_eq!(status, 200, "{said}");
    let news = received(&mut west).await;
    assert_eq!(news.removed_resources, [held.resources[0].name.as_str()]);
}

async fn a_rotation_goes_on_when_all_instances_have_its_key<D: Shared>(database: D) {
    let ([first, second], admin, _token) = two(&database).await;
    for (step, global) in [("start", &first), ("advance", &second), ("advance", &first)] {
        let (status, said) = rotate(global, step, &admin);
        assert_eq!(status, 200, "{step}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_waits_for_an_instance_that_is_behind_and_for_none_that_is_gone() {
    let ([first, second], admin, _token) = two(&Database::new()).await;
    second.store.fall_behind();
    let (status, said) = rotate(&first, "start", &admin);
    assert_eq!(status, 200, "{said}");
    let (status, said) = rotate(&first, "advance", &admin);
    assert!(status == 409 && said.contains("instance"), "{status} {said}");
    let (finished, failure) = second.running.stop(LIMIT).await;
    assert_eq!((finished, failure), (true, None));
    soon(async || {
        tokio::task::yield_now().await;
        (rotate(&first, "advance", &admin).0 == 200).then_some(())
    })
    .await;
}

/// Makes the next step of the rotation of the keys of control planes.
fn rotate<S: ResourceStore>(global: &Global<S>, step: &str, admin: &str) -> (u16, String) {
    const FAMILY: &str = "/rotations/control-plane-signing-key";
    let (_, status) = global.rest("GET", FAMILY, admin, "");
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    let expect = serde_json::json!({"phase": status["phase"], "from": status["from"], "to": status["to"]});
    let body = serde_json::json!({ "expect": expect }).to_string();
    global.rest("POST", &format!("{FAMILY}/{step}"), admin, if step == "start" { "" } else { &body })
}

async fn a_proxy_is_inspected_through_whatever_control_plane<D: Shared>(database: D) {
    let ([first, second], _admin, token) = two(&database).await;
    let _west = connect(&second, &token, "Mesh").await;
    let mut configs = open(&second.peer().await, ADMIN[0], &token);
    let origin = [(labels::ORIGIN, "zone"), (labels::ZONE, "west")];
    let proxy = Resource {
        key: Key::in_mesh(Kind::DATAPLANE, "default", "backend"),
        labels: origin.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
        spec: Bytes::new(),
        status: None,
        owner: None,
        created: Timestamp::UNIX_EPOCH,
        modified: Timestamp::UNIX_EPOCH,
    };
    first.other.put(proxy, Precondition::Absent).await.unwrap();
    for asked in [&first, &second] {
        asked.store.settled().await.unwrap();
        let address = asked.http();
        let answer = loop {
            let path = "/meshes/default/dataplanes/backend/xds";
            let asking = std::thread::spawn(move || client::ask(address, "GET", path, None));
            let ended = async {
                while !asking.is_finished() {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            };
            let question = tokio::select! {
                question = configs.next() => Some(XdsConfigRequest::decode(question.unwrap()).unwrap()),
                () = ended => None,
            };
            if let Some(XdsConfigRequest { request_id, .. }) = question {
                let result = Some(xds_config_response::Result::Config(b"{}".to_vec().into()));
                configs.send(&XdsConfigResponse { request_id, result }.encode_to_vec());
                break asking.join().unwrap();
            }
            // It has not heard yet where the zone is, or the other instance.
            let (status, said) = asking.join().unwrap();
            assert!([400, 404].contains(&status), "{status} {said}");
        };
        assert_eq!(answer, (200, "{}".to_owned()));
    }
}

async fn of_writers_of_one_name_nobody_hears_an_error<D: Shared>(database: D) {
    const ROUNDS: usize = 10;
    let (globals, admin, _token) = two(&database).await;
    let (zone, admin) = (r#"{"type": "Zone", "name": "contested"}"#, admin.as_str());
    let answers: Vec<(u16, String)> = std::thread::scope(|scope| {
        let writer = |global: usize, number: usize| {
            let globals = &globals;
            scope.spawn(move || {
                let write = |round: usize| match (number + round) % 4 {
                    0 => globals[global].rest("DELETE", "/zones/contested", admin, ""),
                    _ => globals[global].rest("PUT", "/zones/contested", admin, zone),
                };
                (0..ROUNDS).map(write).collect::<Vec<_>>()
            })
        };
        let writers: Vec<_> = (0..4).map(|number| writer(number % 2, number)).collect();
        writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect()
    });
    // Who deletes what somebody else deleted hears that it is not there.
    let errors: Vec<_> = answers.iter().filter(|(status, _)| ![200, 201, 404].contains(status)).collect();
    assert!(errors.is_empty() && answers.len() == 4 * ROUNDS, "{errors:?}");
}
