//! What an instance does to be one of several: it says that it is there, looks who else is, and leads if nobody does.

use std::{
    collections::{BTreeMap, BTreeSet},
    pin::pin,
    sync::{Arc, PoisonError},
    time::Duration,
};

use store::{Instances, Present, Renewed, Said, StoreError};
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until, timeout},
};
use tracing::{info, warn};

use super::{Cluster, Epoch, Looked, Member, Shared, Times, view::View};
use crate::tasks::Tasks;

/// How often a name is tried that somebody else has.
const NAMES: usize = 10;
/// How long whoever ends waits until the others know.
const FAREWELL: Duration = Duration::from_secs(1);

/// One instance among those of a database.
pub(super) struct Membership {
    instances: Arc<dyn Instances>,
    times: Times,
    shared: Arc<Shared>,
    view: View,
    /// When this instance began to say what was heard of it last.
    heard: Option<Instant>,
    /// What that was; none if it has to be said again.
    told: Option<Said>,
    /// The last round failed, which was told.
    is_cut_off: bool,
}

impl Membership {
    /// One that was heard, if the database answers.
    pub(super) async fn begin(instances: Arc<dyn Instances>, name: impl Fn() -> String, times: Times) -> Self {
        let mut tried = 1;
        loop {
            let shared = Cluster::of(&name(), false, None).shared;
            let view = View::new(times.heartbeat);
            let instances = Arc::clone(&instances);
            let mut membership = Self { instances, times, shared, view, heard: None, told: None, is_cut_off: false };
            match membership.round().await {
                Ok(Renewed::NameTaken) if tried < NAMES => tried += 1,
                done => {
                    membership.tell(&done);
                    return membership;
                }
            }
        }
    }

    pub(super) fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    /// Takes part until the program stops, and leaves.
    pub(super) async fn run(mut self, tasks: Tasks) -> anyhow::Result<()> {
        let (shared, mut said) = (self.shared(), self.shared.said.subscribe());
        loop {
            said.borrow_and_update();
            let end_of_lead = self.end_of_lead();
            let done = {
                let mut round = pin!(self.round());
                loop {
                    tokio::select! {
                        biased;
                        () = tasks.stopping() => break None,
                        () = over(end_of_lead, &shared) => shared.lead(None),
                        done = &mut round => break Some(done),
                    }
                }
            };
            let Some(done) = done else { break };
            self.tell(&done);
            tokio::select! {
                biased;
                () = tasks.stopping() => break,
                () = over(self.end_of_lead(), &shared) => shared.lead(None),
                changed = said.changed() => changed?,
                () = sleep(self.times.look) => {}
            }
        }
        self.shared.lead(None);
        self.shared.looked.send_replace(Looked::Ended);
        if !matches!(timeout(FAREWELL, self.instances.leave()).await, Ok(Ok(()))) {
            info!("the other instances were not told that this one ends: they notice it by its lease");
        }
        Ok(())
    }

    /// Does all that there is to do once.
    async fn round(&mut self) -> Result<Renewed, StoreError> {
        let said = self.shared.said.borrow().clone();
        // What goes wrong may take the connection with it on which this instance is known.
        let told = self.told.take();
        if told.as_ref() != Some(&said) || self.is_due() {
            let asked = Instant::now();
            if self.instances.renew(&said).await? == Renewed::NameTaken {
                return Ok(Renewed::NameTaken);
            }
            self.heard = Some(asked);
        }
        let asked = Instant::now();
        let seen = self.instances.look().await?;
        let now = Instant::now();
        self.view.look(seen.present, now);
        let leads = match seen.leads {
            Some(epoch) => Some(epoch),
            None => {
                let silent = self.view.gone(self.times.patience(), now).map(|one| one.said.name.clone());
                self.instances.lead(&silent.collect::<BTreeSet<_>>()).await?
            }
        };
        let gone: Vec<Present> = self.view.gone(self.times.lease, now).cloned().collect();
        if leads.is_some() && !gone.is_empty() {
            self.instances.forget(&gone).await?;
        }
        let there = self.view.there(self.times.lease, now);
        let leader = if leads.is_some() { Some(said.name.clone()) } else { seen.leader };
        self.shared.show(there, leader, asked);
        let leads = leads.filter(|_| self.end_of_lead().is_some_and(|end| Instant::now() < end));
        self.shared.lead(leads);
        self.told = Some(said);
        Ok(Renewed::Heard)
    }

