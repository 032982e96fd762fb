//! The RPCs between a zone and its global, as both ends call them (contract: kds 1.1). The zone opens all of them.

use model::ProxyView;

use crate::observe::grpc_metrics::Method;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rpc {
    /// Global provides, the zone asks.
    GlobalToZoneSync,
    /// The zone provides, global asks.
    ZoneToGlobalSync,
    /// Global asks for what a proxy of the zone says.
    Admin(ProxyView),
    /// The zone pings.
    HealthCheck,
    /// The zone gets its next token. Only our own two ends have this and the next.
    Renew,
    /// The zone shows its new token, for all that it has open on the connection.
    Present,
}

/// With its pings a zone of ours says what time it has (RFC 3339): tokens begin and end by the clock.
pub(crate) const TIME_HEADER: &str = "arctos-time";

/// In the answer to a ping: the token of the zone should be renewed, and why.
pub(crate) const RENEW_HEADER: &str = "arctos-renew-token";

impl Rpc {
    pub(crate) const ALL: [Self; 8] = [
        Self::GlobalToZoneSync,
        Self::ZoneToGlobalSync,
        Self::Admin(ProxyView::ConfigDump),
        Self::Admin(ProxyView::Stats),
        Self::Admin(ProxyView::Clusters),
        Self::HealthCheck,
        Self::Renew,
        Self::Present,
    ];

    /// Returns the RPC of a request.
    pub(crate) fn of(path: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|rpc| rpc.path() == path)
    }

    pub(crate) const fn path(self) -> &'static str {
        match self {
            Self::GlobalToZoneSync => "/kuma.mesh.v1alpha1.KDSSyncService/GlobalToZoneSync",
            Self::ZoneToGlobalSync => "/kuma.mesh.v1alpha1.KDSSyncService/ZoneToGlobalSync",
            Self::Admin(ProxyView::ConfigDump) => "/kuma.mesh.v1alpha1.GlobalKDSService/StreamXDSConfigs",
            Self::Admin(ProxyView::Stats) => "/kuma.mesh.v1alpha1.GlobalKDSService/StreamStats",
            Self::Admin(ProxyView::Clusters) => "/kuma.mesh.v1alpha1.GlobalKDSService/StreamClusters",
            Self::HealthCheck => "/kuma.mesh.v1alpha1.GlobalKDSService/HealthCheck",
            Self::Renew => "/arctos.kds.v1.TokenService/Renew",
            Self::Present => "/arctos.kds.v1.TokenService/Present",
        }
    }

    /// Its service: the first part of the path.
    pub(crate) fn service(self) -> &'static str {
        self.parts().0
    }

    /// Its method: the last part of the path.
    pub(crate) fn method(self) -> &'static str {
        self.parts().1
    }

    /// Whether it has one request and one answer.
    pub(crate) fn is_unary(self) -> bool {
        matches!(self, Self::HealthCheck | Self::Renew | Self::Present)
    }

    /// What metrics call it.
    pub(crate) fn labels(self) -> Method {
        let grpc_type = if self.is_unary() { "unary" } else { "bidi_stream" };
        Method { grpc_type, grpc_service: self.service(), grpc_method: self.method() }
    }

    fn parts(self) -> (&'static str, &'static str) {
        self.path().trim_start_matches('/').split_once('/').unwrap_or_default()
    }
}

/// The name of the message that asks for what a proxy says, for error texts.
pub(crate) fn request_type(view: ProxyView) -> &'static str {
    match view {
        ProxyView::ConfigDump => "XDSConfigRequest",
        ProxyView::Stats => "StatsRequest",
        ProxyView::Clusters => "ClustersRequest",
    }
}

/// What people call that: in error texts and logs.
pub(crate) fn title(view: ProxyView) -> &'static str {
    match view {
        ProxyView::ConfigDump => "XDS Config Dump",
        ProxyView::Stats => "Stats",
        ProxyView::Clusters => "Clusters",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_rpc_is_found_by_its_path_and_no_other() {
        for rpc in Rpc::ALL {
            assert_eq!(Rpc::of(rpc.path()), Some(rpc));
            assert_eq!(format!("/{}/{}", rpc.service(), rpc.method()), rpc.path());
        }
        for other in ["", "/", "/kuma.mesh.v1alpha1.MultiplexService/StreamMessage", "GlobalToZoneSync"] {
            assert_eq!(Rpc::of(other), None, "{other}");
        }
    }
}
