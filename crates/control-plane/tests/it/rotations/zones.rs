//! Keys that zones verify with: they have them before anything is signed, and can read them.

use prost::Message as _;
use serde_json::json;
use testkit::{kds::Call, program::LIMIT, rpcs::DOWN};
use wire::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse};

use super::{assert_stands, refused, rotate, status, wait_for_nobody_in_the_way};
use crate::stage::{
    plain_port::{first, node, open, peer, plain_world},
    world::World,
};

const FAMILY: &str = "zone-token-signing-key";

async fn received(session: &mut Call) -> DeltaDiscoveryResponse {
    let response = tokio::time::timeout(LIMIT, session.next()).await.expect("a response in time");
    DeltaDiscoveryResponse::decode(response.expect("a response")).unwrap()
}

fn acknowledge(response: &DeltaDiscoveryResponse) -> Vec<u8> {
    DeltaDiscoveryRequest {
        node: node("old"),
        type_url: "GlobalSecret".to_owned(),
        response_nonce: response.nonce.clone(),
        ..DeltaDiscoveryRequest::default()
    }
    .encode_to_vec()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_of_zone_tokens_signs_after_every_connected_zone_has_its_public_half() {
    let world = plain_world();
    let token = world.token("old");
    let connection = peer(&world).await;
    let mut session = open(&connection, DOWN, "old", &token);
    session.send(&first("old", "GlobalSecret"));
    let held = received(&mut session).await;
    session.send(&acknowledge(&held));
    rotate(&world, "start", FAMILY);
    let news = received(&mut session).await;
    let names: Vec<&str> = news.resources.iter().map(|resource| resource.name.as_str()).collect();
    assert!(names[0].starts_with("zone-token-signing-public-key-2"), "{names:?}");
    let text = refused(&world, &["rotate", "advance", FAMILY]);
    assert!(text.contains("zone old: is connected and has not confirmed that it has key 2"), "{text}");
    assert_stands(&world, FAMILY, "staged", Some((1, 2)));
    session.send(&acknowledge(&news));
    wait_for_nobody_in_the_way(&world, FAMILY);
    rotate(&world, "advance", FAMILY);
    assert_stands(&world, FAMILY, "signing", Some((1, 2)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_a_connected_zone_cannot_read_is_made_for_who_insists() {
    let world = plain_world();
    let token = world.token("old");
    let connection = peer(&world).await;
    let mut session = open(&connection, DOWN, "old", &token);
    session.send(&first("old", "GlobalSecret"));
    let _held = received(&mut session).await;
    let start = ["rotate", "start", FAMILY, "--algorithm", "ES256"];
    let text = refused(&world, &start);
    assert!(text.contains("zone old: reads RSA keys alone"), "{text}");
    assert_stands(&world, FAMILY, "idle", None);
    let told = world.kumactl.ok(&[&start[..], &["--force"]].concat(), "");
    assert!(told.contains("cut off: zone old"), "{told}");
    assert_eq!(status(&world, FAMILY)["algorithm"], json!("ES256"));
}

#[test]
fn a_zone_of_ours_confirms_by_itself_and_reads_every_key() {
    let world = World::new(&[]);
    let _west = world.connected_zone("west");
    world.kumactl.ok(&["rotate", "start", FAMILY, "--algorithm", "EdDSA"], "");
    wait_for_nobody_in_the_way(&world, FAMILY);
    rotate(&world, "advance", FAMILY);
    assert_stands(&world, FAMILY, "signing", Some((1, 2)));
    let mesh = ["--mesh", "default"];
    let family = "dataplane-token-signing-key";
    world.kumactl.ok(&[&["rotate", "start", family], &mesh[..]].concat(), "");
    let shown = || world.kumactl.ok(&[&["rotate", "status", family, "-o", "json"], &mesh[..]].concat(), "");
    let blockers = || serde_json::from_str::<serde_json::Value>(&shown()).unwrap()["blockers"].clone();
    testkit::program::eventually("west has the key of its mesh", blockers, |blockers| *blockers == json!([]));
    world.kumactl.ok(&[&["rotate", "advance", family], &mesh[..]].concat(), "");
    let text = refused(&world, &["rotate", "start", family]);
    assert!(text.contains("name the mesh"), "{text}");
}
