//! What operators do, and instances by themselves: they look at the evidence, and make a step of it.

use std::collections::BTreeSet;

use jiff::SignedDuration;
use tokens::rotation::{
    Action, Blocker, Command, Evidence, Handed, Instance, Order, Position, Rotation, StandsOn, Times, Zone, step, tick,
};

use super::{Entry, FAMILY, LEEWAY, LOOK, Looked, OPERATORS, RECENT, Server, Site, World, ZONES};

impl World {
    pub(super) fn look(&mut self, who: usize) {
        let looked = match self.looks.remove(&who) {
            Some(Looked::At { version, instances }) => {
                Looked::AtAll { version, evidence: Box::new(self.evidence(instances)) }
            }
            // Nobody looks for longer: what was seen is acted on, or looked at again.
            Some(Looked::AtAll { version, evidence }) if !self.is_old(version, &evidence) => {
                Looked::AtAll { version, evidence }
            }
            None | Some(Looked::AtAll { .. }) => {
                Looked::At { version: self.store.version, instances: self.instances() }
            }
        };
        self.looks.insert(who, looked);
    }

    fn instances(&self) -> Vec<Instance> {
        let instance = |(number, server): (usize, &Server)| Instance {
            name: number.to_string(),
            last_seen: Some(self.now),
            verifies: server.ring.serials(&FAMILY),
            signs: server.ring.signs(&FAMILY),
        };
        self.servers.iter().enumerate().map(instance).collect()
    }

    fn is_old(&self, version: u64, evidence: &Evidence) -> bool {
        version != self.store.version || self.now.duration_since(evidence.now) > LOOK
    }

    fn evidence(&self, instances: Vec<Instance>) -> Evidence {
        let zone = |(site, name): (&Site, &&str)| Zone {
            name: (*name).to_owned(),
            live: site.session.is_some(),
            // Who is connected and does not ping was not seen since it came.
            last_seen: site.session.is_none().then_some(site.seen),
            stands_on: StandsOn::Key(site.used.key),
            issued: Some(site.used.issued),
            renews: true,
            next_is_revoked: false,
            confirmed: BTreeSet::new(),
            reads_rsa_alone: false,
            left: None,
        };
        let token = |(id, entry): (&String, &Entry)| Handed {
            id: id.clone(),
            zone: Some(ZONES[entry.zone].to_owned()),
            key: entry.key,
            issued: entry.issued,
            ends: None,
            seen: entry.seen,
            watched: true,
            renewal: entry.renewal,
        };
        Evidence {
            family: FAMILY,
            now: self.now,
            times: Times {
                recent_zones: RECENT,
                patience: SignedDuration::from_hours(24),
                leeway: SignedDuration::try_from(LEEWAY).unwrap(),
            },
            keys: self.store.keys.iter().map(|key| (*key, self.now)).collect(),
            taken: self.store.keys.clone(),
            instances,
            zones: self.sites.iter().zip(&ZONES).map(zone).collect(),
            tokens: self.store.ledger.iter().map(token).collect(),
            unreadable: Vec::new(),
        }
    }

    /// Makes a step of what was seen, if nobody else wrote since.
    pub(super) fn act(&mut self, who: usize, command: usize) -> Result<(), String> {
        let (version, evidence) = match self.looks.remove(&who) {
            Some(Looked::At { version, instances }) => (version, Box::new(self.evidence(instances))),
            Some(Looked::AtAll { version, evidence }) => (version, evidence),
            None => return Ok(()),
        };
        if self.is_old(version, &evidence) {
            return Ok(());
        }
        let made = if who >= OPERATORS {
            tick(&self.store.state, &evidence)
        } else {
            let command = match command {
                0 | 1 => Command::Start { automatic: command == 0, algorithm: None },
                2 => Command::Rollback,
                _ => Command::Advance,
            };
            let by = format!("operator {who}");
            let position = self.store.state.rotation.as_ref().map_or(Position::Idle, Rotation::position);
            let order = Order { command, by, id: None, expect: Some(position), force: false };
            let made = step(&self.store.state, &evidence, &order).ok();
            made.filter(|made| made.state != self.store.state)
        };
        let Some(made) = made else { return Ok(()) };
        if !made.cut_off.is_empty() {
            let cut_off: Vec<String> = made.cut_off.iter().map(Blocker::who).collect();
            return Err(format!("cut off without force: {cut_off:?}"));
        }
        for action in made.actions {
            match action {
                Action::CreateKey { serial, .. } if serial <= self.store.state.highest => {
                    return Err(format!("serial {serial} is given twice"));
                }
                Action::CreateKey { serial, .. } => self.store.keys.insert(serial),
                Action::DeleteKey { serial } => {
                    self.too_late_for(serial);
                    self.store.keys.remove(&serial)
                }
            };
        }
        self.store.state = made.state;
        self.store.version += 1;
        Ok(())
    }

    /// Whoever was away for longer than counts, or came back after that and after somebody had looked, is too late when its key
    /// goes, even if an instance that has not heard of it lets the zone in for a while.
    fn too_late_for(&mut self, key: u64) {
        for zone in 0..self.sites.len() {
            let away = self.now.duration_since(self.sites[zone].seen) > RECENT;
            let late = away || self.is_late(zone);
            let site = &mut self.sites[zone];
            site.out |= late && [site.holds.key, site.used.key].contains(&key);
        }
    }
}
