//! Keeps `ZoneInsight`: what is known of each zone's connection, in memory first, in the store soon after.
//!
//! Coming and going is written at once, so that a zone is Online the moment it is; counters are written once an
//! interval, however many messages there were.

#[cfg(test)]
mod fuzz;
mod record;

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
use tokio::sync::Notify;
use tracing::{debug, info, warn};
use wire::kuma::system::v1alpha1::ZoneInsight;

use crate::{
    clock::Clock,
    tasks::{OnError, Tasks},
};

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
}

/// The insight of one zone in memory.
#[derive(Default)]
struct Live {
    insight: ZoneInsight,
    created: Option<Timestamp>,
    /// Differs from the store.
    dirty: bool,
    /// Must not wait for the interval.
    urgent: bool,
    /// The subscriptions whose streams are open, oldest first.
    open: Vec<String>,
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
            let dirty = record::end_open_subscriptions(&mut insight, clock.now());
            zones.insert(
                zone,
                Live { insight, created: Some(resource.created), dirty, urgent: dirty, open: Vec::new() },
            );
        }
        let shared = Shared {
            options,
            clock: clock.clone(),
            store: Arc::clone(store),
            zones: Mutex::new(zones),
            urgent: Notify::new(),
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
        self.change(zone, true, |insight| record::stream_opened(insight, stream, &instance, now));
    }

    /// Opens a subscription: one for each GlobalToZoneSync stream. Returns its id.
    pub fn subscribe(&self, zone: &ZoneName, token_provided: bool) -> String {
        let id = uuid::Uuid::new_v4().to_string();
        let (now, options) = (self.shared.clock.now(), &self.shared.options);
        self.change_live(zone, true, |live| {
            record::subscribe(&mut live.insight, &id, &options.instance, token_provided, now);
            record::keep_last(&mut live.insight, options.subscription_limit, options.compact_finished);
            live.open.push(id.clone());
        });
        id
    }

    /// Notes what the zone said of itself in a first request.
    pub fn described(&self, zone: &ZoneName, subscription: &str, peer: &Peer) {
        self.change(zone, true, |insight| record::described(insight, subscription, peer));
    }

    /// Counts a response that was sent.
    pub fn sent(&self, zone: &ZoneName, subscription: &str, kind: &str) {
        let now = self.shared.clock.now();
        self.change(zone, false, |insight| {
            record::count(insight, subscription, kind, now, |stats| stats.responses_sent += 1)
        });
    }

    /// Counts a response that was acknowledged.
    pub fn acknowledged(&self, zone: &ZoneName, subscription: &str, kind: &str) {
        let now = self.shared.clock.now();
        self.change(zone, false, |insight| {
            record::count(insight, subscription, kind, now, |stats| stats.responses_acknowledged += 1);
        });
    }

    /// Counts a response that was rejected.
    pub fn rejected(&self, zone: &ZoneName, subscription: &str, kind: &str) {
        let now = self.shared.clock.now();
        self.change(zone, false, |insight| {
            record::count(insight, subscription, kind, now, |stats| stats.responses_rejected += 1);
        });
    }

    /// Ends a subscription. If an older stream of the zone is still open, its subscription is open again: a new
    /// connection that died must not make a connected zone look away.
    pub fn unsubscribe(&self, zone: &ZoneName, subscription: &str) {
        let now = self.shared.clock.now();
        self.change_live(zone, true, |live| {
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

    /// Whether the zone is connected now.
    pub fn online(&self, zone: &ZoneName) -> bool {
        self.lock().get(zone).is_some_and(|live| record::online(&live.insight))
    }

    /// The configuration that the zone reported last.
    pub fn last_config(&self, zone: &ZoneName) -> Option<String> {
        self.lock().get(zone).and_then(|live| live.insight.subscriptions.last().map(|last| last.config.clone()))
    }

    fn change(&self, zone: &ZoneName, urgent: bool, change: impl FnOnce(&mut ZoneInsight)) {
        self.change_live(zone, urgent, |live| change(&mut live.insight));
    }

    fn change_live(&self, zone: &ZoneName, urgent: bool, change: impl FnOnce(&mut Live)) {
        let mut zones = self.lock();
        let live = zones.entry(zone.clone()).or_default();
        change(live);
        live.dirty = true;
        live.urgent |= urgent;
        drop(zones);
        if urgent {
            self.shared.urgent.notify_one();
        }
    }

    async fn run(self, tasks: Tasks) -> anyhow::Result<()> {
        let mut interval = tokio::time::interval(self.shared.options.flush_interval);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let urgent_only = tokio::select! {
                () = tasks.stopping() => break,
                () = self.shared.urgent.notified() => true,
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
        let Some(resource) = self.take(&zone) else { return };
        match self.shared.store.put(resource, Precondition::Any).await {
            Ok(_) => {}
            // The zone is not there: deleted a moment ago, or about to be made. It is written with its next change.
            Err(StoreError::NotFound { .. }) => debug!(target: "zones", zone = %zone, "no zone to keep an insight of"),
            Err(error) => {
                warn!(target: "zones", zone = %zone, error = %error, "cannot write the insight of a zone, will try again");
                if let Some(live) = self.lock().get_mut(&zone) {
                    live.dirty = true;
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

    fn take(&self, zone: &ZoneName) -> Option<Resource> {
        let now = self.shared.clock.now();
        let mut zones = self.lock();
        let live = zones.get_mut(zone)?;
        live.dirty = false;
        live.urgent = false;
        let created = *live.created.get_or_insert(now);
        Some(Resource {
            key: Key::global(Kind::ZONE_INSIGHT, zone.as_str()),
            labels: Labels::new(),
            spec: live.insight.encode_to_vec().into(),
            status: None,
            owner: Some(Key::global(Kind::ZONE, zone.as_str())),
            created,
            modified: now,
        })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ZoneName, Live>> {
        self.shared.zones.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
