//! What every stream of the port works with.

use std::sync::Arc;

use model::ZoneName;
use store::ResourceStore;
use tonic::Status;
use tracing::info;

use crate::{
    clock::Clock,
    config::GlobalKds,
    kds::{global::asker::Asker, quota::Quotas},
    ledger::Ledger,
    observe::kds_metrics::KdsMetrics,
    tasks::Tasks,
    zones::{
        confirmed::Confirmed,
        first_seen,
        insight::{Insights, Instance},
        registry::Registry,
    },
};

/// Shared by all streams.
pub(crate) struct Context {
    pub store: Arc<dyn ResourceStore>,
    pub clock: Clock,
    /// Who is connected.
    pub registry: Registry,
    /// Which keys zones have.
    pub confirmed: Confirmed,
    /// What is known of zones.
    pub insights: Insights,
    /// The tokens that were issued.
    pub ledger: Ledger,
    pub metrics: KdsMetrics,
    /// Asks zones about their proxies.
    pub asker: Asker,
    /// How much of one zone is kept.
    pub quotas: Quotas,
    /// What this end says of itself.
    pub us: Instance,
    /// What was configured.
    pub settings: Arc<GlobalKds>,
    /// Where tasks run.
    pub tasks: Tasks,
}

impl Context {
    /// Makes the Zone of an authenticated caller if there is none yet.
    pub(super) async fn ensure_zone(&self, zone: &ZoneName) -> Result<(), Status> {
        match first_seen::ensure_zone(&*self.store, zone, self.clock.now()).await {
            Ok(first_seen::Known::Before) => Ok(()),
            Ok(first_seen::Known::FromNowOn) => {
                self.quotas.forget(zone.as_str());
                // Outside of the span of the stream: no flood of the zone's lines hides this one.
                info!(parent: None, zone = %zone, "zone successfully created");
                Ok(())
            }
            Err(error) => Err(Status::unavailable(format!("cannot look up the zone: {error}"))),
        }
    }
}
