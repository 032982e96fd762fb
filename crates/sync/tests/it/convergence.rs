//! Whatever is lost, reordered, restarted, rejected, doubled or written at the same time, with peers old and new: when it
//! gets quiet, every zone has what its filter says, global has every zone's own, and one more sync says nothing.
//!
//! A thousand runs; any number by hand, from any seed on: `ARCTOS_SEED=7 ARCTOS_RUNS=100000 cargo test -p sync --test it
//! everything_converges`. A run that fails names its own seed.

use crate::{
    seeds::each_seed,
    simulation::{World, settle, setup, steps, take},
};

#[test]
fn everything_converges() {
    each_seed("everything_converges", &(setup(), steps()), |(setup, steps)| {
        let mut world = World::new(setup);
        for step in steps {
            take(&mut world, step);
        }
        settle(&mut world);
    });
}
