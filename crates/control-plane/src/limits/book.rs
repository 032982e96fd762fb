//! Who has which place of a port, as a book-keeper sees it: no sockets, no waiting, no clock of its own.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use tokio::time::Instant;

use super::address::Group;

mod proven;

use self::proven::Proven;
pub(crate) use self::proven::{Crowd, Holder, Users};

/// How long an unproven connection keeps its place when others want it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grace {
    /// While it has said nothing: longer than any way through the network.
    pub(super) silent: Duration,
    /// After it has said something that counts.
    pub(super) heard: Duration,
}

impl Grace {
    /// A handshake takes two ways, and the machines of the zones may be busy.
    pub(super) const OF_ZONES: Self = Self { silent: Duration::from_millis(250), heard: Duration::from_secs(3) };
    /// A request comes at once, its body a little later.
    pub(super) const OF_REST: Self = Self { silent: Duration::from_millis(250), heard: Duration::from_secs(1) };
    /// Requests have no body to speak of, and answers are short.
    pub(super) const OF_DIAGNOSTICS: Self =
        Self { silent: Duration::from_millis(250), heard: Duration::from_millis(250) };
}

/// How many connections a port takes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Capacity {
    pub(super) all: usize,
    /// Those on which nobody has proved who they are.
    pub(super) unproven: usize,
    /// Those of users; without, none prove themselves here.
    pub(super) users: Option<Users>,
    /// How long one of them may not be closed for a new one.
    pub(super) grace: Grace,
    /// How long a connection may be unproven; without, the port has other rules.
    pub(super) patience: Option<Patience>,
}

/// How long a connection may be unproven.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// While there are places: very many zones that come at once, to a machine that is short of CPU, all get their turn.
    pub(super) usual: Duration,
    /// While seven of eight unproven places are taken.
    pub(super) short: Duration,
}

impl Patience {
    pub(super) const OF_ZONES: Self = Self { usual: Duration::from_secs(120), short: Duration::from_secs(10) };
    /// A handshake, from one machine room to the next at most.
    pub(super) const OF_INSTANCES: Self = Self { usual: Duration::from_secs(10), short: Duration::from_secs(3) };
}

/// Names a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Id(u64);

/// What becomes of a new connection.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Entry<T> {
    /// It has a place, which another one may have lost for it.
    In {
        id: Id,
        /// What belongs to the one that has to go.
        in_place_of: Option<T>,
    },
    /// It has to wait: until one leaves, or until then.
    Wait(Option<Instant>),
}

/// The places of a port. `T` belongs to each connection.
#[derive(Debug)]
pub(super) struct Book<T> {
    capacity: Capacity,
    next: u64,
    proven: Proven<T>,
    unproven: HashMap<Id, Unproven<T>>,
    /// From when on each may be closed for a new one; the one that has waited longest comes first.
    oldest: BTreeSet<(Instant, Id)>,
    groups: HashMap<Group, BTreeSet<(Instant, Id)>>,
    /// How many unproven ones each group has; the most come last.
    weights: BTreeSet<(usize, Group)>,
}

#[derive(Debug)]
struct Unproven<T> {
    group: Group,
    until: Instant,
    belongs: T,
}

impl<T: Clone> Book<T> {
    pub(super) fn new(capacity: Capacity) -> Self {
        Self {
            capacity,
            next: 0,
            proven: Proven::new(),
            unproven: HashMap::new(),
            oldest: BTreeSet::new(),
            groups: HashMap::new(),
            weights: BTreeSet::new(),
        }
    }

    pub(super) fn unproven(&self) -> usize {
        self.unproven.len()
    }

    pub(super) fn proven(&self) -> usize {
        self.proven.len()
    }

    pub(super) fn is_proven(&self, id: Id) -> bool {
        self.proven.holder(id).is_some()
    }

    /// The group with the most unproven connections.
    pub(super) fn heaviest(&self) -> Option<(usize, Group)> {
        self.weights.last().copied()
    }

    /// Takes a new connection in, unproven, if there is a place or one that may be taken away.
    pub(super) fn enter(&mut self, group: Group, now: Instant, belongs: T) -> Entry<T> {
        let mut in_place_of = None;
        if self.unproven.len() >= self.capacity.unproven || self.taken() >= self.capacity.all {
            in_place_of = match self.to_go(group, now) {
                Ok(id) => self.remove(id).map(|gone| gone.belongs),
                Err(until) => match self.proven_to_go() {
                    Some(id) => self.proven.remove(id),
                    None => return Entry::Wait(until),
                },
            };
        }
        self.next += 1;
        let id = Id(self.next);
        self.insert(id, Unproven { group, until: now + self.capacity.grace.silent, belongs });
        Entry::In { id, in_place_of }
    }

