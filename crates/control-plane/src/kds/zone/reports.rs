//! What the zone says of its connection to those who look: its own insight, and policies that would lose their meaning.

use std::sync::Arc;

use model::ZoneName;

use super::legacy_policies::LegacyPolicies;
use crate::zones::insight::{Insights, Peer};

/// Where a connection reports. Cheap to clone.
#[derive(Clone)]
pub struct Reports {
    /// The insight of this zone in its own store.
    pub insights: Insights,
    /// The policies that a 3.0 zone would read differently.
    pub policies: Arc<LegacyPolicies>,
}

impl Reports {
    /// Notes that global asks on a new stream.
    pub(super) fn mirror(&self, zone: &ZoneName, global: &Peer, us: &Peer) -> Mirror {
        let subscription = self.insights.subscribe_at_zone(zone, global, us);
        Mirror { insights: self.insights.clone(), zone: zone.clone(), subscription }
    }
}

/// The subscription of one ZoneToGlobalSync stream: ends when dropped.
pub(super) struct Mirror {
    insights: Insights,
    zone: ZoneName,
    subscription: String,
}

impl Mirror {
    pub(super) fn sent(&self, kind: &str) {
        self.insights.sent(&self.zone, &self.subscription, kind);
    }

    pub(super) fn acknowledged(&self, kind: &str) {
        self.insights.acknowledged(&self.zone, &self.subscription, kind);
    }

    pub(super) fn rejected(&self, kind: &str, reason: &str) {
        self.insights.rejected_by_global(&self.zone, &self.subscription, kind, reason);
    }
}

impl Drop for Mirror {
    fn drop(&mut self) {
        self.insights.unsubscribe(&self.zone, &self.subscription);
    }
}
