//! Keeps `ZoneInsight`: what is known of each zone's connection, in memory first, in the store soon after.
//!
//! Coming and going is written at once, so that a zone is Online the moment it is, and what follows in the same moment
//! together; counters are written once an interval, however many messages there were.

mod configs;
#[cfg(test)]
mod fuzz;
mod record;
mod trouble;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::{StreamExt as _, stream};
use jiff::Timestamp;
use model::{Key, Kind, Labels, Resource, ZoneName};
use prost::Message as _;
pub use record::{Peer, StreamName};
use store::{Precondition, Query, ResourceStore, StoreError};
use sync::{SizeNotice, Unreadable};
use tokio::{sync::Notify, time::Instant};
use tracing::{debug, info, warn};
pub use trouble::RejectedBy;
use wire::kuma::system::v1alpha1::ZoneInsight;

use self::configs::Configs;
use crate::{
    clock::Clock,
    tasks::{OnError, Tasks},
};

/// How long after something was written at once the next waits: a zone that connects opens five streams one after the
/// other, and a thousand zones may come back together.
const TOGETHER: Duration = Duration::from_millis(200);
/// How soon what troubles a zone is written: a peer that rejects all day must not decide how much is written.
const SOON: Duration = Duration::from_secs(1);

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

/// Insights that are written at once.
const FLUSHED_AT_ONCE: usize = 128;

/// How the insights are kept.
#[derive(Clone, Debug)]
pub struct Options {
    /// How often counters are written.
    pub flush_interval: Duration,
    /// How many subscriptions of a zone are kept.
    pub subscription_limit: usize,
    /// Whether finished subscriptions lose their configuration and counters by kind.
    pub compact_finished: bool,
    /// This instance of the global control plane.
    pub instance: String,
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
    /// Differs from the store.
    dirty: bool,
    /// Must not wait for the interval.
    urgent: bool,
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
    /// Reads what is stored, ends the subscriptions that a crash left open, and keeps writing from then on.
    pub async fn start(
        store: &Arc<dyn ResourceStore>,
        clock: &Clock,
        options: Options,
        tasks: &Tasks,
    ) -> Result<Self, StoreError> {
        let mut zones = BTreeMap::new();
        for stored in store.list(&Query::all(Kind::ZONE_INSIGHT)).await?.items {
            let resource = &stored.resource;
            let Ok(zone) = ZoneName::parse(&resource.key.name) else { continue };
            let Ok(mut insight) = ZoneInsight::decode(resource.spec.clone()) else {
                warn!(target: "zones", zone = %zone, "the stored insight of a zone cannot be read, starting a new one");
                continue;
            };
            let configs = Configs::take_from(&mut insight, &resource.spec);
            let dirty = record::end_open_subscriptions(&mut insight, clock.now());
            zones.insert(
                zone,
                Live { insight, configs, created: Some(resource.created), dirty, urgent: dirty, open: Vec::new() },
            );
        }
        let shared = Shared {
            options,
            clock: clock.clone(),
            store: Arc::clone(store),
            zones: Mutex::new(zones),
            urgent: Notify::new(),
            soon: Notify::new(),
        };
        let insights = Self { shared: Arc::new(shared) };
        insights.shared.urgent.notify_one();
        tasks.spawn("zone-insights", OnError::StopProgram, insights.clone().run(tasks.clone()));
        Ok(insights)
    }

    /// Notes that a stream of a zone is open.
    pub fn stream_opened(&self, zone: &ZoneName, stream: StreamName) {
        let now = self.shared.clock.now();
        let instance = self.shared.options.instance.clone();
        self.change(zone, Written::Now, |insight| record::stream_opened(insight, stream, &instance, now));
    }

    /// Opens a subscription: one for each GlobalToZoneSync stream. Returns its id.
    pub fn subscribe(&self, zone: &ZoneName, token_provided: bool) -> String {
        let id = uuid::Uuid::new_v4().to_string();
        let (now, options) = (self.shared.clock.now(), &self.shared.options);
        self.change_live(zone, Written::Now, |live| {
            record::subscribe(&mut live.insight, &id, &options.instance, token_provided, now);
            live.keep_last(options);
            trouble::start_anew(&mut live.insight);
            live.open.push(id.clone());
        });
        id
    }

    /// Opens a subscription in the insight that a zone keeps of itself: one for each ZoneToGlobalSync stream (contract:
    /// kds 8.1, "zone side mirror"). Returns its id.
    pub fn subscribe_at_zone(&self, zone: &ZoneName, global: &Peer, us: &Peer) -> String {
        let id = uuid::Uuid::new_v4().to_string();
        let (now, options) = (self.shared.clock.now(), &self.shared.options);
        let described = Peer { instance: us.instance.clone(), config: String::new(), ..global.clone() };
        self.change_live(zone, Written::Now, |live| {
            record::subscribe(&mut live.insight, &id, &global.instance, false, now);
            record::described(&mut live.insight, &id, &described);
            live.keep_last(options);
            live.open.push(id.clone());
        });
        id
    }

