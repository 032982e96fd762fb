//! How many connections each port has, and how many had to go or to wait.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfPort {
    port: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfStanding {
    port: &'static str,
    standing: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfReason {
    port: &'static str,
    reason: &'static str,
}

/// The metrics of all ports. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct ConnectionMetrics {
    accepted: Family<OfPort, Counter>,
    dropped: Family<OfReason, Counter>,
    waited: Family<OfPort, Counter>,
    open: Family<OfStanding, Gauge>,
}

pub(super) struct PortMetrics {
    /// Connections that got a place.
    pub(super) accepted: Counter,
    /// Those that lost it to another one.
    pub(super) displaced: Counter,
    /// Those of users that lost it to another one of a user.
    pub(super) crowded: Counter,
    /// Those that proved nothing in time.
    pub(super) overdue: Counter,
    /// Those that had to wait for a place.
    pub(super) waited: Counter,
    /// Open ones on which nobody proved who they are.
    pub(super) unproven: Gauge,
    /// The other ones.
    pub(super) proven: Gauge,
}

impl ConnectionMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register("connections_accepted", "Connections that got a place", metrics.accepted.clone());
        registry.register(
            "connections_dropped",
            "Connections that lost their place to a new one, or proved nothing in time",
            metrics.dropped.clone(),
        );
        registry.register("connections_waited", "Connections that waited for a place", metrics.waited.clone());
        registry.register("connections_open", "Open connections", metrics.open.clone());
        metrics
    }

    pub(super) fn of(&self, port: &'static str) -> PortMetrics {
        let dropped = |reason| self.dropped.get_or_create_owned(&OfReason { port, reason });
        let open = |standing| self.open.get_or_create_owned(&OfStanding { port, standing });
        PortMetrics {
            accepted: self.accepted.get_or_create_owned(&OfPort { port }),
            displaced: dropped("displaced"),
            crowded: dropped("crowded"),
            overdue: dropped("overdue"),
            waited: self.waited.get_or_create_owned(&OfPort { port }),
            unproven: open("unproven"),
            proven: open("proven"),
        }
    }
}
