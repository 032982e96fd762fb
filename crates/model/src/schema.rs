//! The schemas of specs in JSON: which members, of which type, with which defaults.
//!
//! A document passes [`check`] (types, required members, enums; all violations at once) and then [`rewrite`], which
//! writes defaults, normalises durations, drops members that a closed shape does not know and puts members into the
//! order of the table, the order in which peers write them. An open shape keeps members it does not know, as they are.

mod check;
mod common;
mod policies;
mod rewrite;
mod services;
mod traffic;

pub(crate) use check::{check, check_decodable, type_name};
pub(crate) use rewrite::rewrite;

use crate::Kind;

/// The type of a value.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Node {
    /// Anything, kept as it is.
    Any,
    /// A string.
    Text,
    /// A boolean.
    Flag,
    /// A number without a fraction.
    Integer,
    /// A string out of a list.
    OneOf(&'static [&'static str]),
    /// A Go duration.
    Span,
    /// A number without a fraction, or a string.
    IntegerOrText,
    /// An object with strings as values.
    Texts,
    /// A list.
    List(&'static Self),
    /// An object.
    Object(&'static Shape),
}

/// The members of an object.
#[derive(Debug)]
pub(crate) struct Shape {
    pub(crate) members: &'static [Member],
    /// Members that the table lacks are dropped; an open shape keeps them.
    pub(crate) closed: bool,
}

/// One member of an object.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Member {
    pub(crate) name: &'static str,
    pub(crate) node: Node,
    pub(crate) required: bool,
    /// Written where the member is absent.
    pub(crate) default: Option<Fill>,
}

/// A default.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fill {
    Text(&'static str),
    Flag(bool),
}

const fn closed(members: &'static [Member]) -> Shape {
    Shape { members, closed: true }
}

const fn open(members: &'static [Member]) -> Shape {
    Shape { members, closed: false }
}

const fn member(name: &'static str, node: Node) -> Member {
    Member { name, node, required: false, default: None }
}

impl Member {
    const fn required(mut self) -> Self {
        self.required = true;
        self
    }

    const fn or(mut self, fill: Fill) -> Self {
        self.default = Some(fill);
        self
    }
}

/// Returns the schema of the spec of a kind in JSON; kinds without one keep everything.
pub(crate) fn spec_of(kind: Kind) -> &'static Shape {
    static UNKNOWN: Shape = open(&[]);
    SPECS.iter().find(|(name, _)| *name == kind.name).map_or(&UNKNOWN, |(_, shape)| *shape)
}

static SPECS: [(&str, &Shape); 25] = [
    ("HostnameGenerator", &services::HOSTNAME_GENERATOR),
    ("MeshAccessLog", &policies::ACCESS_LOG),
    ("MeshCircuitBreaker", &traffic::CIRCUIT_BREAKER),
    ("MeshExternalService", &services::EXTERNAL_SERVICE),
    ("MeshFaultInjection", &traffic::FAULT_INJECTION),
    ("MeshHTTPRoute", &traffic::HTTP_ROUTE),
    ("MeshHealthCheck", &traffic::HEALTH_CHECK),
    ("MeshIdentity", &services::IDENTITY),
    ("MeshLoadBalancingStrategy", &traffic::LOAD_BALANCING_STRATEGY),
    ("MeshMetric", &policies::METRIC),
    ("MeshMultiZoneService", &services::MULTI_ZONE_SERVICE),
    ("MeshOpenTelemetryBackend", &services::OPEN_TELEMETRY_BACKEND),
    ("MeshPassthrough", &policies::PASSTHROUGH),
    ("MeshProxyPatch", &policies::PROXY_PATCH),
    ("MeshRateLimit", &traffic::RATE_LIMIT),
    ("MeshRetry", &traffic::RETRY),
    ("MeshService", &services::SERVICE),
    ("MeshTCPRoute", &traffic::TCP_ROUTE),
    ("MeshTLS", &policies::TLS),
    ("MeshTimeout", &traffic::TIMEOUT),
    ("MeshTrace", &policies::TRACE),
    ("MeshTrafficPermission", &policies::TRAFFIC_PERMISSION),
    ("MeshTrust", &services::TRUST),
    ("MeshZoneAddress", &services::ZONE_ADDRESS),
    ("Workload", &services::WORKLOAD),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SpecForm;

    #[test]
    fn every_kind_in_json_that_rest_takes_has_a_schema() {
        for kind in Kind::all().filter(|kind| kind.spec == SpecForm::Json && kind.in_rest) {
            assert!(SPECS.iter().any(|(name, _)| *name == kind.name), "{kind}");
        }
    }
}
