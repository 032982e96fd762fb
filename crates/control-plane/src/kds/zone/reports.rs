//! What the zone says of its connection to those who look: its own insight, and policies that would lose their meaning.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use model::{Kind, ZoneName};

use super::legacy_policies::LegacyPolicies;
use crate::{
    observe::kds_metrics::KdsMetrics,
    zones::insight::{Insights, Instance},
};

/// Where a connection reports. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Reports {
    /// The insight of this zone in its own store.
    pub insights: Insights,
    /// The policies that a 3.0 zone would read differently.
    pub policies: Arc<LegacyPolicies>,
    pub metrics: KdsMetrics,
    /// What was rejected.
    pub rejections: Arc<Rejections>,
}

/// What was rejected of each kind, and was said.
#[derive(Default)]
pub(crate) struct Rejections(Mutex<BTreeMap<Kind, String>>);

impl Rejections {
    /// Notes what is wrong with a kind, or nothing; returns whether that was not said before. Global sends what is wrong
    /// with every change of the kind, and again on each new stream.
    pub(super) fn is_news(&self, kind: Kind, wrong: Option<&str>) -> bool {
        let mut rejected = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match wrong {
            Some(wrong) => rejected.insert(kind, wrong.to_owned()).is_none_or(|before| before != wrong),
            None => rejected.remove(&kind).is_some(),
        }
    }
}

impl Reports {
    /// Notes that global asks on a new stream.
    pub(super) fn subscribe(&self, zone: &ZoneName, global: &Instance, us: &Instance) -> Subscription {
        let id = self.insights.subscribe_at_zone(zone, global, us);
        Subscription { insights: self.insights.clone(), metrics: self.metrics.clone(), zone: zone.clone(), id }
    }
}

/// The subscription of one ZoneToGlobalSync stream: ends when dropped.
pub(super) struct Subscription {
    insights: Insights,
    metrics: KdsMetrics,
    zone: ZoneName,
    id: String,
}

impl Subscription {
    pub(super) fn sent(&self, kind: &str, bytes: usize) {
        self.metrics.sent(kind, bytes);
        self.insights.sent(&self.zone, &self.id, kind);
    }

    pub(super) fn acknowledged(&self, kind: &str, took: Option<Duration>) {
        self.metrics.acknowledged(kind);
        took.into_iter().for_each(|took| self.metrics.delivered(took));
        self.insights.acknowledged(&self.zone, &self.id, kind);
    }

    pub(super) fn rejected(&self, kind: &str, reason: &str) {
        self.metrics.rejected(self.zone.as_str(), kind, reason);
        self.insights.rejected_by_global(&self.zone, &self.id, kind, reason);
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.insights.unsubscribe(&self.zone, &self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_said_once() {
        let rejections = Rejections::default();
        assert!(rejections.is_news(Kind::SECRET, Some("it exists")));
        assert!(!rejections.is_news(Kind::SECRET, Some("it exists")));
        assert!(rejections.is_news(Kind::MESH, Some("it exists")), "another kind");
        assert!(rejections.is_news(Kind::SECRET, Some("it is no PEM")), "another reason");
        assert!(rejections.is_news(Kind::SECRET, None), "it is mended");
        assert!(!rejections.is_news(Kind::SECRET, None));
        assert!(rejections.is_news(Kind::SECRET, Some("it exists")), "and back");
    }
}
