//! Two instances on one store, two zones, two operators: what there is, and what may happen to it.

mod operators;
mod zones;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use testkit::seed::Chance;
use tokens::{
    Family, KeyId, KeyRing, Phases, RingSources, SecretEntry,
    rotation::{Evidence, Instance, Outcome, State},
};
use tokio::time::Instant;

use self::zones::Verified;
use crate::zones::registry::{ConnectionGuard, Registry, StreamGuard};

const FAMILY: Family = Family::ControlPlane;
const LEEWAY: Duration = Duration::from_secs(30);
const RECENT: SignedDuration = SignedDuration::from_hours(168);
const ZONES: [&str; 2] = ["east", "west"];
const INSTANCES: usize = 2;
const OPERATORS: usize = 2;
/// For how long what was seen is good enough to act on.
const LOOK: SignedDuration = SignedDuration::from_mins(30);

/// Something that happens.
#[derive(Clone, Copy, Debug)]
pub(super) enum Event {
    /// An instance takes over what is stored.
    Sync(usize),
    /// An instance loses all that it has in memory, and starts again.
    Crash(usize),
    /// A zone connects to an instance, which lets it in at once or a while after it looked at the token.
    Connect {
        zone: usize,
        instance: usize,
        slow: bool,
    },
    Leave(usize),
    /// Somebody asks an instance for a token for a zone.
    Sign {
        zone: usize,
        instance: usize,
        renewal: bool,
    },
    /// The next step of handing out a token, which is shown in the end.
    Issue {
        token: usize,
        slow: bool,
    },
    /// What was verified a while ago is let in.
    Arrive {
        verified: usize,
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
    /// It was too late indeed, and has to get a new token.
    out: bool,
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
    under_way: Vec<Verified>,
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
            under_way: Vec::new(),
            looks: BTreeMap::new(),
            now,
            generation: 1,
            tokens: 0,
        };
        for zone in 0..ZONES.len() {
            let token = world.sign(zone, 0).unwrap();
            let entry = Entry { zone, key: 1, issued: now, seen: true, renewal: false };
            world.store.ledger.insert(token.id.clone(), entry);
            world.sites.push(Site {
                holds: token.clone(),
                used: token,
                seen: now,
                late: None,
                out: false,
                session: None,
            });
        }
        world
    }

    /// Something that may happen now.
    pub(super) fn any_event(&self, chance: &mut Chance) -> Event {
        let mut one_of = |count: usize| usize::try_from(chance.below(count as u64)).unwrap();
        let (instance, zone) = (one_of(INSTANCES), one_of(ZONES.len()));
        let token = one_of(self.on_their_way.len().max(1));
        let verified = one_of(self.under_way.len().max(1));
        let slow = one_of(4) == 0;
        // The operators, and the instances by themselves.
        let who = one_of(OPERATORS + INSTANCES);
        match one_of(100) {
            0..14 => Event::Sync(instance),
            14..16 => Event::Crash(instance),
            16..25 => Event::Connect { zone, instance, slow },
            25..27 => Event::Leave(zone),
            27..30 => Event::Arrive { verified },
            30..40 => Event::Sign { zone, instance, renewal: one_of(3) > 0 },
            40..60 => Event::Issue { token, slow },
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
        self.comes_of(event)?;
        self.nobody_stands_on_what_is_gone()
    }

    fn comes_of(&mut self, event: Event) -> Result<(), String> {
        self.pass(SignedDuration::from_secs(20));
        match event {
            Event::Sync(instance) => return self.sync(instance),
            Event::Crash(instance) => {
                for site in &mut self.sites {
                    site.session = site.session.take().filter(|(at, ..)| *at != instance);
                }
                self.on_their_way.retain(|token| token.instance != instance);
                self.under_way.retain(|verified| verified.instance != instance);
                self.looks.remove(&(OPERATORS + instance));
                self.generation += 1;
                let ring = self.store.ring(self.generation);
                let server = &mut self.servers[instance];
                server.registry = Registry::new(Arc::clone(&ring), LEEWAY);
                server.ring = ring;
            }
            Event::Connect { zone, instance, slow } => {
                let verified = self.connect(zone, instance)?;
                return self.hold_up(verified, slow);
            }
            Event::Leave(zone) => self.sites[zone].session = None,
            Event::Sign { zone, instance, renewal } => {
                let token = self.sign(zone, instance)?;
                self.on_their_way.push(OnItsWay { token, zone, instance, renewal, written: false });
            }
            Event::Issue { token, slow } if token < self.on_their_way.len() => {
                let verified = self.issue(token)?;
                return self.hold_up(verified, slow);
            }
            Event::Arrive { verified } if verified < self.under_way.len() => {
                let verified = self.under_way.swap_remove(verified);
                return self.arrive(verified);
            }
            Event::Lose { token } if token < self.on_their_way.len() => drop(self.on_their_way.swap_remove(token)),
            Event::Issue { .. } | Event::Lose { .. } | Event::Arrive { .. } => {}
            Event::Look { who } => self.look(who),
            Event::Act { who, command } => return self.act(who, command),
            Event::Revoke => {
                let held = |id: &String| self.sites.iter().any(|site| [&site.holds.id, &site.used.id].contains(&id));
                let coming = |id: &String| self.on_their_way.iter().any(|token| token.token.id == *id);
                let shown = |id: &String| self.under_way.iter().any(|verified| verified.token.id == *id);
                self.store.ledger.retain(|id, _| held(id) || coming(id) || shown(id));
            }
            Event::Pass { hours } => self.pass(SignedDuration::from_hours(hours)),
        }
        Ok(())
    }

    fn hold_up(&mut self, verified: Option<Verified>, slow: bool) -> Result<(), String> {
        let Some(verified) = verified else { return Ok(()) };
        if slow {
            self.under_way.push(verified);
            return Ok(());
        }
        self.arrive(verified)
    }

    fn pass(&mut self, time: SignedDuration) {
        self.now += time;
        for site in self.sites.iter_mut().filter(|site| site.session.is_some()) {
            site.seen = self.now;
        }
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
        let older = std::mem::replace(&mut server.ring, Arc::clone(&ring));
        let mut closed = server.registry.sweep(&ring, now, Instant::now()).closed;
        // Whoever was slow with the ring of before comes too late.
        closed.extend(server.registry.sweep(&older, now, Instant::now()).closed);
        for closed in closed {
            let zone = ZONES.iter().position(|zone| *zone == closed.zone.as_str()).unwrap();
            if !self.is_late(zone) {
                return Err(format!("a session is closed of a zone that did as told: {closed:?}"));
            }
            let site = &mut self.sites[zone];
            (site.session, site.out) = (None, true);
        }
        Ok(())
    }

    /// Whether a zone came back so late, and so shortly ago, that somebody may act on what was seen before; or did.
    fn is_late(&self, zone: usize) -> bool {
        let site = &self.sites[zone];
        site.out || site.late.is_some_and(|came| self.now.duration_since(came) <= LOOK)
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
