//! The RPCs of the KDS port, by the path that a call names.

/// What global sends to a zone.
pub const DOWN: &str = "/kuma.mesh.v1alpha1.KDSSyncService/GlobalToZoneSync";
/// What a zone sends to global.
pub const UP: &str = "/kuma.mesh.v1alpha1.KDSSyncService/ZoneToGlobalSync";
/// The ping of a zone.
pub const PING: &str = "/kuma.mesh.v1alpha1.GlobalKDSService/HealthCheck";
/// The streams on which global asks for what proxies say of themselves.
pub const ADMIN: [&str; 3] = [
    "/kuma.mesh.v1alpha1.GlobalKDSService/StreamXDSConfigs",
    "/kuma.mesh.v1alpha1.GlobalKDSService/StreamStats",
    "/kuma.mesh.v1alpha1.GlobalKDSService/StreamClusters",
];
/// A zone of ours gets its next token.
pub const RENEW: &str = "/arctos.kds.v1.TokenService/Renew";
/// A zone of ours shows its new token.
pub const PRESENT: &str = "/arctos.kds.v1.TokenService/Present";
