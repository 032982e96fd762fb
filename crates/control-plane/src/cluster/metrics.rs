//! Whether this instance leads, as a metric.

use std::fmt;

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric as _},
    metrics::{MetricType, gauge::ConstGauge},
};
use store::Epoch;
use tokio::sync::watch;

/// Says it when somebody asks.
#[derive(Debug)]
pub(super) struct Leader(pub(super) watch::Receiver<Option<Epoch>>);

impl Collector for Leader {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let leads = i64::from(self.0.borrow().is_some());
        let gauge = encoder.encode_descriptor("leader", "Whether this instance leads", None, MetricType::Gauge)?;
        ConstGauge::new(leads).encode(gauge)
    }
}
