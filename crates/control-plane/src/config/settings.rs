//! Every setting: its path in the file, its type, its environment variable, its default (contract: rest-and-cli, appendix A).
//! Longer than usual because it is a table with a row for each.
//!
//! Settings without effect belong to parts this program does not have; they are accepted, so that a file of a real
//! control plane can be used as it is, and named in one warning.

/// What a setting's value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Text,
    /// `true` or `false`.
    Flag,
    /// A whole number, not negative.
    Number,
    /// A Go duration: `10s`, `1h30m`.
    Duration,
    /// A list of texts; in the environment separated by commas.
    List,
    /// Public keys; only in a file, and kept as JSON.
    Keys,
    /// Names, each with a list of texts; only in a file, and kept as JSON.
    Lists,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Setting {
    pub(super) path: &'static str,
    pub(super) form: Form,
    /// The environment variable; empty if there is none.
    pub(super) variable: &'static str,
    pub(super) default: &'static str,
    /// What this program does with it.
    pub(super) effect: Effect,
}

/// What this program does with a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// It does what the setting says.
    Works,
    /// Nothing: the part that it is for is not here.
    Nothing,
    /// Nothing either, but the setting restricts who gets in: with another value than the default the program does not
    /// start, for whoever sets it relies on it. The text says why, and what to do.
    Refuses(&'static str),
}

const fn setting(path: &'static str, form: Form, variable: &'static str, default: &'static str) -> Setting {
    Setting { path, form, variable, default, effect: Effect::Works }
}

/// A setting of a part that is not here.
const fn foreign(path: &'static str, form: Form, variable: &'static str, default: &'static str) -> Setting {
    Setting { path, form, variable, default, effect: Effect::Nothing }
}

/// A setting that restricts, of a part that is not here.
const fn guard(
    path: &'static str,
    form: Form,
    variable: &'static str,
    default: &'static str,
    why: &'static str,
) -> Setting {
    Setting { path, form, variable, default, effect: Effect::Refuses(why) }
}

const PLAIN_DIAGNOSTICS: &str = "the diagnostics port is served in plain text only: remove it, and let a firewall or a \
                                 proxy that ends TLS stand in front of the port";

use Form::{Duration, Flag, Keys, List, Lists, Number, Text};

