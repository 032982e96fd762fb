//! A network that loses, holds back and lies, and control planes that restart: when it gets quiet, a zone and its global
//! have of each other exactly what they should, nothing acknowledged is lost, nothing was deleted that should live, and
//! a healthy zone beside it noticed nothing.
//!
//! The zones of one test share one global and one load, so that waiting for keepalive is done once for all of them.
#![expect(clippy::disallowed_types, reason = "the scope waits for its threads")]

mod load;
mod trial;

use std::{
    panic::resume_unwind,
    thread::{self, Builder},
    time::Duration,
};

use testkit::{
    network::{Direction, End, Relay},
    program::ControlPlane,
    seed::seed,
};

use self::{
    load::{Progress, Writer},
    trial::Trial,
};
use crate::stage::{sides, world::World};

/// The seed of a normal run.
const SEED: u64 = 20_261_126;

type Scenario = fn(&mut Trial<'_>);

const SCENARIOS: [(&str, Scenario); 9] = [
    ("partition", partition),
    ("outage", outage),
    ("up-lost", |trial| half_open(trial, |relay| relay.lose(Direction::Up))),
    ("down-lost", |trial| half_open(trial, |relay| relay.lose(Direction::Down))),
    ("global-end-gone", |trial| half_open(trial, |relay| relay.abandon(End::Global))),
    ("reconnect-race", reconnect_race),
    ("slow", slow),
    ("zone-crash", |trial| zone_restart(trial, ControlPlane::crash_and_restart)),
    ("zone-restart", |trial| zone_restart(trial, ControlPlane::restart)),
];

#[test]
fn zones_behind_a_bad_network_converge_and_a_healthy_one_notices_nothing() {
    let seed = seed(SEED);
    let world = World::of_programs(&[]);
    let healthy = world.connected_zone("healthy");
    let mut writer = Writer::of_global(world.http(), seed);
    trial::plant_canaries(&mut writer);
    let load = Progress::default();
    let trials = thread::scope(|scope| {
        let quiet = load.quiet_after();
        let (follower, progress, writer) = (healthy.address("http"), &load, &mut writer);
        let writing = scope.spawn(move || writer.keep_changing(follower, progress));
        let running = SCENARIOS.map(|(name, scenario)| {
            let (world, load) = (&world, &load);
            let run = move || {
                let relay = Relay::to(world.global.address("kds"), seed);
                if name == "slow" {
                    // From the first byte on: connecting is the harder half.
                    relay.slow(Duration::from_millis(200), 20);
                }
                let mut trial = Trial::start(world, load, name, seed, relay);
                scenario(&mut trial);
                trial
            };
            Builder::new().name(name.to_owned()).spawn_scoped(scope, run).unwrap()
        });
        let ended = running.map(thread::ScopedJoinHandle::join);
        drop(quiet);
        writing.join().unwrap_or_else(|failure| resume_unwind(failure));
        ended.map(|trial| trial.unwrap_or_else(|failure| resume_unwind(failure)))
    });
    // The writer waited for the healthy zone after each of its changes, while everything happened to the others.
    assert!(!healthy.text().contains("not connected to the global control plane"), "{}", healthy.text());
    sides::wait_until_equal(world.http(), healthy.address("http"), "healthy");
    writer.check();
    for trial in &trials {
        trial.check();
    }
}

/// Nothing gets through for a while, and the connections that stood do not come back.
fn partition(trial: &mut Trial<'_>) {
    trial.write(10);
    let mark = trial.zone.mark();
    trial.relay.partition();
    trial.put_dataplane("made-in-the-dark");
    trial.write(20);
    trial.load.wait_for(20);
    assert!(!trial.global_has("made-in-the-dark"), "nothing gets through");
    trial.relay.heal();
    trial.reconnected_after(mark);
    trial.write(5);
    trial.probe();
}

/// Nothing gets through for a while, and then TCP sends everything again.
fn outage(trial: &mut Trial<'_>) {
    trial.write(10);
    trial.relay.hold();
    trial.put_dataplane("made-in-the-dark");
    trial.write(20);
    trial.load.wait_for(20);
    assert!(!trial.global_has("made-in-the-dark"), "nothing gets through");
    trial.relay.heal();
    trial.write(5);
    trial.probe();
}

/// A direction, or an end, is dead and the other end is not told.
fn half_open(trial: &mut Trial<'_>, happens: fn(&Relay)) {
    trial.write(10);
    let mark = trial.zone.mark();
    happens(&trial.relay);
    trial.write(20);
    trial.load.wait_for(20);
    trial.reconnected_after(mark);
    trial.write(5);
    trial.probe();
}

/// The zone comes back at once while global still takes its dead connection for alive (contract: kds 13.1). The new
/// streams are served before the old ones die, and not forgotten when they do.
fn reconnect_race(trial: &mut Trial<'_>) {
    trial.write(10);
    trial.wait_for_connections(1);
    let mark = trial.zone.mark();
    trial.relay.abandon(End::Zone);
    trial.reconnected_after(mark);
    trial.wait_for_connections(2);
    trial.write(10);
    trial.probe();
    trial.wait_for_connections(1);
    trial.write(10);
    trial.probe();
}

/// 200 ms in each direction and 2 % loss, all the time.
fn slow(trial: &mut Trial<'_>) {
    for _ in 0..5 {
        trial.write(10);
        trial.load.wait_for(20);
        trial.probe();
    }
}

/// The zone goes and comes back, while changes are made at both ends.
fn zone_restart(trial: &mut Trial<'_>, restart: fn(&mut ControlPlane)) {
    for _ in 0..2 {
        let own = Progress::default();
        let Trial { zone, writer, load, .. } = trial;
        thread::scope(|scope| {
            let quiet = own.quiet_after();
            let writing = scope.spawn(|| writer.keep_pace(load, &own));
            own.wait_for(10);
            restart(zone);
            own.wait_for(10);
            drop(quiet);
            writing.join().unwrap_or_else(|failure| resume_unwind(failure));
        });
        trial.probe();
    }
}

#[test]
fn a_global_that_restarts_under_load_converges() {
    let seed = seed(SEED);
    let mut world = World::of_programs(&[]);
    let zones = ["west", "east"].map(|name| (name, world.connected_zone(name)));
    let mut writer = Writer::of_global(world.http(), seed);
    trial::plant_canaries(&mut writer);
    let mut writers = zones.each_ref().map(|(name, zone)| Writer::of_zone(name, zone.address("http"), seed));
    let (load, of_zones) = (Progress::default(), Progress::default());
    let follower = zones[0].1.address("http");
    for (name, zone) in &zones {
        sides::wait_until_equal(world.http(), zone.address("http"), name);
    }
    let canary = |zone: &ControlPlane| {
        let side = sides::taken_by_zone(zone.address("http"));
        side.into_iter()
            .filter(|((_, _, name), _)| name == "canary")
            .map(|(_, shown)| shown.created)
            .collect::<Vec<_>>()
    };
    let before = zones.each_ref().map(|(_, zone)| canary(zone));
    thread::scope(|scope| {
        let (quiet, quiet_zones) = (load.quiet_after(), of_zones.quiet_after());
        let mut running = vec![scope.spawn(|| writer.keep_changing(follower, &load))];
        running.extend(writers.iter_mut().map(|writer| scope.spawn(|| writer.keep_pace(&load, &of_zones))));
        for restart in [ControlPlane::crash_and_restart, ControlPlane::restart, ControlPlane::crash_and_restart] {
            load.wait_for(20);
            restart(&mut world.global);
            for (name, _) in &zones {
                world.wait_online(name);
            }
        }
        load.wait_for(20);
        drop((quiet_zones, quiet));
        for writing in running {
            writing.join().unwrap_or_else(|failure| resume_unwind(failure));
        }
    });
    for (name, zone) in &zones {
        sides::wait_until_equal(world.http(), zone.address("http"), name);
        assert!(world.online(name), "{name} is Online");
    }
    writer.check();
    writers.iter().for_each(Writer::check);
    assert_eq!(zones.each_ref().map(|(_, zone)| canary(zone)), before, "what was not touched was never deleted");
}
