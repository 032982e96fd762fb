//! What of rotations can be alerted on.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{family::Family, gauge::Gauge},
    registry::Registry,
};

/// The metrics. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct RotationMetrics {
    stopped: Family<OfKeys, Gauge>,
    blockers: Family<OfKeys, Gauge>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfKeys {
    family: String,
    mesh: String,
}

impl RotationMetrics {
    /// Registers them.
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "rotation_stopped",
            "1 while an automatic rotation goes no further by itself, because no evidence came for so long",
            metrics.stopped.clone(),
        );
        registry.register(
            "rotation_blockers",
            "How many zones, instances and tokens are in the way of the next step of a rotation",
            metrics.blockers.clone(),
        );
        metrics
    }

    /// Shows where a rotation stands.
    pub(super) fn show(&self, family: &tokens::Family, stopped: bool, blockers: usize) {
        let labels = of(family);
        self.stopped.get_or_create(&labels).set(i64::from(stopped));
        self.blockers.get_or_create(&labels).set(i64::try_from(blockers).unwrap_or(i64::MAX));
    }

    /// There is none.
    pub(super) fn forget(&self, family: &tokens::Family) {
        let labels = of(family);
        self.stopped.remove(&labels);
        self.blockers.remove(&labels);
    }
}

fn of(family: &tokens::Family) -> OfKeys {
    OfKeys { family: family.key_word().to_owned(), mesh: family.mesh().unwrap_or_default().to_owned() }
}
