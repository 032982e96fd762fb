//! A global that is killed in every phase: it comes back where it was, and loses nobody.

use serde_json::json;
use testkit::program::eventually;

use super::{
    FAMILY, assert_stands,
    cast::{Cast, LEFT_BEHIND},
    refused, rotate, status, status_of_key, wait_for_nobody_in_the_way,
};
use crate::stage::world::World;

/// The old key cannot go before those who do not renew have new tokens; then it goes.
async fn retire(cast: &mut Cast, serial: u64) {
    let text = refused(&cast.world, &["rotate", "advance", FAMILY]);
    for name in LEFT_BEHIND {
        assert!(text.contains(&format!("zone {name}: is connected with a token of key {}", serial - 1)), "{text}");
    }
    cast.help_those_left_behind(serial).await;
    wait_for_nobody_in_the_way(&cast.world, FAMILY);
    rotate(&cast.world, "advance", FAMILY);
}

async fn is_over(cast: &mut Cast, gone: u64, stays: u64) {
    cast.crash().await;
    assert_stands(&cast.world, FAMILY, "idle", None);
    assert_eq!((status_of_key(&cast.world, gone), status_of_key(&cast.world, stays)), (404, 200));
    cast.nobody_was_harmed();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guided_rotation_survives_a_crash_in_every_phase() {
    crash_in_every_phase(Cast::new().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guided_rotation_on_postgres_survives_a_crash_in_every_phase() {
    if let Some(world) = World::of_a_program_on_postgres(&[]) {
        crash_in_every_phase(Cast::of(world).await).await;
    }
}

async fn crash_in_every_phase(mut cast: Cast) {
    rotate(&cast.world, "start", FAMILY);
    for phase in ["staged", "signing", "draining"] {
        if phase != "staged" {
            // Where others may be, the one that was killed is reckoned with until its lease is over.
            wait_for_nobody_in_the_way(&cast.world, FAMILY);
            rotate(&cast.world, "advance", FAMILY);
        }
        cast.crash().await;
        assert_stands(&cast.world, FAMILY, phase, Some((1, 2)));
    }
    cast.wait_for_those_left_behind();
    cast.crash().await;
    cast.wait_for_those_left_behind();
    retire(&mut cast, 2).await;
    is_over(&mut cast, 1, 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_automatic_rotation_survives_a_crash_in_every_phase() {
    const PHASES: [&str; 3] = ["staged", "signing", "draining"];
    let mut cast = Cast::new().await;
    cast.world.kumactl.ok(&["rotate", "start", FAMILY, "--automatic"], "");
    // It goes on by itself, also while the global comes back.
    for number in 0..PHASES.len() {
        let phase = || status(&cast.world, FAMILY)["phase"].clone();
        let reached = |phase: &serde_json::Value| PHASES.iter().skip(number).any(|later| *phase == json!(later));
        eventually("the phase is reached", phase, reached);
        cast.crash().await;
    }
    cast.wait_for_those_left_behind();
    cast.crash().await;
    cast.wait_for_those_left_behind();
    assert_stands(&cast.world, FAMILY, "draining", Some((1, 2)));
    cast.help_those_left_behind(2).await;
    let phase = || status(&cast.world, FAMILY)["phase"].clone();
    eventually("it is over", phase, |phase| *phase == json!("idle"));
    is_over(&mut cast, 1, 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_by_hand_survives_a_crash_in_every_phase() {
    let mut cast = Cast::new().await;
    let key = cast.world.kumactl.ok(&["generate", "signing-key"], "");
    cast.world.kumactl.ok(
        &["apply", "--var", &format!("key={key}"), "-f", "-"],
        "type: GlobalSecret\nname: control-plane-signing-key-0002\ndata: {{ key }}\n",
    );
    cast.crash().await;
    assert_stands(&cast.world, FAMILY, "signing", Some((1, 2)));
    cast.help_everybody(2).await;
    cast.crash().await;
    assert_stands(&cast.world, FAMILY, "signing", Some((1, 2)));
    cast.world.kumactl.ok(&["delete", "global-secret", "control-plane-signing-key-0001"], "");
    is_over(&mut cast, 1, 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_way_back_survives_a_crash_in_every_phase() {
    let mut cast = Cast::new().await;
    for (advances, next) in [(0, 2), (1, 3), (2, 4)] {
        rotate(&cast.world, "start", FAMILY);
        (0..advances).for_each(|_| rotate(&cast.world, "advance", FAMILY));
        if advances == 2 {
            // From here those who renew have to go back, too.
            cast.wait_for_those_left_behind();
        }
        cast.crash().await;
        rotate(&cast.world, "rollback", FAMILY);
        if advances > 0 {
            cast.crash().await;
            assert_stands(&cast.world, FAMILY, "draining", Some((next, 1)));
            wait_for_nobody_in_the_way(&cast.world, FAMILY);
            rotate(&cast.world, "advance", FAMILY);
        }
        is_over(&mut cast, next, 1).await;
    }
}