#[rustfmt::skip]
pub(super) const SETTINGS: &[Setting] = &[
    // general
    foreign("general.dnsCacheTTL", Duration, "KUMA_GENERAL_DNS_CACHE_TTL", "10s"),
    setting("general.tlsCertFile", Text, "KUMA_GENERAL_TLS_CERT_FILE", ""),
    setting("general.tlsKeyFile", Text, "KUMA_GENERAL_TLS_KEY_FILE", ""),
    setting("general.tlsMinVersion", Text, "KUMA_GENERAL_TLS_MIN_VERSION", "TLSv1_2"),
    setting("general.tlsMaxVersion", Text, "KUMA_GENERAL_TLS_MAX_VERSION", ""),
    setting("general.tlsCipherSuites", List, "KUMA_GENERAL_TLS_CIPHER_SUITES", ""),
    setting("general.workDir", Text, "KUMA_GENERAL_WORK_DIR", ""),
    setting("general.drainTime", Duration, "KUMA_GENERAL_DRAIN_TIME", "30s"),
    setting("general.resilientComponentBaseBackoff", Duration, "KUMA_GENERAL_RESILIENT_COMPONENT_BASE_BACKOFF", "5s"),
    setting("general.resilientComponentMaxBackoff", Duration, "KUMA_GENERAL_RESILIENT_COMPONENT_MAX_BACKOFF", "1m"),
    foreign("general.certGenerationBaseBackoff", Duration, "KUMA_GENERAL_CERT_GENERATION_BASE_BACKOFF", "5s"),
    foreign("general.certGenerationMaxBackoff", Duration, "KUMA_GENERAL_CERT_GENERATION_MAX_BACKOFF", "5m"),
    foreign("general.certGenerationCircuitBreakerMinProxies", Number, "KUMA_GENERAL_CERT_GENERATION_CIRCUIT_BREAKER_MIN_PROXIES", "10"),
    // environment
    setting("environment", Text, "KUMA_ENVIRONMENT", "universal"),
    // mode
    setting("mode", Text, "KUMA_MODE", "zone"),
    // store
    setting("store.type", Text, "KUMA_STORE_TYPE", "sqlite"),
    setting("store.postgres.host", Text, "KUMA_STORE_POSTGRES_HOST", "127.0.0.1"),
    setting("store.postgres.port", Number, "KUMA_STORE_POSTGRES_PORT", "15432"),
    setting("store.postgres.user", Text, "KUMA_STORE_POSTGRES_USER", "kuma"),
    setting("store.postgres.password", Text, "KUMA_STORE_POSTGRES_PASSWORD", "kuma"),
    setting("store.postgres.dbName", Text, "KUMA_STORE_POSTGRES_DB_NAME", "kuma"),
    setting("store.postgres.driverName", Text, "KUMA_STORE_POSTGRES_DRIVER_NAME", "pgx"),
    setting("store.postgres.connectionTimeout", Number, "KUMA_STORE_POSTGRES_CONNECTION_TIMEOUT", "5"),
    setting("store.postgres.maxConnectionIdleTime", Duration, "KUMA_STORE_POSTGRES_MAX_CONNECTION_IDLE_TIME", "30m"),
    setting("store.postgres.maxConnectionLifetime", Duration, "KUMA_STORE_POSTGRES_MAX_CONNECTION_LIFETIME", "1h"),
    setting("store.postgres.maxConnectionLifetimeJitter", Duration, "KUMA_STORE_POSTGRES_MAX_CONNECTION_LIFETIME_JITTER", "1m"),
    setting("store.postgres.healthCheckInterval", Duration, "KUMA_STORE_POSTGRES_HEALTH_CHECK_INTERVAL", "30s"),
    setting("store.postgres.minOpenConnections", Number, "KUMA_STORE_POSTGRES_MIN_OPEN_CONNECTIONS", "0"),
    setting("store.postgres.maxOpenConnections", Number, "KUMA_STORE_POSTGRES_MAX_OPEN_CONNECTIONS", "50"),
    setting("store.postgres.maxIdleConnections", Number, "KUMA_STORE_POSTGRES_MAX_IDLE_CONNECTIONS", "50"),
    setting("store.postgres.tls.mode", Text, "KUMA_STORE_POSTGRES_TLS_MODE", "disable"),
    setting("store.postgres.tls.certPath", Text, "KUMA_STORE_POSTGRES_TLS_CERT_PATH", ""),
    setting("store.postgres.tls.keyPath", Text, "KUMA_STORE_POSTGRES_TLS_KEY_PATH", ""),
    setting("store.postgres.tls.caPath", Text, "KUMA_STORE_POSTGRES_TLS_CA_PATH", ""),
    setting("store.postgres.tls.disableSSLSNI", Flag, "KUMA_STORE_POSTGRES_TLS_DISABLE_SSLSNI", "false"),
    foreign("store.postgres.maxListQueryElements", Number, "KUMA_STORE_POSTGRES_MAX_LIST_QUERY_ELEMENTS", "0"),
    setting("store.postgres.readReplica.host", Text, "KUMA_STORE_POSTGRES_READ_REPLICA_HOST", ""),
    foreign("store.postgres.readReplica.port", Number, "KUMA_STORE_POSTGRES_READ_REPLICA_PORT", "5432"),
    foreign("store.postgres.readReplica.ratio", Number, "KUMA_STORE_POSTGRES_READ_REPLICA_RATIO", "100"),
    setting("store.postgres.tolerateNewerDBVersions", Flag, "KUMA_STORE_POSTGRES_TOLERATE_NEWER_DB_VERSIONS", "false"),
    foreign("store.kubernetes.systemNamespace", Text, "KUMA_STORE_KUBERNETES_SYSTEM_NAMESPACE", "kuma-system"),
    foreign("store.cache.enabled", Flag, "KUMA_STORE_CACHE_ENABLED", "true"),
    foreign("store.cache.expirationTime", Duration, "KUMA_STORE_CACHE_EXPIRATION_TIME", "1s"),
    foreign("store.upsert.conflictRetryBaseBackoff", Duration, "KUMA_STORE_UPSERT_CONFLICT_RETRY_BASE_BACKOFF", "200ms"),
    foreign("store.upsert.conflictRetryMaxTimes", Number, "KUMA_STORE_UPSERT_CONFLICT_RETRY_MAX_TIMES", "10"),
    foreign("store.upsert.conflictRetryJitterPercent", Number, "KUMA_STORE_UPSERT_CONFLICT_RETRY_JITTER_PERCENT", "30"),
    setting("store.sealing.enabled", Flag, "KUMA_STORE_SEALING_ENABLED", "true"),
    setting("store.sealing.keyFile", Text, "KUMA_STORE_SEALING_KEY_FILE", ""),
    setting("store.sealing.key", Text, "KUMA_STORE_SEALING_KEY", ""),
    setting("store.sealing.command", Text, "KUMA_STORE_SEALING_COMMAND", ""),
    setting("store.unsafeDelete", Flag, "KUMA_STORE_UNSAFE_DELETE", "false"),
    // apiServer
    setting("apiServer.readOnly", Flag, "KUMA_API_SERVER_READ_ONLY", "false"),
    setting("apiServer.corsAllowedDomains", List, "KUMA_API_SERVER_CORS_ALLOWED_DOMAINS", ""),
    setting("apiServer.http.enabled", Flag, "KUMA_API_SERVER_HTTP_ENABLED", "true"),
    setting("apiServer.http.interface", Text, "KUMA_API_SERVER_HTTP_INTERFACE", "0.0.0.0"),
    setting("apiServer.http.port", Number, "KUMA_API_SERVER_HTTP_PORT", "5681"),
    setting("apiServer.https.enabled", Flag, "KUMA_API_SERVER_HTTPS_ENABLED", "true"),
    setting("apiServer.https.interface", Text, "KUMA_API_SERVER_HTTPS_INTERFACE", "0.0.0.0"),
    setting("apiServer.https.port", Number, "KUMA_API_SERVER_HTTPS_PORT", "5682"),
    setting("apiServer.https.tlsCertFile", Text, "KUMA_API_SERVER_HTTPS_TLS_CERT_FILE", ""),
    setting("apiServer.https.tlsKeyFile", Text, "KUMA_API_SERVER_HTTPS_TLS_KEY_FILE", ""),
    setting("apiServer.https.tlsMinVersion", Text, "KUMA_API_SERVER_HTTPS_TLS_MIN_VERSION", "TLSv1_2"),
    setting("apiServer.https.tlsMaxVersion", Text, "KUMA_API_SERVER_HTTPS_TLS_MAX_VERSION", ""),
    setting("apiServer.https.tlsCipherSuites", List, "KUMA_API_SERVER_HTTPS_TLS_CIPHER_SUITES", ""),
    setting("apiServer.https.requireClientCert", Flag, "KUMA_API_SERVER_HTTPS_REQUIRE_CLIENT_CERT", "false"),
    setting("apiServer.https.tlsCaFile", Text, "KUMA_API_SERVER_HTTPS_TLS_CA_FILE", ""),
    setting("apiServer.authn.type", Text, "KUMA_API_SERVER_AUTHN_TYPE", "tokens"),
    setting("apiServer.authn.localhostIsAdmin", Flag, "KUMA_API_SERVER_AUTHN_LOCALHOST_IS_ADMIN", "true"),
    setting("apiServer.authn.tokens.bootstrapAdminToken", Flag, "KUMA_API_SERVER_AUTHN_TOKENS_BOOTSTRAP_ADMIN_TOKEN", "true"),
    setting("apiServer.authn.tokens.enableIssuer", Flag, "KUMA_API_SERVER_AUTHN_TOKENS_ENABLE_ISSUER", "true"),
    setting("apiServer.authn.tokens.validator.useSecrets", Flag, "KUMA_API_SERVER_AUTHN_TOKENS_VALIDATOR_USE_SECRETS", "true"),
    setting("apiServer.authn.tokens.validator.publicKeys", Keys, "", ""),
    setting("apiServer.authn.tokens.signers", Keys, "", ""),
    setting("apiServer.product", Text, "KMESH_API_SERVER_PRODUCT", "Kuma"),
    setting("apiServer.basePath", Text, "KUMA_API_SERVER_BASE_PATH", "/"),
    foreign("apiServer.rootUrl", Text, "KUMA_API_SERVER_ROOT_URL", ""),
    foreign("apiServer.gui.enabled", Flag, "KUMA_API_SERVER_GUI_ENABLED", "true"),
    foreign("apiServer.gui.rootUrl", Text, "KUMA_API_SERVER_GUI_ROOT_URL", ""),
    foreign("apiServer.gui.basePath", Text, "KUMA_API_SERVER_GUI_BASE_PATH", "/gui"),
    setting("apiServer.readHeaderTimeout", Duration, "KUMA_API_SERVER_READ_HEADER_TIMEOUT", "1s"),
    setting("apiServer.readTimeout", Duration, "KUMA_API_SERVER_READ_TIMEOUT", "10s"),
    setting("apiServer.writeTimeout", Duration, "KUMA_API_SERVER_WRITE_TIMEOUT", "30s"),
    setting("apiServer.idleTimeout", Duration, "KUMA_API_SERVER_IDLE_TIMEOUT", "2m0s"),
    // multizone
    setting("multizone.global.kds.grpcPort", Number, "KUMA_MULTIZONE_GLOBAL_KDS_GRPC_PORT", "5685"),
    setting("multizone.global.kds.zoneInsightFlushInterval", Duration, "KUMA_MULTIZONE_GLOBAL_KDS_ZONE_INSIGHT_FLUSH_INTERVAL", "10s"),
    setting("multizone.global.kds.tlsEnabled", Flag, "KUMA_MULTIZONE_GLOBAL_KDS_TLS_ENABLED", "true"),
    setting("multizone.global.kds.tlsCertFile", Text, "KUMA_MULTIZONE_GLOBAL_KDS_TLS_CERT_FILE", ""),
    setting("multizone.global.kds.tlsKeyFile", Text, "KUMA_MULTIZONE_GLOBAL_KDS_TLS_KEY_FILE", ""),
    setting("multizone.global.kds.tlsMinVersion", Text, "KUMA_MULTIZONE_GLOBAL_KDS_TLS_MIN_VERSION", "TLSv1_2"),
    setting("multizone.global.kds.tlsMaxVersion", Text, "KUMA_MULTIZONE_GLOBAL_KDS_TLS_MAX_VERSION", ""),
    setting("multizone.global.kds.tlsCipherSuites", List, "KUMA_MULTIZONE_GLOBAL_KDS_TLS_CIPHER_SUITES", ""),
    setting("multizone.global.kds.tlsNames", List, "KUMA_MULTIZONE_GLOBAL_KDS_TLS_NAMES", ""),
    setting("multizone.global.kds.maxMsgSize", Number, "KUMA_MULTIZONE_GLOBAL_KDS_MAX_MSG_SIZE", "10485760"),
    setting("multizone.global.kds.msgSendTimeout", Duration, "KUMA_MULTIZONE_GLOBAL_KDS_MSG_SEND_TIMEOUT", "60s"),
    setting("multizone.global.kds.zoneQuota.resources", Number, "KUMA_MULTIZONE_GLOBAL_KDS_ZONE_QUOTA_RESOURCES", "100000"),
    setting("multizone.global.kds.zoneQuota.bytes", Number, "KUMA_MULTIZONE_GLOBAL_KDS_ZONE_QUOTA_BYTES", "268435456"),
    foreign("multizone.global.kds.nackBackoff", Duration, "KUMA_MULTIZONE_GLOBAL_KDS_NACK_BACKOFF", "5s"),
    foreign("multizone.global.kds.responseBackoff", Duration, "KUMA_MULTIZONE_GLOBAL_KDS_RESPONSE_BACKOFF", "0s"),
    foreign("multizone.global.kds.logPayloads", Flag, "KUMA_MULTIZONE_GLOBAL_KDS_LOG_PAYLOADS", "false"),
    foreign("multizone.global.kds.eventBasedWatchdog.flushInterval", Duration, "KUMA_MULTIZONE_GLOBAL_KDS_EVENT_BASED_WATCHDOG_FLUSH_INTERVAL", "1s"),
    foreign("multizone.global.kds.eventBasedWatchdog.fullResyncInterval", Duration, "KUMA_MULTIZONE_GLOBAL_KDS_EVENT_BASED_WATCHDOG_FULL_RESYNC_INTERVAL", "1s"),
    foreign("multizone.global.kds.eventBasedWatchdog.delayFullResync", Flag, "KUMA_MULTIZONE_GLOBAL_KDS_EVENT_BASED_WATCHDOG_DELAY_FULL_RESYNC", "false"),
    setting("multizone.global.kds.zoneHealthCheck.pollInterval", Duration, "KUMA_MULTIZONE_GLOBAL_KDS_ZONE_HEALTH_CHECK_POLL_INTERVAL", "0s"),
    setting("multizone.global.kds.zoneHealthCheck.timeout", Duration, "KUMA_MULTIZONE_GLOBAL_KDS_ZONE_HEALTH_CHECK_TIMEOUT", "0s"),
    foreign("multizone.global.kds.zoneHealthCheck.closeStaleConn", Flag, "KUMA_MULTIZONE_GLOBAL_KDS_ZONE_HEALTH_CHECK_CLOSE_STALE_CONN", "false"),
    foreign("multizone.global.kds.tracing.enabled", Flag, "KUMA_MULTIZONE_GLOBAL_KDS_TRACING_ENABLED", "true"),
    setting("multizone.global.kds.labels.skipPrefixes", List, "KUMA_MULTIZONE_GLOBAL_KDS_LABELS_SKIP_PREFIXES", ""),
    setting("multizone.zone.name", Text, "KUMA_MULTIZONE_ZONE_NAME", "default"),
    setting("multizone.zone.globalAddress", Text, "KUMA_MULTIZONE_ZONE_GLOBAL_ADDRESS", ""),
    setting("multizone.zone.kds.tlsSkipVerify", Flag, "KUMA_MULTIZONE_ZONE_KDS_TLS_SKIP_VERIFY", "false"),
    setting("multizone.zone.kds.rootCaFile", Text, "KUMA_MULTIZONE_ZONE_KDS_ROOT_CA_FILE", ""),
    setting("multizone.zone.kds.maxMsgSize", Number, "KUMA_MULTIZONE_ZONE_KDS_MAX_MSG_SIZE", "10485760"),
    setting("multizone.zone.kds.deleteOwnMeshes", Flag, "KUMA_MULTIZONE_ZONE_KDS_DELETE_OWN_MESHES", "false"),
    setting("multizone.zone.kds.msgSendTimeout", Duration, "KUMA_MULTIZONE_ZONE_KDS_MSG_SEND_TIMEOUT", "60s"),
    foreign("multizone.zone.kds.nackBackoff", Duration, "KUMA_MULTIZONE_ZONE_KDS_NACK_BACKOFF", "5s"),
    foreign("multizone.zone.kds.responseBackoff", Duration, "KUMA_MULTIZONE_ZONE_KDS_RESPONSE_BACKOFF", "0s"),
    foreign("multizone.zone.kds.logPayloads", Flag, "KUMA_MULTIZONE_ZONE_KDS_LOG_PAYLOADS", "false"),
    foreign("multizone.zone.kds.eventBasedWatchdog.flushInterval", Duration, "KUMA_MULTIZONE_ZONE_KDS_EVENT_BASED_WATCHDOG_FLUSH_INTERVAL", "1s"),
    foreign("multizone.zone.kds.eventBasedWatchdog.fullResyncInterval", Duration, "KUMA_MULTIZONE_ZONE_KDS_EVENT_BASED_WATCHDOG_FULL_RESYNC_INTERVAL", "1s"),
    foreign("multizone.zone.kds.eventBasedWatchdog.delayFullResync", Flag, "KUMA_MULTIZONE_ZONE_KDS_EVENT_BASED_WATCHDOG_DELAY_FULL_RESYNC", "false"),
    setting("multizone.zone.kds.labels.skipPrefixes", List, "KUMA_MULTIZONE_ZONE_KDS_LABELS_SKIP_PREFIXES", ""),
    setting("multizone.zone.disableOriginLabelValidation", Flag, "KUMA_MULTIZONE_ZONE_DISABLE_ORIGIN_LABEL_VALIDATION", "false"),
    setting("multizone.global.kds.auth.type", Text, "KUMA_MULTIZONE_GLOBAL_KDS_AUTH_TYPE", "cpToken"),
    setting("multizone.global.kds.auth.leeway", Duration, "KUMA_MULTIZONE_GLOBAL_KDS_AUTH_LEEWAY", "30s"),
    setting("multizone.global.kds.auth.zoneToken.enableIssuer", Flag, "KUMA_MULTIZONE_GLOBAL_KDS_AUTH_ZONE_TOKEN_ENABLE_ISSUER", "true"),
    setting("multizone.global.kds.auth.zoneToken.validator.useSecrets", Flag, "KUMA_MULTIZONE_GLOBAL_KDS_AUTH_ZONE_TOKEN_VALIDATOR_USE_SECRETS", "true"),
    setting("multizone.global.kds.auth.zoneToken.validator.publicKeys", Keys, "", ""),
    setting("multizone.global.kds.auth.zoneToken.signers", Keys, "", ""),
    setting("multizone.global.kds.auth.mode", Text, "KUMA_MULTIZONE_GLOBAL_KDS_AUTH_MODE", "enforce"),
    setting("multizone.global.kds.auth.recheck", Text, "KUMA_MULTIZONE_GLOBAL_KDS_AUTH_RECHECK", "live"),
    setting("multizone.global.kds.auth.legacyTokensUntil", Text, "KUMA_MULTIZONE_GLOBAL_KDS_AUTH_LEGACY_TOKENS_UNTIL", ""),
    setting("multizone.global.kds.auth.maxStaleness", Duration, "KUMA_MULTIZONE_GLOBAL_KDS_AUTH_MAX_STALENESS", "5m"),
    setting("multizone.global.kds.auth.renewal.enabled", Flag, "KUMA_MULTIZONE_GLOBAL_KDS_AUTH_RENEWAL_ENABLED", "true"),
    setting("multizone.global.kds.auth.renewal.maxLife", Duration, "KUMA_MULTIZONE_GLOBAL_KDS_AUTH_RENEWAL_MAX_LIFE", "0s"),
    setting("multizone.global.kds.auth.rotation.recentZones", Duration, "KUMA_MULTIZONE_GLOBAL_KDS_AUTH_ROTATION_RECENT_ZONES", "168h"),
    setting("multizone.global.kds.auth.rotation.patience", Duration, "KUMA_MULTIZONE_GLOBAL_KDS_AUTH_ROTATION_PATIENCE", "24h"),
    setting("multizone.zone.kds.auth.renew", Flag, "KUMA_MULTIZONE_ZONE_KDS_AUTH_RENEW", "true"),
    setting("multizone.zone.kds.auth.tokenInline", Text, "KUMA_MULTIZONE_ZONE_KDS_AUTH_TOKEN_INLINE", ""),
    setting("multizone.zone.kds.auth.tokenPath", Text, "KUMA_MULTIZONE_ZONE_KDS_AUTH_TOKEN_PATH", ""),
    setting("multizone.connector.listen", Text, "KUMA_MULTIZONE_CONNECTOR_LISTEN", "127.0.0.1:5686"),
    setting("multizone.connector.tlsCertFile", Text, "KUMA_MULTIZONE_CONNECTOR_TLS_CERT_FILE", ""),
    setting("multizone.connector.tlsKeyFile", Text, "KUMA_MULTIZONE_CONNECTOR_TLS_KEY_FILE", ""),
    setting("multizone.gateway.upstream", List, "KUMA_MULTIZONE_GATEWAY_UPSTREAM", ""),
    setting("multizone.gateway.upstreamRootCaFile", Text, "KUMA_MULTIZONE_GATEWAY_UPSTREAM_ROOT_CA_FILE", ""),
    setting("multizone.gateway.upstreamTlsSkipVerify", Flag, "KUMA_MULTIZONE_GATEWAY_UPSTREAM_TLS_SKIP_VERIFY", "false"),
    setting("multizone.gateway.forwardToken", Flag, "KUMA_MULTIZONE_GATEWAY_FORWARD_TOKEN", "false"),
    // access
    setting("access.type", Text, "KUMA_ACCESS_TYPE", "static"),
    setting("access.static.adminResources.users", List, "KUMA_ACCESS_STATIC_ADMIN_RESOURCES_USERS", "mesh-system:admin"),
    setting("access.static.adminResources.groups", List, "KUMA_ACCESS_STATIC_ADMIN_RESOURCES_GROUPS", "mesh-system:admin"),
    setting("access.static.generateDpToken.users", List, "KUMA_ACCESS_STATIC_GENERATE_DP_TOKEN_USERS", "mesh-system:admin"),
    setting("access.static.generateDpToken.groups", List, "KUMA_ACCESS_STATIC_GENERATE_DP_TOKEN_GROUPS", "mesh-system:admin"),
    setting("access.static.generateUserToken.users", List, "KUMA_ACCESS_STATIC_GENERATE_USER_TOKEN_USERS", "mesh-system:admin"),
    setting("access.static.generateUserToken.groups", List, "KUMA_ACCESS_STATIC_GENERATE_USER_TOKEN_GROUPS", "mesh-system:admin"),
    setting("access.static.generateZoneToken.users", List, "KUMA_ACCESS_STATIC_GENERATE_ZONE_TOKEN_USERS", "mesh-system:admin"),
    setting("access.static.generateZoneToken.groups", List, "KUMA_ACCESS_STATIC_GENERATE_ZONE_TOKEN_GROUPS", "mesh-system:admin"),
    setting("access.static.generateZoneToken.zones", Lists, "", ""),
    setting("access.static.viewConfigDump.users", List, "KUMA_ACCESS_STATIC_GET_CONFIG_DUMP_USERS", ""),
    setting("access.static.viewConfigDump.groups", List, "KUMA_ACCESS_STATIC_GET_CONFIG_DUMP_GROUPS", "mesh-system:unauthenticated,mesh-system:authenticated"),
    setting("access.static.viewStats.users", List, "KUMA_ACCESS_STATIC_VIEW_STATS_USERS", ""),
    setting("access.static.viewStats.groups", List, "KUMA_ACCESS_STATIC_VIEW_STATS_GROUPS", "mesh-system:unauthenticated,mesh-system:authenticated"),
    setting("access.static.viewClusters.users", List, "KUMA_ACCESS_STATIC_VIEW_CLUSTERS_USERS", ""),
    setting("access.static.viewClusters.groups", List, "KUMA_ACCESS_STATIC_VIEW_CLUSTERS_GROUPS", "mesh-system:unauthenticated,mesh-system:authenticated"),
    setting("access.static.controlPlaneMetadata.users", List, "KUMA_ACCESS_STATIC_CONTROL_PLANE_METADATA_USERS", ""),
    setting("access.static.controlPlaneMetadata.groups", List, "KUMA_ACCESS_STATIC_CONTROL_PLANE_METADATA_GROUPS", "mesh-system:unauthenticated,mesh-system:authenticated"),
    setting("access.static.viewSigningKeys.users", List, "KUMA_ACCESS_STATIC_VIEW_SIGNING_KEYS_USERS", ""),
    setting("access.static.viewSigningKeys.groups", List, "KUMA_ACCESS_STATIC_VIEW_SIGNING_KEYS_GROUPS", ""),
    setting("access.static.generateCpToken.users", List, "KUMA_ACCESS_STATIC_GENERATE_CP_TOKEN_USERS", "mesh-system:admin"),
    setting("access.static.generateCpToken.groups", List, "KUMA_ACCESS_STATIC_GENERATE_CP_TOKEN_GROUPS", "mesh-system:admin"),
    // diagnostics
    setting("diagnostics.serverPort", Number, "KUMA_DIAGNOSTICS_SERVER_PORT", "5680"),
    foreign("diagnostics.debugEndpoints", Flag, "KUMA_DIAGNOSTICS_DEBUG_ENDPOINTS", "false"),
    guard("diagnostics.tlsEnabled", Flag, "KUMA_DIAGNOSTICS_TLS_ENABLED", "false", PLAIN_DIAGNOSTICS),
    foreign("diagnostics.tlsCertFile", Text, "KUMA_DIAGNOSTICS_TLS_CERT_FILE", ""),
    foreign("diagnostics.tlsKeyFile", Text, "KUMA_DIAGNOSTICS_TLS_KEY_FILE", ""),
    foreign("diagnostics.tlsMinVersion", Text, "KUMA_DIAGNOSTICS_TLS_MIN_VERSION", "TLSv1_2"),
    foreign("diagnostics.tlsMaxVersion", Text, "KUMA_DIAGNOSTICS_TLS_MAX_VERSION", ""),
    foreign("diagnostics.tlsCipherSuites", List, "KUMA_DIAGNOSTICS_TLS_CIPHER_SUITES", ""),
    // defaults
    setting("defaults.skipMeshCreation", Flag, "KUMA_DEFAULTS_SKIP_MESH_CREATION", "false"),
    foreign("defaults.skipTenantResources", Flag, "KUMA_DEFAULTS_SKIP_TENANT_RESOURCES", "false"),
    setting("defaults.SkipHostnameGenerators", Flag, "KUMA_DEFAULTS_SKIP_HOSTNAME_GENERATORS", "false"),
    // metrics
    foreign("metrics.dataplane.subscriptionLimit", Number, "KUMA_METRICS_DATAPLANE_SUBSCRIPTION_LIMIT", "2"),
    foreign("metrics.dataplane.idleTimeout", Duration, "KUMA_METRICS_DATAPLANE_IDLE_TIMEOUT", "5m"),
    setting("metrics.zone.subscriptionLimit", Number, "KUMA_METRICS_ZONE_SUBSCRIPTION_LIMIT", "10"),
    foreign("metrics.zone.idleTimeout", Duration, "KUMA_METRICS_ZONE_IDLE_TIMEOUT", "5m"),
    setting("metrics.zone.compactFinishedSubscriptions", Flag, "KUMA_METRICS_ZONE_COMPACT_FINISHED_SUBSCRIPTIONS", "false"),
    foreign("metrics.mesh.bufferSize", Number, "KUMA_METRICS_MESH_BUFFER_SIZE", "1000"),
    foreign("metrics.mesh.minResyncInterval", Duration, "KUMA_METRICS_MESH_MIN_RESYNC_INTERVAL", "1s"),
    foreign("metrics.mesh.fullResyncInterval", Duration, "KUMA_METRICS_MESH_FULL_RESYNC_INTERVAL", "20s"),
    foreign("metrics.mesh.eventProcessors", Number, "KUMA_METRICS_MESH_EVENT_PROCESSORS", "1"),
    foreign("metrics.controlPlane.reportResourcesCount", Flag, "KUMA_METRICS_CONTROL_PLANE_REPORT_RESOURCES_COUNT", "true"),
    foreign("metrics.openTelemetry.enabled", Flag, "KUMA_METRICS_OPENTELEMETRY_ENABLED", "true"),
    // reports
    foreign("reports.enabled", Flag, "KUMA_REPORTS_ENABLED", "false"),
    // interCp
    setting("interCp.catalog.instanceAddress", Text, "KUMA_INTER_CP_CATALOG_INSTANCE_ADDRESS", ""),
    foreign("interCp.catalog.instanceVersion", Text, "KUMA_INTER_CP_CATALOG_INSTANCE_VERSION", ""),
    setting("interCp.catalog.heartbeatInterval", Duration, "KUMA_INTER_CP_CATALOG_HEARTBEAT_INTERVAL", "5s"),
    foreign("interCp.catalog.writerInterval", Duration, "KUMA_INTER_CP_CATALOG_WRITER_INTERVAL", "15s"),
    setting("interCp.server.port", Number, "KUMA_INTER_CP_SERVER_PORT", "5683"),
    setting("interCp.server.tlsMinVersion", Text, "KUMA_INTER_CP_SERVER_TLS_MIN_VERSION", "TLSv1_2"),
    setting("interCp.server.tlsMaxVersion", Text, "KUMA_INTER_CP_SERVER_TLS_MAX_VERSION", ""),
    setting("interCp.server.tlsCipherSuites", List, "KUMA_INTER_CP_SERVER_TLS_CIPHER_SUITES", ""),
    // tracing
    foreign("tracing.openTelemetry.enabled", Flag, "KUMA_TRACING_OPENTELEMETRY_ENABLED", "false"),
    foreign("tracing.openTelemetry.endpoint", Text, "KUMA_TRACING_OPENTELEMETRY_ENDPOINT", ""),
    // eventBus
    foreign("eventBus.bufferSize", Number, "KUMA_EVENT_BUS_BUFFER_SIZE", "100"),
    // bootstrapServer
    foreign("bootstrapServer.params.adminAddress", Text, "KUMA_BOOTSTRAP_SERVER_PARAMS_ADMIN_ADDRESS", "127.0.0.1"),
    setting("bootstrapServer.params.adminPort", Number, "KUMA_BOOTSTRAP_SERVER_PARAMS_ADMIN_PORT", "9901"),
    foreign("bootstrapServer.params.envoyAdminUnixSocket", Flag, "KUMA_BOOTSTRAP_SERVER_PARAMS_ENVOY_ADMIN_UNIX_SOCKET", "true"),
    foreign("bootstrapServer.params.readinessPort", Number, "KUMA_BOOTSTRAP_SERVER_PARAMS_READINESS_PORT", "9902"),
    foreign("bootstrapServer.params.adminAccessLogPath", Text, "KUMA_BOOTSTRAP_SERVER_PARAMS_ADMIN_ACCESS_LOG_PATH", "/dev/null"),
    foreign("bootstrapServer.params.xdsHost", Text, "KUMA_BOOTSTRAP_SERVER_PARAMS_XDS_HOST", ""),
    foreign("bootstrapServer.params.xdsPort", Number, "KUMA_BOOTSTRAP_SERVER_PARAMS_XDS_PORT", "0"),
    foreign("bootstrapServer.params.xdsConnectTimeout", Duration, "KUMA_BOOTSTRAP_SERVER_PARAMS_XDS_CONNECT_TIMEOUT", "1s"),
    foreign("bootstrapServer.params.xdsGrpcMaxReceiveMessageBytes", Number, "KUMA_BOOTSTRAP_SERVER_PARAMS_XDS_GRPC_MAX_RECEIVE_MESSAGE_BYTES", "4194304"),
    // xdsServer
    foreign("xdsServer.dataplaneConfigurationRefreshInterval", Duration, "KUMA_XDS_SERVER_DATAPLANE_CONFIGURATION_REFRESH_INTERVAL", "1s"),
    foreign("xdsServer.dataplaneStatusFlushInterval", Duration, "KUMA_XDS_SERVER_DATAPLANE_STATUS_FLUSH_INTERVAL", "10s"),
    foreign("xdsServer.dataplaneDeregistrationDelay", Duration, "KUMA_XDS_DATAPLANE_DEREGISTRATION_DELAY", "10s"),
    foreign("xdsServer.nackBackoff", Duration, "KUMA_XDS_SERVER_NACK_BACKOFF", "5s"),
    foreign("xdsServer.policyMatchingCacheSize", Number, "KUMA_XDS_SERVER_POLICY_MATCHING_CACHE_SIZE", "10000"),
    // monitoringAssignmentServer
    foreign("monitoringAssignmentServer.enabled", Flag, "KUMA_MONITORING_ASSIGNMENT_SERVER_ENABLED", "true"),
    foreign("monitoringAssignmentServer.port", Number, "KUMA_MONITORING_ASSIGNMENT_SERVER_PORT", "5676"),
    foreign("monitoringAssignmentServer.defaultFetchTimeout", Duration, "KUMA_MONITORING_ASSIGNMENT_SERVER_DEFAULT_FETCH_TIMEOUT", "30s"),
    foreign("monitoringAssignmentServer.apiVersions", List, "KUMA_MONITORING_ASSIGNMENT_SERVER_API_VERSIONS", "v1"),
    foreign("monitoringAssignmentServer.assignmentRefreshInterval", Duration, "KUMA_MONITORING_ASSIGNMENT_SERVER_ASSIGNMENT_REFRESH_INTERVAL", "1s"),
    foreign("monitoringAssignmentServer.tlsEnabled", Flag, "KUMA_MONITORING_ASSIGNMENT_SERVER_TLS_ENABLED", "false"),
    foreign("monitoringAssignmentServer.tlsCertFile", Text, "KUMA_MONITORING_ASSIGNMENT_SERVER_TLS_CERT_FILE", ""),
    foreign("monitoringAssignmentServer.tlsKeyFile", Text, "KUMA_MONITORING_ASSIGNMENT_SERVER_TLS_KEY_FILE", ""),
    foreign("monitoringAssignmentServer.tlsMinVersion", Text, "KUMA_MONITORING_ASSIGNMENT_SERVER_TLS_MIN_VERSION", "TLSv1_2"),
    foreign("monitoringAssignmentServer.tlsMaxVersion", Text, "KUMA_MONITORING_ASSIGNMENT_SERVER_TLS_MAX_VERSION", ""),
    foreign("monitoringAssignmentServer.tlsCipherSuites", List, "KUMA_MONITORING_ASSIGNMENT_SERVER_TLS_CIPHER_SUITES", ""),
    // dpServer
    foreign("dpServer.port", Number, "KUMA_DP_SERVER_PORT", "5678"),
    foreign("dpServer.tlsCertFile", Text, "KUMA_DP_SERVER_TLS_CERT_FILE", ""),
    foreign("dpServer.tlsKeyFile", Text, "KUMA_DP_SERVER_TLS_KEY_FILE", ""),
    foreign("dpServer.tlsMinVersion", Text, "KUMA_DP_SERVER_TLS_MIN_VERSION", "TLSv1_2"),
    foreign("dpServer.tlsMaxVersion", Text, "KUMA_DP_SERVER_TLS_MAX_VERSION", ""),
    foreign("dpServer.tlsCipherSuites", List, "KUMA_DP_SERVER_TLS_CIPHER_SUITES", ""),
    foreign("dpServer.readHeaderTimeout", Duration, "KUMA_DP_SERVER_READ_HEADER_TIMEOUT", "5s"),
    foreign("dpServer.gracefulShutdownTimeout", Duration, "KUMA_DP_SERVER_GRACEFUL_SHUTDOWN_TIMEOUT", "10s"),
    foreign("dpServer.authn.dpProxy.type", Text, "KUMA_DP_SERVER_AUTHN_DP_PROXY_TYPE", ""),
    setting("dpServer.authn.dpProxy.dpToken.enableIssuer", Flag, "KUMA_DP_SERVER_AUTHN_DP_PROXY_DP_TOKEN_ENABLE_ISSUER", "true"),
    setting("dpServer.authn.dpProxy.dpToken.validator.useSecrets", Flag, "KUMA_DP_SERVER_AUTHN_DP_PROXY_DP_TOKEN_VALIDATOR_USE_SECRETS", "true"),
    setting("dpServer.authn.dpProxy.dpToken.validator.publicKeys", Keys, "", ""),
    setting("dpServer.authn.dpProxy.dpToken.signers", Keys, "", ""),
    foreign("dpServer.authn.zoneProxy.type", Text, "KUMA_DP_SERVER_AUTHN_ZONE_PROXY_TYPE", ""),
    setting("dpServer.authn.zoneProxy.zoneToken.enableIssuer", Flag, "KUMA_DP_SERVER_AUTHN_ZONE_PROXY_ZONE_TOKEN_ENABLE_ISSUER", "true"),
    setting("dpServer.authn.zoneProxy.zoneToken.validator.useSecrets", Flag, "KUMA_DP_SERVER_AUTHN_ZONE_PROXY_ZONE_TOKEN_VALIDATOR_USE_SECRETS", "true"),
    setting("dpServer.authn.zoneProxy.zoneToken.validator.publicKeys", Keys, "", ""),
    foreign("dpServer.authn.enableReloadableTokens", Flag, "KUMA_DP_SERVER_AUTHN_ENABLE_RELOADABLE_TOKENS", "false"),
    foreign("dpServer.hds.enabled", Flag, "KUMA_DP_SERVER_HDS_ENABLED", "true"),
    foreign("dpServer.hds.interval", Duration, "KUMA_DP_SERVER_HDS_INTERVAL", "5s"),
    foreign("dpServer.hds.refreshInterval", Duration, "KUMA_DP_SERVER_HDS_REFRESH_INTERVAL", "10s"),
    foreign("dpServer.hds.checkDefaults.timeout", Duration, "KUMA_DP_SERVER_HDS_CHECK_TIMEOUT", "2s"),
    foreign("dpServer.hds.checkDefaults.interval", Duration, "KUMA_DP_SERVER_HDS_CHECK_INTERVAL", "1s"),
    foreign("dpServer.hds.checkDefaults.noTrafficInterval", Duration, "KUMA_DP_SERVER_HDS_CHECK_NO_TRAFFIC_INTERVAL", "1s"),
    foreign("dpServer.hds.checkDefaults.healthyThreshold", Number, "KUMA_DP_SERVER_HDS_CHECK_HEALTHY_THRESHOLD", "1"),
    foreign("dpServer.hds.checkDefaults.unhealthyThreshold", Number, "KUMA_DP_SERVER_HDS_CHECK_UNHEALTHY_THRESHOLD", "1"),
    // runtime
    foreign("runtime.universal.dataplaneCleanupAge", Duration, "KUMA_RUNTIME_UNIVERSAL_DATAPLANE_CLEANUP_AGE", "72h0m0s"),
    foreign("runtime.universal.spire.socketPath", Text, "KUMA_RUNTIME_UNIVERSAL_SPIRE_SOCKET_PATH", "/tmp/spire-agent/public/api.sock"),
    foreign("runtime.universal.workload.generationInterval", Duration, "KUMA_RUNTIME_UNIVERSAL_WORKLOAD_GENERATION_INTERVAL", "2s"),
    // dnsServer
    foreign("dnsServer.domain", Text, "KUMA_DNS_SERVER_DOMAIN", "mesh"),
    foreign("dnsServer.serviceVipPort", Number, "KUMA_DNS_SERVER_SERVICE_VIP_PORT", "80"),
    // policies
    foreign("policies.pluginPoliciesEnabled", List, "KUMA_PLUGIN_POLICIES_ENABLED", "meshaccesslogs,meshcircuitbreakers,meshfaultinjections,meshhealthchecks,meshhttproutes,meshloadbalancingstrategies,meshmetrics,meshpassthroughs,meshproxypatches,meshratelimits,meshretries,meshtcproutes,meshtimeouts,meshtlses,meshtraces,meshtrafficpermissions"),
    // coreResources
    foreign("coreResources.enabled", List, "KUMA_CORE_RESOURCES_ENABLED", "hostnamegenerators,meshexternalservices,meshidentities,meshmultizoneservices,meshopentelemetrybackends,meshservices,meshtrusts,meshzoneaddresses,workloads"),
    foreign("coreResources.status.meshMultiZoneServiceInterval", Duration, "KUMA_CORE_RESOURCES_STATUS_MESH_MULTI_ZONE_SERVICE_INTERVAL", "5s"),
    foreign("coreResources.status.meshServiceInterval", Duration, "KUMA_CORE_RESOURCES_STATUS_MESH_SERVICE_INTERVAL", "5s"),
    foreign("coreResources.status.meshIdentityInterval", Duration, "KUMA_CORE_RESOURCES_STATUS_MESH_IDENTITY_INTERVAL", "5s"),
    foreign("coreResources.status.workloadInterval", Duration, "KUMA_CORE_RESOURCES_STATUS_WORKLOAD_INTERVAL", "5s"),
    foreign("coreResources.status.meshOpenTelemetryBackendInterval", Duration, "KUMA_CORE_RESOURCES_STATUS_MESH_OPEN_TELEMETRY_BACKEND_INTERVAL", "5s"),
    // ipam
    foreign("ipam.meshService.cidr", Text, "KUMA_IPAM_MESH_SERVICE_CIDR", "241.0.0.0/8"),
    foreign("ipam.meshExternalService.cidr", Text, "KUMA_IPAM_MESH_EXTERNAL_SERVICE_CIDR", "242.0.0.0/8"),
    foreign("ipam.meshMultiZoneService.cidr", Text, "KUMA_IPAM_MESH_MULTI_ZONE_SERVICE_CIDR", "243.0.0.0/8"),
    foreign("ipam.allocationInterval", Duration, "KUMA_IPAM_ALLOCATION_INTERVAL", "5s"),
    foreign("ipam.knownInternalCIDRs", List, "KUMA_IPAM_KNOWN_INTERNAL_CIDRS", "10.0.0.0/8,192.168.0.0/16,172.16.0.0/12,fc00::/7,fd00::/8,127.0.0.1/32,::1/128"),
    // meshService
    foreign("meshService.generationInterval", Duration, "KUMA_MESH_SERVICE_GENERATION_INTERVAL", "2s"),
    foreign("meshService.deletionGracePeriod", Duration, "KUMA_MESH_SERVICE_DELETION_GRACE_PERIOD", "1h"),
    foreign("meshService.labelPropagation.enabled", Flag, "KUMA_MESH_SERVICE_LABEL_PROPAGATION_ENABLED", "false"),
    foreign("meshService.labelPropagation.allowedLabelKeys", List, "KUMA_MESH_SERVICE_LABEL_PROPAGATION_ALLOWED_LABEL_KEYS", ""),
];