    /// Which one has to go for a new one of a group; the error says from when on one may.
    fn to_go(&self, group: Group, now: Instant) -> Result<Id, Option<Instant>> {
        let (most, heaviest) = self.heaviest().ok_or(None)?;
        let first_of_heaviest = self.groups.get(&heaviest).and_then(BTreeSet::first).copied();
        let own = self.groups.get(&group).map_or(0, BTreeSet::len);
        // One address that holds a large part makes room for one that does not, at once.
        let holds_much = most * 8 > self.capacity.unproven && own * 2 < most;
        if let Some((until, id)) = first_of_heaviest
            && (holds_much || until <= now)
        {
            return Ok(id);
        }
        match self.oldest.first() {
            Some((until, id)) if *until <= now => Ok(*id),
            Some((until, _)) => Err(Some(*until)),
            None => Err(None),
        }
    }

    fn taken(&self) -> usize {
        self.unproven.len() + self.proven.len()
    }

    /// Which idle proven one has to go for a new one, when no unproven one may: one of a user while a quarter of the
    /// places, where administrators prove themselves, is not there for it; one of an administrator if there is nothing
    /// else.
    fn proven_to_go(&self) -> Option<Id> {
        let unproven = self.unproven.len();
        if unproven >= self.capacity.unproven || unproven >= (self.capacity.all / 4).max(1) {
            return None;
        }
        let administrator = || self.proven.oldest_idle_administrator().filter(|_| unproven == 0);
        self.proven.oldest_idle_user().or_else(administrator)
    }

    /// The connection did something that counts: it waits anew, or has a request.
    pub(super) fn touch(&mut self, id: Id, now: Instant) {
        self.proven.works(id);
        if let Some(mut entry) = self.remove(id) {
            entry.until = now + self.capacity.grace.heard;
            self.insert(id, entry);
        }
    }

    /// Its request is answered. Returns whether it may have to make room from now on, which it did not before.
    pub(super) fn rest(&mut self, id: Id, now: Instant) -> bool {
        self.touch(id, now);
        self.proven.rests(id, now)
    }

    /// Somebody proved who they are on it: it stays, also if it was about to lose its place. Returns what belongs to the
    /// one that has to go for it; one for which there is no room is unproven.
    pub(super) fn prove(
        &mut self,
        id: Id,
        group: Group,
        holder: Holder,
        now: Instant,
        belongs: T,
    ) -> Result<Option<T>, Crowd> {
        if self.proven.holder(id) == Some(&holder) {
            self.proven.works(id);
            return Ok(None);
        }
        // What somebody else proved on it does not count any more.
        self.unprove(id, group, now, belongs.clone());
        let in_place_of = match (&holder, self.capacity.users) {
            (Holder::User(name), Some(most)) => self.proven.room_for(name, most)?.and_then(|id| self.proven.remove(id)),
            _ => None,
        };
        self.remove(id);
        self.proven.insert(id, holder, belongs);
        Ok(in_place_of)
    }

    /// What was proved on it is gone.
    pub(super) fn unprove(&mut self, id: Id, group: Group, now: Instant, belongs: T) {
        if self.proven.remove(id).is_some() {
            self.insert(id, Unproven { group, until: now + self.capacity.grace.heard, belongs });
        }
    }

    /// It is closed. One that lost its place is not there any more.
    pub(super) fn leave(&mut self, id: Id) {
        self.remove(id);
        self.proven.remove(id);
    }

    /// When the next one has been unproven for too long.
    pub(super) fn due(&self) -> Option<Instant> {
        let patience = self.capacity.patience?;
        let short = self.unproven.len() * 8 >= self.capacity.unproven * 7;
        let (until, _) = self.oldest.first()?;
        Some(*until + if short { patience.short } else { patience.usual })
    }

    /// Returns what belongs to one that has been unproven for too long; it is not named again for as long.
    pub(super) fn overdue(&mut self, now: Instant) -> Option<T> {
        let due = self.due()?;
        if due > now {
            return None;
        }
        let (_, id) = *self.oldest.first()?;
        let belongs = self.unproven.get(&id)?.belongs.clone();
        self.touch(id, now);
        Some(belongs)
    }

    fn insert(&mut self, id: Id, entry: Unproven<T>) {
        let (group, key) = (entry.group, (entry.until, id));
        self.unproven.insert(id, entry);
        self.oldest.insert(key);
        let members = self.groups.entry(group).or_default();
        self.weights.remove(&(members.len(), group));
        members.insert(key);
        self.weights.insert((members.len(), group));
    }

    fn remove(&mut self, id: Id) -> Option<Unproven<T>> {
        let entry = self.unproven.remove(&id)?;
        let (group, key) = (entry.group, (entry.until, id));
        self.oldest.remove(&key);
        if let Some(members) = self.groups.get_mut(&group) {
            self.weights.remove(&(members.len(), group));
            members.remove(&key);
            if members.is_empty() {
                self.groups.remove(&group);
            } else {
                self.weights.insert((members.len(), group));
            }
        }
        Some(entry)
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod users;
