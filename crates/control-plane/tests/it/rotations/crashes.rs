//! A global that is killed in every phase: it comes back where it was, and loses nobody.

use super::{FAMILY, assert_stands, fixed_zone, new_token, rotate, status_of_key, wait_for_nobody_in_the_way};
use crate::stage::world::World;

/// Kills the global and waits until it serves again.
fn crash(world: &mut World) {
    world.global.crash_and_restart();
    world.global.line(&["listening", "\"http\""]);
}

#[test]
fn a_rotation_survives_a_crash_in_every_phase() {
    crash_in_every_phase(World::of_programs(&[]));
}

#[test]
fn a_rotation_survives_a_crash_in_every_phase_on_postgres() {
    if let Some(world) = World::of_programs_on_postgres(&[]) {
        crash_in_every_phase(world);
    }
}

fn crash_in_every_phase(mut world: World) {
    let west = fixed_zone(&world, "west");
    let keys = Some((1, 2));
    rotate(&world, "start", FAMILY);
    for phase in ["staged", "signing", "draining"] {
        if phase != "staged" {
            rotate(&world, "advance", FAMILY);
        }
        crash(&mut world);
        assert_stands(&world, FAMILY, phase, keys);
        world.wait_online("west");
    }
    new_token(&world, &west, "west", 2);
    wait_for_nobody_in_the_way(&world, FAMILY);
    rotate(&world, "advance", FAMILY);
    crash(&mut world);
    assert_stands(&world, FAMILY, "idle", None);
    assert_eq!((status_of_key(&world, 1), status_of_key(&world, 2)), (404, 200));
    world.wait_online("west");
    assert!(!west.text().contains("refused this zone"), "{}", west.text());
}

#[test]
fn the_way_back_survives_a_crash_in_every_phase() {
    let mut world = World::of_programs(&[]);
    let west = fixed_zone(&world, "west");
    for (advances, next) in [(0, 2), (1, 3), (2, 4)] {
        rotate(&world, "start", FAMILY);
        (0..advances).for_each(|_| rotate(&world, "advance", FAMILY));
        crash(&mut world);
        rotate(&world, "rollback", FAMILY);
        crash(&mut world);
        world.wait_online("west");
        if advances > 0 {
            assert_stands(&world, FAMILY, "draining", Some((next, 1)));
            wait_for_nobody_in_the_way(&world, FAMILY);
            rotate(&world, "advance", FAMILY);
            crash(&mut world);
            world.wait_online("west");
        }
        assert_stands(&world, FAMILY, "idle", None);
        assert_eq!((status_of_key(&world, 1), status_of_key(&world, next)), (200, 404));
    }
    assert!(!west.text().contains("refused this zone"), "{}", west.text());
}
