//! Keeps `ZoneInsight`: what is known of each zone's connection, in memory first, in the store soon after.
//!
//! Coming and going is written at once, so that a zone is Online the moment it is, and what follows in the same moment
//! together; counters are written once an interval, however many messages there were.
//!
//! Several control planes may keep insights in one store. Each says what happens to its own subscriptions and ends no others;
//! those of one that is gone are ended by the one that leads ([`gone`]). Each writes over what it has seen only; what
//! another one wrote is merged with what is known here, so that the picture in memory is that of all ([`merge`]).

mod auth;
mod configs;
#[cfg(test)]
mod fuzz;
mod gone;
mod holders;
mod instances;
mod merge;
mod notes;
mod record;
mod replaced;
mod shadowed;
mod strangers;
mod trouble;
mod uses;
mod writing;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

pub(crate) use auth::LET_IN;
use bytes::Bytes;
use jiff::Timestamp;
use model::{Kind, ZoneName};
use prost::Message as _;
pub use record::{Instance, StreamName};
pub use shadowed::WouldBeRefused;
use store::{Kinds, Query, ResourceStore, StoreError, Version};
use tokio::sync::Notify;
use tracing::{info, warn};
pub use trouble::RejectedBy;
pub use uses::Use;
use wire::kuma::system::v1alpha1::{KdsSubscription, ZoneInsight};

use self::{configs::Configs, replaced::Replaced, shadowed::Shadowed, strangers::Strangers};
use crate::{
    clock::Clock,
    cluster::{Cluster, Epoch},
    tasks::{OnError, Tasks},
    zones::rsa_alone,
};

/// When a change is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Written {
    /// At once: who comes and goes.
    Now,
    /// Within a second: what troubles a zone.
    Soon,
    /// With the interval: counters.
    Later,
}

/// How the insights are kept.
#[derive(Clone, Debug)]
pub struct Options {
    /// How often counters are written.
    pub flush_interval: Duration,
    /// How many subscriptions of a zone are kept.
    pub subscription_limit: usize,
    /// Whether finished subscriptions lose their configuration and counters by kind.
    pub compact_finished: bool,
    /// The instances that keep insights in the store.
    pub cluster: Cluster,
}

impl Options {
    /// Whether a subscription is over if we say so: where nobody else is, what is not of this life was left by one before.
    fn may_end(&self, subscription: &KdsSubscription) -> bool {
        self.cluster.is_alone() || self.is_ours(subscription)
    }

    /// Whether this life opened it: on global the end that was called, on a zone the one that called.
    fn is_ours(&self, subscription: &KdsSubscription) -> bool {
        [&subscription.global_instance_id, &subscription.zone_instance_id].iter().any(|name| *name == self.cluster.me())
    }
}

/// A handle on the insights of all zones. Cheap to clone.
#[derive(Clone)]
pub struct Insights {
    shared: Arc<Shared>,
}

struct Shared {
    options: Options,
    clock: Clock,
    store: Arc<dyn ResourceStore>,
    zones: Mutex<BTreeMap<ZoneName, Live>>,
    shadowed: Shadowed,
    strangers: Strangers,
    replaced: Replaced,
    urgent: Notify,
    soon: Notify,
}

/// The insight of one zone in memory.
#[derive(Default)]
struct Live {
    /// Without the configurations that were written.
    insight: ZoneInsight,
    configs: Configs,
    created: Option<Timestamp>,
    /// What was written or read last; shared with the store.
    written: Bytes,
    /// The version that was read or written last: only that one is written over.
    version: Option<Version>,
    /// A write is under way.
    writing: bool,
    /// The troubles differ from the store.
    troubled: bool,
    /// Differs from the store.
    dirty: bool,
    /// Must not wait for the interval.
    urgent: bool,
    /// Something in it may be written by the one that leads in this epoch, and by nobody else.
    fence: Option<Epoch>,
    /// The subscriptions whose streams are open, oldest first.
    open: Vec<String>,
}

