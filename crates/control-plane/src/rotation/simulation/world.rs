//! Two instances on one store, two zones, two operators.
//! Longer than usual because all events of a schedule change the one world that is here.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use model::ZoneName;
use testkit::seed::Chance;
use tokens::{
    Accept, Family, KeyId, KeyRing, Phases, Rejection, RingSources, SecretEntry, VerifiedZone, Want,
    rotation::{
        Action, Blocker, Command, Evidence, Handed, Instance, Order, Outcome, Position, Rotation, StandsOn, State,
        Times, Zone, step, tick,
    },
};
use tokio::time::Instant;
use uuid::Uuid;

use crate::zones::{
    caller::ZoneCaller,
    registry::{Arrival, ConnectionGuard, Registry, StreamGuard},
};

const FAMILY: Family = Family::ControlPlane;
const LEEWAY: Duration = Duration::from_secs(30);
const RECENT: SignedDuration = SignedDuration::from_hours(168);
const ZONES: [&str; 2] = ["east", "west"];
const INSTANCES: usize = 2;
const OPERATORS: usize = 2;
/// For how long what was seen is good enough to act on.
const LOOK: SignedDuration = SignedDuration::from_mins(30);
/// A token outlives the schedule.
const LIFE: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// Something that happens.
#[derive(Clone, Copy, Debug)]
pub(super) enum Event {
    /// An instance takes over what is stored.
    Sync(usize),
    /// An instance loses all that it has in memory, and starts again.
    Crash(usize),
    /// A zone connects to an instance.
    Connect {
        zone: usize,
        instance: usize,
    },
    Leave(usize),
    /// Somebody asks an instance for a token for a zone.
    Sign {
        zone: usize,
        instance: usize,
        renewal: bool,
    },
    /// The next step of handing out a token.
    Issue {
        token: usize,
    },
    /// The answer with the token is lost.
    Lose {
        token: usize,
    },
    /// An operator revokes what nobody has: tokens that are in the ledger and were never used.
    Revoke,
    /// An operator, or an instance by itself, looks at what instances know; then at the rest.
    Look {
        who: usize,
    },
    /// And orders what it found to be possible.
    Act {
        who: usize,
        command: usize,
    },
    Pass {
        hours: i64,
    },
}

/// What the store holds.
struct Store {
    version: u64,
    state: State,
    keys: BTreeSet<u64>,
    ledger: BTreeMap<String, Entry>,
}

#[derive(Clone)]
struct Entry {
    zone: usize,
    key: u64,
    issued: Timestamp,
    seen: bool,
    renewal: bool,
}

struct Server {
    ring: Arc<KeyRing>,
    registry: Registry,
    /// How far its clock is off.
    skew: SignedDuration,
}

struct Site {
    /// The token that it shows.
    holds: Token,
    /// The one that let it in last, and when; written down at once by whoever let it in.
    used: Token,
    seen: Timestamp,
    /// It came back later than is counted on, and may be too late for what was looked at before.
    late: Option<Timestamp>,
    session: Option<(usize, ConnectionGuard, StreamGuard)>,
}

#[derive(Clone)]
struct Token {
    raw: Arc<str>,
    id: String,
    key: u64,
    issued: Timestamp,
    /// They are asked for in this order.
    number: u128,
}

/// A token on its way from the key to its zone.
struct OnItsWay {
    token: Token,
    zone: usize,
    instance: usize,
    renewal: bool,
    written: bool,
}

/// Evidence as it was gathered so far.
enum Looked {
    At { version: u64, instances: Vec<Instance> },
    AtAll { version: u64, evidence: Box<Evidence> },
}

pub(super) struct World {
    store: Store,
    servers: Vec<Server>,
    sites: Vec<Site>,
    on_their_way: Vec<OnItsWay>,
    looks: BTreeMap<usize, Looked>,
    now: Timestamp,
    generation: u64,
    tokens: u128,
}

impl World {
    pub(super) fn new() -> Self {
        let now = Timestamp::from_second(1_700_000_000).unwrap();
        let state = State { highest: 1, ..State::default() };
        let store = Store { version: 1, state, keys: BTreeSet::from([1]), ledger: BTreeMap::new() };
        let ring = store.ring(1);
        let skews = [SignedDuration::ZERO, SignedDuration::from_secs(-60)];
        let servers = skews.map(|skew| Server {
            registry: Registry::new(Arc::clone(&ring), LEEWAY),
            ring: Arc::clone(&ring),
            skew,
        });
        let mut world = Self {
            store,
            servers: servers.into_iter().collect(),
            sites: Vec::new(),
            on_their_way: Vec::new(),
            looks: BTreeMap::new(),
            now,
            generation: 1,
            tokens: 0,
        };
        for zone in 0..ZONES.len() {
            let token = world.sign(zone, 0).unwrap();
            let entry = Entry { zone, key: 1, issued: now, seen: true, renewal: false };
            world.store.ledger.insert(token.id.clone(), entry);
            world.sites.push(Site { holds: token.clone(), used: token, seen: now, late: None, session: None });
        }
        world
    }

