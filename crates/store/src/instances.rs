//! The instances that work with one database: what they say of themselves through it, and which one leads.
//!
//! Nothing here judges for how long somebody was not heard: whoever looks does, by a clock of its own.

use std::collections::BTreeSet;

use async_trait::async_trait;

use crate::{Epoch, StoreError, Version};

/// What an instance says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// Its name, another one at each start.
    pub name: String,
    /// Where the others reach it, as `host:port`.
    pub inter_cp: Option<String>,
    /// The last change of what its keys are made of that it has taken over.
    pub keys: Version,
}

/// An instance as the database knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Present {
    /// What it said last.
    pub said: Said,
    /// Another number each time it was heard: when that was, by the clock of the database.
    pub beat: i64,
}

/// What a look at the database shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// All that were heard and neither left nor were forgotten.
    pub present: Vec<Present>,
    /// The epoch, if this instance led and nobody else did since.
    pub leads: Option<Epoch>,
    /// What the one is called that leads, or was the last to lead.
    pub leader: Option<String>,
}

/// What came of saying to be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewed {
    /// The others can see it.
    Heard,
    /// Another process is called the same: this one needs another name.
    NameTaken,
}

/// One instance among those of a database. A call that failed may be made again; what was lost with the connection, the
/// lead too, is lost.
#[async_trait]
pub trait Instances: Send + Sync + 'static {
    /// Says that this instance is there.
    async fn renew(&self, said: &Said) -> Result<Renewed, StoreError>;

    /// Returns who is there.
    async fn look(&self) -> Result<Seen, StoreError>;

    /// Leads, in a new epoch, if nobody else does; those that are gone are not asked. Returns the epoch of this instance.
    async fn lead(&self, gone: &BTreeSet<String>) -> Result<Option<Epoch>, StoreError>;

    /// Forgets instances that were not heard since.
    async fn forget(&self, gone: &[Present]) -> Result<(), StoreError>;

    /// Says that this instance is not there any more, and leads no more.
    async fn leave(&self) -> Result<(), StoreError>;
}
