//! The metrics of KDS, with the names that the peer has (contract: rest-and-cli 6) and a few of our own.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct TypeUrl {
    type_url: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Requests {
    type_url: String,
    confirmation: &'static str,
    error_type: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ZoneAndType {
    zone_name: String,
    resource_type: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ResourceType {
    resource_type: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Authentication {
    result: &'static str,
    reason: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ZoneName {
    zone_name: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Generation {
    reason: &'static str,
    result: &'static str,
    zone_name: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ClientVersion {
    client_version: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

/// Why something is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GenerationReason {
    /// Something changed.
    Event,
    /// Everything is looked at anew.
    Resync,
}

/// One open stream of a zone whose version is known.
pub(crate) struct Client {
    metrics: KdsMetrics,
    version: String,
}

impl Drop for Client {
    fn drop(&mut self) {
        let mut open = self.metrics.open_versions();
        let left = open.get(&self.version).copied().unwrap_or_default().saturating_sub(1);
        let label = ClientVersion { client_version: self.version.clone() };
        if left == 0 {
            open.remove(&self.version);
            self.metrics.0.client_versions.remove(&label);
        } else {
            open.insert(self.version.clone(), left);
            self.metrics.0.client_versions.get_or_create(&label).dec();
        }
    }
}

/// So many versions have a series of their own at a time; the others share one. A zone says its version itself.
const VERSIONS: usize = 64;

/// Buckets for what is observed in seconds.
pub(crate) const SECONDS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// Buckets for the closing of streams, in seconds: it takes a millisecond where there are few.
const ENFORCEMENT: [f64; 12] = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0, 30.0];
/// Buckets for what is observed in milliseconds.
const MILLISECONDS: [f64; 12] = [0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 1000.0, 5000.0, 30_000.0];

/// Counters of the KDS port. Cheap to clone. Labels hold authenticated zones and known types only.
#[derive(Clone)]
pub struct KdsMetrics(Arc<Metrics>);

struct Metrics {
    responses: Family<TypeUrl, Counter>,
    response_bytes: Family<TypeUrl, Histogram, fn() -> Histogram>,
    requests: Family<Requests, Counter>,
    nacks: Family<ZoneAndType, Counter>,
    rewrites: Family<ResourceType, Counter>,
    too_large: Family<ZoneAndType, Counter>,
    unreadable: Family<ZoneAndType, Counter>,
    unacknowledged: Family<ZoneAndType, Counter>,
    delivery: Histogram,
    generation: Family<Generation, Histogram, fn() -> Histogram>,
    generation_errors: Counter,
    client_versions: Family<ClientVersion, Gauge>,
    /// How many streams each series of versions has.
    open_versions: Mutex<BTreeMap<String, usize>>,
    window_depletions: Family<TypeUrl, Counter>,
    resources_sync: Histogram,
    authentications: Family<Authentication, Counter>,
    sessions_closed: Family<Reason, Counter>,
    enforcement: Histogram,
    connections: Family<ZoneName, Gauge>,
    streams: Gauge,
}

impl KdsMetrics {
    /// Registers the metrics.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Metrics {
            responses: Family::default(),
            response_bytes: Family::new_with_constructor(|| {
                Histogram::new((0..16).map(|power| 1024.0 * f64::from(1 << power)))
            }),
            requests: Family::default(),
            nacks: Family::default(),
            rewrites: Family::default(),
            too_large: Family::default(),
            unreadable: Family::default(),
            unacknowledged: Family::default(),
            delivery: Histogram::new(MILLISECONDS),
            generation: Family::new_with_constructor(|| Histogram::new(MILLISECONDS)),
            generation_errors: Counter::default(),
            client_versions: Family::default(),
            open_versions: Mutex::default(),
            window_depletions: Family::default(),
            resources_sync: Histogram::new(SECONDS),
            authentications: Family::default(),
            sessions_closed: Family::default(),
            enforcement: Histogram::new(ENFORCEMENT),
            connections: Family::default(),
            streams: Gauge::default(),
        };
        registry.register("kds_delta_responses_sent", "Responses sent, by type", metrics.responses.clone());
        registry.register(
            "kds_delta_responses_sent_bytes",
            "Size of responses sent, in bytes",
            metrics.response_bytes.clone(),
        );
        registry.register(
            "kds_delta_requests_received",
            "Acknowledgements and rejections received",
            metrics.requests.clone(),
        );
        registry.register("kds_nack", "Responses that a zone rejected", metrics.nacks.clone());
        registry.register(
            "kds_zone_attribution_rewrites",
            "Zone tags corrected to the zone of the connection",
            metrics.rewrites.clone(),
        );
        registry.register(
            "kds_delta_delivery",
            "Milliseconds from a response to its acknowledgement or rejection",
            metrics.delivery.clone(),
        );
        registry.register(
            "kds_delta_generation",
            "Milliseconds to encode what changed, once for all zones",
            metrics.generation.clone(),
        );
        registry.register(
            "kds_delta_generation_errors",
            "Resources that could not be encoded and are left out",
            metrics.generation_errors.clone(),
        );
        registry.register(
            "kds_delta_client_versions",
            "Open streams by the version of the zone",
            metrics.client_versions.clone(),
        );
        registry.register(
            "kds_delta_stream_likely_window_depletion",
            "Streams ended because the peer did not read",
            metrics.window_depletions.clone(),
        );
        registry.register("kds_resources_sync", "Seconds to take in a response", metrics.resources_sync.clone());
        registry.register(
            "kds_unacknowledged_responses",
            "Responses that a zone did not answer in time",
            metrics.unacknowledged.clone(),
        );
        registry.register("kds_type_too_large", "Times a type did not fit into one message", metrics.too_large.clone());
        registry.register(
            "kds_type_unreadable",
            "Times resources of a type were held back, all or in part, from a zone whose version cannot read them",
            metrics.unreadable.clone(),
        );
        registry.register(
            "zone_auth",
            "Calls of the KDS port by result of their authentication",
            metrics.authentications.clone(),
        );
        registry.register(
            "kds_auth_streams_closed",
            "Live streams closed by the global control plane",
            metrics.sessions_closed.clone(),
        );
        registry.register(
            "auth_enforcement_seconds",
            "Seconds from when it was heard that a stream has no right to live until it was closed",
            metrics.enforcement.clone(),
        );
        registry.register("kds_zone_active_connections", "Open sync streams of a zone", metrics.connections.clone());
        registry.register("kds_delta_streams_active", "Open streams of the KDS port", metrics.streams.clone());
        Self(Arc::new(metrics))
    }

    pub(crate) fn sent(&self, kind: &str, bytes: usize) {
        let label = TypeUrl { type_url: known(kind) };
        self.0.responses.get_or_create(&label).inc();
        // A histogram counts in floating point; message sizes are far below where that loses bytes.
        let bytes = f64::from(u32::try_from(bytes).unwrap_or(u32::MAX));
        self.0.response_bytes.get_or_create(&label).observe(bytes);
    }

    pub(crate) fn acknowledged(&self, kind: &str) {
        let label = Requests { type_url: known(kind), confirmation: "ACK", error_type: "no_error" };
        self.0.requests.get_or_create(&label).inc();
    }

    pub(crate) fn rejected(&self, zone: &str, kind: &str, reason: &str) {
        let error_type = if reason.starts_with("user error") { "user" } else { "other" };
        let label = Requests { type_url: known(kind), confirmation: "NACK", error_type };
        self.0.requests.get_or_create(&label).inc();
        self.0.nacks.get_or_create(&ZoneAndType { zone_name: zone.to_owned(), resource_type: known(kind) }).inc();
    }

    pub(crate) fn attribution_rewrites(&self, kind: &str, count: u64) {
        if count > 0 {
            self.0.rewrites.get_or_create(&ResourceType { resource_type: known(kind) }).inc_by(count);
        }
    }

    pub(crate) fn too_large(&self, zone: &str, kind: &str) {
        self.0.too_large.get_or_create(&ZoneAndType { zone_name: zone.to_owned(), resource_type: known(kind) }).inc();
    }

    pub(crate) fn unreadable(&self, zone: &str, kind: &str) {
        self.0.unreadable.get_or_create(&ZoneAndType { zone_name: zone.to_owned(), resource_type: known(kind) }).inc();
    }

    pub(crate) fn unacknowledged(&self, zone: &str, kind: &str) {
        let label = ZoneAndType { zone_name: zone.to_owned(), resource_type: known(kind) };
        self.0.unacknowledged.get_or_create(&label).inc();
    }

    /// Observes the encoding of what changed. `zone_name` is empty on global: one encoding serves all zones.
    pub(crate) fn generated(&self, zone_name: &str, reason: GenerationReason, changed: bool, took: Duration) {
        let reason = match reason {
            GenerationReason::Event => "event",
            GenerationReason::Resync => "resync",
        };
        let result = if changed { "changed" } else { "no_changes" };
        let label = Generation { reason, result, zone_name: zone_name.to_owned() };
        self.0.generation.get_or_create(&label).observe(took.as_secs_f64() * 1000.0);
    }

    /// A resource could not be encoded.
    pub(crate) fn generation_failed(&self) {
        self.0.generation_errors.inc();
    }

    /// A zone of this version opened a stream; it counts until the answer is dropped. What is no version is not shown.
    pub(crate) fn client(&self, version: &str) -> Client {
        let plain =
            version.len() <= 32 && version.chars().all(|one| one.is_ascii_alphanumeric() || ".-+".contains(one));
        let version = if plain && !version.is_empty() { version } else { "unknown" };
        let mut open = self.open_versions();
        let version = if open.len() < VERSIONS || open.contains_key(version) { version } else { "other" }.to_owned();
        *open.entry(version.clone()).or_default() += 1;
        self.0.client_versions.get_or_create(&ClientVersion { client_version: version.clone() }).inc();
        Client { metrics: self.clone(), version }
    }

    fn open_versions(&self) -> MutexGuard<'_, BTreeMap<String, usize>> {
        self.0.open_versions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A stream ended because its peer did not read.
    pub(crate) fn not_read(&self, kind: &str) {
        self.0.window_depletions.get_or_create(&TypeUrl { type_url: known(kind) }).inc();
    }

    /// Observes how long it took to take in a response.
    pub(crate) fn taken_in(&self, took: Duration) {
        self.0.resources_sync.observe(took.as_secs_f64());
    }

    /// Observes how long a response took to its answer.
    pub(crate) fn delivered(&self, took: Duration) {
        self.0.delivery.observe(took.as_secs_f64() * 1000.0);
    }

    pub(crate) fn authenticated(&self) {
        self.0.authentications.get_or_create(&Authentication { result: "accepted", reason: "" }).inc();
    }

    pub(crate) fn refused(&self, reason: &'static str) {
        self.0.authentications.get_or_create(&Authentication { result: "refused", reason }).inc();
    }

    /// Counts a call that authentication would have refused, and that was let in or left alone.
    pub(crate) fn would_be_refused(&self, reason: &'static str) {
        self.0.authentications.get_or_create(&Authentication { result: "would_be_refused", reason }).inc();
    }

    /// Observes how long it took to close a stream.
    pub(crate) fn enforced(&self, took: Duration) {
        self.0.enforcement.observe(took.as_secs_f64());
    }

    pub(crate) fn closed(&self, reason: &'static str) {
        self.0.sessions_closed.get_or_create(&Reason { reason }).inc();
    }

    /// Takes the series of a zone away that was deleted.
    pub(crate) fn forget(&self, zone: &str) {
        let kinds = model::Kind::all().map(|kind| kind.name).chain(["unknown"]);
        for kind in kinds {
            let label = ZoneAndType { zone_name: zone.to_owned(), resource_type: kind.to_owned() };
            for family in [&self.0.nacks, &self.0.too_large, &self.0.unreadable, &self.0.unacknowledged] {
                family.remove(&label);
            }
        }
    }

    /// Sets the gauges to what is open now. Zones that left keep their label with 0 only as long as they are in `zones`.
    pub(crate) fn open<'a>(&self, open: impl ExactSizeIterator<Item = (&'a model::ZoneName, &'static str)>) {
        self.0.streams.set(i64::try_from(open.len()).unwrap_or(i64::MAX));
        self.0.connections.clear();
        for (zone, method) in open {
            if method == "GlobalToZoneSync" {
                self.0.connections.get_or_create(&ZoneName { zone_name: zone.as_str().to_owned() }).inc();
            }
        }
    }
}

/// A peer may name any type; labels hold the ones of the table.
fn known(kind: &str) -> String {
    model::Kind::by_name(kind).map_or_else(|| "unknown".to_owned(), |kind| kind.name.to_owned())
}

#[cfg(test)]
mod tests;