impl Live {
    /// Keeps the last subscriptions, and of finished ones the essentials if so wished. The last one is a new one.
    fn keep_last(&mut self, options: &Options) {
        record::keep_last(&mut self.insight, options.subscription_limit, options.compact_finished);
        if options.compact_finished {
            self.configs.clear();
        }
    }
}

impl Insights {
    /// Reads what is stored, ends the subscriptions that a crash left open, keeps writing from then on, and follows what
    /// others write.
    pub async fn start(
        store: &Arc<dyn ResourceStore>,
        clock: &Clock,
        options: Options,
        tasks: &Tasks,
    ) -> Result<Self, StoreError> {
        // Before the list: what is written after it is told.
        let watch = store.watch(Kinds::Only(vec![Kind::ZONE_INSIGHT]));
        let mut zones = BTreeMap::new();
        for stored in store.list(&Query::all(Kind::ZONE_INSIGHT)).await?.items {
            let resource = &stored.resource;
            let Ok(zone) = ZoneName::parse(&resource.key.name) else { continue };
            let Ok(mut insight) = ZoneInsight::decode(resource.spec.clone()) else {
                warn!(%zone, "the stored insight of a zone cannot be read, starting a new one");
                zones.insert(zone, Live { version: Some(stored.version), ..Live::default() });
                continue;
            };
            let configs = Configs::take_from(&mut insight, &resource.spec);
            let dirty = record::end_open_subscriptions(&mut insight, clock.now(), |one| options.may_end(one));
            let live = Live {
                insight,
                configs,
                created: Some(resource.created),
                written: resource.spec.clone(),
                version: Some(stored.version),
                dirty,
                urgent: dirty,
                ..Live::default()
            };
            zones.insert(zone, live);
        }
        let shared = Shared {
            options,
            clock: clock.clone(),
            store: Arc::clone(store),
            zones: Mutex::new(zones),
            shadowed: Shadowed::default(),
            strangers: Strangers::default(),
            replaced: Replaced::default(),
            urgent: Notify::new(),
            soon: Notify::new(),
        };
        let insights = Self { shared: Arc::new(shared) };
        insights.shared.urgent.notify_one();
        tasks.spawn("zone-insights", OnError::StopProgram, insights.clone().run(tasks.clone()));
        if !insights.shared.options.cluster.is_alone() {
            let ending = insights.clone().end_what_is_left(tasks.clone());
            tasks.spawn("zone-insights-of-gone", OnError::StopProgram, ending);
        }
        tasks.spawn("zone-insights-of-others", OnError::StopProgram, insights.clone().follow(watch, tasks.clone()));
        Ok(insights)
    }

    /// When the zone pinged last.
    pub fn last_ping(&self, zone: &ZoneName) -> Option<Timestamp> {
        self.lock().get(zone).and_then(|live| record::last_ping(&live.insight))
    }

    /// Whether the zone is connected now.
    pub fn online(&self, zone: &ZoneName) -> bool {
        self.lock().get(zone).is_some_and(|live| record::online(&live.insight))
    }

    /// Whether something is connected to the zone that reads RSA keys and no others.
    pub(crate) fn reads_rsa_alone(&self, zone: &ZoneName) -> bool {
        self.lock().get(zone).is_some_and(|live| rsa_alone::reads_rsa_alone(&live.insight))
    }

    /// The configuration that the zone reported last.
    pub fn last_config(&self, zone: &ZoneName) -> Option<String> {
        let zones = self.lock();
        let live = zones.get(zone)?;
        // A zone that has just come back has not said it yet.
        live.insight.subscriptions.iter().rev().find_map(|one| {
            let config = if one.config.is_empty() { live.configs.get(&one.id) } else { Some(one.config.clone()) };
            config.filter(|config| !config.is_empty())
        })
    }

    /// Forgets a zone that was deleted.
    pub fn forget(&self, zone: &ZoneName) {
        self.shared.shadowed.forget(zone);
        if self.lock().remove(zone).is_some() {
            info!(%zone, "the zone is gone, its insight too");
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ZoneName, Live>> {
        self.shared.zones.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
