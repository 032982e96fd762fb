//! Rotations with real tokens, rings and registries, in random orders: several operators and instances, crashes before and
//! after every write, lost answers, clocks that are a minute apart, zones that come back days later.
//!
//! A schedule is what follows from a number. One that fails says its number; `ARCTOS_SEED` runs it alone, and
//! `ARCTOS_SCHEDULES` says how many there are.

mod world;

use testkit::seed::Chance;

use self::world::World;

/// How many schedules there are unless somebody says otherwise, and how long each is.
const SCHEDULES: u64 = 10_000;
const EVENTS: usize = 80;

fn number(name: &str) -> Option<u64> {
    std::env::var_os(name).and_then(|value| value.to_str()?.parse().ok())
}

fn run(seed: u64) {
    let mut chance = Chance::of(seed, "rotation");
    let mut world = World::new();
    let mut told = Vec::new();
    for _ in 0..EVENTS {
        let event = world.any_event(&mut chance);
        told.push(event);
        if let Err(wrong) = world.happens(event) {
            panic!("{wrong}\n{told:#?}\nARCTOS_SEED={seed} cargo test -p control-plane --lib rotation::simulation");
        }
    }
    if let Err(wrong) = world.ends() {
        panic!("{wrong}\n{told:#?}\nARCTOS_SEED={seed} cargo test -p control-plane --lib rotation::simulation");
    }
}

#[test]
fn nobody_who_does_as_told_is_refused_and_nobody_stays_on_a_retired_key() {
    if let Some(seed) = number("ARCTOS_SEED") {
        return run(seed);
    }
    (0..number("ARCTOS_SCHEDULES").unwrap_or(SCHEDULES)).for_each(run);
}

#[test]
fn schedules_get_somewhere() {
    let mut retired = 0;
    let mut rolled_back = 0;
    for seed in 0..200 {
        let mut chance = Chance::of(seed, "rotation");
        let mut world = World::new();
        for _ in 0..EVENTS {
            let event = world.any_event(&mut chance);
            world.happens(event).unwrap();
        }
        let (ended, back) = world.ended();
        retired += ended;
        rolled_back += back;
    }
    assert!(retired > 20 && rolled_back > 20, "{retired} rotations ended, {rolled_back} went back");
}