    /// Something that may happen now.
    pub(super) fn any_event(&self, chance: &mut Chance) -> Event {
        let mut one_of = |count: usize| usize::try_from(chance.below(count as u64)).unwrap();
        let (instance, zone) = (one_of(INSTANCES), one_of(ZONES.len()));
        let token = one_of(self.on_their_way.len().max(1));
        // The operators, and the instances by themselves.
        let who = one_of(OPERATORS + INSTANCES);
        match one_of(100) {
            0..14 => Event::Sync(instance),
            14..16 => Event::Crash(instance),
            16..26 => Event::Connect { zone, instance },
            26..28 => Event::Leave(zone),
            28..40 => Event::Sign { zone, instance, renewal: one_of(3) > 0 },
            40..60 => Event::Issue { token },
            60..61 => Event::Lose { token },
            61..65 => Event::Revoke,
            65..81 => Event::Look { who },
            81..98 => {
                Event::Act { who, command: if self.store.state.rotation.is_none() { one_of(3) } else { one_of(10) } }
            }
            _ => Event::Pass { hours: 1 + i64::try_from(one_of(99)).unwrap() },
        }
    }

    /// Lets something happen, or says what must not be.
    pub(super) fn happens(&mut self, event: Event) -> Result<(), String> {
        self.pass(SignedDuration::from_secs(20));
        match event {
            Event::Sync(instance) => return self.sync(instance),
            Event::Crash(instance) => {
                for site in &mut self.sites {
                    site.session = site.session.take().filter(|(at, ..)| *at != instance);
                }
                self.on_their_way.retain(|token| token.instance != instance);
                self.looks.remove(&(OPERATORS + instance));
                self.generation += 1;
                let ring = self.store.ring(self.generation);
                let server = &mut self.servers[instance];
                server.registry = Registry::new(Arc::clone(&ring), LEEWAY);
                server.ring = ring;
            }
            Event::Connect { zone, instance } => return self.connect(zone, instance),
            Event::Leave(zone) => self.sites[zone].session = None,
            Event::Sign { zone, instance, renewal } => {
                let token = self.sign(zone, instance)?;
                self.on_their_way.push(OnItsWay { token, zone, instance, renewal, written: false });
            }
            Event::Issue { token } if token < self.on_their_way.len() => return self.issue(token),
            Event::Lose { token } if token < self.on_their_way.len() => drop(self.on_their_way.swap_remove(token)),
            Event::Issue { .. } | Event::Lose { .. } => {}
            Event::Look { who } => self.look(who),
            Event::Act { who, command } => return self.act(who, command),
            Event::Revoke => {
                let held = |id: &String| self.sites.iter().any(|site| [&site.holds.id, &site.used.id].contains(&id));
                let coming = |id: &String| self.on_their_way.iter().any(|token| token.token.id == *id);
                self.store.ledger.retain(|id, _| held(id) || coming(id));
            }
            Event::Pass { hours } => self.pass(SignedDuration::from_hours(hours)),
        }
        Ok(())
    }

    fn pass(&mut self, time: SignedDuration) {
        self.now += time;
        for site in self.sites.iter_mut().filter(|site| site.session.is_some()) {
            site.seen = self.now;
        }
    }

    /// What must hold when all have heard everything: nobody stands on a key that is gone, or is let in with one.
    pub(super) fn ends(&mut self) -> Result<(), String> {
        for instance in 0..INSTANCES {
            self.sync(instance)?;
            let server = &self.servers[instance];
            for open in server.registry.open() {
                let key = open.caller.token().map(|token| token.key.serial);
                if key.is_none_or(|key| !self.store.keys.contains(&key)) {
                    return Err(format!("zone {} stands on key {key:?}, which is gone", open.caller.zone()));
                }
            }
            let now = self.clock(instance);
            for site in &self.sites {
                for token in [&site.holds, &site.used] {
                    let gone = !self.store.keys.contains(&token.key);
                    let verified = ZONES.iter().any(|zone| verify(&token.raw, zone, &server.ring, now).is_ok());
                    if gone && verified {
                        return Err(format!("a token of key {} is good, and the key is gone", token.key));
                    }
                }
            }
        }
        Ok(())
    }

