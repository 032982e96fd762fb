//! Ends an instance of a zone that is connected here when another one came to another control plane later, as the registry
//! does it with two that come here (contract: kds 13.2).

use model::text;
use tracing::warn;

use super::{insight::Insights, registry::Registry, sweeper::report};
use crate::{observe::kds_metrics::KdsMetrics, tasks::Tasks};

/// Follows the insights until the program stops.
pub(crate) async fn run(
    registry: Registry,
    insights: Insights,
    metrics: KdsMetrics,
    tasks: Tasks,
) -> anyhow::Result<()> {
    loop {
        let (zone, by) = tokio::select! {
            () = tasks.stopping() => return Ok(()),
            replaced = insights.next_replaced() => replaced,
        };
        let closed = registry.replaced(&zone, &by);
        if !closed.is_empty() {
            warn!(
                zone = %zone,
                instance = %text::of_peer(&by),
                "two instances of one zone, the newer one at another instance of this control plane: the older one is ended"
            );
        }
        report(&closed, &metrics);
    }
}
