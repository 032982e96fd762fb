//! The instances of a database in memory. Each can be cut off from it, and one that is has no say in what happens there.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
};

use async_trait::async_trait;

use super::Database;
use crate::{
    Epoch, StoreError,
    instances::{Instances, Present, Renewed, Said, Seen},
};

/// What a database keeps of instances.
#[derive(Default)]
pub(super) struct Kept {
    present: BTreeMap<String, (i64, Present)>,
    /// How often somebody was heard.
    beats: i64,
    pub(super) epoch: u64,
    /// The life that leads, and what it is called.
    leader: Option<(i64, String)>,
}

/// One instance among those of the database. Cheap to clone.
#[derive(Clone)]
pub struct Member {
    database: Database,
    life: i64,
    /// What it says on a way that is cut goes nowhere.
    cut: Arc<AtomicBool>,
}

static LIVES: AtomicI64 = AtomicI64::new(1);

impl Database {
    /// Returns an instance that nobody knows of yet.
    pub fn member(&self) -> Member {
        let life = LIVES.fetch_add(1, Ordering::Relaxed);
        Member { database: self.clone(), life, cut: Arc::default() }
    }
}

impl Member {
    /// Cuts it off. The database does not notice, as with a process that is stopped.
    pub fn cut(&self) {
        self.cut.store(true, Ordering::Relaxed);
    }

    /// Connects it again.
    pub fn mend(&self) {
        self.cut.store(false, Ordering::Relaxed);
    }

    /// Ends it as a process ends that is killed: the lead is free, and that is all that anybody hears.
    pub fn kill(&self) {
        self.cut();
        let mut shared = self.database.lock();
        shared.instances.leader.take_if(|(life, _)| *life == self.life);
    }

    fn ask<T>(&self, question: impl FnOnce(&mut Kept) -> T) -> Result<T, StoreError> {
        if self.cut.load(Ordering::Relaxed) {
            return Err(StoreError::Unavailable { detail: "cut off".to_owned() });
        }
        Ok(question(&mut self.database.lock().instances))
    }

    fn leads(&self, kept: &Kept) -> Option<Epoch> {
        let leads = kept.leader.as_ref().is_some_and(|(life, _)| *life == self.life);
        leads.then_some(Epoch(kept.epoch))
    }
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Member").field("life", &self.life).finish_non_exhaustive()
    }
}

#[async_trait]
impl Instances for Member {
    async fn renew(&self, said: &Said) -> Result<Renewed, StoreError> {
        self.ask(|kept| {
            if kept.present.get(&said.name).is_some_and(|(life, _)| *life != self.life) {
                return Renewed::NameTaken;
            }
            kept.beats += 1;
            let present = Present { said: said.clone(), beat: kept.beats };
            kept.present.insert(said.name.clone(), (self.life, present));
            Renewed::Heard
        })
    }

    async fn look(&self) -> Result<Seen, StoreError> {
        self.ask(|kept| Seen {
            present: kept.present.values().map(|(_, present)| present.clone()).collect(),
            leads: self.leads(kept),
            leader: kept.leader.as_ref().map(|(_, name)| name.clone()),
        })
    }

    async fn lead(&self, gone: &BTreeSet<String>) -> Result<Option<Epoch>, StoreError> {
        self.ask(|kept| {
            let ours = kept.present.values().find(|(life, _)| *life == self.life);
            let name = ours.map(|(_, present)| present.said.name.clone()).unwrap_or_default();
            let is_there = |name: &String| kept.present.contains_key(name) && !gone.contains(name);
            if kept.leader.as_ref().is_none_or(|(_, leader)| !is_there(leader)) {
                kept.leader = Some((self.life, name));
                kept.epoch += 1;
            }
            self.leads(kept)
        })
    }

    async fn forget(&self, gone: &[Present]) -> Result<(), StoreError> {
        self.ask(|kept| kept.present.retain(|_, (_, present)| !gone.contains(present)))
    }

    async fn leave(&self) -> Result<(), StoreError> {
        self.ask(|kept| {
            kept.present.retain(|_, (life, _)| *life != self.life);
            kept.leader.take_if(|(life, _)| *life == self.life);
        })
    }
}