    /// Notes what the zone said of itself in a first request.
    pub fn described(&self, zone: &ZoneName, subscription: &str, peer: &Peer) {
        self.change(zone, Written::Now, |insight| record::described(insight, subscription, peer));
    }

    /// Counts a response that was sent.
    pub fn sent(&self, zone: &ZoneName, subscription: &str, kind: &str) {
        let now = self.shared.clock.now();
        self.change(zone, Written::Later, |insight| {
            record::count(insight, subscription, kind, now, |stats| stats.responses_sent += 1)
        });
    }

    /// Counts a response that was acknowledged.
    pub fn acknowledged(&self, zone: &ZoneName, subscription: &str, kind: &str) {
        let now = self.shared.clock.now();
        self.change(zone, Written::Later, |insight| {
            record::count(insight, subscription, kind, now, |stats| stats.responses_acknowledged += 1);
        });
    }

    /// Counts a response that the zone rejected, and keeps its reason.
    pub fn rejected(&self, zone: &ZoneName, subscription: &str, kind: &str, reason: &str) {
        let now = self.shared.clock.now();
        self.change(zone, Written::Soon, |insight| {
            record::count(insight, subscription, kind, now, |stats| stats.responses_rejected += 1);
            trouble::rejected(insight, kind, RejectedBy::Zone, reason, now);
        });
    }

    /// Counts, in the insight that a zone keeps of itself, a response that global rejected, and keeps its reason.
    pub fn rejected_by_global(&self, zone: &ZoneName, subscription: &str, kind: &str, reason: &str) {
        let now = self.shared.clock.now();
        self.change(zone, Written::Soon, |insight| {
            record::count(insight, subscription, kind, now, |stats| stats.responses_rejected += 1);
            trouble::rejected(insight, kind, RejectedBy::Global, reason, now);
        });
    }

    /// Keeps why something that the zone provided was rejected here.
    pub fn rejected_here(&self, zone: &ZoneName, kind: &str, reason: &str) {
        let now = self.shared.clock.now();
        self.change(zone, Written::Soon, |insight| trouble::rejected(insight, kind, RejectedBy::Global, reason, now));
    }

    /// Notes what fits into a message no more, or again.
    pub fn sized(&self, zone: &ZoneName, notice: &SizeNotice, limit: usize) {
        let now = self.shared.clock.now();
        self.change(zone, Written::Soon, |insight| match notice {
            SizeNotice::TooLarge { kind, resource, bytes } => {
                let resource = resource.as_ref().map(ToString::to_string).unwrap_or_default();
                trouble::too_large(insight, kind, &resource, *bytes, limit, now);
            }
            SizeNotice::Fits { kind } => trouble::fits(insight, kind),
        });
    }

    /// Notes what the zone's version cannot read of a type, or that it reads all of it.
    pub fn unreadable(&self, zone: &ZoneName, unreadable: &Unreadable) {
        let now = self.shared.clock.now();
        self.change(zone, Written::Soon, |insight| trouble::unreadable(insight, unreadable, now));
    }

    /// Notes that a response waits for its answer since then, or that it has one.
    pub fn unacknowledged(&self, zone: &ZoneName, kind: &str, since: Option<Timestamp>) {
        self.change(zone, Written::Soon, |insight| trouble::unacknowledged(insight, kind, since));
    }

    /// Keeps the last refusal of somebody who says to be this zone, if there is such a zone: text that nobody verified
    /// makes nothing new.
    pub async fn refused(&self, zone: &ZoneName, reason: &str, detail: &str) {
        let known = self.lock().contains_key(zone);
        if !known && !matches!(self.shared.store.get(&Key::global(Kind::ZONE, zone.as_str())).await, Ok(Some(_))) {
            return;
        }
        let now = self.shared.clock.now();
        // Not at once: who floods the port must not decide how much is written.
        self.change(zone, Written::Later, |insight| trouble::refused(insight, reason, detail, now));
    }

    /// Ends a subscription. If an older stream of the zone is still open, its subscription is open again: a new
    /// connection that died must not make a connected zone look away.
    pub fn unsubscribe(&self, zone: &ZoneName, subscription: &str) {
        let now = self.shared.clock.now();
        self.change_live(zone, Written::Now, |live| {
            record::unsubscribe(&mut live.insight, subscription, now);
            live.open.retain(|open| open != subscription);
            if let Some(open) = live.open.last()
                && !record::online(&live.insight)
            {
                record::reopen(&mut live.insight, open);
            }
        });
    }

