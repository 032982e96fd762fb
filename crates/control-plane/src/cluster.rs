//! The instances that work with one store: who is there, and which one leads.
//!
//! ```text
//! each instance ── says again and again that it is there ──► database ──► who is there, who leads ──► Cluster ──► all others
//! ```
//!
//! An instance is there for as long as its lease runs. One of them leads, and does what has to be done once for all of them;
//! it writes under its [`Epoch`], so that what an instance writes that led before is refused. Until then it may believe that
//! it leads for a moment longer than it does: whoever does what only a leader does writes under the epoch.

mod membership;
mod metrics;
mod view;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use prometheus_client::registry::Registry;
pub use store::Epoch;
use store::{Instances, Said, Version};
use tokio::{sync::watch, time::Instant};

use self::membership::Membership;
use crate::tasks::{OnError, Tasks};

/// Those that are there, by name.
pub type Members = Arc<BTreeMap<String, Member>>;

/// An instance that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// `<hostname>-<4 hex>`, new at each start.
    pub instance: String,
    /// Where the others reach it, as `host:port`; none while it serves nobody there.
    pub inter_cp: Option<String>,
}

/// How soon what happens to an instance is noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// How often an instance says that it is there.
    pub heartbeat: Duration,
    /// One that was not heard for so long is gone.
    pub lease: Duration,
    /// How often is looked at the others.
    pub look: Duration,
}

impl Times {
    /// Those that go with a heartbeat.
    pub fn of_heartbeat(heartbeat: Duration) -> Self {
        Self { heartbeat, lease: heartbeat * 3, look: heartbeat / 5 }
    }

    /// How long a leader leads without being heard: by the end of its lease another one leads.
    fn lead(self) -> Duration {
        self.lease.saturating_sub(self.look * 4)
    }

    /// How long the others leave it to it: never are there two, and there is time for a look and for ending its session.
    fn patience(self) -> Duration {
        self.lease.saturating_sub(self.look * 3)
    }
}

impl Default for Times {
    fn default() -> Self {
        Self::of_heartbeat(Duration::from_secs(5))
    }
}

/// A handle on what is known of the instances. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Cluster {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    me: String,
    is_alone: bool,
    /// What the others are told.
    said: watch::Sender<Said>,
    members: watch::Sender<Members>,
    leading: watch::Sender<Option<Epoch>>,
    /// The one that leads, as far as is known here.
    leader: watch::Sender<Option<String>>,
    looked: watch::Sender<Looked>,
    /// The last change of keys that each has taken over, as all others see it.
    keys: Mutex<BTreeMap<String, Version>>,
}

/// The look that the members are known from.
#[derive(Clone, Copy, Debug, Default)]
enum Looked {
    #[default]
    Never,
    /// It began then.
    At(Instant),
    /// Nobody looks any more: this instance has left.
    Ended,
}

impl Looked {
    fn is_after(self, asked: Instant) -> bool {
        match self {
            Self::Never => false,
            Self::At(began) => began > asked,
            Self::Ended => true,
        }
    }
}

impl Cluster {
    /// The only one that works with its store, which always leads.
    pub fn alone(instance: &str) -> Self {
        Self::of(instance, true, Some(Epoch::ALONE))
    }

    /// One of several, which is there from now on. Whoever is called like it already has it take another `name`.
    pub async fn join(instances: Arc<dyn Instances>, name: impl Fn() -> String, times: Times, tasks: &Tasks) -> Self {
        let membership = Membership::begin(instances, name, times).await;
        let cluster = Self { shared: membership.shared() };
        tasks.spawn("cluster", OnError::StopProgram, membership.run(tasks.clone()));
        cluster
    }

