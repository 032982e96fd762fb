//! Writes to the store what was noted: what is urgent at once, the rest once an interval. Takes over what others wrote.

use std::{collections::BTreeSet, time::Duration};

use anyhow::anyhow;
use futures::{StreamExt as _, stream};
use model::{Key, Kind, Labels, Resource, ZoneName};
use prost::Message as _;
use store::{Event, Precondition, StoreError, Stored, Version, Watch};
use tokio::time::Instant;
use tracing::{debug, warn};
use wire::kuma::system::v1alpha1::ZoneInsight;

use super::{
    Insights, Live,
    configs::Configs,
    merge::{Known, merge},
};
use crate::tasks::Tasks;

/// How long after something was written at once the next waits: a zone that connects opens five streams one after the
/// other, and a thousand zones may come back together.
const TOGETHER: Duration = Duration::from_millis(200);
/// How soon what troubles a zone is written: a peer that rejects all day must not decide how much is written.
const SOON: Duration = Duration::from_secs(1);

/// Insights that are written at once.
const FLUSHED_AT_ONCE: usize = 128;

/// How often a write that others were before is tried at once.
const ATTEMPTS: usize = 8;

impl Insights {
    pub(super) async fn run(self, tasks: Tasks) -> anyhow::Result<()> {
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
        for _attempt in 0..ATTEMPTS {
            let Some(Taken { resource, expect, urgent, troubled }) = self.take(&zone) else { return };
            let key = resource.key.clone();
            let error = match self.shared.store.put(resource, expect).await {
                Ok(version) => {
                    self.written(&zone, |live| live.version = live.version.max(Some(version)));
                    return;
                }
                Err(error) => error,
            };
            let unwritten = |live: &mut Live| {
                live.dirty = true;
                // What became urgent meanwhile stays so.
                live.urgent |= urgent;
                live.troubled |= troubled;
            };
            match error {
                // Somebody else wrote, or it is gone: what is stored now is merged, and written over.
                StoreError::Conflict { .. } | StoreError::AlreadyExists { .. } | StoreError::Deposed { .. } => {
                    self.written(&zone, unwritten)
                }
                StoreError::NotFound { key: missing } if missing == key => self.written(&zone, unwritten),
                // The zone is not there: deleted a moment ago, or about to be made. It is written with its next change.
                StoreError::NotFound { .. } => {
                    debug!(%zone, "no zone to keep an insight of");
                    return self.written(&zone, |_live| {});
                }
                error @ (StoreError::Corrupt { .. } | StoreError::Unavailable { .. } | StoreError::Unknown { .. }) => {
                    warn!(%zone, %error, "cannot write the insight of a zone, will try again");
                    return self.written(&zone, unwritten);
                }
            }
            match self.shared.store.get(&key).await {
                Ok(Some(stored)) => self.take_over(&zone, &stored),
                Ok(None) => self.written(&zone, |live| live.version = None),
                Err(error) => {
                    warn!(%zone, %error, "cannot read the insight of a zone, will try again");
                    return;
                }
            }
        }
        debug!(%zone, "others keep writing the insight of a zone, will try again");
    }

    /// Notes that a write is over, and what came of it.
    fn written(&self, zone: &ZoneName, note: impl FnOnce(&mut Live)) {
        if let Some(live) = self.lock().get_mut(zone) {
            live.writing = false;
            note(live);
        }
    }

    fn take(&self, zone: &ZoneName) -> Option<Taken> {
        let now = self.shared.clock.now();
        let mut zones = self.lock();
        let live = zones.get_mut(zone)?;
        (live.dirty, live.writing) = (false, true);
        let created = *live.created.get_or_insert(now);
        live.written = live.configs.encode(&mut live.insight);
        let resource = Resource {
            key: Key::global(Kind::ZONE_INSIGHT, zone.as_str()),
            labels: Labels::new(),
            spec: live.written.clone(),
            status: None,
            owner: Some(Key::global(Kind::ZONE, zone.as_str())),
            created,
            modified: now,
        };
        Some(Taken {
            resource,
            expect: live.version.map_or(Precondition::Absent, Precondition::Version),
            urgent: std::mem::take(&mut live.urgent),
            troubled: std::mem::take(&mut live.troubled),
        })
    }

    /// Follows what others write until the program stops.
    pub(super) async fn follow(self, mut watch: Watch, tasks: Tasks) -> anyhow::Result<()> {
        loop {
            let event = tokio::select! {
                () = tasks.stopping() => return Ok(()),
                event = watch.next() => event.ok_or_else(|| anyhow!("the store's watch of insights ended"))?,
            };
            match event {
                Event::Init | Event::InitDone => {}
                Event::InitApply(stored) | Event::Apply(stored) => {
                    if let Ok(zone) = ZoneName::parse(&stored.resource.key.name) {
                        self.take_over(&zone, &stored);
                    }
                }
                Event::Delete { key, version } => {
                    if let Ok(zone) = ZoneName::parse(&key.name) {
                        self.deleted(&zone, version);
                    }
                }
            }
        }
    }

    /// Takes over what is stored, if it is newer than what is known and not our own words.
    fn take_over(&self, zone: &ZoneName, stored: &Stored) {
        let options = &self.shared.options;
        let mut zones = self.lock();
        let live = zones.entry(zone.clone()).or_default();
        if live.version.is_some_and(|known| stored.version <= known) {
            return;
        }
        live.version = Some(stored.version);
        let spec = &stored.resource.spec;
        if *spec == live.written {
            return;
        }
        let Ok(mut insight) = ZoneInsight::decode(spec.clone()) else {
            warn!(%zone, "the stored insight of a zone cannot be read, starting a new one");
            return;
        };
        let mut configs = Configs::take_from(&mut insight, spec);
        let unwritten = live.dirty || live.writing;
        let known = Known {
            is_ours: &|subscription| options.is_ours(subscription),
            open: &live.open,
            unwritten,
            troubled: unwritten && (live.troubled || live.writing),
        };
        let denied = merge(&mut live.insight, insight, &known);
        configs.add(std::mem::take(&mut live.configs));
        live.configs = configs;
        live.written = spec.clone();
        live.created = Some(stored.resource.created);
        live.dirty |= denied;
        live.urgent |= denied;
        self.look_for_another(zone, live);
        drop(zones);
        if denied {
            self.shared.urgent.notify_one();
        }
    }

    /// Notes that the stored insight is gone. One that nothing is known of besides goes here too.
    fn deleted(&self, zone: &ZoneName, version: Version) {
        let mut zones = self.lock();
        let Some(live) = zones.get_mut(zone).filter(|live| live.version.is_none_or(|known| known < version)) else {
            return;
        };
        live.version = None;
        if live.open.is_empty() && !live.dirty && !live.writing {
            zones.remove(zone);
        }
    }
}

/// What is to be written.
struct Taken {
    resource: Resource,
    expect: Precondition,
    urgent: bool,
    troubled: bool,
}
