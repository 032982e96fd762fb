//! A running control plane: where it listens, and how it stops.

use std::{net::SocketAddr, time::Duration};

use tracing::info;

use crate::{
    tasks::Tasks,
    zones::registry::{CloseReason, Registry},
};

/// The addresses a control plane listens on; ports that were 0 in the configuration are real here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Addresses {
    /// REST in plain text.
    pub http: Option<SocketAddr>,
    /// REST over TLS.
    pub https: Option<SocketAddr>,
    /// KDS, on global only.
    pub kds: Option<SocketAddr>,
    /// Where the zone of a connector connects, if that is a port.
    pub connector: Option<SocketAddr>,
    /// Health, readiness, metrics.
    pub diagnostics: Option<SocketAddr>,
}

/// A control plane that serves.
pub struct Running {
    pub(super) tasks: Tasks,
    pub(super) addresses: Addresses,
    /// The connected zones, on global only.
    pub(super) registry: Option<Registry>,
}

impl Running {
    /// Where it listens.
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Its tasks.
    pub fn tasks(&self) -> &Tasks {
        &self.tasks
    }

    /// Its connected zones, on global.
    pub fn registry(&self) -> Option<&Registry> {
        self.registry.as_ref()
    }

    /// Drains and stops: new zones are refused, connected ones are told one after the other, then everything ends.
    /// Returns whether all tasks ended in time, and why the program stops if it does so by itself.
    pub async fn stop(&self, grace: Duration) -> (bool, Option<String>) {
        let failure = self.tasks.failure();
        if let Some(registry) = &self.registry {
            let zones = registry.drain();
            if !zones.is_empty() {
                info!(zones = zones.len(), "telling the connected zones that this control plane stops");
            }
            // In a hundred portions over a fifth of the grace time, so that they do not all come back in one instant.
            let portion = zones.len().div_ceil(100).max(1);
            for zones in zones.chunks(portion) {
                for zone in zones {
                    registry.close_zone(zone, &CloseReason::Draining, None);
                }
                tokio::time::sleep(grace / 500).await;
            }
        }
        self.tasks.stop();
        (self.tasks.finished(grace).await, failure)
    }
}
