//! The machine in every order of events: a small world in which all that can happen is tried, and what must hold is asked
//! after each event.
//!
//! Two instances take over what is stored late. A token is signed, written into the ledger and handed out in three steps, with
//! anything in between. Evidence is gathered in two looks, and a step comes of it unless somebody else wrote meanwhile.
//! Whoever crashes leaves behind what was written: each event is one write, and any may be the last of somebody.

use std::collections::{HashMap, VecDeque};

use jiff::{SignedDuration, Timestamp};

use super::*;
use crate::{Family, Phase};

/// As high as serials get in the world, and as many tokens as count at once.
const KEYS: u8 = 3;
const TOKENS: usize = 3;
const INSTANCES: usize = 2;

/// A set of serials.
type Keys = u8;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct World {
    highest: u8,
    rotation: Option<(Stage, u8, u8)>,
    /// The private keys.
    keys: Keys,
    rings: [Ring; INSTANCES],
    zone: At,
    /// Those that count: the others were used and left.
    tokens: [Option<Token>; TOKENS],
    looking: Looking,
}

/// What an instance knows of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Ring {
    verifies: Keys,
    signs: Option<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct At {
    /// The instance that it is connected to.
    live: Option<usize>,
    /// The token that let it in last.
    used: usize,
    /// The token that it uses next.
    holds: usize,
    /// It has the newest key, and said so. Whoever connects gets what there is.
    confirmed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Token {
    key: u8,
    made: Made,
    seen: bool,
}

/// How far a token is; the instance that signs it until it is handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Made {
    Signed(usize),
    Written(usize),
    Handed,
}

/// How far an operator's look at the evidence is; what others write in between makes it worthless.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Looking {
    Not,
    AtInstances([Ring; INSTANCES]),
    /// And the steps that may be made by what was seen.
    AtAll([bool; 3]),
}

#[derive(Clone, Copy, Debug)]
enum Event {
    Sync(usize),
    Connect(usize),
    Leave,
    Confirm,
    Sign(usize),
    WriteDown(usize),
    HandOut(usize),
    Revoke(usize),
    LookAtInstances,
    LookAtRest,
    Order(usize),
}

impl World {
    fn new() -> Self {
        let first = Token { key: 1, made: Made::Handed, seen: true };
        Self {
            highest: 1,
            rotation: None,
            keys: one(1),
            rings: [Ring { verifies: one(1), signs: Some(1) }; INSTANCES],
            zone: At { live: Some(0), used: 0, holds: 0, confirmed: true },
            tokens: [Some(first), None, None],
            looking: Looking::Not,
        }
    }

    fn state(&self) -> State {
        let rotation = self.rotation.map(|(stage, from, to)| Rotation {
            stage,
            from: from.into(),
            to: to.into(),
            since: now(),
            started: now(),
            by: None,
            algorithm: None,
            automatic: false,
            waiting: Waiting::new(now()),
            steps: Vec::new(),
        });
        State { highest: self.highest.into(), rotation, history: Vec::new() }
    }

    /// What an instance knows that takes over what is stored now.
    fn ring(&self) -> Ring {
        let there = serials(self.keys).map(u64::from).collect();
        let phases = self.state().phases(&Family::Zone, &there);
        let phase = |key: u8| phases.iter().find(|(id, _)| id.serial == u64::from(key)).map(|(_, phase)| *phase);
        let signs = serials(self.keys).filter(|key| phase(*key).unwrap_or_default() == Phase::Signing).last();
        Ring { verifies: self.keys, signs }
    }

    fn events(&self) -> impl Iterator<Item = Event> {
        let free = self.tokens.contains(&None);
        let of_instances = (0..INSTANCES).flat_map(move |instance| {
            [Some(Event::Sync(instance)), Some(Event::Connect(instance)), free.then_some(Event::Sign(instance))]
        });
        let of_tokens = self.tokens.iter().enumerate().map(|(number, token)| match token.as_ref()?.made {
            Made::Signed(_) => Some(Event::WriteDown(number)),
            Made::Written(_) => Some(Event::HandOut(number)),
            Made::Handed => (!self.in_use(number)).then_some(Event::Revoke(number)),
        });
        let of_operators = match self.looking {
            Looking::Not => vec![Event::LookAtInstances],
            Looking::AtInstances(_) => vec![Event::LookAtRest],
            Looking::AtAll(may) => (0..may.len()).filter(|step| may[*step]).map(Event::Order).collect(),
        };
        let all = of_instances
            .chain(of_tokens.collect::<Vec<_>>())
            .flatten()
            .chain(of_operators)
            .chain([Event::Leave, Event::Confirm]);
        all.collect::<Vec<_>>().into_iter()
    }