pub(super) fn default_of(path: &str) -> &'static str {
    SETTINGS.iter().find(|setting| setting.path == path).map_or("", |setting| setting.default)
}

/// Settings that only 2.x has: accepted without effect, not shown.
#[rustfmt::skip]
pub(super) const ONLY_IN_2X: &[(&str, &str)] = &[
    ("apiServer.auth.clientCertsDir", "KUMA_API_SERVER_AUTH_CLIENT_CERTS_DIR"),
    ("bootstrapServer.params.corefileTemplatePath", "KUMA_BOOTSTRAP_SERVER_PARAMS_COREFILE_TEMPLATE_PATH"),
    ("defaults.createMeshRoutingResources", "KUMA_DEFAULTS_CREATE_MESH_ROUTING_RESOURCES"),
    ("dnsServer.CIDR", "KUMA_DNS_SERVER_CIDR"),
    ("dnsServer.serviceVipEnabled", "KUMA_DNS_SERVER_SERVICE_VIP_ENABLED"),
    ("multizone.global.kds.refreshInterval", "KUMA_MULTIZONE_GLOBAL_KDS_REFRESH_INTERVAL"),
    ("multizone.zone.kds.refreshInterval", "KUMA_MULTIZONE_ZONE_KDS_REFRESH_INTERVAL"),
    ("multizone.zone.ingressUpdateInterval", "KUMA_MULTIZONE_ZONE_INGRESS_UPDATE_INTERVAL"),
    ("proxy.gateway.globalDownstreamMaxConnections", "KUMA_PROXY_GATEWAY_GLOBAL_DOWNSTREAM_MAX_CONNECTIONS"),
    ("runtime.universal.vipRefreshInterval", "KUMA_RUNTIME_UNIVERSAL_VIP_REFRESH_INTERVAL"),
    ("runtime.universal.zoneResourceCleanupAge", "KUMA_RUNTIME_UNIVERSAL_ZONE_RESOURCE_CLEANUP_AGE"),
    ("experimental.kdsEventBasedWatchdog.enabled", "KUMA_EXPERIMENTAL_KDS_EVENT_BASED_WATCHDOG_ENABLED"),
    ("experimental.ingressTagFilters", "KUMA_EXPERIMENTAL_INGRESS_TAG_FILTERS"),
    ("metrics.mesh.minResyncTimeout", "KUMA_METRICS_MESH_MIN_RESYNC_TIMEOUT"),
    ("metrics.mesh.maxResyncTimeout", "KUMA_METRICS_MESH_MAX_RESYNC_TIMEOUT"),
    ("experimental.kdsEventBasedWatchdog.flushInterval", "KUMA_EXPERIMENTAL_KDS_EVENT_BASED_WATCHDOG_FLUSH_INTERVAL"),
    ("experimental.kdsEventBasedWatchdog.fullResyncInterval", "KUMA_EXPERIMENTAL_KDS_EVENT_BASED_WATCHDOG_FULL_RESYNC_INTERVAL"),
    ("experimental.kdsEventBasedWatchdog.delayFullResync", "KUMA_EXPERIMENTAL_KDS_EVENT_BASED_WATCHDOG_DELAY_FULL_RESYNC"),
    ("experimental.kubeOutboundsAsVIPs", "KUMA_EXPERIMENTAL_KUBE_OUTBOUNDS_AS_VIPS"),
    ("experimental.sidecarContainers", "KUMA_EXPERIMENTAL_SIDECAR_CONTAINERS"),
    ("experimental.useTagFirstVirtualOutboundModel", "KUMA_EXPERIMENTAL_USE_TAG_FIRST_VIRTUAL_OUTBOUND_MODEL"),
    ("experimental.autoReachableServices", "KUMA_EXPERIMENTAL_AUTO_REACHABLE_SERVICES"),
    ("experimental.deltaXds", "KUMA_EXPERIMENTAL_DELTA_XDS"),
    ("experimental.inboundTagsDisabled", "KUMA_EXPERIMENTAL_INBOUND_TAGS_DISABLED"),
    ("experimental.exposeZoneProxyMetrics", "KUMA_EXPERIMENTAL_EXPOSE_ZONE_PROXY_METRICS"),
];

