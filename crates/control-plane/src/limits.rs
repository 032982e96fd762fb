//! What every listener of this program has in common: how many connections there may be, how long each may take, and who
//! has to go when places are short.
//!
//! ```text
//! listen ──► accept ──► place ──► TLS ──► the port's own protocol ──► proof
//!              │          │                      │
//!              │          └ Book: who waits      └ http1: head, idle; Stalls: an answer that nobody takes
//!              └ waits, or closes the one that has waited longest
//! ```
//!
//! Nobody is refused for their address: zones behind one NAT share it, and all of them may come back at once. A
//! connection that nobody has proved anything on takes an unproven place; when there is none left, a new one gets the
//! place of the one that has been unproven longest, first of the address that holds most of them. What proves itself no
//! longer counts there, and keeps its place: a zone always; a user, of whom each has a share and all together not quite
//! all, while a request is answered or nobody else needs it; an administrator before everybody else. Each port has a
//! share of the files that the process may open, so that the weakest one cannot use up what the others need.

mod accept;
mod address;
mod book;
mod files;
mod http1;
mod listen;
mod metrics;
mod places;
mod shortage;
mod stalls;

use std::sync::Arc;

use prometheus_client::registry::Registry;

pub(crate) use self::{
    accept::{Accepted, accept},
    book::{Crowd, Holder},
    http1::{Timeouts, serve as serve_http1},
    listen::bind,
    places::{Place, Port, Proof},
    stalls::Stalls,
};
use self::{
    book::{Capacity, Grace, Patience, Users},
    files::Shares,
    metrics::ConnectionMetrics,
};

/// The ports that this program may have. The names stand in logs and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PortName {
    Kds,
    /// The same, where each connection has another one behind it.
    Relay,
    /// REST in plain text.
    Http,
    /// REST over TLS.
    Https,
    /// Health, readiness, metrics.
    Diagnostics,
    /// What instances ask each other.
    InterCp,
}

impl PortName {
    fn as_str(self) -> &'static str {
        match self {
            Self::Kds | Self::Relay => "kds",
            Self::Http => "http",
            Self::Https => "https",
            Self::Diagnostics => "diagnostics",
            Self::InterCp => "inter-cp",
        }
    }
}

/// What the ports of one control plane share. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Limits {
    shares: Shares,
    metrics: ConnectionMetrics,
}

impl Limits {
    /// Raises the limit of open files of the process as far as it may, and divides it.
    pub(crate) fn start(registry: &mut Registry) -> Self {
        Self { shares: Shares::of(files::raise()), metrics: ConnectionMetrics::register(registry) }
    }

    /// Limits without a process.
    #[cfg(test)]
    pub(crate) fn for_tests() -> Self {
        Self { shares: Shares::of(1024), metrics: ConnectionMetrics::default() }
    }

    pub(crate) fn port(&self, name: PortName) -> Arc<Port> {
        let share = match name {
            PortName::Kds => self.shares.kds,
            // Both connections take a file.
            PortName::Relay => self.shares.kds / 2,
            PortName::Http => self.shares.http,
            PortName::Https => self.shares.https,
            // A handful of instances, with one connection for each question.
            PortName::Diagnostics | PortName::InterCp => self.shares.diagnostics,
        };
        let capacity = match name {
            // Zones prove themselves within a moment, unless very many come at once.
            PortName::Kds | PortName::Relay => Capacity {
                all: share,
                unproven: (share * 3 / 4).min(UNPROVEN_ZONES),
                users: None,
                grace: Grace::OF_ZONES,
                patience: Some(Patience::OF_ZONES),
            },
            // Who may stay how long is a matter of requests.
            PortName::Http | PortName::Https => {
                let users = Some(Users::of(share));
                Capacity { all: share, unproven: share * 3 / 4, users, grace: Grace::OF_REST, patience: None }
            }
            // Nobody proves who they are here.
            PortName::Diagnostics => {
                Capacity { all: share, unproven: share, users: None, grace: Grace::OF_DIAGNOSTICS, patience: None }
            }
            // Who shows a certificate of ours has proved all there is to prove; others can take no place for long.
            PortName::InterCp => Capacity {
                all: share,
                unproven: share / 2,
                users: None,
                grace: Grace::OF_REST,
                patience: Some(Patience::OF_INSTANCES),
            },
        };
        Port::new(name.as_str(), capacity, &self.metrics)
    }
}

/// Zones that are about to prove themselves, at once: some 15 KiB each while TLS is under way.
const UNPROVEN_ZONES: usize = 8192;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_behind_those_of_a_port_come_out_of_its_share() {
        let limits = Limits::for_tests();
        assert!(2 * limits.port(PortName::Relay).capacity().all <= limits.port(PortName::Kds).capacity().all);
    }
}