    /// What comes of an event, or what must not be.
    fn after(&self, event: Event) -> Result<Self, String> {
        let mut world = *self;
        match event {
            Event::Sync(instance) => {
                world.rings[instance] = self.ring();
                if self.zone.live == Some(instance) && !has(self.keys, self.key(self.zone.used)) {
                    return Err("the zone is closed: its key is gone".to_owned());
                }
            }
            Event::Connect(instance) => {
                let holds = self.zone.holds;
                if !has(self.rings[instance].verifies, self.key(holds)) {
                    return Err(format!("the zone is refused by instance {instance}: it has no such key"));
                }
                world.zone = At { live: Some(instance), used: holds, holds, confirmed: true };
                world.tokens[holds] = self.tokens[holds].map(|token| Token { seen: true, ..token });
            }
            Event::Leave => (world.zone.live, world.zone.confirmed) = (None, true),
            Event::Confirm => world.zone.confirmed = true,
            Event::Sign(instance) => {
                let Some(key) = self.rings[instance].signs else { return Err("nothing signs".to_owned()) };
                let free = self.tokens.iter().position(Option::is_none).unwrap();
                world.tokens[free] = Some(Token { key, made: Made::Signed(instance), seen: false });
            }
            Event::WriteDown(number) => world.write_down(number),
            Event::HandOut(number) => world.hand_out(number),
            Event::Revoke(number) => world.tokens[number] = None,
            Event::LookAtInstances => world.looking = Looking::AtInstances(self.rings),
            Event::LookAtRest => world.look_at_rest(),
            Event::Order(number) => world.order(number)?,
        }
        for number in 0..TOKENS {
            // It was used and left.
            if world.tokens[number].is_some_and(|token| token.seen) && !world.in_use(number) {
                world.tokens[number] = None;
            }
        }
        Ok(world)
    }

    fn write_down(&mut self, number: usize) {
        let Some(token) = &mut self.tokens[number] else { return };
        if let Made::Signed(instance) = token.made {
            token.made = Made::Written(instance);
        }
    }

    /// The guard of whoever issues: a token is handed out if its key signs after it was written down.
    fn hand_out(&mut self, number: usize) {
        let Some(token) = &mut self.tokens[number] else { return };
        let Made::Written(instance) = token.made else { return };
        if self.rings[instance].signs == Some(token.key) {
            token.made = Made::Handed;
            self.zone.holds = number;
        } else {
            self.tokens[number] = None;
        }
    }

    fn look_at_rest(&mut self) {
        let Looking::AtInstances(rings) = self.looking else { return };
        let evidence = self.evidence(&rings);
        let state = self.state();
        self.looking = Looking::AtAll(COMMANDS.map(|command| step(&state, &evidence, &order(command)).is_ok()));
    }

    /// Makes a step that was found to be possible.
    fn order(&mut self, number: usize) -> Result<(), String> {
        self.looking = Looking::Not;
        let command = Order { force: true, ..order(COMMANDS[number].clone()) };
        let Ok(done) = step(&self.state(), &self.evidence(&self.rings), &command) else { return Ok(()) };
        for action in &done.actions {
            match action {
                Action::CreateKey { serial, .. } => {
                    let serial = u8::try_from(*serial).unwrap();
                    if serial <= self.highest {
                        return Err(format!("serial {serial} is given twice"));
                    }
                    self.keys |= one(serial);
                    self.zone.confirmed = self.zone.live.is_none();
                }
                Action::DeleteKey { serial } => self.keys &= !one(u8::try_from(*serial).unwrap()),
            }
        }
        let small = |serial: u64| u8::try_from(serial).unwrap();
        self.rotation = done.state.rotation.map(|rotation| (rotation.stage, small(rotation.from), small(rotation.to)));
        self.highest = small(done.state.highest);
        let newest = self.rotation.filter(|(stage, _, to)| *stage != Stage::Staged && *to == self.highest);
        if newest.is_some() && !self.zone.confirmed {
            return Err("a key is to sign that the connected zone does not have".to_owned());
        }
        if self.ring().signs.is_none() { Err("nothing would sign".to_owned()) } else { Ok(()) }
    }