    /// How many rotations ended at their end, and how many went back.
    pub(super) fn ended(&self) -> (usize, usize) {
        let with = |outcome| self.store.state.history.iter().filter(|finished| finished.outcome == outcome).count();
        (with(Outcome::Retired), with(Outcome::RolledBack))
    }

    fn clock(&self, instance: usize) -> Timestamp {
        self.now + self.servers[instance].skew
    }

    fn sync(&mut self, instance: usize) -> Result<(), String> {
        self.generation += 1;
        let (ring, now) = (self.store.ring(self.generation), self.clock(instance));
        let server = &mut self.servers[instance];
        server.ring = Arc::clone(&ring);
        for closed in server.registry.sweep(&ring, now, Instant::now()).closed {
            let zone = ZONES.iter().position(|zone| *zone == closed.zone.as_str()).unwrap();
            if !self.is_late(zone) {
                return Err(format!("a session is closed of a zone that did as told: {closed:?}"));
            }
            self.sites[zone].session = None;
        }
        Ok(())
    }

    /// Whether a zone came back so late, and so shortly ago, that somebody may act on what was seen before.
    fn is_late(&self, zone: usize) -> bool {
        self.sites[zone].late.is_some_and(|came| self.now.duration_since(came) <= LOOK)
    }

    fn connect(&mut self, zone: usize, instance: usize) -> Result<(), String> {
        let (now, late) = (self.clock(instance), self.is_late(zone));
        let (server, site) = (&self.servers[instance], &mut self.sites[zone]);
        let held = site.holds.clone();
        let verified = match verify(&held.raw, ZONES[zone], &server.ring, now) {
            Ok(verified) => verified,
            // The clock of who signed it is ahead: a zone comes again a moment later.
            Err(Rejection::NotYetValid) => return Ok(()),
            // Who was away for longer than counts has to ask for a new token.
            Err(_) if late || self.now.duration_since(site.seen) > RECENT => {
                self.give_up_on(zone);
                return Ok(());
            }
            Err(reason) => {
                return Err(format!("zone {} is refused with a token of key {}: {reason}", ZONES[zone], held.key));
            }
        };
        let connection = server.registry.connect();
        let arrival = Arrival {
            caller: ZoneCaller::Verified(verified),
            ring_generation: server.ring.generation(),
            connection: connection.id(),
            method: "GlobalToZoneSync",
            unary: false,
            pings: false,
        };
        let guard = server.registry.admit(arrival, now).map_err(|reason| format!("not admitted: {reason}"))?;
        site.session = Some((instance, connection, guard));
        if self.now.duration_since(site.seen) > RECENT {
            site.late = Some(self.now);
        }
        (site.used, site.seen) = (held, self.now);
        self.see(zone);
        Ok(())
    }

    /// A zone that was off for too long gets a token by hand, of the key that signs.
    fn give_up_on(&mut self, zone: usize) {
        if let Ok(token) = self.sign(zone, 0) {
            let entry = Entry { zone, key: token.key, issued: token.issued, seen: false, renewal: false };
            self.store.ledger.insert(token.id.clone(), entry);
            let site = &mut self.sites[zone];
            (site.holds, site.late, site.session) = (token, None, None);
        }
    }

    fn see(&mut self, zone: usize) {
        if let Some(entry) = self.store.ledger.get_mut(&self.sites[zone].used.id) {
            entry.seen = true;
        }
    }

    fn sign(&mut self, zone: usize, instance: usize) -> Result<Token, String> {
        self.tokens += 1;
        let (zone, issued) = (ZoneName::parse(ZONES[zone]).unwrap(), self.clock(instance));
        let (number, id) = (self.tokens, Uuid::from_u128(self.tokens));
        let token = tokens::issue_control_plane(&self.servers[instance].ring, &zone, Some(LIFE), issued, id)
            .map_err(|problem| format!("nothing is signed: {problem}"))?;
        Ok(Token { raw: token.reveal().into(), id: token.id().to_owned(), key: token.key().serial, issued, number })
    }

