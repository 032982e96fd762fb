//! Somebody else has a zone's token: taking it back gives the zone everything back.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures::{
    FutureExt as _,
    future::{BoxFuture, join_all, select_all},
};
use testkit::{
    kds::{Call, Ended, Peer},
    rpcs::{ADMIN, DOWN, PING, UP},
    runtime::run,
};

use crate::stage::{
    plain_port::{first, open, peer, plain_world},
    world::{World, decode},
};

/// Streams and calls of one token.
const QUOTA: usize = 64;

/// Two tokens of the zone west: the stolen one, and the one that it gets next.
fn tokens(world: &World) -> [String; 2] {
    [(); 2].map(|()| world.kumactl.ok(&["generate", "control-plane-token", "--zone=west", "--valid-for", "720h"], ""))
}

fn revoke(world: &World, token: &str) {
    let claims: serde_json::Value = serde_json::from_str(&decode(token).1).unwrap();
    let list = STANDARD.encode(claims["jti"].as_str().unwrap());
    world.apply(&format!("type: GlobalSecret\nname: control-plane-token-revocations\ndata: {list}\n"));
}

/// How each of these calls will end.
type Ends = Vec<BoxFuture<'static, (&'static str, Ended)>>;

/// Opens calls of every kind that the port has, as many as may be, most of them pings whose body never ends.
async fn fill(thief: &Peer, stolen: &str) -> Ends {
    let ended = |rpc, mut call: Call| async move { (rpc, call.ended().await) }.boxed();
    let mut down = open(thief, DOWN, "west", stolen);
    down.send(&first("west", "Mesh"));
    assert!(down.next().await.is_some());
    let mut ends = vec![ended(DOWN, down)];
    ends.extend([UP].into_iter().chain(ADMIN).map(|rpc| ended(rpc, open(thief, rpc, "west", stolen))));
    // One more than may be: when one is refused, all others are admitted.
    ends.extend((ends.len()..=QUOTA).map(|_| ended(PING, open(thief, PING, "west", stolen))));
    let ((_, refused), _, others) = select_all(ends).await;
    assert_eq!(refused.code, 8, "{QUOTA} are admitted: {refused:?}");
    others
}

#[test]
fn revoking_a_stolen_token_ends_every_call_that_it_opened() {
    let world = plain_world();
    let [stolen, next] = tokens(&world);
    run(async {
        let thief = peer(&world).await;
        let ends = fill(&thief, &stolen).await;
        // The zone's next token has its own places, also while the old one is good.
        let zone = peer(&world).await;
        let mut down = open(&zone, DOWN, "west", &next);
        down.send(&first("west", "Mesh"));
        assert!(down.next().await.is_some());
        revoke(&world, &stolen);
        for (rpc, ended) in join_all(ends).await {
            assert_eq!(ended.code, 16, "{rpc}: {ended:?}");
            assert!(ended.message.contains("revoked"), "{rpc}: {ended:?}");
        }
        let mut ping = open(&zone, PING, "west", &next);
        ping.send(&[]);
        ping.half_close();
        assert!(ping.next().await.is_some(), "the zone is served");
    });
    world.global.line(&["closed live streams", r#""zone": "west""#, "revoked", "HealthCheck"]);
}

#[test]
fn a_connection_goes_with_the_token_that_was_shown_on_it() {
    let world = plain_world();
    let [stolen, next] = tokens(&world);
    let east = world.token("east");
    run(async {
        let ping = async |peer: &Peer, zone: &str, token: &str| {
            let mut call = open(peer, PING, zone, token);
            call.send(&[]);
            call.half_close();
            call.ended().await
        };
        let served = Ended { code: 0, message: String::new() };
        let (mut idle, shared) = (Vec::new(), peer(&world).await);
        for _ in 0..8 {
            let peer = peer(&world).await;
            assert_eq!(ping(&peer, "west", &stolen).await, served);
            idle.push(peer);
        }
        // A proxy has two zones on one connection: the other one keeps it.
        assert_eq!(ping(&shared, "west", &stolen).await, served);
        assert_eq!(ping(&shared, "east", &east).await, served);
        revoke(&world, &stolen);
        for mut peer in idle {
            peer.closed().await;
        }
        assert_eq!(ping(&shared, "east", &east).await, served);
        assert_eq!(ping(&shared, "west", &next).await, served);
    });
}
