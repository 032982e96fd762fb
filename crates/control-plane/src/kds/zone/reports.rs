//! What the zone says of its connection to those who look: its own insight, and policies that would lose their meaning.

use std::{sync::Arc, time::Duration};

use model::ZoneName;

use super::legacy_policies::LegacyPolicies;
use crate::{
    observe::kds_metrics::KdsMetrics,
    zones::insight::{Insights, Peer},
};

/// Where a connection reports. Cheap to clone.
#[derive(Clone)]
pub struct Reports {
    /// The insight of this zone in its own store.
    pub insights: Insights,
    /// The policies that a 3.0 zone would read differently.
    pub policies: Arc<LegacyPolicies>,
    /// The metrics of synchronization.
    pub metrics: KdsMetrics,
}

impl Reports {
    /// Notes that global asks on a new stream.
    pub(super) fn mirror(&self, zone: &ZoneName, global: &Peer, us: &Peer) -> Mirror {
        let subscription = self.insights.subscribe_at_zone(zone, global, us);
        Mirror { insights: self.insights.clone(), metrics: self.metrics.clone(), zone: zone.clone(), subscription }
    }
}

/// The subscription of one ZoneToGlobalSync stream: ends when dropped.
pub(super) struct Mirror {
    insights: Insights,
    metrics: KdsMetrics,
    zone: ZoneName,
    subscription: String,
}

impl Mirror {
    pub(super) fn sent(&self, kind: &str, bytes: usize) {
        self.metrics.sent(kind, bytes);
        self.insights.sent(&self.zone, &self.subscription, kind);
    }

    pub(super) fn acknowledged(&self, kind: &str, took: Option<Duration>) {
        self.metrics.acknowledged(kind);
        took.into_iter().for_each(|took| self.metrics.delivered(took));
        self.insights.acknowledged(&self.zone, &self.subscription, kind);
    }

    pub(super) fn rejected(&self, kind: &str, reason: &str) {
        self.metrics.rejected(self.zone.as_str(), kind, reason);
        self.insights.rejected_by_global(&self.zone, &self.subscription, kind, reason);
    }
}

impl Drop for Mirror {
    fn drop(&mut self) {
        self.insights.unsubscribe(&self.zone, &self.subscription);
    }
}
