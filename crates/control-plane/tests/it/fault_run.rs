//! Three global control planes on one PostgreSQL, and thirty zones: while somebody writes, keys are rotated and tokens are
//! taken back, whatever runs is killed, paused or cut off. At the end nothing that was acknowledged is lost, every zone
//! has what the globals have, the globals agree where the rotation stands, no token was good beyond the bound after
//! it was taken back, and what only the global that leads may write nobody else wrote, by the database's own account.
//!
//! `ARCTOS_SEED` repeats the faults of a run, and `ARCTOS_FAULTS` says how many there are: a minute has about ten.
#![expect(clippy::disallowed_methods, reason = "faults last for a while, in a thread of their own")]

mod audit;
mod installation;
mod rotating;
mod suffering;
mod taking_back;
mod writing;

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use testkit::seed::{Chance, amount, seed};

use self::{
    installation::Installation,
    suffering::{FAULTS, Fault},
};

/// How many faults there are if nobody says it: each kind, and one again.
const USUAL: usize = 12;
const _: () = assert!(USUAL >= FAULTS.len(), "each kind happens");

#[test]
fn three_globals_and_thirty_zones_survive_what_happens() {
    let seed = seed(1128);
    let Some(mut installation) = Installation::start(seed) else { return };
    let (globals, ca) = (installation.addresses(), installation.ca());
    let over = AtomicBool::new(false);
    let (written, refused) = thread::scope(|scope| {
        let (over, globals, ca) = (&over, &globals, &ca);
        let writer = scope.spawn(move || writing::until(over, globals, Chance::of(seed, "writer")));
        let thief = scope.spawn(move || taking_back::until(over, globals, ca, Chance::of(seed, "thief")));
        scope.spawn(move || rotating::until(over, globals, Chance::of(seed, "rotation")));
        // Whatever goes wrong here, the others end.
        let _ends = Ends(over);
        happen(&mut installation, Chance::of(seed, "faults"));
        over.store(true, Ordering::Relaxed);
        (writer.join().unwrap(), thief.join().unwrap())
    });
    assert!(written.acknowledged > 0 && refused > 0, "it was a run without work: {written:?}, {refused} refused");
    installation.heals();
    installation.has_all(&written);
    installation.agrees_on_rotations();
    installation.audit.judge();
    eprintln!("{} writes acknowledged, {} unknown, {refused} refusals", written.acknowledged, written.unknown);
}

/// Ends the work beside the faults, also when these fail.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn happen(installation: &mut Installation, mut chance: Chance) {
    let mut left: Vec<Fault> = Vec::new();
    for number in 0..amount("ARCTOS_FAULTS", USUAL) {
        if left.is_empty() {
            left.extend(FAULTS);
        }
        let next = usize::try_from(chance.below(left.len() as u64)).unwrap();
        let fault = left.swap_remove(next);
        let lasts = Duration::from_millis(1_500 + chance.below(4_500));
        eprintln!("{number}: {fault:?} for {lasts:?}");
        installation.suffer(fault, lasts, &mut chance);
        thread::sleep(Duration::from_millis(500 + chance.below(1_000)));
    }
}
