//! The registry of metrics: every metric carries the label `zone` (contract: rest-and-cli 6).

use std::{
    borrow::Cow,
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric as _, text::encode},
    metrics::{counter::ConstCounter, gauge::Gauge, info::Info},
    registry::Registry,
};

use crate::about;

/// The metrics of one control plane. Cheap to clone.
#[derive(Clone)]
pub struct Metrics(Arc<Mutex<Registry>>);

impl Metrics {
    /// Returns a registry for a control plane: `Global`, or the name of a zone.
    pub fn new(zone: &str, instance: &str, lines: &LogLines) -> Self {
        let label = (Cow::Borrowed("zone"), Cow::Owned(zone.to_owned()));
        let mut registry = Registry::with_labels(std::iter::once(label));
        let leader = Gauge::<i64>::default();
        leader.set(1);
        registry.register("leader", "Whether this instance leads", leader);
        let cp = Info::new(vec![
            ("product", about::PRODUCT.to_owned()),
            ("version", about::VERSION.to_owned()),
            ("git_commit", about::COMMIT.to_owned()),
            ("based_on_kuma", about::BASED_ON_KUMA.to_owned()),
            ("instance_id", instance.to_owned()),
        ]);
        registry.register("cp", "What this control plane is", cp);
        registry.register_collector(Box::new(lines.clone()));
        Self(Arc::new(Mutex::new(registry)))
    }

    /// Lets an owner register its metrics.
    pub fn register<T>(&self, register: impl FnOnce(&mut Registry) -> T) -> T {
        register(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The metrics as text.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _infallible = encode(&mut text, &self.0.lock().unwrap_or_else(PoisonError::into_inner));
        text
    }
}

/// How many log lines there were, by logger and level. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct LogLines(Arc<Mutex<BTreeMap<(String, &'static str), u64>>>);

impl LogLines {
    pub(super) fn count(&self, logger: &str, level: &'static str) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *lines.entry((logger.to_owned(), level)).or_default() += 1;
    }
}

impl Collector for LogLines {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let kind = prometheus_client::metrics::MetricType::Counter;
        let mut family = encoder.encode_descriptor("kuma_cp_log_lines", "Log lines", None, kind)?;
        for ((logger, level), count) in lines {
            let labels = [("logger", logger.as_str()), ("level", level)];
            ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}
