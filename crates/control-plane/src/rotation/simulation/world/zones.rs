//! What zones do: they connect, take new tokens, and show them. What is verified is let in a moment later, and keys may
//! change in between.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use model::ZoneName;
use tokens::{Accept, KeyRing, Rejection, VerifiedZone, Want};
use uuid::Uuid;

use super::{Entry, FAMILY, INSTANCES, LEEWAY, OnItsWay, RECENT, Token, World, ZONES};
use crate::zones::{
    caller::ZoneCaller,
    registry::{Arrival, StreamGuard},
};

/// A token outlives the schedule.
const LIFE: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// What an instance has verified and not let in yet.
pub(super) struct Verified {
    pub(super) zone: usize,
    pub(super) instance: usize,
    /// It came over the session that is open.
    renewal: bool,
    pub(super) token: Token,
    proof: VerifiedZone,
    /// The generation of the ring that verified it.
    generation: u64,
}

impl World {
    /// A zone opens a stream with the token that it has.
    pub(super) fn connect(&mut self, zone: usize, instance: usize) -> Result<Option<Verified>, String> {
        let now = self.clock(instance);
        let (server, site) = (&self.servers[instance], &self.sites[zone]);
        let token = site.holds.clone();
        match verify(&token.raw, ZONES[zone], &server.ring, now) {
            Ok(proof) => {
                let generation = server.ring.generation();
                Ok(Some(Verified { zone, instance, renewal: false, token, proof, generation }))
            }
            // The clock of who signed it is ahead: a zone comes again a moment later.
            Err(Rejection::NotYetValid) => Ok(None),
            // Who was away for longer than counts has to ask for a new token.
            Err(_) if self.is_late(zone) || self.now.duration_since(site.seen) > RECENT => {
                self.give_up_on(zone);
                Ok(None)
            }
            Err(reason) => Err(format!("zone {} is refused with a token of key {}: {reason}", ZONES[zone], token.key)),
        }
    }

    /// What was verified is let in, or moves the session that is open to its token.
    pub(super) fn arrive(&mut self, verified: Verified) -> Result<(), String> {
        let Verified { zone, instance, renewal, token, proof, generation } = verified;
        // The zone used another one meanwhile, and does not wait for this answer any more.
        let overtaken = token.number < self.sites[zone].used.number;
        if renewal {
            return self.move_session(zone, token, proof, generation, overtaken);
        }
        let now = self.clock(instance);
        let server = &self.servers[instance];
        let connection = server.registry.connect();
        let arrival = Arrival {
            caller: ZoneCaller::Verified(proof),
            ring_generation: generation,
            connection: connection.id(),
            method: "GlobalToZoneSync",
            unary: false,
            pings: false,
        };
        let guard = match server.registry.admit(arrival, now) {
            Ok(guard) => guard,
            Err(_) if overtaken => return Ok(()),
            Err(_) if self.is_late(zone) || self.now.duration_since(self.sites[zone].seen) > RECENT => {
                self.give_up_on(zone);
                return Ok(());
            }
            Err(reason) => return Err(format!("zone {} is not admitted: {reason:?}", ZONES[zone])),
        };
        self.nobody_stands_on_what_is_gone()?;
        if overtaken {
            return Ok(());
        }
        let site = &mut self.sites[zone];
        site.session = Some((instance, connection, guard));
        if self.now.duration_since(site.seen) > RECENT {
            site.late = Some(self.now);
        }
        self.under_way.retain(|other| other.zone != zone || !other.renewal);
        self.used(zone, token);
        Ok(())
    }

    fn move_session(
        &mut self,
        zone: usize,
        token: Token,
        proof: VerifiedZone,
        generation: u64,
        overtaken: bool,
    ) -> Result<(), String> {
        let Some((at, _, guard)) = &self.sites[zone].session else { return Ok(()) };
        let renewed = StreamGuard::renew(guard, proof, generation, self.clock(*at));
        self.nobody_stands_on_what_is_gone()?;
        match renewed {
            // It is not what the zone wanted: it connects again with what it has.
            Ok(()) if overtaken => self.sites[zone].session = None,
            Ok(()) => {
                self.sites[zone].late = None;
                self.used(zone, token);
            }
            Err(_) if overtaken => {}
            Err(reason) => return Err(format!("zone {} cannot renew: {reason}", ZONES[zone])),
        }
        Ok(())
    }

