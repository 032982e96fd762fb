//! Writes to the store what was noted: what is urgent at once, the rest once an interval.

use std::{collections::BTreeSet, time::Duration};

use futures::{StreamExt as _, stream};
use model::{Key, Kind, Labels, Resource, ZoneName};
use store::{Precondition, StoreError};
use tokio::time::Instant;
use tracing::{debug, warn};

use super::Insights;
use crate::tasks::Tasks;

/// How long after something was written at once the next waits: a zone that connects opens five streams one after the
/// other, and a thousand zones may come back together.
const TOGETHER: Duration = Duration::from_millis(200);
/// How soon what troubles a zone is written: a peer that rejects all day must not decide how much is written.
const SOON: Duration = Duration::from_secs(1);

/// Insights that are written at once.
const FLUSHED_AT_ONCE: usize = 128;

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
}