    fn evidence(&self, rings: &[Ring]) -> Evidence {
        let hour = SignedDuration::from_hours(1);
        let zone = Zone {
            name: "west".to_owned(),
            live: self.zone.live.is_some(),
            last_seen: Some(now()),
            stands_on: StandsOn::Key(self.key(self.zone.used).into()),
            issued: None,
            renews: true,
            next_is_revoked: false,
            confirmed: serials(self.keys)
                .filter(|key| self.zone.confirmed || *key != self.highest)
                .map(u64::from)
                .collect(),
            reads_rsa_alone: false,
            left: None,
        };
        let instance = |(number, ring): (usize, &Ring)| Instance {
            name: number.to_string(),
            last_seen: Some(now()),
            verifies: serials(ring.verifies).map(u64::from).collect(),
            signs: ring.signs.map(u64::from),
        };
        let token = |(number, token): (usize, &Option<Token>)| {
            let token = token.filter(|token| !matches!(token.made, Made::Signed(_)))?;
            Some(Handed {
                id: number.to_string(),
                zone: None,
                key: token.key.into(),
                issued: now(),
                ends: None,
                seen: token.seen,
                watched: true,
                renewal: false,
            })
        };
        Evidence {
            family: Family::Zone,
            now: now(),
            times: Times { recent_zones: hour, patience: hour, leeway: SignedDuration::ZERO },
            keys: serials(self.keys).map(|key| (key.into(), now())).collect(),
            taken: serials(self.keys).map(u64::from).collect(),
            instances: rings.iter().enumerate().map(instance).collect(),
            zones: vec![zone],
            tokens: self.tokens.iter().enumerate().filter_map(token).collect(),
            unreadable: Vec::new(),
        }
    }

    fn key(&self, token: usize) -> u8 {
        self.tokens[token].unwrap().key
    }

    fn in_use(&self, token: usize) -> bool {
        [self.zone.used, self.zone.holds].contains(&token)
    }
}

const COMMANDS: [Command; 3] =
    [Command::Start { automatic: false, algorithm: None }, Command::Advance, Command::Rollback];

fn order(command: Command) -> Order {
    Order { command, by: "ada".to_owned(), id: None, expect: None, force: false }
}

fn one(serial: u8) -> Keys {
    1 << serial
}

fn has(keys: Keys, serial: u8) -> bool {
    keys & one(serial) != 0
}

fn serials(keys: Keys) -> impl Iterator<Item = u8> {
    (1..=KEYS).filter(move |serial| has(keys, *serial))
}

fn now() -> Timestamp {
    Timestamp::UNIX_EPOCH
}

/// Tries everything, the shortest ways first, and tells the way to what must not be. Returns how many worlds there are.
fn explore(start: World) -> usize {
    let mut ways: HashMap<World, Option<(World, Event)>> = HashMap::from([(start, None)]);
    let mut next = VecDeque::from([start]);
    while let Some(world) = next.pop_front() {
        for event in world.events() {
            match world.after(event) {
                // More keys are more of the same.
                Ok(after) if after.highest > KEYS || ways.contains_key(&after) => {}
                Ok(after) => {
                    ways.insert(after, Some((world, event)));
                    next.push_back(after);
                }
                Err(wrong) => panic!("{wrong}\n{:#?}", way_to(&ways, world, event)),
            }
        }
    }
    ways.len()
}

fn way_to(ways: &HashMap<World, Option<(World, Event)>>, world: World, last: Event) -> Vec<Event> {
    let (mut way, mut at) = (vec![last], world);
    while let Some(Some((before, event))) = ways.get(&at) {
        way.push(*event);
        at = *before;
    }
    way.reverse();
    way
}

#[test]
fn nobody_is_cut_off_whatever_comes_first() {
    let worlds = explore(World::new());
    assert!(worlds > 10_000, "{worlds} worlds are too few");
}