    /// No instance lets anybody stand on a key of which it has heard that it is gone.
    pub(super) fn nobody_stands_on_what_is_gone(&self) -> Result<(), String> {
        for server in &self.servers {
            let good = server.ring.serials(&FAMILY);
            for open in server.registry.open() {
                let key = open.caller.token().map(|token| token.key.serial);
                if key.is_none_or(|key| !good.contains(&key)) {
                    return Err(format!("zone {} stands on key {key:?}, which is gone", open.caller.zone()));
                }
            }
        }
        Ok(())
    }

    /// What must hold when all have heard everything: nobody stands on a key that is gone, or is let in with one.
    pub(in super::super) fn ends(&mut self) -> Result<(), String> {
        for instance in 0..INSTANCES {
            self.sync(instance)?;
            let (server, now) = (&self.servers[instance], self.clock(instance));
            for token in self.sites.iter().flat_map(|site| [&site.holds, &site.used]) {
                let gone = !self.store.keys.contains(&token.key);
                let verified = ZONES.iter().any(|zone| verify(&token.raw, zone, &server.ring, now).is_ok());
                if gone && verified {
                    return Err(format!("a token of key {} is good, and the key is gone", token.key));
                }
            }
        }
        self.nobody_stands_on_what_is_gone()
    }

    fn used(&mut self, zone: usize, token: Token) {
        if let Some(entry) = self.store.ledger.get_mut(&token.id) {
            entry.seen = true;
        }
        let is_good = self.store.keys.contains(&token.key);
        let site = &mut self.sites[zone];
        site.out &= !is_good;
        (site.used, site.seen) = (token, self.now);
    }

    /// A zone that was off for too long gets a token by hand, of the key that signs.
    fn give_up_on(&mut self, zone: usize) {
        if let Ok(token) = self.sign(zone, 0) {
            let entry = Entry { zone, key: token.key, issued: token.issued, seen: false, renewal: false };
            self.store.ledger.insert(token.id.clone(), entry);
            self.under_way.retain(|verified| verified.zone != zone);
            let site = &mut self.sites[zone];
            (site.holds, site.late, site.session) = (token, None, None);
        }
    }

    pub(super) fn sign(&mut self, zone: usize, instance: usize) -> Result<Token, String> {
        self.tokens += 1;
        let (zone, issued) = (ZoneName::parse(ZONES[zone]).unwrap(), self.clock(instance));
        let (number, id) = (self.tokens, Uuid::from_u128(self.tokens));
        let token = tokens::issue_control_plane(&self.servers[instance].ring, &zone, Some(LIFE), issued, id)
            .map_err(|problem| format!("nothing is signed: {problem}"))?;
        Ok(Token { raw: token.reveal().into(), id: token.id().to_owned(), key: token.key().serial, issued, number })
    }

    /// Writes a token into the ledger, and then hands it out if its key still signs. Returns what its zone showed at once.
    pub(super) fn issue(&mut self, number: usize) -> Result<Option<Verified>, String> {
        let on_its_way = &mut self.on_their_way[number];
        if !on_its_way.written {
            on_its_way.written = true;
            let OnItsWay { token, zone, renewal, .. } = on_its_way;
            let entry = Entry { zone: *zone, key: token.key, issued: token.issued, seen: false, renewal: *renewal };
            self.store.ledger.insert(token.id.clone(), entry);
            return Ok(None);
        }
        let OnItsWay { token, zone, instance, renewal, .. } = self.on_their_way.swap_remove(number);
        let server = &self.servers[instance];
        if server.ring.signs(&FAMILY) != Some(token.key) {
            self.store.ledger.remove(&token.id);
            return Ok(None);
        }
        let site = &mut self.sites[zone];
        // Who asked again does not wait for the first answer any more.
        if renewal && token.number < site.holds.number {
            return Ok(None);
        }
        site.holds = token.clone();
        // Whoever asked over its session shows it there at once; the others when they connect next.
        let Some(instance) = site.session.as_ref().filter(|_| renewal).map(|(at, ..)| *at) else { return Ok(None) };
        let now = self.clock(instance);
        let server = &self.servers[instance];
        match verify(&token.raw, ZONES[zone], &server.ring, now) {
            Ok(proof) => {
                let generation = server.ring.generation();
                Ok(Some(Verified { zone, instance, renewal, token, proof, generation }))
            }
            Err(Rejection::NotYetValid) => Ok(None),
            Err(reason) => {
                Err(format!("zone {} is refused with its new token of key {}: {reason}", ZONES[zone], token.key))
            }
        }
    }
}

fn verify(raw: &str, zone: &str, ring: &Arc<KeyRing>, now: Timestamp) -> Result<VerifiedZone, Rejection> {
    let want = Want { zone, accept: Accept::CpToken, leeway: LEEWAY, legacy_until: None };
    tokens::verify(raw, ring, now, &want)
}
