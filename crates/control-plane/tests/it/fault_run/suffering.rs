//! What happens to those that run, and how it is over again.

use std::{thread, time::Duration};

use testkit::{program::ControlPlane, seed::Chance};

use super::installation::{GLOBALS, Global, Installation, PROGRAMS};

/// What may happen. The times are long enough for a lease of three seconds to be over, and short enough to be over when it
/// is not.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fault {
    GlobalKilled,
    GlobalPaused,
    GlobalCutOff,
    GlobalRestarted,
    /// The one that leads, until another one does.
    LeaderPaused,
    /// Another one leads in the moment in which the one that led ends what a killed one left open.
    LeaderOvertaken,
    DatabaseKilled,
    DatabasePaused,
    ZoneKilled,
    ZonePaused,
    ConnectionsCut,
}

pub(super) const FAULTS: [Fault; 11] = [
    Fault::GlobalKilled,
    Fault::GlobalPaused,
    Fault::GlobalCutOff,
    Fault::GlobalRestarted,
    Fault::LeaderPaused,
    Fault::LeaderOvertaken,
    Fault::DatabaseKilled,
    Fault::DatabasePaused,
    Fault::ZoneKilled,
    Fault::ZonePaused,
    Fault::ConnectionsCut,
];

/// The end of a lease, by the heartbeat that the globals are set to, and a little before it.
const LEASE: Duration = Duration::from_secs(3);
const NEAR_ITS_END: u32 = 2_900;

impl Installation {
    /// Something happens to somebody, and is over after a while.
    pub(super) fn suffer(&mut self, fault: Fault, lasts: Duration, chance: &mut Chance) {
        let mut one_of = |count: usize| usize::try_from(chance.below(count as u64)).unwrap();
        let (number, zone) = (one_of(GLOBALS), one_of(PROGRAMS));
        let global = &mut self.globals[number];
        match fault {
            Fault::GlobalKilled => {
                global.program.kill();
                thread::sleep(lasts);
                comes_back(global);
            }
            Fault::GlobalRestarted => {
                let status = global.program.terminate();
                assert!(status.success(), "{status}: {}", global.program.text());
                comes_back(global);
            }
            Fault::GlobalPaused => paused(&global.program, || thread::sleep(lasts)),
            Fault::LeaderPaused => {
                let leader = self.audit.leader();
                paused(&self.globals[leader].program, || {
                    thread::sleep(lasts.max(LEASE));
                    self.audit.another_leads(leader);
                });
            }
            Fault::LeaderOvertaken => {
                let other = (self.audit.leader() + 1 + number % (GLOBALS - 1)) % GLOBALS;
                self.globals[other].program.kill();
                self.audit.was_silent(other, NEAR_ITS_END);
                self.audit.take_over();
                comes_back(&mut self.globals[other]);
            }
            Fault::GlobalCutOff => {
                global.to_database.partition();
                thread::sleep(lasts);
                global.to_database.heal();
            }
            Fault::DatabaseKilled => {
                self.server.kill();
                thread::sleep(lasts);
                self.server.run();
            }
            Fault::DatabasePaused => {
                self.server.pause();
                thread::sleep(lasts);
                self.server.resume();
            }
            Fault::ZoneKilled => {
                self.zones[zone].kill();
                thread::sleep(lasts);
                self.zones[zone].again();
            }
            Fault::ZonePaused => paused(&self.zones[zone], || thread::sleep(lasts)),
            Fault::ConnectionsCut => global.front.cut(),
        }
    }
}

fn comes_back(global: &mut Global) {
    global.program.again();
    global.program.line(&["started"]);
}

fn paused(program: &ControlPlane, meanwhile: impl FnOnce()) {
    program.pause();
    meanwhile();
    program.resume();
}