    fn of(instance: &str, is_alone: bool, leading: Option<Epoch>) -> Self {
        let me = Member { instance: instance.to_owned(), inter_cp: None };
        let said = Said { name: instance.to_owned(), inter_cp: None, keys: Version(0) };
        let shared = Shared {
            me: instance.to_owned(),
            is_alone,
            said: watch::Sender::new(said),
            members: watch::Sender::new(Arc::new(BTreeMap::from([(instance.to_owned(), me)]))),
            leading: watch::Sender::new(leading),
            leader: watch::Sender::new(leading.map(|_epoch| instance.to_owned())),
            looked: watch::Sender::default(),
            keys: Mutex::default(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// One of some instances, each with where the others reach it.
    #[cfg(test)]
    pub(crate) fn among(me: &str, others: &[(&str, Option<&str>)]) -> Self {
        let cluster = Self::of(me, false, None);
        let member = |(name, inter_cp): &(&str, Option<&str>)| {
            let inter_cp = inter_cp.map(str::to_owned);
            ((*name).to_owned(), Member { instance: (*name).to_owned(), inter_cp })
        };
        cluster.shared.members.send_modify(|members| Arc::make_mut(members).extend(others.iter().map(member)));
        cluster
    }

    /// What this instance is called.
    pub fn me(&self) -> &str {
        &self.shared.me
    }

    /// Whether no other instance can work with the store.
    pub fn is_alone(&self) -> bool {
        self.shared.is_alone
    }

    /// Follows who is there: those whose lease runs, and always this instance. One whose own lease is over keeps the picture
    /// that it had.
    pub fn members(&self) -> watch::Receiver<Members> {
        self.shared.members.subscribe()
    }

    /// Follows whether this instance leads, and since which epoch.
    pub fn leading(&self) -> watch::Receiver<Option<Epoch>> {
        self.shared.leading.subscribe()
    }

    /// Follows which instance leads, by name; none while nobody is known to. For people: who leads says its epoch.
    pub fn leader(&self) -> watch::Receiver<Option<String>> {
        self.shared.leader.subscribe()
    }

    /// The epoch in which this instance leads, if it does.
    pub fn leads(&self) -> Option<Epoch> {
        *self.shared.leading.borrow()
    }

    /// Returns who is there, as of a look that began after this was called, or as it was last if this instance has left. Cancel
    /// safe.
    pub async fn look_again(&self) -> Members {
        let asked = Instant::now();
        if !self.shared.is_alone {
            let mut looked = self.shared.looked.subscribe();
            // Whoever looks has this, too.
            let _never = looked.wait_for(|looked| looked.is_after(asked)).await;
        }
        Arc::clone(&self.shared.members.borrow())
    }

    /// Tells the others where this instance is reached from now on, as `host:port`.
    pub fn announce(&self, inter_cp: &str) {
        self.shared.said.send_modify(|said| said.inter_cp = Some(inter_cp.to_owned()));
        self.shared.members.send_modify(|members| {
            if let Some(me) = Arc::make_mut(members).get_mut(&self.shared.me) {
                me.inter_cp = Some(inter_cp.to_owned());
            }
        });
    }

    /// Tells the others of which version the last change is that the keys of this instance have, until the program stops.
    pub(crate) async fn tell_keys(self, mut version: watch::Receiver<Version>, tasks: Tasks) -> anyhow::Result<()> {
        loop {
            let keys = *version.borrow_and_update();
            self.shared.said.send_if_modified(|said| std::mem::replace(&mut said.keys, keys) != keys);
            tokio::select! {
                () = tasks.stopping() => return Ok(()),
                // Its owner ends first when the program stops.
                changed = version.changed() => if changed.is_err() { return Ok(()) },
            }
        }
    }

    /// The other instances that are there, each with the version that its keys are of, or newer.
    pub(crate) fn keys_of_others(&self) -> BTreeMap<String, Version> {
        let mut keys = self.keys();
        keys.remove(&self.shared.me);
        keys
    }

    /// The same of all, as the others see them.
    fn keys(&self) -> BTreeMap<String, Version> {
        self.shared.keys.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until all that are there have keys of this version, or newer, and each knows it of the others: this one, too, so
    /// that nobody waits for it if it is killed a moment later. Cancel safe.
    pub(crate) async fn all_have_keys(&self, version: Version) {
        while !self.has_left() && self.keys().values().any(|keys| *keys < version) {
            self.look_again().await;
        }
    }

    fn has_left(&self) -> bool {
        matches!(*self.shared.looked.borrow(), Looked::Ended)
    }

    /// Registers the metric that says whether this instance leads.
    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register_collector(Box::new(metrics::Leader(self.leading())));
    }
}

#[cfg(test)]
mod tests;