    /// Notes a ping.
    pub fn pinged(&self, zone: &ZoneName) {
        let now = self.shared.clock.now();
        let mut zones = self.lock();
        // A ping alone creates no zone, and so no insight of one.
        if let Some(live) = zones.get_mut(zone) {
            record::pinged(&mut live.insight, now);
            live.dirty = true;
        }
    }

    /// When the zone pinged last.
    pub fn last_ping(&self, zone: &ZoneName) -> Option<Timestamp> {
        self.lock().get(zone).and_then(|live| record::last_ping(&live.insight))
    }

    /// Whether the zone is connected now.
    pub fn online(&self, zone: &ZoneName) -> bool {
        self.lock().get(zone).is_some_and(|live| record::online(&live.insight))
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

    fn change(&self, zone: &ZoneName, written: Written, change: impl FnOnce(&mut ZoneInsight)) {
        self.change_live(zone, written, |live| change(&mut live.insight));
    }

    fn change_live(&self, zone: &ZoneName, written: Written, change: impl FnOnce(&mut Live)) {
        let mut zones = self.lock();
        let live = zones.entry(zone.clone()).or_default();
        change(live);
        live.dirty = true;
        live.urgent |= written != Written::Later;
        drop(zones);
        match written {
            Written::Now => self.shared.urgent.notify_one(),
            Written::Soon => self.shared.soon.notify_one(),
            Written::Later => {}
        }
    }

    async fn run(self, tasks: Tasks) -> anyhow::Result<()> {
        let mut interval = tokio::time::interval(self.shared.options.flush_interval);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let (mut at_once, mut soon) = (Instant::now(), Instant::now());
        loop {
            let urgent_only = tokio::select! {
                () = tasks.stopping() => break,
                () = async { self.shared.urgent.notified().await; tokio::time::sleep_until(at_once).await } => {
                    at_once = Instant::now() + TOGETHER;
                    true
                }
                () = async { self.shared.soon.notified().await; tokio::time::sleep_until(soon).await } => {
                    soon = Instant::now() + SOON;
                    true
                }
                _ = interval.tick() => false,
            };
            self.flush(urgent_only).await;
        }
        // Streams end while the program drains: write their last word too.
        tokio::time::sleep(Duration::from_millis(200)).await;
        self.flush(false).await;
        Ok(())
    }

    /// Writes what changed. A zone that cannot be written stays dirty and is tried again.
    async fn flush(&self, urgent_only: bool) {
        let due: BTreeSet<ZoneName> = self
            .lock()
            .iter()
            .filter(|(_, live)| live.dirty && (live.urgent || !urgent_only))
            .map(|(zone, _)| zone.clone())
            .collect();
        // Together, so that the store commits them together.
        stream::iter(due).for_each_concurrent(FLUSHED_AT_ONCE, |zone| self.flush_zone(zone)).await;
    }

    async fn flush_zone(&self, zone: ZoneName) {
        let Some((resource, urgent)) = self.take(&zone) else { return };
        match self.shared.store.put(resource, Precondition::Any).await {
            Ok(_) => {}
            // The zone is not there: deleted a moment ago, or about to be made. It is written with its next change.
            Err(StoreError::NotFound { .. }) => debug!(target: "zones", zone = %zone, "no zone to keep an insight of"),
            Err(error) => {
                warn!(target: "zones", zone = %zone, error = %error, "cannot write the insight of a zone, will try again");
                if let Some(live) = self.lock().get_mut(&zone) {
                    live.dirty = true;
                    // What became urgent meanwhile stays so.
                    live.urgent |= urgent;
                }
            }
        }
    }

    /// Forgets a zone that was deleted.
    pub fn forget(&self, zone: &ZoneName) {
        if self.lock().remove(zone).is_some() {
            info!(target: "zones", zone = %zone, "the zone is gone, its insight too");
        }
    }

    /// Returns what is to be written, and whether that is urgent.
    fn take(&self, zone: &ZoneName) -> Option<(Resource, bool)> {
        let now = self.shared.clock.now();
        let mut zones = self.lock();
        let live = zones.get_mut(zone)?;
        live.dirty = false;
        let urgent = std::mem::take(&mut live.urgent);
        let created = *live.created.get_or_insert(now);
        let resource = Resource {
            key: Key::global(Kind::ZONE_INSIGHT, zone.as_str()),
            labels: Labels::new(),
            spec: live.configs.encode(&mut live.insight),
            status: None,
            owner: Some(Key::global(Kind::ZONE, zone.as_str())),
            created,
            modified: now,
        };
        Some((resource, urgent))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ZoneName, Live>> {
        self.shared.zones.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
