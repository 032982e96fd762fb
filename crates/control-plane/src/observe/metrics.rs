//! The registry of metrics: every metric carries the label `zone` (contract: rest-and-cli 6). It is the name of this control
//! plane, or, in metrics that tell of one zone each, that of the zone: a label cannot be there twice.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use prometheus_client::{
    collector::Collector,
    encoding::{
        DescriptorEncoder, EncodeMetric as _,
        text::{encode_eof, encode_registry},
    },
    metrics::{counter::ConstCounter, info::Info},
    registry::Registry,
};

use crate::about;

/// The metrics of one control plane. Cheap to clone.
#[derive(Clone)]
pub struct Metrics(Arc<Mutex<Registries>>);

struct Registries {
    /// Of this control plane.
    ours: Registry,
    /// Of zones: each names one itself.
    of_zones: Registry,
}

impl Metrics {
    /// Returns a registry for a control plane: `Global`, or the name of a zone.
    pub fn new(zone: &str, instance: &str, lines: &LogLines) -> Self {
        let label = (Cow::Borrowed("zone"), Cow::Owned(zone.to_owned()));
        let mut ours = Registry::with_labels(std::iter::once(label));
        let cp = Info::new(vec![
            ("product", about::PRODUCT.to_owned()),
            ("version", about::VERSION.to_owned()),
            ("git_commit", about::COMMIT.to_owned()),
            ("based_on_kuma", about::BASED_ON_KUMA.to_owned()),
            ("instance_id", instance.to_owned()),
        ]);
        ours.register("cp", "What this control plane is", cp);
        ours.register_collector(Box::new(lines.clone()));
        Self(Arc::new(Mutex::new(Registries { ours, of_zones: Registry::default() })))
    }

    /// Lets an owner register its metrics.
    pub fn register<T>(&self, register: impl FnOnce(&mut Registry) -> T) -> T {
        register(&mut self.lock().ours)
    }

    /// Lets an owner register metrics that tell of one zone each, and name it in the label `zone`.
    pub fn register_of_zones<T>(&self, register: impl FnOnce(&mut Registry) -> T) -> T {
        register(&mut self.lock().of_zones)
    }

    /// The metrics as text.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let registries = self.lock();
        // Writing to a String cannot fail.
        let _infallible = encode_registry(&mut text, &registries.ours)
            .and_then(|()| encode_registry(&mut text, &registries.of_zones))
            .and_then(|()| encode_eof(&mut text));
        text
    }

    fn lock(&self) -> MutexGuard<'_, Registries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
