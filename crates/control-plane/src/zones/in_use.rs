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

/// How many zones stand on each key.
pub struct KeysInUse(Registry);

impl KeysInUse {
    /// Returns what counts the streams of this registry.
    pub fn new(registry: Registry) -> Self {
        Self(registry)
    }
}

impl fmt::Debug for KeysInUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeysInUse").finish_non_exhaustive()
    }
}

impl Collector for KeysInUse {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let help = "Connected zones by the signing key of their tokens";
        let mut keys = encoder.encode_descriptor("zones_by_signing_key", help, None, MetricType::Gauge)?;
        for ((family, key), zones) in Counted::of(&self.0.open()).zones {
            let labels = [("family", family), ("key", &key)];
            let zones = i64::try_from(zones.len()).unwrap_or(i64::MAX);
            ConstGauge::new(zones).encode(keys.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

/// When the tokens of each zone end. It names the zone in the label `zone`, so it is a metric of zones.
pub struct TokensInUse {
    registry: Registry,
    clock: Clock,
}

impl TokensInUse {
    /// Returns what looks at the streams of this registry.
    pub fn new(registry: Registry, clock: Clock) -> Self {
        Self { registry, clock }
    }
}

impl fmt::Debug for TokensInUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokensInUse").finish_non_exhaustive()
    }
}

impl Collector for TokensInUse {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let now = self.clock.now();
        let help = "Seconds until the first token ends that a connected zone stands on";
        let mut ends = encoder.encode_descriptor("zone_token_expires_in_seconds", help, None, MetricType::Gauge)?;
        for (zone, end) in Counted::of(&self.registry.open()).ends {
            let left: SignedDuration = end.duration_since(now);
            let labels = [("zone", zone.as_str())];
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