/// Names of earlier generations: the old path or variable, and the path that replaces it.
#[rustfmt::skip]
pub(super) const FORMER: &[(&str, &str)] = &[
    // Kong Mesh's own names.
    ("kmesh.multizone.global.kds.auth.type", "multizone.global.kds.auth.type"),
    ("KMESH_MULTIZONE_GLOBAL_KDS_AUTH_TYPE", "multizone.global.kds.auth.type"),
    ("kmesh.multizone.zone.kds.auth.cpTokenInline", "multizone.zone.kds.auth.tokenInline"),
    ("kmesh.multizone.zone.kds.auth.cpTokenPath", "multizone.zone.kds.auth.tokenPath"),
    ("kmesh.multizone.remote.kds.auth.cpTokenInline", "multizone.zone.kds.auth.tokenInline"),
    ("kmesh.multizone.remote.kds.auth.cpTokenPath", "multizone.zone.kds.auth.tokenPath"),
    ("KMESH_MULTIZONE_ZONE_KDS_AUTH_CP_TOKEN_INLINE", "multizone.zone.kds.auth.tokenInline"),
    ("KMESH_MULTIZONE_ZONE_KDS_AUTH_CP_TOKEN_PATH", "multizone.zone.kds.auth.tokenPath"),
    ("KMESH_MULTIZONE_REMOTE_KDS_AUTH_CP_TOKEN_INLINE", "multizone.zone.kds.auth.tokenInline"),
    ("KMESH_MULTIZONE_REMOTE_KDS_AUTH_CP_TOKEN_PATH", "multizone.zone.kds.auth.tokenPath"),
    ("kmesh.multizone.global.kds.auth.cpToken.enableIssuer", "multizone.global.kds.auth.zoneToken.enableIssuer"),
    ("kmesh.multizone.global.kds.auth.cpToken.validator.useSecrets", "multizone.global.kds.auth.zoneToken.validator.useSecrets"),
    ("kmesh.multizone.global.kds.auth.cpToken.validator.publicKeys", "multizone.global.kds.auth.zoneToken.validator.publicKeys"),
    ("KMESH_MULTIZONE_GLOBAL_KDS_AUTH_CP_TOKEN_ENABLE_ISSUER", "multizone.global.kds.auth.zoneToken.enableIssuer"),
    ("KMESH_MULTIZONE_GLOBAL_KDS_AUTH_CP_TOKEN_VALIDATOR_USE_SECRETS", "multizone.global.kds.auth.zoneToken.validator.useSecrets"),
    ("kmesh.access.static.generateCpToken.users", "access.static.generateCpToken.users"),
    ("kmesh.access.static.generateCpToken.groups", "access.static.generateCpToken.groups"),
    ("KMESH_RBAC_STATIC_GENERATE_CP_TOKEN_USERS", "access.static.generateCpToken.users"),
    ("KMESH_RBAC_STATIC_GENERATE_CP_TOKEN_GROUPS", "access.static.generateCpToken.groups"),
    // Before zones were called zones; the rest of `multizone.remote` and `KUMA_MULTIZONE_REMOTE_` is renamed by its prefix.
    ("multizone.remote.zone", "multizone.zone.name"),
    ("KUMA_MULTIZONE_REMOTE_ZONE", "multizone.zone.name"),
];
