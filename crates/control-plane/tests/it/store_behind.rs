//! A global control plane whose store does not hear what others write: who is in stays, nobody new is let in, and what was
//! deleted elsewhere ends with the first fresh picture.

use std::time::Duration;

use model::Kind;
use prost::Message as _;
use store::{Precondition, Query, ResourceStore as _};
use testkit::rpcs::{DOWN, PING};
use tokio::time::Instant;
use wire::kuma::mesh::v1alpha1::ZoneHealthCheckRequest;

use crate::stage::database_global::{Global, open, soon, subscribe};

const OK: u32 = 0;
const UNAVAILABLE: u32 = 14;
const UNAUTHENTICATED: u32 = 16;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_in_stays_and_nobody_new_is_let_in_while_the_store_is_behind() {
    let global = Global::start().await;
    let admin = global.admin_token().await;
    let wanted = r#"{"zone": "west", "validFor": "1h"}"#;
    let (status, token) = global.rest("POST", "/tokens/control-plane", &admin, wanted);
    assert_eq!(status, 200, "{token}");
    let peer = global.peer().await;
    let mut session = open(&peer, DOWN, &token);
    session.send(&subscribe("Mesh"));
    assert!(session.next().await.is_some());

    // The keys are deleted on another control plane, and this one does not hear it.
    let long_ago = Instant::now().checked_sub(Duration::from_secs(60)).expect("a machine that runs for a minute");
    global.store.fall_behind_since(long_ago);
    for secret in global.other.list(&Query::all(Kind::GLOBAL_SECRET)).await.unwrap().items {
        if secret.resource.key.name.starts_with("control-plane-signing-key") {
            global.other.delete(&secret.resource.key, Precondition::Present).await.unwrap();
        }
    }
    // What is published to the parts is there in a moment.
    let refused = soon(async || {
        let mut call = open(&peer, DOWN, &token);
        call.half_close();
        let ended = call.ended().await;
        (ended.code == UNAVAILABLE && ended.message.starts_with("tokens cannot be checked")).then_some(ended)
    })
    .await;
    assert!(refused.message.contains("try again later"), "{refused:?}");
    let (status, said) = soon(async || Some(global.ready()).filter(|(status, _)| *status != 200)).await;
    assert!(status == 503 && said.starts_with("store: behind since ") && said.lines().count() == 1, "{said}");
    let (status, said) = global.rest("GET", "/meshes", &admin, "");
    assert!(status == 503 && said.contains("tokens cannot be checked"), "{status} {said}");
    let mut ping = open(&peer, PING, &token);
    ping.send(&ZoneHealthCheckRequest::default().encode_to_vec());
    ping.half_close();
    assert_eq!(ping.ended().await.code, OK, "a session that stays is answered");
    session.send(&subscribe("MeshTimeout"));
    assert!(session.next().await.is_some(), "and served");

    global.store.catch_up();
    let ended = session.ended().await;
    assert_eq!(ended.code, UNAUTHENTICATED, "{ended:?}");
    // The ring is there, and sweeps, before the store is called fresh: until then whoever comes is told to come again.
    let refused = soon(async || {
        let mut again = open(&global.peer().await, DOWN, &token);
        again.half_close();
        Some(again.ended().await).filter(|ended| ended.code != UNAVAILABLE)
    })
    .await;
    assert_eq!(refused.code, UNAUTHENTICATED, "{refused:?}");
    assert_eq!(global.rest("GET", "/meshes", &admin, "").0, 200, "the other keys are as good as before");
    let (finished, failure) = global.running.stop(Duration::from_secs(10)).await;
    assert_eq!((finished, failure), (true, None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_control_plane_that_hears_nothing_any_more_stops() {
    let global = Global::start().await;
    global.store.end_watches();
    global.running.tasks().stopping().await;
    let (_, failure) = global.running.stop(Duration::from_secs(10)).await;
    assert!(failure.is_some_and(|why| why.contains("watch")), "it says why");
}
