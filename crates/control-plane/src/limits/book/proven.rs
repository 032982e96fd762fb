//! The connections of a port on which somebody proved who they are, and who of them makes room.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use tokio::time::Instant;

use super::Id;

/// Whom a proven connection belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Holder {
    /// A zone, which has limits of its own: it is never asked to make room.
    Zone,
    /// Who may take rights away from the others.
    Administrator,
    /// Anybody else, by name.
    User(Arc<str>),
}

/// How many places users take who are no administrators. What is left is for administrators, and for those who are
/// about to prove that they are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Users {
    pub(super) all: usize,
    pub(super) each: usize,
}

impl Users {
    /// The share of users in so many places.
    pub(crate) fn of(places: usize) -> Self {
        let for_administrators = (places / 16).max(4);
        Self { all: places.saturating_sub(for_administrators), each: (places / 8).clamp(4, 32) }
    }
}

/// Why a user gets no place on top of those that users have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Crowd {
    /// This one has all that one user may have, with a request on each.
    Own,
    /// All of them together have, with a request on each.
    Others,
}

#[derive(Debug)]
pub(super) struct Proven<T> {
    members: HashMap<Id, Member<T>>,
    /// Of each user, by name.
    users: HashMap<Arc<str>, usize>,
    of_users: usize,
    /// Connections of users without a request, and since when.
    idle_users: BTreeSet<(Instant, Id)>,
    idle_administrators: BTreeSet<(Instant, Id)>,
}

#[derive(Debug)]
struct Member<T> {
    holder: Holder,
    /// Since when there is no request on it.
    idle: Option<Instant>,
    belongs: T,
}

impl<T> Proven<T> {
    pub(super) fn new() -> Self {
        Self {
            members: HashMap::new(),
            users: HashMap::new(),
            of_users: 0,
            idle_users: BTreeSet::new(),
            idle_administrators: BTreeSet::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    pub(super) fn holder(&self, id: Id) -> Option<&Holder> {
        self.members.get(&id).map(|member| &member.holder)
    }

    /// Takes one in, with a request on it.
    pub(super) fn insert(&mut self, id: Id, holder: Holder, belongs: T) {
        if let Holder::User(name) = &holder {
            *self.users.entry(Arc::clone(name)).or_default() += 1;
            self.of_users += 1;
        }
        self.members.insert(id, Member { holder, idle: None, belongs });
    }

    pub(super) fn remove(&mut self, id: Id) -> Option<T> {
        self.works(id);
        let Member { holder, belongs, .. } = self.members.remove(&id)?;
        if let Holder::User(name) = &holder {
            self.of_users -= 1;
            if let Some(count) = self.users.get_mut(name) {
                *count -= 1;
                if *count == 0 {
                    self.users.remove(name);
                }
            }
        }
        Some(belongs)
    }

    /// There is a request on it.
    pub(super) fn works(&mut self, id: Id) {
        let Some(member) = self.members.get_mut(&id) else { return };
        if let Some(since) = member.idle.take() {
            let key = (since, id);
            let _either = self.idle_users.remove(&key) || self.idle_administrators.remove(&key);
        }
    }

    /// There is none any more: others may need its place. Returns whether it is one that makes room.
    pub(super) fn rests(&mut self, id: Id, now: Instant) -> bool {
        self.works(id);
        let Some(member) = self.members.get_mut(&id) else { return false };
        let idle = match member.holder {
            Holder::Zone => return false,
            Holder::Administrator => &mut self.idle_administrators,
            Holder::User(_) => &mut self.idle_users,
        };
        member.idle = Some(now);
        idle.insert((now, id));
        true
    }

    pub(super) fn oldest_idle_user(&self) -> Option<Id> {
        self.idle_users.first().map(|(_, id)| *id)
    }

    pub(super) fn oldest_idle_administrator(&self) -> Option<Id> {
        self.idle_administrators.first().map(|(_, id)| *id)
    }

    /// Whether one more connection of a user fits, or which one has to go for it: an own one if the user has too many.
    pub(super) fn room_for(&self, name: &Arc<str>, most: Users) -> Result<Option<Id>, Crowd> {
        if self.users.get(name).is_some_and(|count| *count >= most.each) {
            let own = |id: &Id| matches!(self.holder(*id), Some(Holder::User(other)) if other == name);
            return self.idle_users.iter().map(|(_, id)| *id).find(own).map(Some).ok_or(Crowd::Own);
        }
        if self.of_users >= most.all {
            return self.oldest_idle_user().map(Some).ok_or(Crowd::Others);
        }
        Ok(None)
    }
}
