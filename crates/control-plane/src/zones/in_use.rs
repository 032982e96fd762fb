//! Metrics of the keys and tokens that connected zones stand on: counted when somebody asks, so that no series outlives what
//! it tells of. Labels are of verified tokens only.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use jiff::{SignedDuration, Timestamp};
use model::ZoneName;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric as _},
    metrics::{MetricType, gauge::ConstGauge},
};

use crate::{
    clock::Clock,
    zones::{
        caller::ZoneCaller,
        registry::{Open, Registry},
    },
};

/// The keys and tokens in use.
pub struct InUse {
    registry: Registry,
    clock: Clock,
}

impl InUse {
    /// Returns what counts the streams of this registry.
    pub fn new(registry: Registry, clock: Clock) -> Self {
        Self { registry, clock }
    }
}

impl fmt::Debug for InUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InUse").finish_non_exhaustive()
    }
}

impl Collector for InUse {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let counted = Counted::of(&self.registry.open());
        let help = "Connected zones by the signing key of their tokens";
        let mut keys = encoder.encode_descriptor("zones_by_signing_key", help, None, MetricType::Gauge)?;
        for ((family, key), zones) in counted.zones {
            let labels = [("family", family), ("key", &key)];
            let zones = i64::try_from(zones.len()).unwrap_or(i64::MAX);
            ConstGauge::new(zones).encode(keys.encode_family(&labels)?)?;
        }
        let now = self.clock.now();
        let help = "Seconds until the first token ends that a connected zone stands on";
        let mut ends = encoder.encode_descriptor("zone_token_expires_in_seconds", help, None, MetricType::Gauge)?;
        for (zone, end) in counted.ends {
            let left: SignedDuration = end.duration_since(now);
            let labels = [("zone_name", zone.as_str())];
            ConstGauge::new(left.as_secs_f64()).encode(ends.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

/// What streams stand on.
#[derive(Default)]
struct Counted {
    /// By family and key.
    zones: BTreeMap<(&'static str, String), BTreeSet<ZoneName>>,
    /// A zone whose tokens have no end is missing.
    ends: BTreeMap<ZoneName, Timestamp>,
}

impl Counted {
    fn of(open: &[Open]) -> Self {
        let mut counted = Self::default();
        for stream in open {
            let ZoneCaller::Verified(verified) = &*stream.caller else { continue };
            let zone = verified.zone();
            let key = (verified.key().family.key_word(), verified.kid().to_owned());
            counted.zones.entry(key).or_default().insert(zone.clone());
            if let Some(end) = verified.expires_at() {
                let first = counted.ends.entry(zone.clone()).or_insert(end);
                *first = end.min(*first);
            }
        }
        counted
    }
}
