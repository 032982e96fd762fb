//! A running control plane: where it listens, and how it stops.

use std::{net::SocketAddr, time::Duration};

use super::drain::Drain;
use crate::{tasks::Tasks, zones::registry::Registry};

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
    /// What other instances ask, on a global that may have some.
    pub inter_cp: Option<SocketAddr>,
}

/// A control plane that serves.
pub struct Running {
    pub(super) tasks: Tasks,
    pub(super) addresses: Addresses,
    /// How the connected zones are told, where zones connect.
    pub(super) drain: Option<Drain>,
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
        self.drain.as_ref().map(Drain::registry)
    }

    /// Drains and stops: new zones are refused, connected ones are told one after the other, then everything ends within
    /// the grace time. Returns whether all tasks ended in time, and why the program stops if it does so by itself.
    pub async fn stop(&self, grace: Duration) -> (bool, Option<String>) {
        let failure = self.tasks.failure();
        if let Some(drain) = &self.drain {
            drain.run().await;
        }
        self.tasks.stop();
        (self.tasks.finished(grace).await, failure)
    }
}
