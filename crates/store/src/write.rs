//! What callers ask to be written, and what they get back.

use std::sync::Arc;

use model::{Key, Resource};

use crate::StoreError;

/// The version of one stored resource: grows with each write in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub u64);

/// The term of a leader among the instances that work with one store: each new leader has a higher one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u64);

impl Epoch {
    /// That of the only one that works with its store.
    pub const ALONE: Self = Self(0);
}

/// A resource as the store returns it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The resource; shared, never copied on read.
    pub resource: Arc<Resource>,
    /// Its version.
    pub version: Version,
}

/// What must be true of the stored resource for a write to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precondition {
    /// It must not be there.
    Absent,
    /// It must be there with this version.
    Version(Version),
    /// It must be there, with any version.
    Present,
    /// Nothing.
    Any,
}

/// One write of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// Creates or replaces a resource.
    Put {
        /// The new content.
        resource: Resource,
        /// The condition.
        expect: Precondition,
    },
    /// Deletes a resource and what it owns. With [`Precondition::Any`] a missing resource is fine.
    Delete {
        /// Which one.
        key: Key,
        /// The condition.
        expect: Precondition,
    },
}

impl Write {
    /// A condition alone: the batch is refused with [`StoreError::AlreadyExists`](crate::StoreError) if this resource is
    /// there, and leaves it alone.
    pub fn absence_of(key: Key) -> Self {
        Self::Delete { key, expect: Precondition::Absent }
    }
}

/// Writes that happen together, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// The writes.
    pub writes: Vec<Write>,
    /// What happens to it when there is no space.
    pub importance: Importance,
    /// It is refused if another instance leads by now than did in this epoch; whoever does what only a leader does says so.
    pub fence: Option<Epoch>,
}

/// How a batch is treated when a store has no space left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Importance {
    /// It is refused, a little before there is none left.
    #[default]
    Usual,
    /// It gets the space that is kept back: what takes power from somebody must not need what that somebody can use up.
    Safety,
}

impl Batch {
    /// Returns a batch of usual importance.
    pub fn of(writes: Vec<Write>) -> Self {
        Self { writes, importance: Importance::Usual, fence: None }
    }

    /// Returns a batch for safety.
    pub fn for_safety(writes: Vec<Write>) -> Self {
        Self { importance: Importance::Safety, ..Self::of(writes) }
    }

    /// The same, of whoever leads in this epoch.
    pub fn fenced(self, epoch: Epoch) -> Self {
        Self { fence: Some(epoch), ..self }
    }

    /// Refuses it in another epoch than its own.
    pub(crate) fn check_fence(&self, now: Epoch) -> Result<(), StoreError> {
        match self.fence {
            Some(epoch) if epoch != now => Err(StoreError::Deposed { epoch }),
            Some(_) | None => Ok(()),
        }
    }

    /// Whether it gets the space that is kept back. What does nothing but delete does: it makes space.
    pub fn is_for_safety(&self) -> bool {
        let only_deletes = || self.writes.iter().all(|write| matches!(write, Write::Delete { .. }));
        self.importance == Importance::Safety || (!self.writes.is_empty() && only_deletes())
    }
}

/// What one write of a batch did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The resource is new.
    Created,
    /// The resource was there.
    Updated,
    /// The resource is gone; so is what it owned.
    Deleted,
    /// A delete without condition, or one of what must not be there, found nothing.
    Missing,
}

/// What a batch did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// The version that everything written by the batch carries.
    pub version: Version,
    /// One outcome a write, in order.
    pub outcomes: Vec<Outcome>,
}