    /// Writes a token into the ledger, and then hands it out if its key still signs.
    fn issue(&mut self, number: usize) -> Result<(), String> {
        let on_its_way = &mut self.on_their_way[number];
        if !on_its_way.written {
            on_its_way.written = true;
            let OnItsWay { token, zone, renewal, .. } = on_its_way;
            let entry = Entry { zone: *zone, key: token.key, issued: token.issued, seen: false, renewal: *renewal };
            self.store.ledger.insert(token.id.clone(), entry);
            return Ok(());
        }
        let OnItsWay { token, zone, instance, renewal, .. } = self.on_their_way.swap_remove(number);
        let server = &self.servers[instance];
        if server.ring.signs(&FAMILY) != Some(token.key) {
            self.store.ledger.remove(&token.id);
            return Ok(());
        }
        let at = self.sites[zone].session.as_ref().map_or(instance, |(at, ..)| *at);
        let now = self.clock(at);
        let site = &mut self.sites[zone];
        // Who asked again does not wait for the first answer any more.
        if renewal && token.number < site.holds.number {
            return Ok(());
        }
        site.holds = token.clone();
        // Whoever asked over its session shows it there at once; the others when they connect next.
        if renewal && let Some((at, _, guard)) = &site.session {
            let server = &self.servers[*at];
            let verified = match verify(&token.raw, ZONES[zone], &server.ring, now) {
                Ok(verified) => verified,
                Err(Rejection::NotYetValid) => return Ok(()),
                Err(reason) => {
                    return Err(format!(
                        "zone {} is refused with its new token of key {}: {reason}",
                        ZONES[zone], token.key
                    ));
                }
            };
            let renewed = guard.renew(verified, server.ring.generation(), now);
            renewed.map_err(|reason| format!("zone {} cannot renew: {reason}", ZONES[zone]))?;
            (site.used, site.seen, site.late) = (token, self.now, None);
            self.see(zone);
        }
        Ok(())
    }

    fn look(&mut self, who: usize) {
        let looked = match self.looks.remove(&who) {
            Some(Looked::At { version, instances }) => {
                Looked::AtAll { version, evidence: Box::new(self.evidence(instances)) }
            }
            // Nobody looks for longer: what was seen is acted on, or looked at again.
            Some(Looked::AtAll { version, evidence }) if !self.is_old(version, &evidence) => {
                Looked::AtAll { version, evidence }
            }
            None | Some(Looked::AtAll { .. }) => {
                let instances = self.servers.iter().enumerate().map(|(number, server)| Instance {
                    name: number.to_string(),
                    last_seen: Some(self.now),
                    verifies: server.ring.serials(&FAMILY),
                    signs: server.ring.signs(&FAMILY),
                });
                Looked::At { version: self.store.version, instances: instances.collect() }
            }
        };
        self.looks.insert(who, looked);
    }

    fn is_old(&self, version: u64, evidence: &Evidence) -> bool {
        version != self.store.version || self.now.duration_since(evidence.now) > LOOK
    }

    fn evidence(&self, instances: Vec<Instance>) -> Evidence {
        let zone = |(site, name): (&Site, &&str)| Zone {
            name: (*name).to_owned(),
            live: site.session.is_some(),
            last_seen: Some(site.seen),
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
    fn act(&mut self, who: usize, command: usize) -> Result<(), String> {
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
                Action::DeleteKey { serial } => self.store.keys.remove(&serial),
            };
        }
        self.store.state = made.state;
        self.store.version += 1;
        Ok(())
    }
}

impl Store {
    fn ring(&self, generation: u64) -> Arc<KeyRing> {
        let secrets: Vec<(String, Vec<u8>)> = self
            .keys
            .iter()
            .map(|serial| (KeyId { family: FAMILY, serial: *serial }.to_string(), key(*serial)))
            .collect();
        let entries: Vec<SecretEntry<'_>> =
            secrets.iter().map(|(name, data)| SecretEntry { mesh: "", name, data: Some(data) }).collect();
        let phases: Phases = self.state.phases(&FAMILY, &self.keys).into_iter().collect();
        let (ring, problems) =
            KeyRing::build_of(generation, RingSources { secrets: &entries, phases, ..RingSources::default() });
        assert_eq!(problems, []);
        Arc::new(ring)
    }
}

/// Bytes that look random.
fn key(serial: u64) -> Vec<u8> {
    let mut chance = Chance::of(serial, "key");
    (0..40).map(|_| u8::try_from(chance.below(256)).unwrap()).collect()
}

fn verify(raw: &str, zone: &str, ring: &KeyRing, now: Timestamp) -> Result<VerifiedZone, Rejection> {
    let want = Want { zone, accept: Accept::CpToken, leeway: LEEWAY, legacy_until: None };
    tokens::verify(raw, ring, now, &want)
}