    /// Whether it would be too late with the next round.
    fn is_due(&self) -> bool {
        self.heard.is_none_or(|at| at.elapsed() + self.times.look > self.times.heartbeat)
    }

    /// When this instance leads no more if it is not heard until then.
    fn end_of_lead(&self) -> Option<Instant> {
        self.heard.map(|at| at + self.times.lead())
    }

    /// Tells once that the database cannot be asked, and that it can be again.
    fn tell(&mut self, done: &Result<Renewed, StoreError>) {
        let problem = match done {
            Ok(Renewed::Heard) => None,
            Ok(Renewed::NameTaken) => Some("another instance has the name of this one".to_owned()),
            Err(problem) => Some(problem.to_string()),
        };
        match problem {
            Some(problem) if !self.is_cut_off => {
                warn!(problem, "the other instances do not hear of this one");
                self.is_cut_off = true;
            }
            None if self.is_cut_off => {
                info!("the other instances hear of this one again");
                self.is_cut_off = false;
            }
            Some(_) | None => {}
        }
    }
}

/// Resolves when a lead is over that there is.
async fn over(end: Option<Instant>, shared: &Shared) {
    match end {
        Some(end) if shared.leading.borrow().is_some() => sleep_until(end).await,
        _ => std::future::pending().await,
    }
}

impl Shared {
    /// Says whether this instance leads.
    fn lead(&self, epoch: Option<Epoch>) {
        self.leading.send_if_modified(|leading| {
            let before = std::mem::replace(leading, epoch);
            match (before, epoch) {
                (before, Some(epoch)) if before != Some(epoch) => info!(epoch = epoch.0, "this instance leads"),
                (Some(before), None) => info!(epoch = before.0, "this instance leads no more"),
                _ => {}
            }
            before != epoch
        });
    }

    /// Shows who is there and who leads, as of a look that began then.
    fn show<'a>(&self, there: impl Iterator<Item = &'a Present>, leader: Option<String>, asked: Instant) {
        let there: Vec<&Said> = there.map(|one| &one.said).collect();
        let keys = there.iter().map(|said| (said.name.clone(), said.keys)).collect();
        *self.keys.lock().unwrap_or_else(PoisonError::into_inner) = keys;
        let member = |said: &Said| Member { instance: said.name.clone(), inter_cp: said.inter_cp.clone() };
        // Of this instance nobody knows more than it does.
        let others = there.into_iter().filter(|said| said.name != self.me).map(member);
        let all = others.chain([member(&self.said.borrow())]);
        let members: BTreeMap<String, Member> = all.map(|one| (one.instance.clone(), one)).collect();
        // One that is gone has not led since.
        let leader = leader.filter(|name| members.contains_key(name));
        replace(&self.members, members);
        self.leader.send_if_modified(|before| std::mem::replace(before, leader.clone()) != leader);
        self.looked.send_replace(Looked::At(asked));
    }
}

/// Wakes nobody if nothing is other than before.
fn replace(shown: &watch::Sender<super::Members>, members: BTreeMap<String, Member>) {
    shown.send_if_modified(|before| {
        if **before == members {
            return false;
        }
        for name in members.keys().filter(|name| !before.contains_key(*name)) {
            info!(instance = name, "another instance is there");
        }
        for name in before.keys().filter(|name| !members.contains_key(*name)) {
            info!(instance = name, "an instance is gone");
        }
        *before = Arc::new(members);
        true
    });
}
